/** The bounds that keep one session, job or principal from using up the runtime (§14). */
import { InternalError } from "@arcp/core";

/** Per session. */
export interface SessionCaps {
  /** Events on their way to one client, in memory. The rest waits in the journal. */
  readonly maxBufferedEvents: number;
  /** Bytes on their way to one client, in memory. The rest waits in the journal. */
  readonly maxBufferedBytes: number;
  /** Jobs of one session that have not ended. One more is refused. */
  readonly maxConcurrentJobs: number;
}

/** The caps of one session where none are given. */
export const DEFAULT_SESSION_CAPS: SessionCaps = {
  maxBufferedEvents: 10_000,
  maxBufferedBytes: 16 * 1024 * 1024,
  maxConcurrentJobs: 100,
};

/** Per principal, over all sessions. */
export interface PrincipalCaps {
  /** Sessions that are attached or can be resumed. */
  readonly maxSessions: number;
  /** Jobs that have not ended. */
  readonly maxConcurrentJobs: number;
}

/** The caps of one principal where none are given. */
export const DEFAULT_PRINCIPAL_CAPS: PrincipalCaps = { maxSessions: 10_000, maxConcurrentJobs: 10_000 };

/** Per job. */
export interface JobCaps {
  /** Bytes of one event's payload. A larger one is refused to the agent. */
  readonly maxEventBytes: number;
  /**
   * Decoded bytes of one chunk of a streamed result; a larger one ends the job. Also of one chunk of a stream; a larger
   * value is refused to the agent, text and bytes are cut.
   */
  readonly maxChunkBytes: number;
  /** Decoded bytes of a streamed result. A larger one ends the job. */
  readonly maxResultBytes: number;
  /** Bytes of an inline result. A larger one ends the job; results of that size are streamed. */
  readonly maxInlineResultBytes: number;
  /** Bytes of the content of one stream. More fails the stream. */
  readonly maxStreamBytes: number;
  /** Streams that are open at once. One more is refused to the agent. */
  readonly maxOpenStreams: number;
  /** Bytes of the data of one checkpoint. A larger one is refused to the agent. */
  readonly maxCheckpointBytes: number;
  /** Checkpoints that are kept. Older ones go. */
  readonly maxCheckpoints: number;
  /** Bytes that a job may emit without awaiting. More is refused to the agent. */
  readonly maxUnawaitedBytes: number;
}

/** The caps of one job where none are given. */
export const DEFAULT_JOB_CAPS: JobCaps = {
  maxEventBytes: 1_000_000,
  maxChunkBytes: 1_000_000,
  maxResultBytes: 256 * 1024 * 1024,
  maxInlineResultBytes: 8 * 1024 * 1024,
  maxStreamBytes: 256 * 1024 * 1024,
  maxOpenStreams: 64,
  maxCheckpointBytes: 1024 * 1024,
  maxCheckpoints: 16,
  maxUnawaitedBytes: 64 * 1024 * 1024,
};

/** Exceeding a bound: not worth repeating, though the code is retryable by definition (§12). */
export const tooLarge = (limit: string, max: number): InternalError =>
  new InternalError(`${limit} (${max}) is exceeded`, { details: { limit, max, retry: "never" } });

/** More at once than is let in; `retry` says whether that may change. */
export const tooMany = (limit: string, max: number, retry: "after_capacity" | "never"): InternalError =>
  new InternalError(`too many at once (${limit} = ${max})`, { details: { limit, max, retry } });
