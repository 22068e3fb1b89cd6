/** The life of one end of a session: a tagged union whose data exists only where it is valid. */
import type { SessionId } from "./ids.ts";

/** Where a session stands, seen from one connection (§6.1). */
export type SessionPhase =
  | { readonly phase: "pre-handshake" }
  | { readonly phase: "awaiting-welcome" }
  | { readonly phase: "accepted"; readonly sessionId: SessionId; readonly features: ReadonlySet<string> }
  | { readonly phase: "closed"; readonly reason: string };

/**
 * pre-handshake    -> awaiting-welcome   the first message is out, or in and being verified
 * awaiting-welcome -> accepted           session.welcome
 * accepted         -> accepted           resumed: the same session with features negotiated again
 * any but closed   -> closed             close, refusal, lost transport
 */
const EDGES: { readonly [From in SessionPhase["phase"]]: readonly SessionPhase["phase"][] } = {
  "pre-handshake": ["awaiting-welcome", "closed"],
  "awaiting-welcome": ["accepted", "closed"],
  accepted: ["accepted", "closed"],
  closed: [],
};

/** The phases of a session on one connection. Throws at a step that there is not. */
export class SessionState {
  #current: SessionPhase = { phase: "pre-handshake" };

  get current(): SessionPhase {
    return this.#current;
  }

  get phase(): SessionPhase["phase"] {
    return this.#current.phase;
  }

  /** Moves along one edge. Throws an Error for a move that the graph does not have. */
  enter(next: SessionPhase): void {
    if (!EDGES[this.#current.phase].includes(next.phase)) {
      throw new Error(`a session cannot go from ${this.#current.phase} to ${next.phase}`);
    }
    this.#current = next;
  }
}
