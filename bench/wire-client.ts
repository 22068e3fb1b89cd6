/**
 * The client of the load process: a WebSocket, `JSON.parse` of each frame, requests by string concatenation. The same
 * for every server, and as cheap as a client can be, so that what is measured is the server.
 *
 * It does check what costs nothing: numbers without a gap, no error that the scenario did not ask for.
 */
import { WebSocket } from "ws";

export interface WireMessage {
  readonly type: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly event_seq?: number;
  readonly payload: {
    readonly kind?: string;
    readonly body?: { readonly data?: string; readonly chunk_seq?: number; readonly message?: string };
    readonly job_id?: string;
    readonly resume_token?: string;
    readonly nonce?: string;
    readonly ping_nonce?: string;
    readonly final_status?: string;
    readonly code?: string;
    readonly message?: string;
  };
}

/** What a session asks to resume with. */
export interface ResumePoint {
  readonly sessionId: string;
  readonly resumeToken: string;
  readonly lastEventSeq: number;
}

const FEATURES = ["subscribe", "result_chunk", "agent_versions"] as const;
const CONNECT_TIMEOUT_MS = 15_000;
const ENVELOPE = '{"arcp":"1.1","id":"msg_';
/** Chosen by this client, the same on every server. */
export const BENCH_TOKEN = "bench";

let lastId = 0;
const nextId = (): string => `b${(++lastId).toString(36).padStart(12, "0")}`;

/** Looks at one message. Returns `true` when the wait is over. */
export type MessageHandler = (message: WireMessage) => boolean;

export class WireSession {
  sessionId = "";
  resumeToken = "";
  /** The last number received in this session. */
  lastEventSeq = 0;
  /** Milliseconds from the hello to the welcome. */
  welcomeMs = 0;
  readonly #socket: WebSocket;
  readonly #early: WireMessage[] = [];
  #handler: MessageHandler | undefined;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;
  #tail = "";

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => this.#onMessage(JSON.parse(String(data)) as WireMessage));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", (code, reason) => this.#fail(new Error(`the server closed: ${code} ${reason.toString()}`)));
  }

  /** Connects and says hello. `acks`: offer to acknowledge events; such a session must then do so. */
  static async open(url: string, options: { acks?: boolean; resume?: ResumePoint } = {}): Promise<WireSession> {
    const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: CONNECT_TIMEOUT_MS });
    const session = new WireSession(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    const features = JSON.stringify(options.acks === true ? [...FEATURES, "ack"] : FEATURES);
    const { resume } = options;
    const resumeText =
      resume === undefined
        ? ""
        : `,"resume":{"session_id":"${resume.sessionId}","resume_token":"${resume.resumeToken}","last_event_seq":${resume.lastEventSeq}}`;
    session.lastEventSeq = resume?.lastEventSeq ?? 0;
    const sentAt = performance.now();
    socket.send(
      `${ENVELOPE}${nextId()}","type":"session.hello","payload":{"client":{"name":"bench","version":"1.0.0"},` +
        `"auth":{"scheme":"bearer","token":"${BENCH_TOKEN}"},"capabilities":{"encodings":["json"],"features":${features}}${resumeText}}}`,
    );
    await session.until(({ type, session_id, payload }) => {
      if (type !== "session.welcome") return false;
      session.welcomeMs = performance.now() - sentAt;
      session.sessionId = session_id ?? "";
      session.resumeToken = payload.resume_token ?? "";
      return true;
    });
    session.#tail = `","session_id":"${session.sessionId}","payload":`;
    return session;
  }

  /** Sends one message. `payload` is JSON text. */
  send(type: string, payload: string): void {
    this.#socket.send(`${ENVELOPE}${nextId()}","type":"${type}${this.#tail}${payload}}`);
  }

  submit(agent: string, input: object): void {
    this.send("job.submit", `{"agent":"${agent}","input":${JSON.stringify(input)}}`);
  }

  /**
   * Hands every message to `handler`, in order, until it returns `true`. Messages that come while nobody waits are
   * kept. Rejects when the connection ends, numbers have a gap, or the server answers with an error.
   */
  until(handler: MessageHandler): Promise<void> {
    if (this.#settle !== undefined) throw new Error("one wait at a time");
    return new Promise((resolve, reject) => {
      this.#handler = handler;
      this.#settle = { resolve, reject };
      while (this.#early.length > 0 && this.#handler !== undefined) {
        const message = this.#early.shift();
        if (message !== undefined) this.#deliver(message);
      }
      if (this.#failure !== undefined && this.#handler !== undefined) this.#finish(this.#failure);
    });
  }

  /** Drops the connection without a word, as a network does. */
  drop(): void {
    this.#failure = new Error("dropped by the scenario");
    this.#socket.terminate();
  }

  #onMessage(message: WireMessage): void {
    if (message.type === "session.ping") {
      this.send("session.pong", `{"ping_nonce":${JSON.stringify(message.payload.nonce)}}`);
    } else if (this.#handler === undefined) {
      this.#early.push(message);
    } else {
      this.#deliver(message);
    }
  }

  #deliver(message: WireMessage): void {
    const { type, event_seq: eventSeq, payload } = message;
    if (eventSeq !== undefined) {
      if (eventSeq !== this.lastEventSeq + 1) {
        this.#fail(new Error(`event_seq ${eventSeq} after ${this.lastEventSeq}`));
        return;
      }
      this.lastEventSeq = eventSeq;
    }
    if (type === "session.error" || (type === "job.error" && payload.code !== "CANCELLED")) {
      this.#fail(new Error(`the server answered ${type}: ${payload.code} ${payload.message}`));
      return;
    }
    if (this.#handler?.(message) === true) this.#finish();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    if (this.#handler !== undefined) this.#finish(this.#failure);
  }

  #finish(error?: Error): void {
    const settle = this.#settle;
    this.#handler = undefined;
    this.#settle = undefined;
    if (error === undefined) settle?.resolve();
    else settle?.reject(error);
  }
}
