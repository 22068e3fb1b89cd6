/**
 * Taking up the sessions of before over a new connection (RFC §9, §19). Each is resumed after the last of its messages
 * that was received, and then goes on under its own id beside the new one.
 */
import { ARCPError, newMessageId, ResumeWindowExpiredError } from "@arcp/core";
import { CanonicalError, type RuntimeMessage10 } from "@arcp/core/v1.0";
import type { Command } from "./requests.ts";
import type { ToolSession } from "./session.ts";

export interface ResumptionOwner {
  /** Asks. Resolves with `undefined` when the runtime says nothing, or the connection is lost again. */
  readonly ask: (command: Command) => Promise<RuntimeMessage10 | undefined>;
  /** Is a session lost of which the runtime has said nothing? */
  readonly isSilenceLoss: boolean;
  readonly isNeeded: (session: ToolSession) => boolean;
  readonly hasOpenStreams: (session: ToolSession) => boolean;
  /** The runtime no longer knows what came after that message (RFC §19). */
  readonly onDataLoss: (session: ToolSession, error: ARCPError) => void;
  readonly onProblem: (error: ARCPError) => void;
  /** Everything that was missed has come. */
  readonly onDone: () => void;
}

export class Resumption {
  readonly #owner: ResumptionOwner;
  /** Sessions of earlier connections in which something is under way. */
  #sessions: readonly ToolSession[] = [];
  #latest: ToolSession | undefined;
  /** The sessions by the `resume` that was sent last for them. */
  readonly #asked = new Map<string, ToolSession>();
  /** Ids of the sessions that the runtime has agreed to go on with over this connection. */
  readonly #carried = new Set<string>();
  /** Counts connections: what an earlier one was asked is of no interest any more. */
  #round = 0;

  constructor(owner: ResumptionOwner) {
    this.#owner = owner;
  }

  /** Does the connection carry that session, beside its own? */
  carries(sessionId: string): boolean {
    return this.#carried.has(sessionId);
  }

  /** The session of that id, if it is one of this client's. */
  find(sessionId: string): ToolSession | undefined {
    return this.#sessions.find(({ id }) => id === sessionId);
  }

  /** The connection of `session` is lost. */
  suspend(session: ToolSession): void {
    this.#round += 1;
    this.#asked.clear();
    this.#carried.clear();
    this.#latest = session;
    this.#sessions = [...this.#sessions, session];
  }

  /** There is a connection again. */
  async run(): Promise<void> {
    const round = this.#round;
    // The session that was open last is taken up in any case: the runtime may have something to say in it.
    this.#sessions = this.#sessions.filter((session) => session === this.#latest || this.#owner.isNeeded(session));
    await Promise.all(this.#sessions.map((session) => this.#resume(session, round)));
    if (round === this.#round) this.#owner.onDone();
  }

  async #resume(session: ToolSession, round: number): Promise<void> {
    const streams = this.#owner.hasOpenStreams(session) ? { include_open_streams: true } : {};
    const id = newMessageId();
    this.#asked.set(id, session);
    try {
      const answer = await this.#owner.ask({
        type: "resume",
        id,
        session_id: session.id,
        payload: { after_message_id: session.lastMessageId, ...streams },
      });
      if (round !== this.#round) return;
      if (answer === undefined) this.#onSilence(id, session);
      else this.#carried.add(session.id);
    } catch (thrown) {
      if (round === this.#round) this.refuse(id, ARCPError.from(thrown));
    }
  }

  #onSilence(resumeId: string, session: ToolSession): void {
    const error = new CanonicalError("UNAVAILABLE", "the runtime has not said whether the session goes on", {
      details: { session_id: session.id },
    });
    if (this.#owner.isSilenceLoss) this.refuse(resumeId, error);
    else if (this.#owner.isNeeded(session)) this.#owner.onProblem(error);
  }

  /** The runtime refused the `resume` of that id, maybe after it was silent for long. Returns whether there was one. */
  refuse(resumeId: string, cause: ARCPError): boolean {
    const session = this.#asked.get(resumeId);
    if (session === undefined) return false;
    this.#asked.delete(resumeId);
    this.#carried.delete(session.id);
    this.#sessions = this.#sessions.filter((other) => other !== session);
    const isLost = cause.code === "RESUME_WINDOW_EXPIRED";
    const error = isLost ? cause : new ResumeWindowExpiredError("the session could not be resumed", { cause });
    this.#owner.onDataLoss(session, error);
    return true;
  }
}
