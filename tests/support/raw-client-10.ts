/** The same as `RawClient` for wire 1.0: it says exactly what a test tells it to, and remembers every frame. */
import type { Transport } from "@arcp/core";

/** A message as it is on the wire. */
export interface Frame10 {
  readonly arcp: string;
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly stream_id?: string;
  readonly subscription_id?: string;
  readonly trace_id?: string;
  readonly span_id?: string;
  readonly correlation_id?: string;
  readonly causation_id?: string;
  readonly priority?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of a payload
  readonly payload: any;
}

/** Everything that a client can ask for. */
export const ALL_CAPABILITIES = {
  ...{ streaming: true, durable_jobs: true, checkpoints: true, binary_streams: true, agent_handoff: true },
  ...{ human_input: true, artifacts: true, subscriptions: true, scheduled_jobs: true, interrupt: true },
  ...{ anonymous: false, binary_encoding: ["base64"], extensions: [] },
};

/** What ends an invocation, for one client or another. */
export const ENDINGS: readonly string[] = ["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"];

/** Is it what the runtime measures of every job by itself (RFC §17.3.1), and not what the job says? */
export const isMeasure = ({ type }: Frame10): boolean => type === "metric" || type === "trace.span";

let made = 0;
const nextId = (): string => {
  made += 1;
  return `msg_raw10-${made}`;
};

export class RawClient10 {
  readonly transport: Transport;
  /** Every frame received, in order. */
  readonly frames: Frame10[] = [];
  sessionId: string | undefined;
  #read = 0;
  #wake: (() => void)[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
    transport.onFrame((text) => {
      this.frames.push(JSON.parse(text) as Frame10);
      for (const wake of this.#wake.splice(0)) wake();
    });
    void transport.closed.then(() => {
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** Sends one message and returns its id. `members` are put on the envelope, and may replace any part of it. */
  send(type: string, payload: unknown = {}, members: object = {}): string {
    const id = nextId();
    const session = this.sessionId === undefined ? {} : { session_id: this.sessionId };
    const timestamp = new Date().toISOString();
    this.transport.send(JSON.stringify({ arcp: "1.0", id, type, timestamp, ...session, payload, ...members }));
    return id;
  }

  /** Sends text as it is. */
  sendText(text: string): void {
    this.transport.send(text);
  }

  /** Opens a session. Resolves with the first answer: session.accepted, .challenge or .rejected. */
  async open(payload: object = {}, members: object = {}): Promise<Frame10> {
    const auth = { scheme: "bearer", token: "alice" };
    const client = { kind: "raw", version: "1.0.0" };
    this.send("session.open", { auth, client, capabilities: ALL_CAPABILITIES, ...payload }, members);
    const answer = await this.next("session.accepted", "session.challenge", "session.rejected");
    if (answer.type === "session.accepted") this.sessionId = answer.payload.session_id;
    return answer;
  }

  /** The next frame of one of these types that was not taken yet. Rejects when the connection is over without one. */
  async next(...types: readonly string[]): Promise<Frame10> {
    return this.nextWhere(({ type }) => types.includes(type), types.join(" or "));
  }

  /** The next frame that `matches`, from the last one taken on. */
  async nextWhere(matches: (frame: Frame10) => boolean, what = "such a frame"): Promise<Frame10> {
    for (;;) {
      const index = this.frames.findIndex((frame, at) => at >= this.#read && matches(frame));
      const found = this.frames[index];
      if (found !== undefined) {
        this.#read = index + 1;
        return found;
      }
      await this.#more(what);
    }
  }

  /** The first frame that `matches`, of all that came and will come. */
  async sees(matches: (frame: Frame10) => boolean, what = "such a frame"): Promise<Frame10> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined) return found;
      await this.#more(what);
    }
  }

  /** Sends a command and resolves with what answers it first. */
  async ask(type: string, payload: unknown = {}, members: object = {}): Promise<Frame10> {
    return this.answerTo(this.send(type, payload, members));
  }

  /** What answers message `id` first. */
  answerTo(id: string): Promise<Frame10> {
    return this.sees(({ correlation_id }) => correlation_id === id, `an answer to ${id}`);
  }

  /** Asks for a tool. Resolves with `job.accepted`, or with the refusal. */
  invoke(tool: string, input: unknown = {}, more: object = {}, members: object = {}): Promise<Frame10> {
    return this.ask("tool.invoke", { tool, arguments: input, ...more }, members);
  }

  /** The last message of a job. */
  ending(jobId: string | undefined): Promise<Frame10> {
    return this.sees(({ type, job_id }) => job_id === jobId && ENDINGS.includes(type), `the end of ${jobId}`);
  }

  /** Resolves when everything sent before was dealt with. */
  async fence(): Promise<void> {
    await this.ask("ping");
  }

  ofType(...types: readonly string[]): readonly Frame10[] {
    return this.frames.filter(({ type }) => types.includes(type));
  }

  ofJob(jobId: string | undefined): readonly Frame10[] {
    return this.frames.filter(({ job_id }) => job_id === jobId);
  }

  /** Loses the connection without a word. */
  cut(): void {
    this.transport.abort("cut");
  }

  async #more(what: string): Promise<void> {
    if (this.transport.isClosed) {
      throw new Error(`the connection ended without ${what}: ${JSON.stringify(this.frames.at(-1))}`);
    }
    await new Promise<void>((resolve) => this.#wake.push(resolve));
  }
}
