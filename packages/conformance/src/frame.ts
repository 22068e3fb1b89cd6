/** A message as it is on the wire: nothing about it is believed. */

export interface Frame {
  readonly arcp?: unknown;
  readonly id: string;
  readonly type: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly trace_id?: string;
  readonly event_seq?: number;
  readonly correlation_id?: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a peer says may be anything, and each case says what it has to be
  readonly payload: any;
  readonly [member: string]: unknown;
}

let made = 0;

/** An id that no other message of this process has. */
export function newId(): string {
  made += 1;
  return `msg_c${process.pid.toString(36)}${made.toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}

/** A name of something else that nothing else of this process has: `job_…`. */
export function newName(prefix: string): string {
  made += 1;
  return `${prefix}_${made.toString(36).padStart(4, "0")}${Math.random().toString(36).slice(2, 12)}`;
}
