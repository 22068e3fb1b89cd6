/**
 * What the agent of a durable job has told already: when it is called again, it says the same again, and that is not
 * written a second time.
 *
 * Events outside steps come in the same order each time: as many as were written by the last step on record are passed
 * over by count, whatever they say. After that, an event is passed over if the journal has one of the same text that was
 * not matched yet: what the step in flight, and the agent after the last step, had told when the runtime died.
 */
import { createHash } from "node:crypto";
import { ENTRY, type Entry, type EntryCode } from "../../store/store.ts";

/** What an agent says by itself. What the runtime says of it (questions, streams, counters, …) is not said again. */
const OF_AGENTS: ReadonlySet<EntryCode> = new Set([
  ...[ENTRY.log, ENTRY.thought, ENTRY.tool_call, ENTRY.tool_result, ENTRY.status, ENTRY.metric, ENTRY.artifact_ref],
  ...[ENTRY.progress, ENTRY.result_chunk, ENTRY.vendor],
]);

/** Events of the tail that are remembered; what is beyond them may be told again. */
const MAX_TAIL = 100_000;
const DIGEST_CHARS = 22;

export class Told {
  /** Events outside steps, of this call of the agent. */
  #count = 0;
  /** Of those, how many are written already. */
  #known: number;
  readonly #tail = new Map<string, number>();
  readonly #isInStep: () => boolean;

  constructor(options: { readonly known: number; readonly tail: readonly Entry[]; readonly isInStep: () => boolean }) {
    this.#known = options.known;
    this.#isInStep = options.isInStep;
    for (const { code, payload } of options.tail.slice(0, MAX_TAIL)) {
      if (!OF_AGENTS.has(code)) continue;
      const key = keyOf(code, bodyOf(payload));
      this.#tail.set(key, (this.#tail.get(key) ?? 0) + 1);
    }
  }

  /** The agent's events outside steps so far. */
  get count(): number {
    return this.#count;
  }

  /** Is the event in the journal already? `body` is JSON. Each event is asked about once. */
  has(code: EntryCode, body: string): boolean {
    if (!OF_AGENTS.has(code)) return false;
    if (!this.#isInStep()) {
      this.#count += 1;
      if (this.#count <= this.#known) return true;
    }
    if (this.#tail.size === 0) return false;
    const key = keyOf(code, body);
    const left = this.#tail.get(key);
    if (left === undefined) return false;
    if (left === 1) this.#tail.delete(key);
    else this.#tail.set(key, left - 1);
    return true;
  }

  /** Begins anew for another call of the agent in the same life: what it has told so far is known. */
  again(): Told {
    return new Told({ known: Math.max(this.#count, this.#known), tail: [], isInStep: this.#isInStep });
  }
}

const keyOf = (code: EntryCode, body: string): string =>
  `${code} ${createHash("sha256").update(body).digest("base64url").slice(0, DIGEST_CHARS)}`;

const BODY = '"body":';

/** The body in the payload of an event, as the text that it was written from. */
const bodyOf = (payload: string): string => payload.slice(payload.indexOf(BODY) + BODY.length, -1);
