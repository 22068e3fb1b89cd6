/** Recorded traffic, and what of it a runtime other than the recorded one owes its client. */
import { readdirSync, readFileSync } from "node:fs";
import type { Frame } from "../../interop/peers/rules.ts";

const directory = new URL("../../interop/recordings/", import.meta.url);
const directory10 = new URL("../../interop/recordings-v1.0/", import.meta.url);

/** One frame of a recording, in wire order. */
export interface Row {
  readonly from: "client" | "runtime";
  /** The connection. */
  readonly on: string;
  readonly frame?: Frame;
  /** What the client sent, if that was not JSON. */
  readonly text?: string;
}

const namesIn = (folder: URL): readonly string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".jsonl"))
    .map((file) => file.slice(0, -".jsonl".length))
    .sort();

export const recordings: readonly string[] = namesIn(directory);
/** Those of wire 1.0. */
export const recordings10: readonly string[] = namesIn(directory10);

export const readRecording = (name: string): readonly Row[] => rowsOf(name, directory);
export const readRecording10 = (name: string): readonly Row[] => rowsOf(name, directory10);

function rowsOf(name: string, folder: URL): readonly Row[] {
  const text = readFileSync(new URL(`${name}.jsonl`, folder), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
}

/** Refusals of requests, which the recorded runtime tells of as if the job had ended. */
const REFUSALS: ReadonlySet<string> = new Set(["DUPLICATE_KEY", "PERMISSION_DENIED", "JOB_NOT_FOUND"]);

/** A status that the recorded runtime sends of its own accord at the start of every job. */
const isRunningStatus = ({ frame }: Row): boolean =>
  frame?.type === "job.event" && frame.payload.kind === "status" && frame.payload.body?.phase === "running";

/**
 * The recording as this runtime owes it: without the running status, with refusals as `session.error`, and with `job.subscribed` before the history.
 */
export function owed(rows: readonly Row[]): readonly Row[] {
  const accepted = rows.filter(({ frame }) => frame?.type === "job.accepted").map(({ frame }) => frame as Frame);
  const known = new Set(accepted.map(({ job_id }) => job_id));
  const due: Row[] = [];
  for (const row of rows) {
    const { frame } = row;
    if (row.from === "client" || !frame) due.push(row);
    else if (isRunningStatus(row)) continue;
    else if (frame.type === "job.error" && (REFUSALS.has(frame.payload.code) || !known.has(frame.job_id))) {
      const { job_id: _job, event_seq: _seq, payload, ...rest } = frame;
      due.push({ ...row, frame: { ...rest, type: "session.error", payload: { code: payload.code } } });
    } else if (frame.type === "job.subscribed") {
      const first = due.findIndex(
        (earlier) => earlier.from === "runtime" && earlier.on === row.on && earlier.frame?.job_id === frame.job_id,
      );
      due.splice(first === -1 ? due.length : first, 0, row);
    } else due.push(row);
  }
  return due;
}

/** The number of this runtime for a number of the recording: the running status has none. */
export function ownSeq(rows: readonly Row[], recorded: number): number {
  const skipped = new Set(
    rows
      .filter((row) => isRunningStatus(row) && (row.frame?.event_seq ?? 0) <= recorded)
      .map(({ frame }) => frame?.event_seq),
  );
  return recorded - skipped.size;
}
