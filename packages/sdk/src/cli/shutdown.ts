/** What has to be undone when a server stops, in the opposite order. */

type Step = () => void | Promise<void>;

/** The platform's `AsyncDisposableStack`, which the oldest supported Node does not have yet. */
export class Shutdown implements AsyncDisposable {
  readonly #steps: Step[] = [];

  /** Adds a step, to be taken before those that were added earlier. */
  defer(step: Step): void {
    this.#steps.push(step);
  }

  /** Takes every step, whatever becomes of the others. Rejects with the first failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
