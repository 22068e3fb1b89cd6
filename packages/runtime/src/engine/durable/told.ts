/**
 * What the agent of a durable job has told already: when it is called again, it says the same again, and that is not
 * written a second time.
 *
 * Events outside steps come in the same order each time: as many as there were when the last step on record was recorded are
 * passed over by count, whatever they say; those after that, and those of steps that are being done again, if the journal has
 * one of the same text that was not matched yet. Pieces of a result have numbers, and are told apart by them.
 */
import { createHash } from "node:crypto";
import type { ResultChunkBody, ResultId } from "@arcp/core";
import { ENTRY, type Entry, type EntryCode } from "../../store/store.ts";

/** What an agent says by itself. What the runtime says of it (questions, streams, counters, …) is not said again. */
const OF_AGENTS: ReadonlySet<EntryCode> = new Set([
  ...[ENTRY.log, ENTRY.thought, ENTRY.tool_call, ENTRY.tool_result, ENTRY.status, ENTRY.metric, ENTRY.artifact_ref],
  ...[ENTRY.progress, ENTRY.vendor],
]);

/** Positions in a journal, in runs: from, to, from, to, … */
export type Positions = readonly number[];

/** Beyond so many runs what lies between two of them counts as theirs. */
const MAX_RUNS = 1_000;
const DIGEST_CHARS = 22;

/** Pieces of the job's result that a step has written. */
export interface StepPieces {
  readonly resultId: ResultId;
  readonly count: number;
  /** Decoded. */
  readonly bytes: number;
}

/** The events that one step has told, over all its tries. */
export class StepEvents {
  readonly #runs: number[] = [];
  readonly #name: string;
  #pieces: StepPieces | undefined;
  #ids = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** A name for the next operation of the step: the same when the step is done again and comes to the same. */
  nextId(): string {
    this.#ids += 1;
    return `${this.#name} ${this.#ids}`;
  }

  get positions(): Positions {
    return this.#runs;
  }

  get pieces(): StepPieces | undefined {
    return this.#pieces;
  }

  addPiece({ result_id: resultId, data, encoding }: ResultChunkBody): void {
    const { count, bytes } = this.#pieces ?? { count: 0, bytes: 0 };
    const more = Buffer.byteLength(data, encoding === "base64" ? "base64" : "utf8");
    this.#pieces = { resultId: resultId as ResultId, count: count + 1, bytes: bytes + more };
  }

  add(n: number): void {
    const last = this.#runs.length - 1;
    const to = this.#runs[last] ?? 0;
    if (last > 0 && (n === to + 1 || last + 1 >= 2 * MAX_RUNS)) this.#runs[last] = Math.max(n, to);
    else if (last < 0 || n > to) this.#runs.push(n, n);
  }
}

/** Is `n` among `positions`? */
const isAmong = (positions: Positions, n: number): boolean => {
  for (let at = 0; at < positions.length; at += 2) {
    if (n >= (positions[at] ?? 0) && n <= (positions[at + 1] ?? 0)) return true;
  }
  return false;
};

/** What the journal says of a call of the agent that begins. */
export interface ToldBefore {
  /** Events outside steps that had been told when the last step on record was recorded. */
  readonly known: number;
  /** Where the last of those is. */
  readonly knownN: number;
  /** The number of the next piece of the result, of those that are on record. */
  readonly nextPiece: number;
  /** The journal from where a step that is not on record may have told something; in order. */
  readonly tail: readonly Entry[];
  /** What steps on record have told: they are not done again. */
  readonly settled: readonly Positions[];
}

export const NOTHING_TOLD: ToldBefore = { known: 0, knownN: 0, nextPiece: 0, tail: [], settled: [] };

export class Told {
  /** Events outside steps, of this call of the agent. */
  #count = 0;
  readonly #known: number;
  #n: number;
  /** Not matched yet, of before the last step on record and of after it: positions by text. */
  readonly #early = new Map<string, number[]>();
  readonly #late = new Map<string, number[]>();
  #nextPiece: number;

  constructor({ known, knownN, nextPiece, tail, settled }: ToldBefore) {
    this.#known = known;
    this.#n = knownN;
    this.#nextPiece = nextPiece;
    for (const { n, code, payload } of tail) {
      if (code === ENTRY.result_chunk) this.#nextPiece = Math.max(this.#nextPiece, pieceOf(bodyOf(payload)) + 1);
      if (!OF_AGENTS.has(code) || settled.some((positions) => isAmong(positions, n))) continue;
      const open = n > knownN ? this.#late : this.#early;
      const key = keyOf(code, bodyOf(payload));
      const same = open.get(key);
      if (same === undefined) open.set(key, [n]);
      else same.push(n);
    }
  }

  /** The agent's events outside steps that are in the journal, as far as the agent has come to them or they are on record. */
  get count(): number {
    return Math.max(this.#count, this.#known);
  }

  /** Where the last of those is. */
  get n(): number {
    return this.#n;
  }

  /** The number of the piece of the result that is out next. */
  get nextPiece(): number {
    return this.#nextPiece;
  }

  /**
   * Is the event in the journal already? If not, it is going to be entry `n`. `body` is JSON; `step` are the events of the
   * step that it is told in, if it is. Each event is asked about once.
   */
  has(code: EntryCode, body: string, n: number, step: StepEvents | undefined): boolean {
    if (code === ENTRY.result_chunk) {
      step?.addPiece(JSON.parse(body) as ResultChunkBody);
      const isOut = pieceOf(body) < this.#nextPiece;
      if (!isOut) this.#nextPiece = pieceOf(body) + 1;
      return isOut;
    }
    if (!OF_AGENTS.has(code)) return false;
    if (step !== undefined) {
      const before = this.#take(this.#early, code, body) ?? this.#take(this.#late, code, body);
      step.add(before ?? n);
      return before !== undefined;
    }
    this.#count += 1;
    if (this.#count <= this.#known) {
      this.#take(this.#early, code, body);
      return true;
    }
    const before = this.#take(this.#late, code, body);
    this.#n = Math.max(this.#n, before ?? n);
    return before !== undefined;
  }

  #take(open: Map<string, number[]>, code: EntryCode, body: string): number | undefined {
    if (open.size === 0) return undefined;
    const key = keyOf(code, body);
    const same = open.get(key);
    const n = same?.shift();
    if (same?.length === 0) open.delete(key);
    return n;
  }
}

const keyOf = (code: EntryCode, body: string): string =>
  `${code} ${createHash("sha256").update(body).digest("base64url").slice(0, DIGEST_CHARS)}`;

/** The number of a piece of a result. */
const pieceOf = (body: string): number => Number(/"chunk_seq":(\d+)/.exec(body)?.[1] ?? 0);

const BODY = '"body":';

/** The body in the payload of an event, as the text that it was written from. */
const bodyOf = (payload: string): string => payload.slice(payload.indexOf(BODY) + BODY.length, -1);
