/** A session of wire 1.0 as the scripted runtime has it. */
import { type Frame, newName } from "../../frame.ts";
import type { Caller } from "../caller.ts";
import { type Ended, toEnded } from "../ended.ts";
import type { Client, JsonObject, Stage } from "../stage.ts";

/** Everything that a runtime can do. */
export const CAPABILITIES = {
  ...{ streaming: true, durable_jobs: true, checkpoints: true, binary_streams: true, agent_handoff: true },
  ...{ human_input: true, artifacts: true, subscriptions: true, scheduled_jobs: true, interrupt: true },
  ...{ anonymous: false, extensions: [] as readonly string[], binary_encoding: ["base64"] },
  ...{ heartbeat_interval_seconds: 30, heartbeat_recovery: "fail" },
};

const FINGERPRINT = "sha256:5f1e0c";

export interface Session10Options {
  /** Members of the payload of `session.accepted` that replace the usual ones. */
  readonly accepted?: JsonObject;
  readonly members?: JsonObject;
  readonly capabilities?: JsonObject;
  /** What `connect` is told beside where and as whom. */
  readonly terms?: JsonObject;
}

export class Session10 {
  readonly stage: Stage;
  readonly client: Client;
  /** The session of the newest connection. */
  id = newName("sess");
  caller: Caller;
  /** The `session.open` of the newest connection. */
  open: Frame;

  constructor(stage: Stage, client: Client, caller: Caller, open: Frame) {
    this.stage = stage;
    this.client = client;
    this.caller = caller;
    this.open = open;
  }

  accept({ accepted = {}, members = {}, capabilities = {} }: Session10Options = {}): void {
    this.caller.sessionId = this.id;
    const usual = {
      session_id: this.id,
      runtime: { kind: "conformance", version: "1.0.0", fingerprint: FINGERPRINT, trust_level: "trusted" },
      capabilities: { ...CAPABILITIES, ...capabilities },
    };
    this.caller.send("session.accepted", { ...usual, ...accepted }, { correlation_id: this.open.id, ...members });
  }

  /** The client's next connection: it opens a session there, is let in, and takes up the one before. */
  async back(requirement: string | undefined): Promise<{ readonly resume: Frame; readonly before: string }> {
    const before = this.id;
    this.caller = await this.client.caller(requirement, "the client to connect again");
    this.open = await this.caller.next(requirement, "session.open");
    this.id = newName("sess");
    this.accept();
    const resume = await this.caller.next(requirement, "resume");
    return { resume, before };
  }

  /** The same, and the runtime agrees. What was missed goes between. */
  async resumed(requirement: string | undefined, replay: (members: JsonObject) => void = () => {}): Promise<void> {
    const { resume, before } = await this.back(requirement);
    replay({ session_id: before });
    this.caller.send("ack", { ack_for: resume.id }, { correlation_id: resume.id, session_id: before });
  }

  /** The connection goes on, or the client has taken the session up again over another one. */
  async goesOn(requirement: string | undefined): Promise<JsonObject> {
    const before = this.id;
    try {
      await this.caller.fence();
      return {};
    } catch (thrown) {
      if (this.caller.ended === undefined) throw thrown;
    }
    await this.resumed(requirement);
    return { session_id: before };
  }

  /** Has the client invoke a tool, and accepts. */
  async job(terms: JsonObject = {}): Promise<Job10> {
    const submitting = this.client.starts("submit", { agent: "echo", input: {}, ...terms });
    const invoke = await this.caller.next(undefined, "tool.invoke");
    const job = new Job10(this, invoke);
    job.accept();
    const { job_id } = await submitting;
    this.stage.judge.that(undefined, `the job to be reported as ${job.id}`, job_id === job.id, job_id);
    return job;
  }
}

export class Job10 {
  readonly session: Session10;
  readonly invoke: Frame;
  readonly id = newName("job");

  constructor(session: Session10, invoke: Frame) {
    this.session = session;
    this.invoke = invoke;
  }

  /** Sends a message of the job, in answer to its invocation. */
  send(type: string, payload: JsonObject = {}, members: JsonObject = {}): string {
    return this.session.caller.send(type, payload, { job_id: this.id, correlation_id: this.invoke.id, ...members });
  }

  accept(payload: JsonObject = {}, members: JsonObject = {}): void {
    this.send("job.accepted", { job_id: this.id, accepted_at: new Date().toISOString(), ...payload }, members);
  }

  log(message: string, members: JsonObject = {}): void {
    this.send("log", { level: "info", message }, members);
  }

  result(value: unknown, members: JsonObject = {}): void {
    this.send("tool.result", { value }, members);
  }

  /** How the client says that the job ended. */
  async wait(requirement?: string): Promise<Ended & { readonly streams: readonly JsonObject[] }> {
    const report = await this.session.client.does("wait", { job_id: this.id }, requirement);
    const streams = Array.isArray(report["streams"]) ? (report["streams"] as readonly JsonObject[]) : [];
    return { ...toEnded(report), streams };
  }
}

/** Has a client connect, and lets it in. */
export async function openSession10(stage: Stage, options: Session10Options = {}): Promise<Session10> {
  const client = stage.client();
  const connecting = client.starts("connect", { ...client.terms, ...options.terms });
  const caller = await client.caller(undefined);
  const session = new Session10(stage, client, caller, await caller.next(undefined, "session.open"));
  session.accept(options);
  await connecting;
  return session;
}

/** Answers a command that the client was told to send. */
export async function asked(
  session: Session10,
  requirement: string,
  doing: Promise<JsonObject>,
  type: string,
  answer: string,
  payload: JsonObject = {},
) {
  const command = await session.caller.next(requirement, type);
  session.caller.send(answer, { ack_for: command.id, ...payload }, { correlation_id: command.id });
  return { command, report: await doing };
}

/** When questions and leases of the suite expire. */
export const inAMinute = (): string => new Date(Date.now() + 60_000).toISOString();
