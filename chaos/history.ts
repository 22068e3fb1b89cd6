/**
 * What a run leaves behind for the checker: JSON lines, in order of time. Everything is written outside of the runtime, or
 * appended by it to a file before it goes on, so a kill takes nothing of it away.
 *
 * `at` is the machine's monotonic clock in milliseconds, which all processes of one run share.
 */
import { appendFileSync, closeSync, openSync, readFileSync, writeSync } from "node:fs";

export type Wire = "1.0" | "1.1";

/** What a client did and saw. */
export type ClientLine =
  | {
      readonly at: number;
      readonly kind: "opened";
      readonly connection: string;
      readonly client: string;
      readonly principal: string;
      readonly wire: Wire;
      readonly life: number;
    }
  | { readonly at: number; readonly kind: "sent"; readonly connection: string; readonly text: string }
  | { readonly at: number; readonly kind: "received"; readonly connection: string; readonly text: string }
  | { readonly at: number; readonly kind: "closed"; readonly connection: string; readonly reason: string };

/** What the supervisor did, and what it measured. */
export type SupervisorLine =
  /** `node`: which of several runtimes. */
  | { readonly at: number; readonly kind: "born"; readonly life: number; readonly node?: string }
  | { readonly at: number; readonly kind: "ready"; readonly life: number }
  | { readonly at: number; readonly kind: "died"; readonly life: number; readonly how: string }
  /** `queuedBytes`: what waits for the socket that has the most to wait for. */
  | {
      readonly at: number;
      readonly kind: "memory";
      readonly life: number;
      readonly rssBytes: number;
      readonly queuedBytes: number;
    }
  | { readonly at: number; readonly kind: "fault"; readonly fault: string; readonly node?: string }
  /** It is over, if it was one that lasts. */
  | { readonly at: number; readonly kind: "relief"; readonly fault: string; readonly node?: string }
  /** Somebody was sent where no lease leads. */
  | { readonly at: number; readonly kind: "canary"; readonly what: string }
  /** No fault is at work from here on. */
  | { readonly at: number; readonly kind: "healed" }
  /** Everybody has what they waited for, or it did not come in time. */
  | { readonly at: number; readonly kind: "settled"; readonly missing: readonly string[] }
  /** A credential as its upstream knows it at the end. */
  | {
      readonly at: number;
      readonly kind: "credential";
      readonly alias: string;
      readonly value: string;
      readonly isLive: boolean;
    };

/** What agents did. Written by the runtime's process. */
export type LedgerLine =
  | { readonly at: number; readonly kind: "began"; readonly life: number; readonly job: string; readonly agent: string }
  /** Everything up to entry `count` of what the agent counts is on disk, as the runtime says. */
  | { readonly at: number; readonly kind: "flushed"; readonly job: string; readonly count: number }
  /** An operation of the job took place outside, because `life` has asked for it. */
  | { readonly at: number; readonly kind: "effect"; readonly life: number; readonly job: string; readonly name: string }
  /** A step of a durable job has returned to its agent: from here on it must not run again. */
  | { readonly at: number; readonly kind: "step"; readonly job: string; readonly name: string }
  | {
      readonly at: number;
      readonly kind: "spent";
      readonly job: string;
      /** The job whose budget it is, in the end. */
      readonly root: string;
      /** Millionths. */
      readonly micros: number;
    }
  | {
      readonly at: number;
      readonly kind: "artifact";
      readonly job: string;
      readonly id: string;
      readonly sha256: string;
    }
  /** A job has reached for a file or a page: `open` for what every lease covers, `closed` for what none does, `refused: …`. */
  | {
      readonly at: number;
      readonly kind: "reached";
      readonly job: string;
      readonly target: string;
      readonly outcome: string;
    }
  | { readonly at: number; readonly kind: "failpoint"; readonly life: number; readonly point: string }
  | OwnershipLine;

/** What nodes that share a store have made theirs, and what they got in. */
export type OwnershipLine =
  /** `jobs`: with their epochs. */
  | {
      readonly at: number;
      readonly kind: "claimed";
      readonly life: number;
      readonly jobs: readonly (readonly [job: string, epoch: number])[];
    }
  /** `since`: when that was asked for. */
  | {
      readonly at: number;
      readonly kind: "taken";
      readonly life: number;
      readonly since: number;
      readonly session: string;
    }
  /** A batch is stored, which was sent at `since`. `jobs`: with the places of their entries. `sessions`: that it has numbered for. */
  | {
      readonly at: number;
      readonly kind: "committed";
      readonly life: number;
      readonly since: number;
      readonly jobs: readonly Written[];
      readonly sessions: readonly string[];
    };

/** From entry `from` to entry `to`; of none, `to` is less. */
export type Written = readonly [job: string, epoch: number, from: number, to: number];

export type HistoryLine = ClientLine | SupervisorLine | LedgerLine;

type Unstamped<Line> = Line extends HistoryLine ? Omit<Line, "at"> : never;

/** Milliseconds of the clock that all processes of this machine share. */
export const sharedNow = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

/**
 * Appends lines to a file. What {@link write} has returned from survives the end of this process, though no power cut. What
 * comes after the end is of nobody's interest any more.
 */
export class Recorder implements Disposable {
  readonly #descriptor: number;
  #isClosed = false;

  constructor(path: string) {
    this.#descriptor = openSync(path, "a");
  }

  write(line: Unstamped<HistoryLine>): void {
    if (this.#isClosed) return;
    writeSync(this.#descriptor, `${JSON.stringify({ at: sharedNow(), ...line })}\n`);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    closeSync(this.#descriptor);
  }
}

/** The lines of several files in order of time. A last line that was cut off by a kill is left out. */
export function readHistory(paths: readonly string[]): readonly HistoryLine[] {
  const lines = paths.flatMap((path) => {
    const texts = readFileSync(path, "utf8").split("\n");
    texts.pop();
    return texts.map((text) => JSON.parse(text) as HistoryLine);
  });
  return lines.sort((a, b) => a.at - b.at);
}

/** Makes sure that `path` is there. */
export const touch = (path: string): void => appendFileSync(path, "");
