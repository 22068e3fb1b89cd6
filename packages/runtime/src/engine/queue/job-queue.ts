/**
 * Which jobs work, and which wait until there is room. A job takes a slot when it begins and keeps it to its end, but for the
 * times when it waits for a person, for a time, or for a job that it delegated: then others have it, and it goes on with the
 * next one that is free, before any job that has not begun.
 *
 *   waiting -> working   there is room, and it is its turn
 *   working -> resting   rest(): it waits for something that is no work
 *   resting -> working   what it waited for has come, and there is room
 *   (any)   -> gone      the job has ended
 *
 * Nobody who holds a slot waits for another job, so that a cap stops no job for ever: whoever waits for something holds none,
 * even if it does something else meanwhile. What is here is an index in memory: the order of what waits is that of the
 * store's rows of jobs in state `pending`.
 */
import { CanonicalError } from "@arcp/core/v1.0";
import type { Use } from "../../store/shared.ts";
import type { Agent } from "../agents.ts";
import type { Job } from "../job.ts";
import { FairOrder } from "./fair-order.ts";

/** How many jobs work at once, and how many wait. */
export interface ConcurrencyCaps {
  /** Jobs that work at once, here. One more waits. */
  readonly jobs: number;
  /** The same of one principal, on all nodes. What others begin counts here half a second later. */
  readonly perPrincipal: number;
  /** Jobs that wait until they can begin, here. One more is refused. */
  readonly maxWaiting: number;
  /** The same of one principal, on all nodes. */
  readonly maxWaitingPerPrincipal: number;
}

/** The caps of jobs that work and wait where none are given. */
export const DEFAULT_CONCURRENCY: ConcurrencyCaps = {
  jobs: Number.POSITIVE_INFINITY,
  perPrincipal: Number.POSITIVE_INFINITY,
  maxWaiting: 10_000,
  maxWaitingPerPrincipal: 1_000,
};

/** The name of a job's place, beside its status; the specification has none. */
export const QUEUE_MEMBER = "x-vendor.arcp.queue";

/** Where a job stands that waits. */
export interface Place {
  /** 1 for the next one. Jobs of agents that have no room let others pass. */
  readonly position: number;
  /** How many wait. */
  readonly length: number;
}

/** What is seen of a job. */
type QueuedJob = Pick<Job, "id" | "submitterPrincipal" | "parentJobId" | "signal" | "whenEnded">;

interface Ticket {
  readonly job: QueuedJob;
  readonly principal: string;
  readonly lane: string;
  /** Was it delegated? Then its parent has begun, and may wait for it. */
  readonly isAwaited: boolean;
  /** Of the agent. */
  readonly maxOfAgent: number;
  readonly begin: () => void;
  state: "waiting" | "working" | "resting" | "gone";
  /** What it waits for that is no work. */
  rests: number;
  /** Of one that would like to go on. */
  onSlot: PromiseWithResolvers<void> | undefined;
}

/** How many jobs of a principal work, and wait, on other nodes. */
export interface WorkElsewhere {
  readonly working: number;
  readonly waiting: number;
}

const NOTHING_ELSEWHERE: WorkElsewhere = { working: 0, waiting: 0 };
const WORKING = "queue.working";
const WAITING = "queue.waiting";
/** Looks at the others for which a slot that has become free is left to those that wait there: so many until they have seen it. */
const YIELDED_TURNS = 3;

/** What a refusal says about when to come back. */
const RETRY_AFTER_SECONDS = 5;

export class JobQueue {
  readonly #caps: ConcurrencyCaps;
  readonly #hidesOthers: (principal: string) => boolean;
  readonly #tickets = new Map<QueuedJob, Ticket>();
  readonly #waiting = new FairOrder<Ticket>();
  /** For how many things each job waits that are no work. */
  readonly #resting = new Map<QueuedJob, number>();
  /** Jobs that have begun and want a slot, in the order in which they asked. */
  readonly #returning = new Set<Ticket>();
  readonly #perPrincipal = new Map<string, number>();
  readonly #perAgent = new Map<string, number>();
  /** Principals whose free slots are others' for so many turns. */
  readonly #yields = new Map<string, number>();
  #elsewhere: (principal: string) => WorkElsewhere = () => NOTHING_ELSEWHERE;
  /** Has any job had to take a slot? */
  #isUsed = false;
  #working = 0;
  #isPumpDue = false;
  #isClosed = false;

  /** A principal that `hidesOthers` speaks of is told its jobs' places among its own: not how much others wait for. */
  constructor(caps: ConcurrencyCaps, hidesOthers: (principal: string) => boolean = () => false) {
    this.#caps = caps;
    this.#hidesOthers = hidesOthers;
  }

  /**
   * Calls `begin` when there is room for `job`: now, and then this returns `undefined`, or later. With `hasBegun` it comes
   * before those that have not, and is not counted as waiting.
   */
  enter(job: QueuedJob, agent: Agent, begin: () => void, { hasBegun = false } = {}): Place | undefined {
    const { concurrency: maxOfAgent = Number.POSITIVE_INFINITY } = agent;
    const ticket: Ticket = {
      ...{ job, principal: job.submitterPrincipal, lane: laneOf(agent), maxOfAgent, begin },
      ...{ isAwaited: job.parentJobId !== undefined },
      ...{ state: hasBegun ? "resting" : "waiting", rests: 0, onSlot: undefined },
    };
    if (this.#isOpenTo(ticket) && this.#isUnlimited(ticket)) {
      begin();
      return undefined;
    }
    this.#isUsed = true;
    this.#tickets.set(job, ticket);
    job.whenEnded(() => this.#leave(ticket));
    if (hasBegun) void this.#return(ticket).then(begin);
    else this.#waiting.add(ticket);
    this.#pump();
    return this.placeOf(job);
  }

  /** Throws an error to be tried again later if a job like this would have to wait, and too many do already. */
  assertRoom(principal: string, agent: Agent): void {
    const { maxWaiting, maxWaitingPerPrincipal } = this.#caps;
    const { concurrency: maxOfAgent = Number.POSITIVE_INFINITY } = agent;
    if (this.#hasRoom({ principal, lane: laneOf(agent), maxOfAgent })) return;
    if (this.#waiting.sizeOf(principal) + this.#elsewhere(principal).waiting >= maxWaitingPerPrincipal) {
      throw exhausted("maxWaitingPerPrincipal", maxWaitingPerPrincipal);
    }
    if (this.#waiting.size >= maxWaiting) throw exhausted("maxWaiting", maxWaiting);
  }

  /** Does any cap hold over all nodes? */
  get isLimited(): boolean {
    return this.#isUsed || this.#caps.perPrincipal !== Number.POSITIVE_INFINITY;
  }

  /** How many jobs of each principal work and wait here. */
  uses(): readonly Use[] {
    const working = [...this.#perPrincipal].map(([principal, value]) => ({ name: WORKING, principal, value }));
    const waiting = this.#waiting.sizes().map(([principal, value]) => ({ name: WAITING, principal, value }));
    return [...working, ...waiting];
  }

  /** What the others have has been looked at: `heldElsewhere` says how much of what {@link uses} names. */
  look(heldElsewhere: (name: string, principal: string) => number): void {
    this.#elsewhere = (principal) => ({
      working: heldElsewhere(WORKING, principal),
      waiting: heldElsewhere(WAITING, principal),
    });
    for (const [principal, turns] of this.#yields) {
      if (turns > 1) this.#yields.set(principal, turns - 1);
      else this.#yields.delete(principal);
    }
    this.#pumpLater();
  }

  /** Jobs that wait to begin. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Slots that are taken; jobs that no cap is about take none. */
  get working(): number {
    return this.#working;
  }

  /** `undefined` unless it waits to begin. */
  placeOf(job: QueuedJob): Place | undefined {
    const ticket = this.#tickets.get(job);
    if (ticket?.state !== "waiting") return undefined;
    if (this.#hidesOthers(ticket.principal)) {
      return { position: this.#waiting.positionAmongOwn(ticket), length: this.#waiting.sizeOf(ticket.principal) };
    }
    return { position: this.#waiting.positionOf(ticket), length: this.#waiting.size };
  }

  /**
   * What `wait` comes to. While it lasts, others may have the job's slot; when it was the last that the job waited for, it
   * goes on when there is one again, or when it has to stop.
   */
  async rest<Value>(job: QueuedJob, wait: Promise<Value>): Promise<Value> {
    addTo(this.#resting, job, 1);
    const ticket = this.#tickets.get(job);
    if (ticket !== undefined) this.#lend(ticket);
    try {
      return await wait;
    } finally {
      if (ticket !== undefined) {
        ticket.rests -= 1;
        // Whoever waits for several must not hold a slot that the others need.
        if (ticket.rests === 0) await this.#return(ticket);
      }
      addTo(this.#resting, job, -1);
    }
  }

  /** Does it wait for something that is no work, or for the slot to go on with? */
  isResting(job: QueuedJob): boolean {
    return this.#resting.has(job);
  }

  /** From now on only jobs that others wait for begin: those that were delegated. */
  close(): void {
    this.#isClosed = true;
  }

  #lend(ticket: Ticket): void {
    ticket.rests += 1;
    if (this.#returning.has(ticket)) this.#goOn(ticket);
    else if (ticket.state === "working") {
      ticket.state = "resting";
      this.#count(ticket, -1);
      this.#pumpLater();
    }
  }

  #return(ticket: Ticket): Promise<void> {
    if (ticket.state !== "resting") return Promise.resolve();
    if (this.#returning.size === 0 && this.#hasRoom(ticket)) {
      this.#work(ticket);
      return Promise.resolve();
    }
    if (ticket.onSlot === undefined) {
      const { signal } = ticket.job;
      const onSlot = Promise.withResolvers<void>();
      ticket.onSlot = onSlot;
      this.#returning.add(ticket);
      // What has to stop does not wait for a slot.
      signal.addEventListener("abort", () => onSlot.resolve(), { once: true });
      if (signal.aborted) onSlot.resolve();
      this.#pumpLater();
    }
    return ticket.onSlot.promise;
  }

  #leave(ticket: Ticket): void {
    if (ticket.state === "working") this.#count(ticket, -1);
    ticket.state = "gone";
    this.#tickets.delete(ticket.job);
    this.#waiting.remove(ticket);
    this.#returning.delete(ticket);
    ticket.onSlot?.resolve();
    this.#pumpLater();
  }

  /** Whoever finds what it waits for at once keeps its slot; and no job begins in the midst of another's turn. */
  #pumpLater(): void {
    if (this.#isPumpDue || this.#waiting.size + this.#returning.size === 0) return;
    this.#isPumpDue = true;
    setImmediate(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    for (const ticket of this.#returning) {
      if (!this.#hasRoom(ticket)) continue;
      this.#work(ticket);
      this.#goOn(ticket);
    }
    const mayGo = (ticket: Ticket): boolean =>
      this.#isOpenTo(ticket) && !this.#yields.has(ticket.principal) && this.#hasRoom(ticket);
    while (this.#working < this.#caps.jobs) {
      const ticket = this.#waiting.take(mayGo);
      if (ticket === undefined) return;
      this.#work(ticket);
      ticket.begin();
    }
  }

  #goOn(ticket: Ticket): void {
    this.#returning.delete(ticket);
    ticket.onSlot?.resolve();
    ticket.onSlot = undefined;
  }

  #work(ticket: Ticket): void {
    ticket.state = "working";
    this.#count(ticket, 1);
  }

  #isOpenTo({ isAwaited }: Ticket): boolean {
    return !this.#isClosed || isAwaited;
  }

  #isUnlimited({ maxOfAgent }: Ticket): boolean {
    const { jobs, perPrincipal } = this.#caps;
    return [jobs, perPrincipal, maxOfAgent].every((max) => max === Number.POSITIVE_INFINITY);
  }

  #hasRoom({ principal, lane, maxOfAgent }: Pick<Ticket, "principal" | "lane" | "maxOfAgent">): boolean {
    return this.#working < this.#caps.jobs && this.#hasShare(principal) && (this.#perAgent.get(lane) ?? 0) < maxOfAgent;
  }

  #hasShare(principal: string): boolean {
    const { perPrincipal } = this.#caps;
    if (perPrincipal === Number.POSITIVE_INFINITY) return true;
    return (this.#perPrincipal.get(principal) ?? 0) + this.#elsewhere(principal).working < perPrincipal;
  }

  #count({ principal, lane }: Ticket, by: 1 | -1): void {
    this.#working += by;
    // Who waits at another node sees later than who waits here that there is a slot.
    const isShared = by < 0 && this.#caps.perPrincipal !== Number.POSITIVE_INFINITY;
    if (isShared && this.#elsewhere(principal).waiting > 0) this.#yields.set(principal, YIELDED_TURNS);
    addTo(this.#perPrincipal, principal, by);
    addTo(this.#perAgent, lane, by);
  }
}

function addTo<Key>(counts: Map<Key, number>, key: Key, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

const laneOf = ({ name, version }: Agent): string => `${name}@${version}`;

const exhausted = (limit: string, max: number): CanonicalError =>
  new CanonicalError("RESOURCE_EXHAUSTED", `too many jobs wait already (${limit} = ${max})`, {
    details: { limit, max, retry: "after_capacity", retry_after_seconds: RETRY_AFTER_SECONDS },
  });
