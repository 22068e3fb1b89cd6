/** A client of another SDK, frame by frame: it writes as that one does and takes only what that one would take. */
import type { Transport } from "@arcp/core";
import type { Outgoing, PeerClient, ResumePoint } from "../../interop/peers/client.ts";
import { type Frame, problemsOf } from "../../interop/peers/rules.ts";

export class ScriptedClient {
  readonly peer: PeerClient;
  readonly transport: Transport;
  readonly frames: Frame[] = [];
  /** What this client would not have taken. */
  readonly problems: string[] = [];
  sessionId: string | undefined;
  resumeToken = "";
  readonly #requests = new Map<string, string>();
  readonly #jobs = new Set<string>();
  #wake: (() => void)[] = [];

  constructor(peer: PeerClient, transport: Transport) {
    this.peer = peer;
    this.transport = transport;
    transport.onFrame((text) => this.#receive(JSON.parse(text) as Frame));
    void transport.closed.then(() => this.#wakeAll());
  }

  get lastSeq(): number {
    return Math.max(0, ...this.frames.map(({ event_seq }) => event_seq ?? 0));
  }

  #receive(frame: Frame): void {
    this.frames.push(frame);
    this.problems.push(...problemsOf(this.peer.rules, frame, { requests: this.#requests }));
    if (frame.type === "session.ping") {
      const payload = { ping_nonce: frame.payload.nonce, received_at: new Date().toISOString() };
      this.send({ type: "session.pong", payload });
    }
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  send({ type, payload, members }: Outgoing): string {
    const id = this.peer.newId();
    this.#requests.set(id, type);
    const envelope = { arcp: "1.1", id, type, ...this.peer.envelope(this.sessionId), ...members, payload };
    this.transport.send(JSON.stringify(envelope));
    return id;
  }

  /** The first frame, past or future, that `matches`. */
  async find(matches: (frame: Frame) => boolean, what: string): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found) return found;
      if (this.transport.isClosed) throw new Error(`${this.peer.name}: no ${what} before the connection ended`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Sends a request and waits for what this client takes for its answer. */
  async ask(outgoing: Outgoing): Promise<Frame> {
    const from = this.frames.length;
    const id = this.send(outgoing);
    const isReply = (frame: Frame): boolean =>
      this.frames.indexOf(frame) >= from && this.peer.isReply(frame, id, (jobId) => this.#jobs.has(jobId));
    const reply = await this.find(isReply, `answer to ${outgoing.type}`);
    if (reply.type === "job.accepted") this.#jobs.add(reply.payload.job_id);
    return reply;
  }

  async open(outgoing: Outgoing): Promise<Frame> {
    const welcome = await this.ask(outgoing);
    this.sessionId = welcome.session_id;
    this.resumeToken = welcome.payload.resume_token;
    return welcome;
  }

  get resumePoint(): ResumePoint {
    return { sessionId: this.sessionId ?? "", resumeToken: this.resumeToken, lastEventSeq: this.lastSeq };
  }

  ended(jobId: string): Promise<Frame> {
    const isEnd = ({ type, job_id, payload }: Frame): boolean =>
      (type === "job.result" || type === "job.error") && (job_id ?? payload.job_id) === jobId;
    return this.find(isEnd, `end of ${jobId}`);
  }

  eventsOf(jobId: string): readonly Frame[] {
    return this.frames.filter(({ type, job_id }) => type === "job.event" && job_id === jobId);
  }
}
