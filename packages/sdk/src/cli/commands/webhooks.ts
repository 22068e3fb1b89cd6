import { newWebhookSecret } from "@arcp/core/webhooks";
import { forgetWebhooks, retryWebhooks, type Store, type StoredWebhook, storedWebhooks } from "@arcp/runtime";
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

interface ChoiceOptions extends Filter {
  readonly all?: boolean;
}

const EXAMPLES = `
Examples:
  arcp webhooks                            what is still to be told, and what was given up
  arcp webhooks --dead --endpoint ops
  arcp webhooks retry msg_4Yp…             have one that was given up tried again
  arcp webhooks retry --all --endpoint ops
  arcp webhooks forget --all --endpoint old
                                           take out what waits for an endpoint that is gone
  arcp webhooks secret                     make a secret for an endpoint

They work on the database, while a server uses it or without one. What was taken by its endpoint is not kept.
Exit codes: 0 success, 1 there is none of that id, or none to be tried again, 64 wrong arguments.`;

export function addWebhooks(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("webhooks")
    .description("List what is to be told over HTTP and what was given up; have that tried again, or forgotten")
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
      run(() => tryAgain(ids, retry.optsWithGlobals() as ChoiceOptions)),
    );
  command
    .command("forget")
    .description("Take webhooks out of what is to be told, whether they were given up or not")
    .argument("[ids...]", "which: msg_…")
    .option("--all", "all for the endpoint")
    .option("--endpoint <name>", "only what is for this one")
    .option("--dead", "only what was given up")
    .option(...DATABASE_OPTION)
    .action((ids: readonly string[], _options: unknown, forget: Command) =>
      run(() => takeOut(ids, forget.optsWithGlobals() as ChoiceOptions)),
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

/** Has `act` done to those that were chosen: by ids, all of which have to be there, or by the filter. */
async function withChosen(
  ids: readonly string[],
  options: ChoiceOptions,
  missing: (id: string) => string,
  act: (store: Store, chosen: readonly StoredWebhook[]) => Promise<string>,
): Promise<ExitCode> {
  if ((ids.length === 0) !== (options.all === true)) throw new UsageError("expected ids of webhooks, or --all");
  return withWritableDatabase(chosenDatabase(options.db), async (store) => {
    const chosen: StoredWebhook[] = [];
    for await (const webhook of storedWebhooks(store)) {
      if (fits(webhook, options) && (options.all === true || ids.includes(webhook.id))) chosen.push(webhook);
    }
    const absent = ids.find((id) => !chosen.some((webhook) => webhook.id === id));
    if (absent !== undefined) throw new Error(missing(absent));
    process.stdout.write(`${await act(store, chosen)}\n`);
    return EXIT.success;
  });
}

const tryAgain = (ids: readonly string[], options: ChoiceOptions): Promise<ExitCode> =>
  withChosen(
    ids,
    { ...options, dead: true },
    (id) => `no webhook ${id} was given up: \`arcp webhooks --dead\` lists them`,
    async (store, chosen) => {
      const count = await retryWebhooks(store, chosen, Date.now());
      return `${amount(count)} of them ${count === 1 ? "is" : "are"} tried again`;
    },
  );

async function takeOut(ids: readonly string[], options: ChoiceOptions): Promise<ExitCode> {
  if (options.all === true && options.endpoint === undefined) throw new UsageError("--all needs --endpoint");
  return withChosen(
    ids,
    options,
    (id) => `there is no webhook ${id}: \`arcp webhooks\` lists them`,
    async (store, chosen) => {
      await forgetWebhooks(store, chosen, Date.now());
      return `${amount(chosen.length)} of them ${chosen.length === 1 ? "is" : "are"} forgotten`;
    },
  );
}
