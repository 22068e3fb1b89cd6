/** All jobs that a principal may see: listed again and again, and those that work followed, the ones in view first. */
import type { ARCPClient, JobEvent, JobEventOf, JobSubscription, JobSummary } from "@arcp/client";
import { ARCPError } from "@arcp/core";
import { budgetCaps, costIn } from "../budget.ts";

export interface BoardJob {
  /** As it was listed last; its `status` may be older than the one here. */
  readonly summary: JobSummary;
  readonly createdAt: number;
  readonly status: string;
  /** What it said last of what it does. */
  readonly phase: string | undefined;
  readonly progress: JobEventOf<"progress">["body"] | undefined;
  /** By currency: what its lease gave, and what is left, if it was told. */
  readonly budget: ReadonlyMap<string, { readonly cap: number; readonly left: number | undefined }>;
}

export const isOver = (status: string): boolean => status !== "pending" && status !== "running";

export interface BoardOptions {
  readonly client: ARCPClient;
  /** Jobs that were submitted before are shown only while they work. Milliseconds since 1970. */
  readonly since: number;
  /** Something is other than it was. */
  readonly onChange?: () => void;
  /** Between two looks at what is new. Default: 1500 ms. */
  readonly intervalMs?: number;
}

const PAGE = 500;
const MAX_JOBS = 20_000;
/** Jobs whose events are followed. Of the others only the status is known, and by asking. */
const MAX_FOLLOWED = 64;
/** How much of what a job said before is looked at, for where it stands. */
const LOOK_BACK = 32;
const INTERVAL_MS = 1_500;
/** Of several nodes, one may have stored a job later that it had accepted earlier. */
const OVERLAP_MS = 2_000;
/** Every so many looks, those that work are asked for too. */
const LIVE_EVERY = 3;
const EVENTS_WINDOW_MS = 5_000;
const ENDS_WINDOW_MS = 60_000;

export class Board {
  readonly #options: BoardOptions;
  readonly #jobs = new Map<string, BoardJob>();
  readonly #followed = new Map<string, JobSubscription | undefined>();
  readonly #stop = new AbortController();
  #inView: ReadonlySet<string> = new Set();
  #newest = 0;
  #eventTimes: number[] = [];
  #endTimes: number[] = [];
  #rounds = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #problem: string | undefined;
  #learntAt: number | undefined;

  constructor(options: BoardOptions) {
    this.#options = options;
    const leave = options.client.on("event", (event) => this.#onEvent(event));
    this.#stop.signal.addEventListener("abort", leave);
  }

  /** In no particular order. */
  get jobs(): IterableIterator<BoardJob> {
    return this.#jobs.values();
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Why the list could not be brought up to date; `undefined` if it was. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** When something was heard of the runtime last, in milliseconds since 1970; `undefined` while the first list is asked for. */
  get learntAt(): number | undefined {
    return this.#learntAt;
  }

  job(jobId: string): BoardJob | undefined {
    return this.#jobs.get(jobId);
  }

  /** Events per second of the jobs that are followed, and endings per minute. */
  rates(at: number): { readonly events: number; readonly ends: number } {
    this.#eventTimes = this.#eventTimes.filter((time) => at - time < EVENTS_WINDOW_MS);
    this.#endTimes = this.#endTimes.filter((time) => at - time < ENDS_WINDOW_MS);
    return { events: this.#eventTimes.length / (EVENTS_WINDOW_MS / 1_000), ends: this.#endTimes.length };
  }

  /** Looks until {@link close}. */
  start(): void {
    void this.#round();
  }

  /** Looks once. Resolves when everything has been heard. Rejects with the runtime's refusal. */
  async lookOnce(): Promise<void> {
    await this.#look();
    await this.#follow();
    // What the followed jobs have said before comes ahead of the answer.
    await this.#options.client.listJobs({}, { limit: 1 });
  }

  /** These are on the screen: they are followed before others. */
  show(jobIds: ReadonlySet<string>): void {
    this.#inView = jobIds;
  }

  /** Looks now. */
  refresh(): void {
    this.#rounds = 0;
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    void this.#round();
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    for (const subscription of this.#followed.values()) subscription?.unsubscribe();
    this.#followed.clear();
  }

  async #round(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.#look();
      void this.#follow();
      this.#problem = undefined;
    } catch (thrown) {
      this.#problem = ARCPError.from(thrown).message;
    }
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#round(), this.#options.intervalMs ?? INTERVAL_MS);
    this.#changed();
  }

  async #look(): Promise<void> {
    if (this.#rounds % LIVE_EVERY === 0) await this.#askLive();
    await this.#askNew();
    this.#rounds += 1;
    this.#learntAt = Date.now();
  }

  async #askNew(): Promise<void> {
    const since = Math.max(this.#newest - OVERLAP_MS, this.#options.since);
    for await (const summary of this.#list({ createdAfter: new Date(since) })) {
      this.#take(summary);
      this.#newest = Math.max(this.#newest, this.#jobs.get(summary.jobId)?.createdAt ?? 0);
    }
    if (this.#jobs.size > MAX_JOBS) this.#forgetOldest();
  }

  /** Those that were at work and are no more have ended without a word to this client: it asks how. */
  async #askLive(): Promise<void> {
    const live = new Set<string>();
    for await (const summary of this.#list({ status: ["pending", "running"] })) {
      live.add(summary.jobId);
      this.#take(summary);
    }
    const gone = [...this.#jobs.values()].filter((job) => !isOver(job.status) && !live.has(job.summary.jobId));
    if (gone.length === 0) return;
    const times = gone.map(({ createdAt }) => createdAt);
    const oldest = times.reduce((a, b) => Math.min(a, b));
    const newest = times.reduce((a, b) => Math.max(a, b));
    const between = { createdAfter: new Date(oldest - 1), createdBefore: new Date(newest + 1) };
    for await (const summary of this.#list(between)) this.#take(summary);
  }

  #list(filter: Parameters<ARCPClient["jobs"]>[0]): AsyncIterable<JobSummary> {
    return this.#options.client.jobs(filter, { limit: PAGE, signal: this.#stop.signal });
  }

  #take(summary: JobSummary): void {
    const before = this.#jobs.get(summary.jobId);
    const listedAt = Date.parse(summary.createdAt ?? "");
    const createdAt = Number.isNaN(listedAt) ? (before?.createdAt ?? Date.now()) : listedAt;
    // What a subscription told is later than what a list says that was asked for before.
    const status = before !== undefined && isOver(before.status) ? before.status : summary.status;
    if (before !== undefined && !isOver(before.status) && isOver(status)) this.#endTimes.push(Date.now());
    const { phase, progress } = before ?? {};
    const budget =
      before?.budget ?? new Map([...budgetCaps(summary.lease)].map(([name, cap]) => [name, { cap, left: undefined }]));
    this.#jobs.set(summary.jobId, { summary, createdAt, status, phase, progress, budget });
  }

  #forgetOldest(): void {
    const ended = [...this.#jobs.values()].filter(({ status }) => isOver(status));
    ended.sort((a, b) => a.createdAt - b.createdAt);
    for (const { summary } of ended.slice(0, this.#jobs.size - MAX_JOBS)) this.#jobs.delete(summary.jobId);
  }

  #change(jobId: string, change: Partial<BoardJob>): void {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return;
    if (change.status !== undefined && !isOver(job.status) && isOver(change.status)) this.#endTimes.push(Date.now());
    this.#jobs.set(jobId, { ...job, ...change });
    this.#changed();
  }

  #changed(): void {
    if (!this.#stop.signal.aborted) this.#options.onChange?.();
  }

  /** Resolves when those that are followed from now on have said so. */
  async #follow(): Promise<void> {
    const live = [...this.#jobs.values()].filter(({ status }) => !isOver(status));
    const isShown = ({ summary }: BoardJob): boolean => this.#inView.has(summary.jobId);
    live.sort((a, b) => Number(isShown(b)) - Number(isShown(a)) || b.createdAt - a.createdAt);
    const wanted = live.slice(0, MAX_FOLLOWED);
    const wantedIds = new Set(wanted.map(({ summary }) => summary.jobId));
    for (const [jobId, subscription] of this.#followed) {
      if (wantedIds.has(jobId as JobSummary["jobId"])) continue;
      subscription?.unsubscribe();
      this.#followed.delete(jobId);
    }
    const added = wanted.filter(({ summary }) => !this.#followed.has(summary.jobId));
    await Promise.all(added.map((job) => this.#followOne(job)));
  }

  /** Resolves when it is followed, or cannot be. */
  async #followOne({ summary: { jobId, lastEventSeq = 0 } }: BoardJob): Promise<void> {
    this.#followed.set(jobId, undefined);
    try {
      const subscription = await this.#options.client.subscribe(jobId, {
        fromEventSeq: Math.max(0, lastEventSeq - LOOK_BACK),
        collectResult: false,
      });
      if (this.#stop.signal.aborted || !this.#followed.has(jobId)) {
        subscription.unsubscribe();
        return;
      }
      this.#followed.set(jobId, subscription);
      for (const [currency, left] of Object.entries(subscription.subscribed.budget ?? {})) {
        this.#setLeft(jobId, currency, left);
      }
      void this.#untilEnd(subscription);
    } catch {
      // It has ended, or may not be seen any more: the next list says which.
      this.#followed.delete(jobId);
    }
  }

  async #untilEnd(subscription: JobSubscription): Promise<void> {
    const { jobId } = subscription;
    await subscription.done.catch(() => {
      // How it ended is looked at below.
    });
    if (this.#followed.get(jobId) === subscription) this.#followed.delete(jobId);
    if (subscription.finalStatus !== undefined) this.#change(jobId, { status: subscription.finalStatus });
  }

  #onEvent(event: JobEvent): void {
    const now = Date.now();
    this.#learntAt = now;
    this.#eventTimes.push(now);
    if (event.kind === "progress") this.#change(event.jobId, { progress: event.body });
    if (event.kind === "status") this.#change(event.jobId, { phase: event.body.phase });
    const cost = costIn(event);
    if (cost?.left !== undefined) this.#setLeft(event.jobId, cost.currency, cost.left);
  }

  #setLeft(jobId: string, currency: string, left: number): void {
    const budget = this.#jobs.get(jobId)?.budget;
    if (budget === undefined) return;
    this.#change(jobId, { budget: new Map(budget).set(currency, { cap: budget.get(currency)?.cap ?? left, left }) });
  }
}
