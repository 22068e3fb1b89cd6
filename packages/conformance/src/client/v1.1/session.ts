/** A session of wire 1.1 as the scripted runtime has it. */
import { type Frame, newName } from "../../frame.ts";
import type { Caller } from "../caller.ts";
import { type Ended, toEnded } from "../ended.ts";
import type { Client, JsonObject, Stage } from "../stage.ts";

export const ALL_FEATURES = [
  ...["heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "model.use"],
  ...["provisioned_credentials", "progress", "result_chunk", "agent_versions"],
];

export const AGENTS = [{ name: "echo", versions: ["1.0.0", "2.0.0"], default: "1.0.0" }];

export interface SessionOptions {
  /** Members of the welcome's payload that replace the usual ones. */
  readonly welcome?: JsonObject;
  /** Members of the welcome's envelope. */
  readonly members?: JsonObject;
  /** What `connect` is told beside where and as whom. */
  readonly terms?: JsonObject;
  readonly client?: Client;
}

export const newJobId = (): string => newName("job");

export class Session {
  readonly stage: Stage;
  readonly client: Client;
  readonly id = newName("sess");
  /** The connection that carries it. */
  caller: Caller;
  /** The first message on it. */
  hello: Frame;
  /** The token of the last welcome. */
  resumeToken = "";
  /** The number of the last message. */
  seq = 0;
  /** What the step `connect` reported. */
  connected: JsonObject = {};

  constructor(stage: Stage, client: Client, caller: Caller, hello: Frame) {
    this.stage = stage;
    this.client = client;
    this.caller = caller;
    this.hello = hello;
  }

  welcome(payload: JsonObject = {}, members: JsonObject = {}): void {
    this.resumeToken = newName("resume");
    this.caller.sessionId = this.id;
    const usual = {
      runtime: { name: "conformance", version: "1.0.0" },
      resume_token: this.resumeToken,
      resume_window_sec: 600,
      heartbeat_interval_sec: 30,
      capabilities: { encodings: ["json"], features: ALL_FEATURES, agents: AGENTS },
    };
    this.caller.send("session.welcome", { ...usual, ...payload }, { correlation_id: this.hello.id, ...members });
  }

  /** The client's next connection, up to the message that takes the session up again. */
  async back(requirement: string | undefined): Promise<Frame> {
    this.caller = await this.client.caller(requirement, "the client to connect again");
    this.hello = await this.caller.next(requirement, "session.hello", "session.resume");
    return this.hello;
  }

  /** The connection goes on, or the client has taken the session up again over another one. */
  async goesOn(requirement: string | undefined, lastSeq = this.seq): Promise<void> {
    try {
      await this.caller.fence();
      return;
    } catch (thrown) {
      if (this.caller.ended === undefined) throw thrown;
    }
    const hello = await this.back(requirement);
    const at = positionOf(hello).lastEventSeq;
    this.stage.judge.that(requirement, `the session to be resumed at ${lastSeq}`, at === lastSeq, hello);
    this.welcome();
  }

  // --- Jobs -----------------------------------------------------------------------------------------------------------

  /** Has the client submit a job, and accepts it. */
  async job(terms: JsonObject = {}, accepted: JsonObject = {}): Promise<Job> {
    const submitting = this.client.starts("submit", { agent: "echo", input: null, ...terms });
    const submit = await this.caller.next(undefined, "job.submit");
    const job = new Job(this, newJobId());
    job.accept(submit, accepted);
    const { job_id } = await submitting;
    this.stage.judge.that(undefined, `the job to be reported as ${job.id}`, job_id === job.id, job_id);
    return job;
  }

  /** Sends a numbered message. */
  numbered(type: string, jobId: string, payload: JsonObject, members: JsonObject = {}): void {
    this.seq += 1;
    this.caller.send(type, payload, { job_id: jobId, event_seq: this.seq, ...members });
  }
}

export class Job {
  readonly session: Session;
  readonly id: string;

  constructor(session: Session, id: string) {
    this.session = session;
    this.id = id;
  }

  accept(submit: Frame, payload: JsonObject = {}, members: JsonObject = {}): void {
    const usual = {
      job_id: this.id,
      agent: "echo@1.0.0",
      lease: {},
      accepted_at: new Date().toISOString(),
      trace_id: submit.trace_id ?? "0af7651916cd43dd8448eb211c80319c",
      request_id: submit.id,
    };
    const about = { job_id: this.id, correlation_id: submit.id, trace_id: usual.trace_id };
    this.session.caller.send("job.accepted", { ...usual, ...payload }, { ...about, ...members });
  }

  event(kind: string, body: unknown, members: JsonObject = {}): void {
    this.session.numbered("job.event", this.id, { kind, ts: new Date().toISOString(), body }, members);
  }

  log(message: string, members: JsonObject = {}): void {
    this.event("log", { level: "info", message }, members);
  }

  result(payload: JsonObject = {}, members: JsonObject = {}): void {
    this.session.numbered("job.result", this.id, { final_status: "success", ...payload }, members);
  }

  error(payload: JsonObject, members: JsonObject = {}): void {
    const usual = { final_status: "error", message: "it went wrong", retryable: false };
    this.session.numbered("job.error", this.id, { ...usual, ...payload }, members);
  }

  /** How the client says that the job ended. */
  async wait(requirement?: string): Promise<Ended> {
    return toEnded(await this.session.client.does("wait", { job_id: this.id }, requirement));
  }
}

/** Where a client says that it was: in the member `resume` of a hello, or in `session.resume`. */
export function positionOf({ type, payload }: Frame): {
  readonly resumeToken: unknown;
  readonly lastEventSeq: unknown;
} {
  const resume = type === "session.resume" ? payload : payload?.resume;
  return { resumeToken: resume?.resume_token ?? resume?.token, lastEventSeq: resume?.last_event_seq };
}

/** Has a client connect, and welcomes it. */
export async function openSession(stage: Stage, options: SessionOptions = {}): Promise<Session> {
  const client = options.client ?? stage.client();
  const connecting = client.starts("connect", { ...client.terms, ...options.terms });
  const caller = await client.caller(undefined);
  const hello = await caller.next(undefined, "session.hello");
  const session = new Session(stage, client, caller, hello);
  session.welcome(options.welcome, options.members);
  session.connected = await connecting;
  return session;
}

/** The same, with these features alone. */
export const openWith = (stage: Stage, features: readonly string[], welcome: JsonObject = {}): Promise<Session> =>
  openSession(stage, { welcome: { capabilities: { encodings: ["json"], features, agents: AGENTS }, ...welcome } });
