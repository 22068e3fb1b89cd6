/** The content of an artifact on its way in. */
import { InvalidRequestError } from "@arcp/core";

/**
 * The pieces of `data`, each asked for when the one before it has been dealt with. Rejects with the signal's reason as
 * soon as it is aborted, whatever the source is doing. The source is told when no more is wanted.
 */
export async function* piecesOf(
  data: Uint8Array | AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  signal.throwIfAborted();
  if (data instanceof Uint8Array) {
    yield data;
    return;
  }
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  aborted.catch(() => {
    // Heard of where it is waited for.
  });
  signal.addEventListener("abort", onAbort, { once: true });
  const source = data[Symbol.asyncIterator]();
  let isOver = false;
  try {
    for (;;) {
      const next = await Promise.race([source.next(), aborted]);
      if (next.done) {
        isOver = true;
        return;
      }
      if (!(next.value instanceof Uint8Array)) throw new InvalidRequestError("the content of an artifact is bytes");
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not waited for: a source that is stuck would answer when it has come loose.
    if (!isOver) source.return?.().catch(() => {});
  }
}
