/** Which messages of wire 1.0 answer one that was sent, and which of them is the last (RFC §6.3). */
import type { JsonObject } from "@arcp/core";
import { isAbout, type Received } from "../conversation.ts";

export type Verdict = "goes on" | "succeeded" | "failed";

/** The commands whose work tells of itself after it was accepted. */
const STARTING: ReadonlySet<string> = new Set(["tool.invoke", "workflow.start", "agent.delegate", "agent.handoff"]);
const GOOD_ENDS: ReadonlySet<string> = new Set(["tool.result", "job.completed", "workflow.complete"]);
const BAD_ENDS: ReadonlySet<string> = new Set(["tool.error", "job.failed", "job.cancelled"]);
const REFUSALS: ReadonlySet<string> = new Set(["nack", "cancel.refused"]);
/** Messages that ask for nothing: the runtime has no answer to them, unless it refuses them. */
const SILENT: ReadonlySet<string> = new Set([
  ...["ack", "nack", "pong", "session.ack", "session.pong", "job.unsubscribe", "backpressure", "log", "metric"],
  ...["trace.span", "event.emit"],
]);

export const isSilent = (type: string): boolean => SILENT.has(type);

/** What answers one message. */
export class Answers {
  readonly #id: string;
  readonly #type: string;
  readonly #jobs = new Set<unknown>();
  readonly #subscriptions = new Set<unknown>();
  #hasAny = false;

  constructor({ id, type }: { readonly id: string; readonly type: string }) {
    this.#id = id;
    this.#type = type;
  }

  /** Has the runtime said anything about it? */
  get hasAny(): boolean {
    return this.#hasAny;
  }

  /** What the message means for the one that was sent; `undefined` if it is about something else. */
  take({ frame }: Received): Verdict | undefined {
    if (!this.#isAbout(frame)) return undefined;
    this.#hasAny = true;
    const { type, job_id, payload } = frame;
    const name = String(type);
    if (REFUSALS.has(name)) return "failed";
    if (this.#type === "subscribe") return this.#follow(name, frame);
    if (!STARTING.has(this.#type)) return "succeeded";
    const job = job_id ?? (payload as JsonObject | undefined)?.["job_id"];
    if (job !== undefined) this.#jobs.add(job);
    if (GOOD_ENDS.has(name)) return "succeeded";
    return BAD_ENDS.has(name) ? "failed" : "goes on";
  }

  #isAbout(frame: JsonObject): boolean {
    const { job_id, subscription_id } = frame;
    return isAbout(frame, this.#id) || this.#jobs.has(job_id) || this.#subscriptions.has(subscription_id);
  }

  #follow(name: string, { subscription_id, payload }: JsonObject): Verdict {
    if (name === "subscribe.closed") return "succeeded";
    const id = subscription_id ?? (payload as JsonObject | undefined)?.["subscription_id"];
    if (name === "subscribe.accepted" && id !== undefined) this.#subscriptions.add(id);
    return "goes on";
  }
}
