/** The commands of `arcp`. */
import { Command } from "commander";
import type { ExitCode } from "./exit-code.ts";
import { version, WIRE_VERSIONS } from "./version.ts";

const ABOUT = `arcp ${version} (wire ${WIRE_VERSIONS.join(" and ")}, Node ${process.versions.node})`;

const HELP = `
Start here:
  arcp init my-agents
  arcp serve --agent echo=./echo.ts
  arcp submit echo --input '{"hello":"world"}'

Environment:
  ARCP_URL     where the runtime listens (default: ws://127.0.0.1:7777/arcp)
  ARCP_TOKEN   the token to show; for serve, those to let in: TOKEN[=PRINCIPAL], separated by commas
  ARCP_GATEWAY_MASTER_KEY  for gateway: what lets an administrator make keys
  ARCP_DB      the database, where --db does not say which: a file, or postgresql://…
  ARCP_DB_KEY  the keys of an encrypted database: base64 of 32 bytes each, the one in use first, separated by commas
  ARCP_WEBHOOK_SECRET  for serve --webhook: whsec_…; while it is changed both, separated by commas
  ARCP_DEBUG   anything: errors come with their stack
  NO_COLOR     anything: no colours

Exit codes: 0 success, 1 error, 2 the job failed, 64 wrong arguments, 130 interrupted.`;

/** In the order of the help. Only the modules of the command that is called are loaded: that is most of its start. */
const COMMANDS = {
  init: async () => (await import("./commands/init.ts")).addInit,
  serve: async () => (await import("./commands/serve.ts")).addServe,
  submit: async () => (await import("./commands/submit.ts")).addSubmit,
  jobs: async () => (await import("./commands/jobs.ts")).addJobs,
  top: async () => (await import("./commands/top.ts")).addTop,
  watch: async () => (await import("./commands/watch.ts")).addWatch,
  tail: async () => (await import("./commands/tail.ts")).addTail,
  cancel: async () => (await import("./commands/cancel.ts")).addCancel,
  interrupt: async () => (await import("./commands/interrupt.ts")).addInterrupt,
  send: async () => (await import("./commands/send.ts")).addSend,
  respond: async () => (await import("./commands/respond.ts")).addRespond,
  artifact: async () => (await import("./commands/artifact.ts")).addArtifact,
  schedule: async () => (await import("./commands/schedule.ts")).addSchedule,
  replay: async () => (await import("./commands/replay.ts")).addReplay,
  audit: async () => (await import("./commands/audit.ts")).addAudit,
  agents: async () => (await import("./commands/agents.ts")).addAgents,
  lease: async () => (await import("./commands/lease.ts")).addLease,
  gateway: async () => (await import("./commands/gateway.ts")).addGateway,
  credentials: async () => (await import("./commands/credentials.ts")).addCredentials,
  db: async () => (await import("./commands/db.ts")).addDb,
  token: async () => (await import("./commands/token.ts")).addToken,
  nodes: async () => (await import("./commands/nodes.ts")).addNodes,
  drain: async () => (await import("./commands/drain.ts")).addDrain,
  conformance: async () => (await import("./commands/conformance.ts")).addConformance,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
  webhooks: async () => (await import("./commands/webhooks.ts")).addWebhooks,
  completion: async () => (await import("./commands/completion.ts")).addCompletion,
  __complete: async () => (await import("./commands/completion.ts")).addComplete(createProgram),
} as const;

/** With the command that is called, or all of them: to list them, or to tell which one was meant. */
export async function createProgram(called: string): Promise<Command> {
  const program = new Command("arcp")
    .description("Agent Runtime Control Protocol: run agents, submit jobs, watch them, and read what happened")
    .version(ABOUT, "-V, --version", "print the version")
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      outputError: (text, write) =>
        write(
          `arcp: ${text
            .replace(/^error: /, "")
            .trim()
            .replaceAll("\n", " ")}\n`,
        ),
    })
    .addHelpText("after", HELP);
  for (const load of neededFor(called)) (await load())(program, run);
  program
    .command("version")
    .description("Print the version")
    .action(() => {
      process.stdout.write(`${ABOUT}\n`);
    });
  return program;
}

/** The version needs no command. */
function neededFor(called: string): (typeof COMMANDS)[keyof typeof COMMANDS][] {
  if (["version", "--version", "-V"].includes(called)) return [];
  return Object.hasOwn(COMMANDS, called) ? [COMMANDS[called as keyof typeof COMMANDS]] : Object.values(COMMANDS);
}

async function run(work: () => Promise<ExitCode>): Promise<void> {
  process.exitCode = await work();
}
