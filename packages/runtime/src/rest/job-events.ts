/** What a job has written and writes, for one request: numbered from 1 in the order of its journal, the same for everybody. */
import { type JsonObject, REPLAYED_AFTER_MEMBER, type TransportPeer } from "@arcp/core";
import type { Caller, Frame } from "./caller.ts";
import type { Callers } from "./callers.ts";

/** One event of a job, as it is sent. */
export interface JobEvent {
  /** Its place among the job's events. */
  readonly n: number;
  readonly type: string;
  readonly job_id: string | undefined;
  readonly trace_id: string | undefined;
  readonly payload: object;
}

/** The types that end a job. */
export const isEnd = ({ type }: { readonly type: string }): boolean => type === "job.result" || type === "job.error";

/** A reader of one job. Its session lives as long as it does. */
export class JobEvents {
  readonly #caller: Caller;
  /** Was the job over when the reader came? Then everything is there already. */
  readonly wasOver: boolean;
  /** Events that there were then. */
  readonly history: number;

  private constructor(caller: Caller, wasOver: boolean, history: number) {
    this.#caller = caller;
    this.wasOver = wasOver;
    this.history = history;
  }

  /**
   * Begins to read: `onEvent` is called for every event, from the first on. Rejects as `job.subscribe` is refused.
   * `onOver` is called when nothing more can come.
   */
  static async open(
    callers: Callers,
    options: {
      readonly peer: TransportPeer;
      readonly jobId: string;
      readonly onEvent: (event: JobEvent) => void;
      readonly onOver: () => void;
    },
  ): Promise<JobEvents> {
    const { jobId, onEvent } = options;
    // Questions come to everybody who may answer them: of other jobs, and of this one before its history does.
    let first = Number.POSITIVE_INFINITY;
    let n = 0;
    const caller = await callers.observer(options.peer, ({ event_seq = 0, ...frame }) => {
      if (frame.job_id !== jobId || event_seq <= first) return;
      n += 1;
      const { type, job_id, trace_id, payload } = frame;
      onEvent({ n, type, job_id, trace_id, payload });
    });
    void caller.closed.then(options.onOver);
    const onReply = ({ payload }: Frame): void => {
      first = Number(payload[REPLAYED_AFTER_MEMBER] ?? 0);
    };
    try {
      const { payload } = await caller.ask("job.subscribe", { job_id: jobId, history: true }, { onReply });
      const history = Number(payload["subscribed_from"]) - first;
      return new JobEvents(caller, !LIVE.has(payload["current_status"]), history);
    } catch (error) {
      caller.close();
      throw error;
    }
  }

  setReading(reads: boolean): void {
    this.#caller.setReading(reads);
  }

  close(): void {
    this.#caller.close();
  }
}

const LIVE: ReadonlySet<unknown> = new Set(["pending", "running"]);

/** What a job is, and how it ended if it has: with its result as a whole. Rejects as `job.subscribe` is refused. */
export async function readJob(
  callers: Callers,
  peer: TransportPeer,
  jobId: string,
): Promise<{ readonly facts: JsonObject; readonly end: Frame | undefined }> {
  const end = Promise.withResolvers<Frame | undefined>();
  const onNumbered = (frame: Frame): void => {
    if (frame.job_id === jobId && isEnd(frame)) end.resolve(frame);
  };
  const caller = await callers.observer(peer, onNumbered, "whole results");
  void caller.closed.then(() => end.resolve(undefined));
  try {
    const { payload: facts } = await caller.ask("job.subscribe", { job_id: jobId, history: false });
    if (LIVE.has(facts["current_status"])) return { facts, end: undefined };
    // The last event alone, by the numbers of the session that submitted the job.
    const from_event_seq = Math.max(0, Number(facts["job_last_event_seq"] ?? 0) - 1);
    await caller.ask("job.subscribe", { job_id: jobId, history: true, from_event_seq });
    return { facts, end: await end.promise };
  } finally {
    caller.close();
  }
}
