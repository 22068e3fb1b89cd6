/** All jobs that the principal may see: listed, and those that work followed. */
import type { ARCPClient, JobEvent, JobOwner, JobSubscription, JobSummary } from "@arcp/client";
import { signal } from "@preact/signals";
import { instantOf } from "./clock.ts";
import { budgetOf, budgetTotals, type Progress } from "./events.ts";

export interface BoardJob {
  readonly jobId: string;
  readonly agent: string;
  readonly parentJobId: string | undefined;
  readonly createdAt: number;
  /** `undefined` while it lives, and with runtimes that do not say. */
  readonly endedAt: number | undefined;
  readonly traceId: string | undefined;
  /** Whose it is, where the runtime says so. */
  readonly owner: JobOwner | undefined;
  readonly status: string;
  /** What it said last of its phase: `retrying`, `resumed`, … */
  readonly phase: string | undefined;
  readonly progress: Progress | undefined;
  /** By currency, as far as it was told. */
  readonly budget: ReadonlyMap<string, { readonly total: number; readonly remaining: number }>;
  /** What its lease allows it to spend, by currency. */
  readonly totals: ReadonlyMap<string, number>;
  readonly place: { readonly position: number; readonly length: number } | undefined;
  readonly lastEventSeq: number;
}

export const isOver = (status: string): boolean => status !== "pending" && status !== "running";

const PAGE = 1_000;
const MAX_JOBS = 20_000;
/** Jobs whose events are followed. Of the others only the status is known, and by asking. */
const MAX_FOLLOWED = 64;
/** How much of what a job said before is looked at, for where it stands. */
const LOOK_BACK = 32;
const ASK_NEW_MS = 1_500;
/** Of several nodes, one may have stored a job later that it had accepted earlier. */
const OVERLAP_MS = 2_000;
const ASK_LIVE_EVERY = 3;
const RATE_WINDOW_MS = 5_000;
const MINUTE_MS = 60_000;
/** From so many jobs on, the list is put into order no more often than this. */
const MANY_JOBS = 1_000;
const ORDER_EVERY_MS = 250;

export interface Rates {
  readonly eventsPerSecond: number;
  readonly startedPerMinute: number;
  readonly endedPerMinute: number;
}

export class Board {
  /** Grows with every change, at most once per picture. */
  readonly version = signal(0);
  /** Grows when there is another job, or one of them is in another state: when their order may be another. */
  readonly order = signal(0);
  readonly isLoading = signal(true);
  readonly problem = signal<string | undefined>(undefined);
  readonly #client: ARCPClient;
  readonly #jobs = new Map<string, BoardJob>();
  readonly #followed = new Map<string, JobSubscription | undefined>();
  readonly #stop = new AbortController();
  #newest = 0;
  #eventTimes: number[] = [];
  #isScheduled = false;
  #orderTimer: ReturnType<typeof setTimeout> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #rounds = 0;

  constructor(client: ARCPClient) {
    this.#client = client;
    const leave = client.on("event", (event) => this.#onEvent(event));
    this.#stop.signal.addEventListener("abort", leave);
    void this.#round();
  }

  /** In no particular order. */
  get jobs(): IterableIterator<BoardJob> {
    return this.#jobs.values();
  }

  get size(): number {
    return this.#jobs.size;
  }

  job(jobId: string): BoardJob | undefined {
    return this.#jobs.get(jobId);
  }

  /** Of the events, those of the jobs that are followed count. */
  rates(at: number): Rates {
    this.#eventTimes = this.#eventTimes.filter((time) => at - time < RATE_WINDOW_MS);
    let [startedPerMinute, endedPerMinute] = [0, 0];
    for (const { createdAt, endedAt } of this.#jobs.values()) {
      if (at - createdAt < MINUTE_MS) startedPerMinute += 1;
      if (endedAt !== undefined && at - endedAt < MINUTE_MS) endedPerMinute += 1;
    }
    const eventsPerSecond = this.#eventTimes.length / (RATE_WINDOW_MS / 1_000);
    return { eventsPerSecond, startedPerMinute, endedPerMinute };
  }

  /** Looks now. */
  refresh(): void {
    clearTimeout(this.#timer);
    void this.#round();
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#orderTimer);
    for (const subscription of this.#followed.values()) subscription?.unsubscribe();
    this.#followed.clear();
  }

  /** One look at what is new, now and then at what works, and the next one later. */
  async #round(): Promise<void> {
    const { signal: stop } = this.#stop;
    clearTimeout(this.#timer);
    try {
      if (!document.hidden || this.#rounds === 0) {
        // What works is asked for first, and nothing waits for its answer.
        await Promise.all([this.#rounds % ASK_LIVE_EVERY === 0 ? this.#askLive() : undefined, this.#askNew()]);
        this.#rounds += 1;
        this.#follow();
        this.problem.value = undefined;
      }
    } catch (thrown) {
      if (stop.aborted) return;
      this.problem.value = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (stop.aborted) return;
    this.isLoading.value = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#round(), ASK_NEW_MS);
  }

  async #askNew(): Promise<void> {
    const filter = this.#newest === 0 ? {} : { createdAfter: new Date(this.#newest - OVERLAP_MS) };
    for await (const summary of this.#client.jobs(filter, { limit: PAGE, signal: this.#stop.signal })) {
      this.#take(summary);
      this.#newest = Math.max(this.#newest, instantOf(summary.createdAt) ?? 0);
      if (this.#jobs.size > MAX_JOBS) this.#forgetOldest();
    }
  }

  /** Those that were at work and are no more have ended without this page having been told: it asks how. */
  async #askLive(): Promise<void> {
    const live = new Set<string>();
    const status = ["pending", "running"] as const;
    for await (const summary of this.#client.jobs({ status }, { limit: PAGE, signal: this.#stop.signal })) {
      live.add(summary.jobId);
      this.#take(summary);
    }
    const gone = [...this.#jobs.values()].filter((job) => !isOver(job.status) && !live.has(job.jobId));
    if (gone.length === 0) return;
    const oldest = Math.min(...gone.map(({ createdAt }) => createdAt));
    const newest = Math.max(...gone.map(({ createdAt }) => createdAt));
    const between = { createdAfter: new Date(oldest - 1), createdBefore: new Date(newest + 1) };
    for await (const summary of this.#client.jobs(between, { limit: PAGE, signal: this.#stop.signal }))
      this.#take(summary);
  }

  #take(summary: JobSummary): void {
    const before = this.#jobs.get(summary.jobId);
    const createdAt = instantOf(summary.createdAt) ?? before?.createdAt ?? Date.now();
    // What a subscription told is later than what a list says that was asked for before.
    const status = before !== undefined && isOver(before.status) ? before.status : summary.status;
    // What is left is not in the list: it is shown of those jobs that have told it.
    const budget = before?.budget ?? new Map();
    this.#put({
      ...{ jobId: summary.jobId, agent: summary.agent, parentJobId: summary.parentJobId, createdAt, status, budget },
      ...{ phase: before?.phase, progress: before?.progress, place: summary.place },
      ...{
        endedAt: instantOf(summary.endedAt) ?? before?.endedAt,
        traceId: summary.traceId,
        owner: summary.owner ?? before?.owner,
      },
      totals: before?.totals ?? budgetTotals(summary.lease),
      lastEventSeq: summary.lastEventSeq ?? 0,
    });
  }

  #forgetOldest(): void {
    const ended = [...this.#jobs.values()].filter(({ status }) => isOver(status));
    ended.sort((a, b) => a.createdAt - b.createdAt);
    for (const { jobId } of ended.slice(0, MAX_JOBS / 10)) this.#jobs.delete(jobId);
    this.#scheduleOrder();
  }

  #put(job: BoardJob): void {
    const before = this.#jobs.get(job.jobId);
    this.#jobs.set(job.jobId, job);
    if (before?.status !== job.status || before.phase !== job.phase) this.#scheduleOrder();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.version.value += 1;
    });
  }

  #scheduleOrder(): void {
    if (this.#orderTimer !== undefined) return;
    const order = (): void => {
      this.#orderTimer = undefined;
      this.order.value += 1;
    };
    this.#orderTimer = setTimeout(order, this.#jobs.size < MANY_JOBS ? 0 : ORDER_EVERY_MS);
  }

  #change(jobId: string, change: Partial<BoardJob>): void {
    const job = this.#jobs.get(jobId);
    if (job !== undefined) this.#put({ ...job, ...change });
  }

  #follow(): void {
    const live = [...this.#jobs.values()].filter(({ status }) => !isOver(status));
    live.sort((a, b) => b.createdAt - a.createdAt);
    for (const job of live) {
      if (this.#followed.size >= MAX_FOLLOWED) return;
      if (!this.#followed.has(job.jobId)) void this.#followOne(job);
    }
  }

  async #followOne({ jobId, lastEventSeq }: BoardJob): Promise<void> {
    this.#followed.set(jobId, undefined);
    try {
      const fromEventSeq = Math.max(0, lastEventSeq - LOOK_BACK);
      const subscription = await this.#client.subscribe(jobId, { fromEventSeq, collectResult: false });
      if (this.#stop.signal.aborted) {
        subscription.unsubscribe();
        return;
      }
      this.#followed.set(jobId, subscription);
      for (const [currency, remaining] of Object.entries(subscription.subscribed.budget ?? {})) {
        this.#setBudget(jobId, currency, remaining);
      }
      await subscription.done.catch(() => {
        // How it ended is looked at below.
      });
      if (subscription.finalStatus !== undefined)
        this.#change(jobId, { status: subscription.finalStatus, endedAt: Date.now() });
    } catch {
      // It has ended, or may not be seen any more: the next list says which.
    }
    this.#followed.delete(jobId);
  }

  #onEvent(event: JobEvent): void {
    this.#eventTimes.push(Date.now());
    if (event.kind === "progress") this.#change(event.jobId, { progress: event.body });
    if (event.kind === "status") this.#change(event.jobId, { phase: event.body.phase });
    const budget = budgetOf(event);
    if (budget !== undefined) this.#setBudget(event.jobId, budget.currency, budget.remaining);
  }

  #setBudget(jobId: string, currency: string, remaining: number): void {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return;
    const total = job.budget.get(currency)?.total ?? job.totals.get(currency) ?? remaining;
    this.#change(jobId, { budget: new Map(job.budget).set(currency, { total, remaining }) });
  }
}
