/** Requests that wait for their reply, in the order in which they were sent. */
import { CancelledError } from "./errors.ts";

interface Waiting<Reply> {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

/** Callers that wait for a reply, by a key. Each is settled once: by the reply, an error, or its signal. */
export class PendingRegistry<Reply> {
  readonly #waiting = new Map<string, Waiting<Reply>>();

  get size(): number {
    return this.#waiting.size;
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** The id of the request that waits longest, for peers that answer in order and name nothing. */
  oldest(): string | undefined {
    return this.#waiting.keys().next().value;
  }

  ids(): IterableIterator<string> {
    return this.#waiting.keys();
  }

  /** Resolves with the reply to `id`; rejects when it fails, when the registry is failed, or when `signal` aborts. */
  wait(id: string, signal?: AbortSignal): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(abortError(signal));
        return;
      }
      const onAbort = (): void => {
        if (signal) this.reject(id, abortError(signal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(id, { resolve, reject, release: () => signal?.removeEventListener("abort", onAbort) });
    });
  }

  /** Settles one request. Returns whether it was waiting. */
  resolve(id: string, reply: Reply): boolean {
    const waiting = this.#take(id);
    waiting?.resolve(reply);
    return waiting !== undefined;
  }

  /** Fails one request. Returns whether it was waiting. */
  reject(id: string, error: unknown): boolean {
    const waiting = this.#take(id);
    waiting?.reject(error);
    return waiting !== undefined;
  }

  /** Fails every request, oldest first. */
  rejectAll(error: unknown): void {
    for (const id of [...this.#waiting.keys()]) this.reject(id, error);
  }

  #take(id: string): Waiting<Reply> | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.release();
    return waiting;
  }
}

function abortError(signal: AbortSignal): unknown {
  return signal.reason instanceof Error
    ? signal.reason
    : new CancelledError("the request was aborted by the caller", { cause: signal.reason });
}
