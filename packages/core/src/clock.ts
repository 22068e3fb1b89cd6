/** Time, injected so that tests own it. */
export interface Clock {
  /** Wall-clock milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go backwards; the zero point means nothing. */
  monotonic(): number;
  /** Runs `task` once after `delayMs` (any length). Returns a function that calls it off. */
  setTimer(task: () => void, delayMs: number): () => void;
}

/** `setTimeout` fires at once for anything longer, so longer waits are made of several. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The machine's clocks. Timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(task, delayMs) {
    let handle: ReturnType<typeof setTimeout>;
    const arm = (rest: number): void => {
      const step = Math.min(Math.max(rest, 0), MAX_TIMEOUT_MS);
      handle = setTimeout(() => (rest > step ? arm(rest - step) : task()), step);
      if (typeof handle === "object") handle.unref?.();
    };
    arm(delayMs);
    return () => clearTimeout(handle);
  },
};
