/** The jobs that a submitted one delegates to (§10), as they come and end, for whoever watches it. */
import type { ARCPClient, JobHandle } from "@arcp/client";
import { ARCPError } from "@arcp/core";
import type { JobView, WatchedChild } from "./job-view.ts";

/** Make it before the job is submitted: a child may be accepted right after its parent. */
export class ChildJobs implements Disposable {
  readonly #stopListening: () => void;
  #early: JobHandle[] = [];
  #view: JobView | undefined;
  /** One call of the view after the other. */
  #shown: Promise<void> = Promise.resolve();

  constructor(client: ARCPClient) {
    this.#stopListening = client.on("delegated", (child) => {
      // Its failure is told below, if anybody watches.
      child.done.catch(() => {});
      if (this.#view === undefined) this.#early.push(child);
      else this.#follow(child, this.#view);
    });
  }

  /** Shows those that there are, and those that come. */
  show(view: JobView): void {
    this.#view = view;
    for (const child of this.#early.splice(0)) this.#follow(child, view);
  }

  /** Resolves when what has come so far is shown. Rejects if the view failed. */
  settled(): Promise<void> {
    return this.#shown;
  }

  [Symbol.dispose](): void {
    this.#stopListening();
  }

  #follow(child: JobHandle, view: JobView): void {
    const facts = factsOf(child);
    this.#enqueue(() => view.onChild(facts));
    void drain(child);
    child.done.then(
      () => this.#enqueue(() => view.onChildEnd(facts, "success", undefined)),
      (thrown: unknown) => {
        const status = child.finalStatus;
        // Without one, the connection has ended and not the child.
        if (status !== undefined) this.#enqueue(() => view.onChildEnd(facts, status, ARCPError.from(thrown)));
      },
    );
  }

  #enqueue(call: () => Promise<void>): void {
    this.#shown = this.#shown.then(call);
    // Reported by `settled`.
    this.#shown.catch(() => {});
  }
}

function factsOf({ jobId, accepted }: JobHandle): WatchedChild {
  const { parentJobId, delegateId, agent, lease, leaseConstraints } = accepted;
  return { jobId, parentJobId, delegateId, agent, lease, expiresAt: leaseConstraints?.expiresAt };
}

/** A child's streamed result is its parent's: here it is not collected. */
async function drain(child: JobHandle): Promise<void> {
  try {
    for await (const _ of child.resultStream());
  } catch {
    // How the child failed is told by its ending.
  }
}
