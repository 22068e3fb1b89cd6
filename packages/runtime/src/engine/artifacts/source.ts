/** The content of an artifact on its way in. */
import { InvalidRequestError } from "@arcp/core";

/** So much of a content that is there as a whole is passed on between two looks at the signal. */
const STEP_BYTES = 1024 * 1024;

/**
 * The pieces of `data`, each asked for when the one before it has been dealt with. Rejects with the signal's reason as
 * soon as it is aborted, whatever the source is doing. The source is told when no more is wanted.
 */
export async function* piecesOf(
  data: Uint8Array | AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  signal.throwIfAborted();
  if (!(data instanceof Uint8Array)) {
    yield* pulled(data[Symbol.asyncIterator](), signal);
    return;
  }
  for (let offset = 0; offset < data.length; offset += STEP_BYTES) {
    signal.throwIfAborted();
    yield data.subarray(offset, offset + STEP_BYTES);
  }
}

async function* pulled(source: AsyncIterator<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  let giveUp: (reason: unknown) => void = () => {};
  const onAbort = (): void => giveUp(signal.reason);
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    new Promise((resolve, reject) => {
      giveUp = reject;
      source.next().then(resolve, reject);
    });
  signal.addEventListener("abort", onAbort, { once: true });
  let isOver = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await next();
      if (done) {
        isOver = true;
        return;
      }
      if (!(value instanceof Uint8Array)) throw new InvalidRequestError("the content of an artifact is bytes");
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!isOver) void dismiss(source);
  }
}

/** Not waited for: a source that is stuck answers when it has come loose. */
async function dismiss(source: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    await source.return?.();
  } catch {
    // Nobody wants anything of it any more.
  }
}
