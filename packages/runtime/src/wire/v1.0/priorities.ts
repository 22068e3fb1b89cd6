/**
 * Which command is next (RFC §6.5): the one of the highest priority, but every tenth is the one that has waited longest,
 * and what is about one job or stream stays in its order.
 */
import type { Clock } from "@arcp/core";
import { type ClientMessage10, type Priority, priorityRank } from "@arcp/core/v1.0";
import type { Waiting } from "../request-lane.ts";

/** What decides about a command's turn. */
export interface CommandOrder {
  readonly rank: number;
  /** What it is about; commands about the same thing do not overtake each other. */
  readonly subject: string | undefined;
}

/** One in so many takes whoever has waited longest. */
const FLOOR = 10;
/** Critical commands of one connection per minute; those beyond are treated as high. */
const MAX_CRITICAL = 60;
const MINUTE_MS = 60_000;

/** These are about the whole session: nothing overtakes them, and they overtake nothing. */
const OF_SESSION: ReadonlySet<string> = new Set(["session.close", "resume", "session.authenticate"]);
const EVERYTHING = "*";

export class Priorities {
  readonly #clock: Clock;
  #picked = 0;
  #critical = 0;
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.monotonic();
  }

  orderOf(message: ClientMessage10): CommandOrder {
    return { rank: priorityRank(this.#bounded(message.priority)), subject: subjectOf(message) };
  }

  /** The place of the next command. */
  next(waiting: readonly Waiting<CommandOrder>[]): number {
    this.#picked += 1;
    if (this.#picked % FLOOR === 0) return 0;
    let best = 0;
    const before = new Set<string>();
    for (const [place, { order }] of waiting.entries()) {
      const { subject } = order;
      if (before.has(EVERYTHING) || (subject === EVERYTHING && place > 0)) break;
      const isFree = subject === undefined || !before.has(subject);
      if (isFree && order.rank > (waiting[best]?.order.rank ?? 0)) best = place;
      if (subject !== undefined) before.add(subject);
    }
    return best;
  }

  /** Whoever calls everything critical is not served before others. */
  #bounded(priority: Priority | undefined): Priority | undefined {
    if (priority !== "critical") return priority;
    const now = this.#clock.monotonic();
    if (now - this.#since > MINUTE_MS) {
      this.#since = now;
      this.#critical = 0;
    }
    this.#critical += 1;
    return this.#critical > MAX_CRITICAL ? "high" : priority;
  }
}

function subjectOf(message: ClientMessage10): string | undefined {
  if (OF_SESSION.has(message.type)) return EVERYTHING;
  const { stream_id, job_id, payload } = message;
  if (stream_id !== undefined) return stream_id;
  if (job_id !== undefined) return job_id;
  return "target_id" in payload && typeof payload.target_id === "string" ? payload.target_id : undefined;
}
