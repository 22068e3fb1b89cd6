/**
 * The hash chain of the audit: each row holds the SHA-256 of itself and of the hash before it, so that none can be
 * changed, taken out, put in or moved without the rows after it telling so.
 *
 * What is hashed is one JSON text (RFC 8785), with the previous hash as a member of it; members that a row does not have
 * are left out. The number and the hash are given to a row in the transaction that stores it, from the last row that is
 * stored: whoever appends, and however a process ended, the chain goes on without a fork. A store with several writers has
 * one chain, too: those of them that have something to append wait for each other.
 *
 * The oldest rows may be deleted: a row of the chain, {@link PRUNED}, then says up to where, and with which hash that
 * ended. What is left begins where such a row says, or at the beginning.
 */
import { hash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import type { AuditHead, AuditRecord, AuditRow, Store } from "./store.ts";

/** What the first row has for a previous hash. */
export const NO_HASH = "0".repeat(64);
/** The action of the row that says which rows were deleted, by facts of the form {@link Pruned}. */
const PRUNED = "audit.pruned";

/** What a row of {@link PRUNED} says: rows up to `through` went, `rows` of them, and the last of them had `hash`. */
interface Pruned {
  readonly through: number;
  readonly hash: string;
  readonly rows: number;
}

/** What is hashed of a row: these texts, with the hash before it after the first of them, and its number after the second. */
export function auditTexts(record: AuditRecord): readonly [beforeHash: string, beforeSeq: string, afterSeq: string] {
  const { at, action, principal, sessionId, jobId, remoteAddress, traceId, facts } = record;
  const optional = (name: string, value: string | undefined): string =>
    value === undefined ? "" : `"${name}":${JSON.stringify(value)},`;
  const trace = traceId === undefined ? "" : `,"trace_id":${JSON.stringify(traceId)}`;
  const session = sessionId === undefined ? "" : `,"session_id":${JSON.stringify(sessionId)}`;
  // Facts are canonical JSON already.
  return [
    `{"action":${JSON.stringify(action)},"at":${at},"facts":${facts},${optional("job_id", jobId)}"prev":"`,
    `","principal":${JSON.stringify(principal)},${optional("remote_address", remoteAddress)}"seq":`,
    `${session}${trace}}`,
  ];
}

/** The next link after `head`: `record` as it is stored. */
export function linked(head: AuditHead | undefined, record: AuditRecord): AuditRow {
  const seq = (head?.seq ?? 0) + 1;
  const [beforeHash, beforeSeq, afterSeq] = auditTexts(record);
  const text = `${beforeHash}${head?.hash ?? NO_HASH}${beforeSeq}${seq}${afterSeq}`;
  return { ...record, seq, hash: hash("sha256", text) };
}

/** The record that stands for the rows that were deleted. */
export const prunedRecord = (at: number, pruned: Pruned): AuditRecord => ({
  ...{ at, action: PRUNED, principal: "" },
  facts: canonicalJson(pruned),
});

/** Where a chain is not what it was when it was written. */
export interface BrokenLink {
  /** Of the row that does not fit. */
  readonly seq: number;
  readonly reason: string;
}

/** What was found when a whole chain was read. */
export interface AuditVerdict {
  readonly rows: number;
  /** The number of the first row that is there; above 1 when those before it are gone. `undefined`: there is none. */
  readonly firstSeq: number | undefined;
  /** The last row, whether it fits or not. */
  readonly head: AuditHead | undefined;
  /** `undefined`: the chain is whole. */
  readonly broken: BrokenLink | undefined;
}

const PAGE_ROWS = 1_000;
/** Retention deletes once an hour: it cannot get in the way as often as this. */
const MAX_READINGS = 3;

/**
 * Reads all of an audit, which may be in use, and says whether it is whole. `expectedHead`: the hash of a row that was its
 * last at some time; without it, nobody can tell that rows are missing from the end, or that all of it was written anew.
 */
export async function verifyAudit(store: Pick<Store, "readAudit">, expectedHead?: string): Promise<AuditVerdict> {
  for (let reading = 1; ; reading += 1) {
    const verifier = new AuditVerifier(expectedHead);
    let firstSeq: number | undefined;
    for await (const row of auditRows(store)) {
      firstSeq ??= row.seq;
      verifier.add(row);
    }
    const { rows, head, broken } = verifier;
    const verdict = { rows, firstSeq, head, broken };
    if (broken === undefined || reading === MAX_READINGS) return verdict;
    // What was deleted between two pages is missing from the middle, for this reader alone.
    const [first] = await store.readAudit(undefined, 1);
    if (first?.seq === firstSeq) return verdict;
  }
}

/** The rows of an audit in their order, without holding on to the database between two pages. */
export async function* auditRows(store: Pick<Store, "readAudit">): AsyncGenerator<AuditRow> {
  let after: number | undefined;
  for (;;) {
    const page = await store.readAudit(after, PAGE_ROWS);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.seq;
  }
}

/** Looks at the rows of a chain, which come in their order. */
export class AuditVerifier {
  #first: AuditRow | undefined;
  #isFirstProven = false;
  #head: AuditHead | undefined;
  #rows = 0;
  #broken: BrokenLink | undefined;
  readonly #expected: string | undefined;
  #hasExpected: boolean;

  /** `expected`: a hash that is known from before, which must be among the rows, or be what the first one follows. */
  constructor(expected?: string) {
    this.#expected = expected;
    this.#hasExpected = expected === undefined;
  }

  /** The last row; `undefined` before the first. */
  get head(): AuditHead | undefined {
    return this.#head;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Takes the next row. What comes after the first broken one is counted, and no more. */
  add(row: AuditRow): void {
    this.#rows += 1;
    const before = this.#head;
    this.#head = { seq: row.seq, hash: row.hash };
    if (row.hash === this.#expected) this.#hasExpected = true;
    if (this.#broken !== undefined) return;
    if (!isCanonical(row.facts)) this.#break(row.seq, "its facts are not as they were written");
    else if (before !== undefined) this.#follow(before, row);
    else if (row.seq === 1) this.#isFirstProven = this.#follow(undefined, row);
    else this.#first = row;
    if (row.action === PRUNED) this.#anchor(row);
  }

  /** The first row that does not fit; `undefined` when all of them do. To be asked after the last. */
  get broken(): BrokenLink | undefined {
    if (this.#broken !== undefined) return this.#broken;
    if (this.#first !== undefined && !this.#isFirstProven) {
      return { seq: this.#first.seq, reason: "no row says that what came before it was deleted by retention" };
    }
    if (this.#hasExpected) return undefined;
    const reason = "the expected head is not there: rows were taken from the end, or this is another audit";
    return { seq: (this.#head?.seq ?? 0) + 1, reason };
  }

  #follow(before: AuditHead | undefined, row: AuditRow): boolean {
    const seq = (before?.seq ?? 0) + 1;
    if (row.seq !== seq) {
      this.#break(row.seq, seq + 1 === row.seq ? `row ${seq} is missing` : `rows ${seq} to ${row.seq - 1} are missing`);
      return false;
    }
    if (linked(before, row).hash === row.hash) return true;
    this.#break(row.seq, "it is not what was written there, or the row before it is not");
    return false;
  }

  /** The chain begins after what was deleted, if that is where its first row begins. */
  #anchor({ facts }: AuditRow): void {
    const first = this.#first;
    if (first === undefined || this.#isFirstProven) return;
    const { through, hash } = JSON.parse(facts) as Partial<Pruned>;
    if (through !== first.seq - 1 || typeof hash !== "string") return;
    this.#isFirstProven = this.#follow({ seq: through, hash }, first);
    if (hash === this.#expected) this.#hasExpected = true;
  }

  #break(seq: number, reason: string): void {
    this.#broken = { seq, reason };
  }
}

/** Is it what {@link canonicalJson} makes of it? Two texts that mean the same must not stand for each other. */
function isCanonical(facts: string): boolean {
  try {
    return canonicalJson(JSON.parse(facts)) === facts;
  } catch {
    return false; // What is no JSON is what the caller is told.
  }
}
