/** Events of a job as answers to requests: a page of JSON, or a stream that goes on until the job ends. */
import { EVENT_STREAM_HEADERS, encodeEvent, type HttpResponse, type TransportPeer, writeHead } from "@arcp/core";
import type { Callers } from "./callers.ts";
import { isEnd, type JobEvent, JobEvents } from "./job-events.ts";

const KEEP_ALIVE_MS = 15_000;

export interface EventPage {
  readonly events: readonly JobEvent[];
  /** Is the job over, and is this the end of what it has written? */
  readonly isComplete: boolean;
}

/** The events that there are now after number `after`, `limit` at most. Rejects as {@link JobEvents.open} does. */
export async function pageOfEvents(
  callers: Callers,
  peer: TransportPeer,
  { jobId, after, limit }: { readonly jobId: string; readonly after: number; readonly limit: number },
): Promise<EventPage> {
  const events: JobEvent[] = [];
  const done = Promise.withResolvers<void>();
  let reached = 0;
  let history = Number.POSITIVE_INFINITY;
  const isEnough = (): boolean => reached >= history || events.length >= limit;
  const reader = await JobEvents.open(callers, {
    ...{ peer, jobId },
    onEvent: (event) => {
      if (event.n > after && !isEnough()) events.push(event);
      reached = Math.max(reached, event.n);
      if (isEnough()) done.resolve();
    },
    onOver: () => done.resolve(),
  });
  history = reader.history;
  if (isEnough()) done.resolve();
  await done.promise;
  reader.close();
  const last = events.at(-1);
  const isComplete = last === undefined ? reader.wasOver && after >= history : isEnd(last);
  return { events, isComplete };
}

/**
 * Answers with a stream of the events after number `after`, live ones included, to the last one of the job. 204 if there are
 * none and can be none: a page's `EventSource` then stops asking. Rejects as {@link JobEvents.open} does.
 */
export async function streamEvents(
  callers: Callers,
  peer: TransportPeer,
  { jobId, after, response }: { readonly jobId: string; readonly after: number; readonly response: HttpResponse },
): Promise<void> {
  const out = response;
  let early: JobEvent[] | undefined = [];
  const write = (event: JobEvent): void => {
    if (event.n <= after) return;
    const isRoomLeft = out.write(encodeEvent(JSON.stringify(event), String(event.n)));
    if (isEnd(event)) out.end();
    else if (!isRoomLeft) reader.setReading(false);
  };
  const reader = await JobEvents.open(callers, {
    ...{ peer, jobId },
    onEvent: (event) => {
      if (early === undefined) write(event);
      else early.push(event);
    },
    // Who has not read for as long as the runtime bears it would not read the end either.
    onOver: () => (out.writableNeedDrain ? out.destroy() : out.end()),
  });
  if (reader.wasOver && after >= reader.history) {
    reader.close();
    writeHead(response, 204, {});
    out.end();
    return;
  }
  const timer = setInterval(() => !out.writableNeedDrain && out.write(": \n\n"), KEEP_ALIVE_MS);
  timer.unref();
  out.once("close", () => {
    clearInterval(timer);
    reader.close();
  });
  // A reader that breaks off: its close says so.
  out.on("error", () => {});
  out.on("drain", () => reader.setReading(true));
  writeHead(response, 200, EVENT_STREAM_HEADERS);
  out.write(": arcp\n\n");
  for (const event of early) write(event);
  early = undefined;
  if (out.destroyed) reader.close();
}
