import { type AuditRow, auditRows, type Store, verifyAudit } from "@arcp/runtime";
import { type Command, InvalidArgumentError } from "commander";
import { parseCount } from "../count.ts";
import { chosenDatabase, DATABASE_OPTION, openDatabase } from "../database.ts";
import { escapeLine } from "../escape.ts";
import { amount } from "../event-line.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { readPastInstant } from "../instant.ts";
import { readJobId } from "../job-id.ts";
import { printJson } from "../json-view.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Options {
  readonly db?: string;
  readonly action: readonly string[];
  readonly principal?: string;
  readonly job?: string;
  readonly session?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

interface VerifyOptions {
  readonly db?: string;
  readonly head?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp audit --since 1d                          the last day
  arcp audit --action session.refused            who was not let in
  arcp audit --action 'credential.*' --job job_01J…
  arcp audit --principal alice --limit 50        the last 50 acts of one principal
  arcp audit verify                              is it as it was written?
  arcp audit verify --head "$(cat head-of-yesterday)"

Reads the database only, while a server uses it or without one.`;

const VERIFY_EXAMPLES = `
Examples:
  arcp audit verify --json | jq -r .head.hash >> heads     to be kept where nobody can write who can write the database
  arcp audit verify --head "$(tail -1 heads)"

Without --head nothing tells that rows are missing from the end, or that all of them were written anew.
Exit codes: 0 every row is as it was written, 1 one is not.`;

/** Rows of a table: its columns are as wide as these need. */
const TABLE_ROWS = 500;

export function addAudit(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("audit")
    .description("Print who did what, from the database of a runtime, offline: the oldest first")
    .option(...DATABASE_OPTION)
    .option("--action <action>", "only this one, or those of a kind: 'session.*'; repeatable", collect, [])
    .option("--principal <principal>", "only what this one did")
    .option("--job <job>", "only what concerns this job")
    .option("--session <session>", "only what this session did")
    .option("--since <time>", "from then on: RFC 3339, or before now: 90s, 30m, 2h, 1d")
    .option("--until <time>", "up to then, not included")
    .option("--limit <count>", "the latest so many", parseCount)
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => run(() => audit(options)));
  command
    .command("verify")
    .description("Check that no row was changed, taken out, put in or moved")
    .option(...DATABASE_OPTION)
    .option("--head <hash>", "the hash of a row that was the last one once, and must be there still", parseHash)
    .option("--json", "a line of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", VERIFY_EXAMPLES)
    .action((_options: unknown, verify: Command) => run(() => verifyRows(verify.optsWithGlobals() as VerifyOptions)));
}

async function audit(options: Options): Promise<ExitCode> {
  const matches = filterOf(options);
  const store = await openDatabase(chosenDatabase(options.db));
  try {
    const print = (options.json ?? !process.stdout.isTTY) ? printLines : printTables;
    await print(latest(matching(store, matches), options.limit));
    return EXIT.success;
  } finally {
    await store.close();
  }
}

type Matches = (row: AuditRow) => boolean;

function filterOf({ action, principal, job, session, since, until }: Options): Matches {
  const jobId = job === undefined ? undefined : readJobId(job);
  const from = since === undefined ? Number.NEGATIVE_INFINITY : readPastInstant(since, "--since").getTime();
  const to = until === undefined ? Number.POSITIVE_INFINITY : readPastInstant(until, "--until").getTime();
  const isWanted = (name: string): boolean =>
    action.length === 0 || action.some((one) => (one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : name === one));
  return (row) =>
    row.at >= from &&
    row.at < to &&
    isWanted(row.action) &&
    (principal === undefined || row.principal === principal) &&
    (jobId === undefined || row.jobId === jobId) &&
    (session === undefined || row.sessionId === session);
}

async function* matching(store: Store, matches: Matches): AsyncIterable<AuditRow> {
  for await (const row of auditRows(store)) if (matches(row)) yield row;
}

async function* latest(rows: AsyncIterable<AuditRow>, limit: number | undefined): AsyncIterable<AuditRow> {
  if (limit === undefined) return yield* rows;
  const kept: AuditRow[] = [];
  for await (const row of rows) {
    kept.push(row);
    if (kept.length > 2 * limit) kept.splice(0, kept.length - limit);
  }
  yield* kept.slice(-limit);
}

async function printLines(rows: AsyncIterable<AuditRow>): Promise<void> {
  for await (const row of rows) await printJson(process.stdout, wireForm(row));
}

/** What is hashed of a row has the same members, but for the time, which is in milliseconds there. */
const wireForm = ({ seq, at, action, principal, sessionId, jobId, remoteAddress, traceId, facts, hash }: AuditRow) => ({
  ...{ seq, at: isoTime(at), action, principal, session_id: sessionId, job_id: jobId },
  ...{ remote_address: remoteAddress, trace_id: traceId, facts: factsOf(facts), hash },
});

async function printTables(rows: AsyncIterable<AuditRow>): Promise<void> {
  const terminal = new Terminal(process.stdout);
  const heading = ["SEQ", "TIME", "WHO", "ACTION", "JOB OR SESSION", "FACTS"];
  let cells: string[][] = [];
  let count = 0;
  for await (const row of rows) {
    count += 1;
    cells.push(cellsOf(row).map(escapeLine));
    if (cells.length < TABLE_ROWS) continue;
    await terminal.print(table(terminal, heading, cells));
    cells = [];
  }
  if (cells.length > 0) await terminal.print(table(terminal, heading, cells));
  if (count === 0) await terminal.print("nothing that fits");
}

const cellsOf = (row: AuditRow): string[] => [
  ...[String(row.seq), isoTime(row.at), row.principal || row.remoteAddress || "-"],
  ...[row.action, row.jobId ?? row.sessionId ?? "-", factsLine(row.facts)],
];

/** What somebody else has written there is not JSON, or says another time than there is. */
function factsOf(facts: string): unknown {
  try {
    return JSON.parse(facts);
  } catch {
    return facts;
  }
}

function factsLine(facts: string): string {
  const value = factsOf(facts);
  if (typeof value !== "object" || value === null) return facts;
  return Object.entries(value)
    .map(([name, fact]) => `${name}=${typeof fact === "string" ? fact : JSON.stringify(fact)}`)
    .join(" ");
}

const MAX_TIME = 8.64e15;
const isoTime = (ms: number): string => (Math.abs(ms) <= MAX_TIME ? new Date(ms).toISOString() : String(ms));

async function verifyRows({ db, head: expected, json }: VerifyOptions): Promise<ExitCode> {
  const store = await openDatabase(chosenDatabase(db));
  try {
    const { rows, firstSeq, head, broken } = await verifyAudit(store, expected);
    if (json ?? !process.stdout.isTTY) {
      const verdict = { is_whole: broken === undefined, rows, first_seq: firstSeq, head, broken };
      await printJson(process.stdout, verdict);
    } else {
      const lines = [
        rows === 0 || head === undefined
          ? "no rows"
          : `${amount(rows)} rows, ${firstSeq} to ${head.seq}\nhead ${escapeLine(head.hash)}`,
        broken === undefined ? "whole" : `broken at row ${broken.seq}: ${broken.reason}`,
      ];
      await new Terminal(process.stdout).print(lines.join("\n"));
    }
    if (broken !== undefined)
      process.stderr.write(`arcp: the audit is broken at row ${broken.seq}: ${broken.reason}\n`);
    return broken === undefined ? EXIT.success : EXIT.failure;
  } finally {
    await store.close();
  }
}

const collect = (text: string, before: readonly string[]): readonly string[] => [...before, text];

function parseHash(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new InvalidArgumentError("Expected 64 hexadecimal digits.");
  return text;
}
