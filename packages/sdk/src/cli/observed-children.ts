/** The jobs that an observed one delegates to (§10), found in the list and followed, for whoever watches it. */
import type { ARCPClient, JobSubscription, JobSummary } from "@arcp/client";
import { ARCPError, type JobId } from "@arcp/core";
import type { JobView, WatchedChild } from "./job-view.ts";

/** A delegation is told before the job that it starts can be listed; one that was refused never can. */
const LOOKS = 3;
const OVERLAP_MS = 2_000;
const LOOK_AGAIN_MS = 1_000;
const PAGE = 500;
const MAX_CHILDREN = 64;

export class ObservedChildren implements Disposable {
  readonly #client: ARCPClient;
  readonly #family: Set<string>;
  readonly #stopListening: () => void;
  readonly #stop = new AbortController();
  #view: JobView | undefined;
  /** Where to look from: when the first delegation was told that no look has followed yet. */
  #since = Number.POSITIVE_INFINITY;
  #looksLeft = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isLooking = false;
  /** One call of the view after the other. */
  #shown: Promise<void> = Promise.resolve();

  /** Make it before the job is subscribed to: what is told again of delegations says where they are found. */
  constructor(client: ARCPClient, jobId: string) {
    this.#client = client;
    this.#family = new Set([jobId]);
    this.#stopListening = client.on("event", ({ kind, jobId: parent, ts }) => {
      if (kind !== "delegate" || !this.#family.has(parent)) return;
      this.#looksLeft = LOOKS;
      this.#since = Math.min(this.#since, Date.parse(ts ?? "") || 0);
      this.#lookIn(0);
    });
  }

  /** Shows those that there are, and those that come. */
  show(view: JobView): void {
    this.#view = view;
    this.#lookIn(0);
  }

  /** Resolves when what has come so far is shown. Rejects if the view failed. */
  settled(): Promise<void> {
    return this.#shown;
  }

  [Symbol.dispose](): void {
    this.#stopListening();
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  #lookIn(ms: number): void {
    const view = this.#view;
    if (view === undefined || this.#looksLeft === 0 || this.#isLooking || this.#stop.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(view), ms);
  }

  async #look(view: JobView): Promise<void> {
    this.#isLooking = true;
    this.#looksLeft -= 1;
    try {
      const createdAfter = new Date(this.#since - OVERLAP_MS);
      for await (const job of this.#client.jobs({ createdAfter }, { limit: PAGE, signal: this.#stop.signal })) {
        if (job.parentJobId === undefined || !this.#family.has(job.parentJobId)) continue;
        if (this.#family.has(job.jobId) || this.#family.size > MAX_CHILDREN) continue;
        this.#family.add(job.jobId);
        void this.#follow(job, view);
      }
    } catch {
      // A runtime that lists nothing, or a connection that is gone: the delegation itself is among the events.
    }
    this.#isLooking = false;
    if (this.#looksLeft === 0) this.#since = Number.POSITIVE_INFINITY;
    else this.#lookIn(LOOK_AGAIN_MS);
  }

  async #follow(job: JobSummary, view: JobView): Promise<void> {
    const child = factsOf(job);
    if (job.status !== "pending" && job.status !== "running") return;
    this.#enqueue(() => view.onChild(child));
    try {
      await using subscription = await this.#client.subscribe(job.jobId as JobId, { signal: this.#stop.signal });
      const drained = drain(subscription);
      await subscription.done.then(
        () => this.#enqueue(() => view.onChildEnd(child, "success", undefined)),
        (thrown: unknown) => {
          const status = subscription.finalStatus;
          if (status !== undefined) this.#enqueue(() => view.onChildEnd(child, status, ARCPError.from(thrown)));
        },
      );
      await drained;
    } catch {
      // It may not be seen, or nobody watches any more.
    }
  }

  #enqueue(call: () => Promise<void>): void {
    this.#shown = this.#shown.then(call);
    // Reported by `settled`.
    this.#shown.catch(() => {});
  }
}

const factsOf = ({ jobId, parentJobId, agent, lease }: JobSummary): WatchedChild => ({
  ...{ jobId, parentJobId, agent, lease },
  ...{ delegateId: undefined, expiresAt: undefined },
});

/** A child's streamed result is its parent's: here it is not collected. */
async function drain(subscription: JobSubscription): Promise<void> {
  try {
    for await (const _ of subscription.resultStream());
  } catch {
    // How the child ended is told by its ending.
  }
}
