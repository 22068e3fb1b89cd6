import { type CredentialRecord, isShared, type Store } from "@arcp/runtime";
import type { Command } from "commander";
import { chosenDatabase, DATABASE_OPTION, openDatabase } from "../database.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { printJson } from "../json-view.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Options {
  readonly db?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

const PAGE = 500;

const EXAMPLES = `
Examples:
  arcp credentials                     those that ought to be dead and are not known to be
  arcp credentials --all               every one that there was
  arcp credentials --json | jq -r .alias
  arcp credentials --json | jq -r 'select(.orphaned) | .provisioner'

Orphaned are those of nodes that are gone, if no living node has their provisioner: nobody revokes them.

Reads the database only, while a server uses it or without one. It holds no secrets: an alias is the name that the
upstream knows a credential by.`;

export function addCredentials(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("credentials")
    .description("List the credentials of jobs that could not be revoked yet, from a database")
    .option(...DATABASE_OPTION)
    .option("--all", "those that are in use, and those that are dead, too")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => run(() => credentials(options)));
}

async function credentials(options: Options): Promise<ExitCode> {
  const store = await openDatabase(chosenDatabase(options.db));
  try {
    const isJson = options.json ?? !process.stdout.isTTY;
    const rows: string[][] = [];
    for await (const { record, isOrphaned } of listed(store, options.all === true)) {
      if (isJson) await printJson(process.stdout, { ...wireForm(record), orphaned: isOrphaned });
      else rows.push(cells(record, isOrphaned));
    }
    if (!isJson) await printTable(rows);
    return EXIT.success;
  } finally {
    await store.close();
  }
}

interface Listed {
  readonly record: CredentialRecord;
  /** Is it of a node that is gone, and has nobody taken it to revoke it? */
  readonly isOrphaned: boolean;
}

/** What is intended but not known to be issued may exist at the upstream: it counts as not revoked, and so does what is orphaned. */
async function* listed(store: Store, isAll: boolean): AsyncIterable<Listed> {
  const orphans = isShared(store) ? await store.orphanedCredentials() : [];
  const aliases = new Set(orphans.map(({ alias }) => alias));
  for (const record of orphans) yield { record, isOrphaned: true };
  for await (const record of stored(store, isAll)) if (!aliases.has(record.alias)) yield { record, isOrphaned: false };
}

async function* stored(store: Store, isAll: boolean): AsyncIterable<CredentialRecord> {
  const states = isAll ? {} : ({ states: ["intended", "revoking"] } as const);
  let after: { readonly after?: { readonly createdAt: number; readonly alias: string } } = {};
  for (;;) {
    const page = await store.listCredentials({ ...states, ...after, limit: PAGE });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = { after: { createdAt: last.createdAt, alias: last.alias } };
  }
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** When the credential got into the state in which it is. */
const since = ({ revokedAt, revokingSince, issuedAt, createdAt }: CredentialRecord): string =>
  isoTime(revokedAt ?? revokingSince ?? issuedAt ?? createdAt);

const wireForm = (record: CredentialRecord): object => ({
  credential_id: record.credentialId,
  alias: record.alias,
  job_id: record.jobId,
  provisioner: record.provisioner,
  state: record.state,
  since: since(record),
  attempts: record.attempts,
  last_error: record.lastError,
});

const cells = (record: CredentialRecord, isOrphaned: boolean): string[] =>
  [
    ...[record.credentialId, record.alias, record.jobId, record.provisioner],
    ...[isOrphaned ? `${record.state}, orphaned` : record.state, since(record)],
    ...[String(record.attempts), record.lastError ?? ""],
  ].map(escapeLine);

async function printTable(rows: readonly string[][]): Promise<void> {
  const terminal = new Terminal(process.stdout);
  const heading = ["CREDENTIAL", "ALIAS", "JOB", "PROVISIONER", "STATE", "SINCE", "ATTEMPTS", "LAST ERROR"];
  return terminal.print(rows.length === 0 ? "no credentials" : table(terminal, heading, rows));
}
