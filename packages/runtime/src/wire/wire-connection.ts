/** One accepted connection, whichever wire its client speaks. */
import type { ARCPError, SessionState } from "@arcp/core";
import type { Session } from "../engine/session.ts";

export interface WireConnection {
  readonly state: SessionState;
  readonly session: Session | undefined;
  /** Takes one frame from the transport. */
  onFrame(text: string): void;
  /** Takes input that is no frame at all. */
  onMalformed(problem: string): void;
  /** Sends a message of the runtime's own. `members` are put on the envelope. */
  send(type: string, payload: object, members?: object): void;
  /** Ends the connection with an error that is not the answer to a request. */
  fail(error: ARCPError): void;
  /** Says goodbye, for a shutdown. The session can be resumed. */
  bye(reason: string): void;
}

/** Messages that only a client of wire 1.1 begins with. */
const OPENINGS_11: ReadonlySet<string> = new Set(["session.hello"]);
const OPENINGS_10: ReadonlySet<string> = new Set(["session.open", "session.authenticate"]);

/** The wire of a client, by the type of its first frame; the version that it names says nothing (PROTOCOL.md, Wires). */
export function wireOf(firstFrame: string): "1.0" | "1.1" {
  try {
    const { type, arcp, timestamp } = JSON.parse(firstFrame) as Record<string, unknown>;
    // Both have one; only messages of wire 1.0 tell the time.
    if (type === "session.resume") return timestamp === undefined ? "1.1" : "1.0";
    if (OPENINGS_10.has(String(type))) return "1.0";
    if (OPENINGS_11.has(String(type))) return "1.1";
    // Something too early. Only one of the wires has times and that version; its clients get no answer yet (RFC §8.1).
    return arcp === "1.0" && timestamp !== undefined ? "1.0" : "1.1";
  } catch {
    return "1.1";
  }
}
