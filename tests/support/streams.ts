/** What tests read of the streams of wire 1.0. */
import type { Frame10, RawClient10 } from "./raw-client-10.ts";

/** One stream as a client saw it. */
export interface SeenStream {
  readonly id: string;
  readonly open: Frame10;
  readonly chunks: readonly Frame10[];
  /** `stream.close` or `stream.error`; `undefined` while it is open. */
  readonly end: Frame10 | undefined;
}

const STREAM_TYPES: readonly string[] = ["stream.open", "stream.chunk", "stream.close", "stream.error"];

/** The streams in `frames`, in the order of their opening. Throws unless each is opened first, once, and ended last. */
export function streamsIn(frames: readonly Frame10[]): readonly SeenStream[] {
  const streams = new Map<string, { id: string; open: Frame10; chunks: Frame10[]; end: Frame10 | undefined }>();
  for (const frame of frames.filter(({ type }) => STREAM_TYPES.includes(type))) {
    const id = frame.stream_id ?? "";
    const stream = streams.get(id);
    if (frame.type === "stream.open") {
      if (stream !== undefined) throw new Error(`${id} is opened twice`);
      streams.set(id, { id, open: frame, chunks: [], end: undefined });
    } else if (stream === undefined) throw new Error(`${frame.type} of ${id}, which is not open`);
    else if (stream.end !== undefined) throw new Error(`${frame.type} of ${id}, which has ended`);
    else if (frame.type === "stream.chunk") stream.chunks.push(frame);
    else stream.end = frame;
  }
  return [...streams.values()];
}

/** The streams that `client` saw, for which the numbers of chunks are checked too. */
export function streamsOf(client: RawClient10): readonly SeenStream[] {
  const streams = streamsIn(client.frames);
  for (const { id, chunks } of streams) {
    for (const [index, { payload }] of chunks.entries()) {
      if (payload.sequence !== index) throw new Error(`chunk ${index} of ${id} is numbered ${payload.sequence}`);
    }
  }
  return streams;
}

/** The text of a stream of text. */
export const textOf = ({ chunks }: SeenStream): string => chunks.map(({ payload }) => payload.data).join("");

/** The bytes of a stream of bytes that came in its envelopes. */
export const bytesOf = ({ chunks }: SeenStream): Buffer =>
  Buffer.concat(chunks.map(({ payload }) => Buffer.from(payload.data, "base64")));

/** The next chunk of `streamId` that `matches`, received already or still to come. */
export const chunkOf = (client: RawClient10, streamId: string, sequence: number): Promise<Frame10> =>
  client.sees(
    ({ type, stream_id, payload }) =>
      type === "stream.chunk" && stream_id === streamId && payload.sequence === sequence,
    `chunk ${sequence} of ${streamId}`,
  );
