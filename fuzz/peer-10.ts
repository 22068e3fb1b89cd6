/** A peer on wire 1.0. */
import type { RuntimeMessage10 } from "@arcp/core/v1.0";
import { open10 } from "./corpus-10.ts";
import { CANARY, Peer, type Received, SECRET } from "./peer.ts";

const ENDINGS: readonly string[] = ["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"];
/** What may come while there is no session. */
const DOOR: readonly string[] = ["session.challenge", "session.rejected", "session.unauthenticated", "nack", "pong"];

export class Peer10 extends Peer {
  readonly wire = "1.0";
  readonly greeting = open10(this.principal);
  /** What came on this connection: a message comes once, unless it was asked for again. */
  readonly #ids = new Set<string>();
  readonly #ended = new Set<string>();
  #hasAskedAgain = false;

  override say(text: string): void {
    this.#hasAskedAgain ||= /resume|subscribe/.test(text);
    super.say(text);
  }

  protected override onConnect(): void {
    this.#ids.clear();
    this.#ended.clear();
    this.#hasAskedAgain = false;
  }

  protected override problemWith({ wire, message }: Received): string | undefined {
    if (wire !== this.wire) return "wire: another one";
    const { id, type, session_id } = message;
    if (type === "session.accepted" || type === "session.resumed") {
      if (this.isAccepted) return "accepted: a second time on one connection";
      this.isAccepted = true;
      this.known.set("session", message.session_id);
      if (message.payload.resume_token !== undefined) this.known.set("token", message.payload.resume_token);
      return undefined;
    }
    if (!this.isAccepted) return DOOR.includes(type) ? undefined : "early: something before the session";
    if (session_id !== undefined && session_id !== this.known.get("session"))
      return "session: the id of another session";
    if (this.#ids.has(id) && !this.#hasAskedAgain) return "twice: a message that came before";
    this.#ids.add(id);
    if (type === "session.evicted" || type === "session.closed") this.isOver = true;
    this.#learn(message);
    return this.#problemWithEnd(message);
  }

  #problemWithEnd({ type, job_id, correlation_id, payload }: RuntimeMessage10): string | undefined {
    if (type === "nack") {
      this.errors += 1;
      return payload.code === "INTERNAL" ? "fault: an internal error" : undefined;
    }
    if (!ENDINGS.includes(type) || job_id === undefined) return undefined;
    // Two commands with one key are answered by one job.
    const end = `${job_id} ${correlation_id}`;
    if (this.#ended.has(end) && !this.#hasAskedAgain) return "end: a job ended twice";
    this.#ended.add(end);
    if (type === "tool.result" && this.principal === CANARY) this.result = payload.value;
    return undefined;
  }

  #learn(message: RuntimeMessage10): void {
    const { known } = this;
    known.set("message", message.id);
    if (message.type === "job.accepted") known.set("job", message.payload.job_id);
    else if (message.type === "stream.open") known.set("stream", message.stream_id);
    else if (message.type === "subscribe.accepted") known.set("subscription", message.payload.subscription_id);
    else if (message.type === "artifact.ref") known.set("artifact", message.payload.artifact_id);
    else if (message.type === "lease.granted") known.set("lease", message.payload.lease_id);
    else if (message.type === "job.checkpoint") known.set("checkpoint", message.payload.checkpoint_id);
    else if (/^(human\.(input|choice)|permission)\.request$/.test(message.type)) {
      known.set("question", message.id);
      if (message.type === "permission.request" && this.principal === CANARY) this.#grant(message.id);
    }
  }

  #grant(question: string): void {
    this.say(
      JSON.stringify({
        ...{ arcp: "1.0", id: "msg_grant", type: "permission.grant", timestamp: "2026-01-01T00:00:00Z" },
        ...{ session_id: this.known.get("session"), correlation_id: question, payload: { lease_seconds: 3600 } },
      }),
    );
  }

  /** Answers the question that was asked last. */
  answer(): void {
    this.say(
      JSON.stringify({
        ...{ arcp: "1.0", id: "msg_answer", type: "human.input.response", timestamp: "2026-01-01T00:00:00Z" },
        ...{ session_id: this.known.get("session"), correlation_id: this.known.get("question") },
        payload: { value: SECRET },
      }),
    );
  }
}
