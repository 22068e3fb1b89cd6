/** What uses the runtime during an episode. */

/** One client. It ends when it has heard how everything ended that it asked for. */
export interface Visitor {
  readonly name: string;
  /** Asks for new things until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Waits for what is still missing. Never rejects, and resolves at the latest when `signal` aborts. */
  settle(signal: AbortSignal): Promise<void>;
  /** What it waits for in vain, in words. */
  readonly missing: readonly string[];
  /** Leaves. */
  end(): Promise<void>;
}

/** Resolves after `ms`, or when `signal` aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Resolves with `promise`, or with `undefined` when `signal` aborts first or the promise rejects. */
export async function unless<Value>(signal: AbortSignal, promise: Promise<Value>): Promise<Value | undefined> {
  const over = Promise.withResolvers<undefined>();
  const onAbort = (): void => over.resolve(undefined);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise.catch(() => undefined), over.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
