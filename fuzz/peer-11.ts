/** A peer on wire 1.1. */
import { hello } from "./corpus.ts";
import { Peer, type Received } from "./peer.ts";

export class Peer11 extends Peer {
  readonly wire = "1.1";
  readonly greeting = hello(this.principal);
  #first: "fresh" | "resumed" | undefined;

  protected override onConnect(): void {
    this.#first = undefined;
  }

  protected override problemWith({ wire, message }: Received): string | undefined {
    if (wire !== this.wire) return "wire: another one";
    if (message.type === "session.welcome") {
      if (this.isAccepted) return "welcome: a second one on one connection";
      const isResumed = message.session_id === this.known.get("session");
      this.isAccepted = true;
      this.#first = isResumed ? "resumed" : "fresh";
      this.known.set("session", message.session_id ?? "");
      this.known.set("token", message.payload.resume_token ?? "");
      if (!isResumed) this.seq = 0;
      return undefined;
    }
    if (this.isAccepted && message.session_id !== this.known.get("session"))
      return "session: the id of another session";
    if (!this.isAccepted && message.type !== "session.error") return "early: something before the welcome";
    if (message.type === "session.closed" || message.type === "session.bye") this.isOver = true;
    if (message.type === "job.accepted") this.known.set("job", message.payload.job_id ?? "");
    if (message.type === "session.error") {
      this.errors += 1;
      if (message.payload.code === "INTERNAL_ERROR" && message.payload.details === undefined) {
        return "fault: an internal error";
      }
    }
    if (message.type === "job.result") this.result = message.payload.result;
    return message.type === "job.event" || message.type === "job.result" || message.type === "job.error"
      ? this.#problemWithNumber(message.event_seq)
      : undefined;
  }

  #problemWithNumber(seq: number | undefined): string | undefined {
    if (seq === undefined) return "number: none";
    // After a resume the first number is the one after what was asked for.
    const isFirst = this.#first === "resumed";
    this.#first = undefined;
    if (!isFirst && seq !== this.seq + 1) return `number: ${seq} after ${this.seq}`;
    this.seq = seq;
    return undefined;
  }
}
