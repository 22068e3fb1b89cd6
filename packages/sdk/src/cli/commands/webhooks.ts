import { newWebhookSecret } from "@arcp/core/webhooks";
import { retryWebhooks, type StoredWebhook, storedWebhooks } from "@arcp/runtime";
import type { Command } from "commander";
import { chosenDatabase, DATABASE_OPTION, openDatabase, withWritableDatabase } from "../database.ts";
import { escapeLine } from "../escape.ts";
import { amount } from "../event-line.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { printJson } from "../json-view.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Filter {
  readonly db?: string;
  readonly endpoint?: string;
  readonly dead?: boolean;
  readonly json?: boolean;
}

interface RetryOptions extends Filter {
  readonly all?: boolean;
}

const EXAMPLES = `
Examples:
  arcp webhooks                            what is still to be told, and what was given up
  arcp webhooks --dead --endpoint ops
  arcp webhooks retry msg_4Yp…             have one that was given up tried again
  arcp webhooks retry --all --endpoint ops
  arcp webhooks secret                     make a secret for an endpoint

They work on the database, while a server uses it or without one. What was taken by its endpoint is not kept.
Exit codes: 0 success, 1 there is none of that id, or it was not given up, 64 wrong arguments.`;

export function addWebhooks(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("webhooks")
    .description("List what is to be told over HTTP and what was given up, and have that tried again")
    .option(...DATABASE_OPTION)
    .option("--endpoint <name>", "only what is for this one")
    .option("--dead", "only what was given up")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES)
    .action((options: Filter) => run(() => list(options)));
  command
    .command("retry")
    .description("Have webhooks that were given up tried again, as long as new ones")
    .argument("[ids...]", "which: msg_…")
    .option("--all", "all that were given up")
    .option("--endpoint <name>", "only what is for this one")
    .option(...DATABASE_OPTION)
    .action((ids: readonly string[], _options: unknown, retry: Command) =>
      run(() => tryAgain(ids, retry.optsWithGlobals() as RetryOptions)),
    );
  command
    .command("secret")
    .description("Print a new secret for an endpoint")
    .action(() =>
      run(async () => {
        process.stdout.write(`${newWebhookSecret()}\n`);
        return EXIT.success;
      }),
    );
}

const fits = ({ endpoint, state }: StoredWebhook, filter: Filter): boolean =>
  (filter.endpoint === undefined || filter.endpoint === endpoint) && (filter.dead !== true || state === "dead");

async function list(options: Filter): Promise<ExitCode> {
  const store = await openDatabase(chosenDatabase(options.db));
  const isJson = options.json ?? !process.stdout.isTTY;
  const rows: string[][] = [];
  try {
    for await (const webhook of storedWebhooks(store)) {
      if (!fits(webhook, options)) continue;
      if (isJson) await printJson(process.stdout, shown(webhook));
      else rows.push(cellsOf(webhook).map(escapeLine));
    }
  } finally {
    await store.close();
  }
  const terminal = new Terminal(process.stdout);
  const heading = ["WEBHOOK", "ENDPOINT", "EVENT", "JOB", "STATE", "ATTEMPTS", "LAST ERROR", "NEXT"];
  if (!isJson) await terminal.print(rows.length === 0 ? "nothing waits to be told" : table(terminal, heading, rows));
  return EXIT.success;
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

const shown = ({
  id,
  endpoint,
  type,
  state,
  jobId,
  principal,
  attempts,
  lastError,
  createdAt,
  dueAt,
}: StoredWebhook) => ({
  ...{ type: "webhook", id, endpoint, event: type, state, job_id: jobId, principal, attempts, last_error: lastError },
  ...{ created_at: isoTime(createdAt), next_at: state === "dead" ? null : isoTime(dueAt) },
});

const cellsOf = ({ id, endpoint, type, jobId, state, attempts, lastError, dueAt }: StoredWebhook): string[] => [
  ...[id, endpoint, type, jobId, state, String(attempts), lastError ?? "-"],
  state === "dead" ? "-" : isoTime(dueAt),
];

async function tryAgain(ids: readonly string[], options: RetryOptions): Promise<ExitCode> {
  if ((ids.length === 0) !== (options.all === true)) throw new UsageError("expected ids of webhooks, or --all");
  return withWritableDatabase(chosenDatabase(options.db), async (store) => {
    const found: StoredWebhook[] = [];
    for await (const webhook of storedWebhooks(store)) {
      if (fits(webhook, { ...options, dead: true }) && (options.all === true || ids.includes(webhook.id))) {
        found.push(webhook);
      }
    }
    const missing = ids.find((id) => !found.some((webhook) => webhook.id === id));
    if (missing !== undefined)
      throw new Error(`no webhook ${missing} was given up: \`arcp webhooks --dead\` lists them`);
    const count = await retryWebhooks(store, found, Date.now());
    process.stdout.write(`${amount(count)} of them ${count === 1 ? "is" : "are"} tried again\n`);
    return EXIT.success;
  });
}
