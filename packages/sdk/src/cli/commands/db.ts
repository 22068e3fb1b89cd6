import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import type { Writable } from "node:stream";
import {
  backUpDatabase,
  checkDatabase,
  compactDatabase,
  type DatabaseProblem,
  type DatabaseSummary,
  exportDatabase,
  fileBlobs,
  rekeyDatabase,
  StoreError,
} from "@arcp/runtime";
import type { Command } from "commander";
import {
  artifactsOf,
  chosenDatabase,
  DATABASE_OPTION,
  DEFAULT_DATABASE,
  databaseError,
  databaseKeys,
} from "../database.ts";
import { escapeLine } from "../escape.ts";
import { amount } from "../event-line.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { printJson } from "../json-view.ts";
import { isPostgres } from "../postgres.ts";
import { Terminal } from "../terminal.ts";

interface Given {
  readonly db?: string;
  readonly json?: boolean;
  readonly content?: boolean;
  readonly output?: string;
}

interface Options extends Given {
  readonly db: string;
}

const EXAMPLES = `
Examples:
  arcp db check                        is everything in ./${DEFAULT_DATABASE} what it should be?
  arcp db check --content --json       contents of artifacts are read, too; one line of JSON
  arcp db backup /backup/monday.db     a copy of the database and of its artifacts, while a runtime uses them
  arcp db export | gzip > all.jsonl.gz everything as lines of JSON
  arcp db compact                      gives the room of what was deleted back; no runtime may be running
  ARCP_DB_KEY=NEW,OLD arcp db rekey    encrypts everything with the first key; no runtime may be running

ARCP_DB_KEY has the keys of an encrypted database: 32 bytes each in base64, as \`openssl rand -base64 32\` prints them,
the one in use first, separated by commas. docs/storage.md says more. These commands are for files: a database on PostgreSQL
is looked after with what PostgreSQL has for that.`;

type Run = (work: () => Promise<ExitCode>) => Promise<void>;

export function addDb(program: Command, run: Run): void {
  const db = program.command("db").description("Look after the database of a runtime").addHelpText("after", EXAMPLES);
  const add = (name: string, description: string): Command =>
    db
      .command(name)
      .description(description)
      .option(...DATABASE_OPTION);
  add("check", "Look whether everything in the database is what it should be")
    .option("--content", "read the contents of artifacts, and compare their digests")
    .option("--json", "one line of JSON")
    .action((options: Given) => run(() => check(onFile(options))));
  add("backup", "Copy the database and its artifacts, while a runtime uses them or not")
    .argument("<file>", "the copy, which is not there yet")
    .action((target: string, options: Given) => run(() => backup(target, onFile(options))));
  add("export", "Print everything in the database as lines of JSON")
    .option("-o, --output <file>", "into this file, which is not there yet")
    .action((options: Given) => run(() => exportLines(onFile(options))));
  add("compact", "Give back the room of what was deleted")
    .option("--json", "one line of JSON")
    .action((options: Given) => run(() => compact(onFile(options))));
  add("rekey", "Encrypt everything with the first key of ARCP_DB_KEY, and forget the others")
    .option("--json", "one line of JSON")
    .action((options: Given) => run(() => rekey(onFile(options))));
}

async function check({ db, content = false, json = false }: Options): Promise<ExitCode> {
  const problems: DatabaseProblem[] = [];
  const summary = await onDatabase(db, () => summaryOf(db, content, problems));
  if (json) await printJson(process.stdout, { ok: problems.length === 0, ...summary, problems });
  else await printProblems(db, summary, problems);
  return problems.length === 0 ? EXIT.success : EXIT.failure;
}

/** A file that cannot be read on is a problem like any other, if it was said which. */
async function summaryOf(db: string, content: boolean, problems: DatabaseProblem[]): Promise<Partial<DatabaseSummary>> {
  const directory = artifactsOf(db);
  const encryptionKeys = databaseKeys();
  await using blobs = existsSync(directory) ? fileBlobs({ directory, encryptionKeys }) : undefined;
  const options = { path: db, encryptionKeys, readsBlobs: content, ...(blobs === undefined ? {} : { blobs }) };
  try {
    return await checkDatabase(options, (problem) => problems.push(problem));
  } catch (error) {
    if (problems.length === 0) throw error;
    return {};
  }
}

async function printProblems(
  db: string,
  { jobs, entries, sessions, records, auditRows, blobs }: Partial<DatabaseSummary>,
  problems: readonly DatabaseProblem[],
): Promise<void> {
  const terminal = new Terminal(process.stdout);
  for (const { subject, message } of problems) await terminal.print(escapeLine(`${subject}: ${message}`));
  if (jobs !== undefined) {
    const looked =
      `jobs: ${amount(jobs)}, entries: ${amount(entries ?? 0)}, sessions: ${amount(sessions ?? 0)}, ` +
      `records: ${amount(records ?? 0)}, rows of the audit: ${amount(auditRows ?? 0)}, contents: ${amount(blobs ?? 0)}`;
    await terminal.print(terminal.style("gray", looked));
  }
  const count = problems.length;
  if (count === 0) return terminal.print(`${db} is as it should be`);
  return terminal.print(`${db} has ${count === 1 ? "a problem" : `${amount(count)} problems`}: restore a backup of it`);
}

async function backup(target: string, { db }: Options): Promise<ExitCode> {
  await onDatabase(db, () =>
    backUpDatabase({ path: db, blobDirectory: artifactsOf(db), target, blobTarget: artifactsOf(target) }),
  );
  await new Terminal(process.stdout).print(`${db} is copied to ${target}`);
  return EXIT.success;
}

async function exportLines({ db, output }: Options): Promise<ExitCode> {
  const stream = output === undefined ? process.stdout : createWriteStream(output, { flags: "wx", mode: 0o600 });
  if (stream !== process.stdout) await once(stream, "open");
  await onDatabase(db, async () => {
    for (const line of exportDatabase({ path: db, encryptionKeys: databaseKeys() })) await write(stream, `${line}\n`);
  });
  if (stream !== process.stdout) {
    stream.end();
    await once(stream, "close");
  }
  return EXIT.success;
}

async function write(stream: Writable, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, "drain");
}

async function compact({ db, json = false }: Options): Promise<ExitCode> {
  const { before, after } = await onDatabase(db, () => compactDatabase(db));
  if (json) await printJson(process.stdout, { before, after });
  else await new Terminal(process.stdout).print(`${db}: ${amount(before)} bytes before, ${amount(after)} after`);
  return EXIT.success;
}

async function rekey({ db, json = false }: Options): Promise<ExitCode> {
  const encryptionKeys = databaseKeys();
  if (encryptionKeys.length === 0) {
    throw new UsageError("ARCP_DB_KEY has no key; `openssl rand -base64 32` makes one");
  }
  const { rows, blobs } = await onDatabase(db, () =>
    rekeyDatabase({ path: db, encryptionKeys, blobDirectory: artifactsOf(db) }),
  );
  if (json) await printJson(process.stdout, { rows, blobs });
  else await new Terminal(process.stdout).print(`${db}: rows encrypted: ${amount(rows)}, contents: ${amount(blobs)}`);
  return EXIT.success;
}

/** Throws {@link UsageError} where there is no file. */
function onFile(given: Given): Options {
  const db = chosenDatabase(given.db);
  if (isPostgres(db)) {
    throw new UsageError(
      "`arcp db` is for files; PostgreSQL has tools of its own for that, pg_dump and amcheck among them (docs/cluster.md)",
    );
  }
  if (!existsSync(db)) throw new UsageError(`there is no file ${db}; --db says where the database is`);
  return { ...given, db };
}

/** What `work` returns. Throws an error that names the file. */
async function onDatabase<Result>(path: string, work: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StoreError && error.reason === "locked") {
      throw new Error(`${error.message}: stop that first`, { cause: error });
    }
    throw databaseError(path, error);
  }
}
