/** A client that says exactly what a test tells it to, frame by frame, and remembers every frame that it was sent. */
import { type Transport, V1_1_FEATURES } from "@arcp/core";

/** A message as it is on the wire. */
export interface Frame {
  readonly arcp: string;
  readonly id: string;
  readonly type: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly trace_id?: string;
  readonly event_seq?: number;
  readonly correlation_id?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of a payload
  readonly payload: any;
}

export const ALL_FEATURES: readonly string[] = V1_1_FEATURES;
/** Everything but heartbeats, for tests that move the clock further than a peer may be silent. */
export const QUIET_FEATURES: readonly string[] = V1_1_FEATURES.filter((name) => name !== "heartbeat");

let made = 0;
const nextId = (): string => {
  made += 1;
  return `msg_raw${made}`;
};

export class RawClient {
  readonly transport: Transport;
  /** Every frame received, in order. */
  readonly frames: Frame[] = [];
  sessionId: string | undefined;
  resumeToken: string | undefined;
  #read = 0;
  #wake: (() => void)[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
    transport.onFrame((text) => {
      this.frames.push(JSON.parse(text) as Frame);
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
    this.transport.send(JSON.stringify({ arcp: "1.1", id, type, ...session, payload, ...members }));
    return id;
  }

  /** Sends text as it is. */
  sendText(text: string): void {
    this.transport.send(text);
  }

  /** Opens a session. Resolves with the welcome. */
  async hello(features: readonly string[] | undefined = ALL_FEATURES, token = "alice"): Promise<Frame> {
    this.send("session.hello", {
      client: { name: "raw", version: "1.0.0" },
      auth: { scheme: "bearer", token },
      capabilities: features === undefined ? { encodings: ["json"] } : { encodings: ["json"], features },
    });
    return this.welcomed();
  }

  /** Takes a session up again. Resolves with the first answer, whatever it is. */
  async resume(
    session: { readonly sessionId: string | undefined; readonly resumeToken: string | undefined },
    lastEventSeq: number,
    token = "alice",
    features: readonly string[] = ALL_FEATURES,
  ): Promise<Frame> {
    this.send("session.hello", {
      client: { name: "raw", version: "1.0.0" },
      auth: { scheme: "bearer", token },
      capabilities: { encodings: ["json"], features },
      resume: { session_id: session.sessionId, resume_token: session.resumeToken, last_event_seq: lastEventSeq },
    });
    return this.welcomed();
  }

  /** The next session.welcome or session.error; remembers the session. */
  async welcomed(): Promise<Frame> {
    const frame = await this.next("session.welcome", "session.error");
    if (frame.type === "session.welcome") {
      this.sessionId = frame.session_id;
      this.resumeToken = frame.payload.resume_token;
    }
    return frame;
  }

  /** The next frame, among those not read yet, of one of `types`; frames before it are skipped. Rejects when none can come. */
  async next(...types: readonly string[]): Promise<Frame> {
    return this.nextWhere((frame) => types.length === 0 || types.includes(frame.type), types.join(" or "));
  }

  /** The next frame, among those not read yet, that `matches`; frames before it are skipped. */
  async nextWhere(matches: (frame: Frame) => boolean, what = "such a frame"): Promise<Frame> {
    for (;;) {
      while (this.#read < this.frames.length) {
        const frame = this.frames[this.#read] as Frame;
        this.#read += 1;
        if (matches(frame)) return frame;
      }
      if (this.transport.isClosed) throw new Error(`the connection ended without ${what || "a frame"}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** The first frame of all, received already or still to come, that `matches`. Nothing is skipped by it. */
  async find(matches: (frame: Frame) => boolean, what = "such a frame"): Promise<Frame> {
    for (let from = 0; ; ) {
      for (; from < this.frames.length; from += 1) {
        const frame = this.frames[from] as Frame;
        if (matches(frame)) return frame;
      }
      if (this.transport.isClosed) throw new Error(`the connection ended without ${what}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Sends a request and resolves with its reply. Nothing is skipped by it. */
  ask(type: string, payload: unknown = {}, members: object = {}): Promise<Frame> {
    const id = this.send(type, payload, members);
    return this.find((frame) => frame.payload?.request_id === id, `a reply to ${type}`);
  }

  /** The jobs that `session.list_jobs` shows. Everything emitted before is committed, and sent to a live session. */
  async listJobs(payload: object = {}): Promise<readonly Frame["payload"][]> {
    return (await this.ask("session.list_jobs", payload)).payload.jobs;
  }

  /** The end of a job, received already or still to come. */
  end(jobId: string): Promise<Frame> {
    const isEnd = (frame: Frame): boolean =>
      frame.job_id === jobId && (frame.type === "job.result" || frame.type === "job.error");
    return this.find(isEnd, `the end of ${jobId}`);
  }

  /** The reply to the request with `id`. */
  reply(id: string): Promise<Frame> {
    return this.nextWhere((frame) => frame.payload?.request_id === id, `a reply to ${id}`);
  }

  /** Submits and resolves with the reply. */
  async submit(agent: string, input: unknown = null, more: object = {}, members: object = {}): Promise<Frame> {
    const id = this.send("job.submit", { agent, input, ...more }, members);
    return this.nextWhere((frame) => frame.payload?.request_id === id, `a reply to ${id}`);
  }

  /** The terminal message of a job, now or later; frames before it are skipped. */
  ended(jobId: string): Promise<Frame> {
    const isEnd = (frame: Frame): boolean =>
      frame.job_id === jobId && (frame.type === "job.result" || frame.type === "job.error");
    return this.nextWhere(isEnd, `the end of ${jobId}`);
  }

  /** The first frame, read or not, that `matches`, now or later. Leaves {@link next} where it is. */
  async sees(matches: (frame: Frame) => boolean, what = "such a frame"): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined) return found;
      if (this.transport.isClosed) throw new Error(`the connection ended without ${what}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Resolves when what the runtime had sent before it read this has arrived. Leaves {@link next} where it is. */
  async fence(): Promise<void> {
    const id = this.send("session.ping", { nonce: "fence", sent_at: new Date(0).toISOString() });
    await this.sees((frame) => frame.correlation_id === id, "a pong");
  }

  /** What was received with a number, in order. */
  get numbered(): readonly Frame[] {
    return this.frames.filter((frame) => frame.event_seq !== undefined);
  }

  /** Everything received about one job that carries a number. */
  ofJob(jobId: string): readonly Frame[] {
    return this.numbered.filter((frame) => frame.job_id === jobId);
  }

  /** Pulls the cable. */
  cut(): void {
    this.transport.abort("cut by the test");
  }
}
