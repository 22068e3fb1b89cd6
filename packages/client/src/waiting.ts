/** Waiting that a signal can end. Every listener is taken away again. */
import { CancelledError, type Clock } from "@arcp/core";

/** The reason that an aborted signal gives, as an error. */
const abortReason = (signal: AbortSignal): unknown =>
  signal.reason instanceof Error
    ? signal.reason
    : new CancelledError("aborted by the caller", { cause: signal.reason });

/** Calls `task` when `signal` aborts, at once if it has. Returns how to call that off. */
export function onAbort(signal: AbortSignal | undefined, task: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => {};
  const listener = (): void => task(abortReason(signal));
  if (signal.aborted) {
    listener();
    return () => {};
  }
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** A controller that also aborts when `signal` does, until it is released. */
export function linkedAbort(signal: AbortSignal | undefined): {
  readonly controller: AbortController;
  readonly release: () => void;
} {
  const controller = new AbortController();
  return { controller, release: onAbort(signal, (reason) => controller.abort(reason)) };
}

/**
 * Resolves after `delayMs`, or when `onWake` calls what it is given; it returns how to call that off. Rejects with the
 * signal's reason when it aborts.
 */
export async function sleep(
  clock: Clock,
  delayMs: number,
  signal: AbortSignal | undefined,
  onWake: (wake: () => void) => () => void = () => () => {},
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancelTimer = clock.setTimer(resolve, delayMs);
  const release = onAbort(signal, reject);
  const stopListening = onWake(resolve);
  try {
    await promise;
  } finally {
    cancelTimer();
    release();
    stopListening();
  }
}

/** The events of a page or worker; other platforms have none. */
interface PlatformEvents {
  addEventListener?(type: "online", listener: () => void): void;
  removeEventListener?(type: "online", listener: () => void): void;
}

/** Calls `task` when a page or worker is told that its network is back. Returns how to call that off. */
export function onNetworkBack(task: () => void): () => void {
  const platform = globalThis as PlatformEvents;
  platform.addEventListener?.("online", task);
  return () => platform.removeEventListener?.("online", task);
}

/** `promise`, or the signal's reason if that comes first; a value that comes too late goes to `dispose`. */
export async function untilAbort<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
  dispose: (late: Value) => void = () => {},
): Promise<Value> {
  const aborted = Promise.withResolvers<never>();
  const release = onAbort(signal, aborted.reject);
  try {
    return await Promise.race([promise, aborted.promise]);
  } catch (thrown) {
    // Its own failure, if any, has been superseded by the abort.
    if (signal.aborted) promise.then(dispose, () => {});
    throw thrown;
  } finally {
    release();
  }
}
