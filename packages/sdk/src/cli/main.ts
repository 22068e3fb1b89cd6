/** The `arcp` command. */
import { Command } from "commander";
import { addAgents } from "./commands/agents.ts";
import { addArtifact } from "./commands/artifact.ts";
import { addAudit } from "./commands/audit.ts";
import { addCancel } from "./commands/cancel.ts";
import { addCredentials } from "./commands/credentials.ts";
import { addDb } from "./commands/db.ts";
import { addDrain } from "./commands/drain.ts";
import { addGateway } from "./commands/gateway.ts";
import { addInterrupt } from "./commands/interrupt.ts";
import { addJobs } from "./commands/jobs.ts";
import { addNodes } from "./commands/nodes.ts";
import { addReplay } from "./commands/replay.ts";
import { addRespond } from "./commands/respond.ts";
import { addSchedule } from "./commands/schedule.ts";
import { addSend } from "./commands/send.ts";
import { addServe } from "./commands/serve.ts";
import { addSubmit } from "./commands/submit.ts";
import { addTail } from "./commands/tail.ts";
import { addToken } from "./commands/token.ts";
import type { ExitCode } from "./exit-code.ts";
import { reportFailure } from "./failure.ts";
import { version, WIRE_VERSIONS } from "./version.ts";

const ABOUT = `arcp ${version} (wire ${WIRE_VERSIONS.join(" and ")}, Node ${process.versions.node})`;

const HELP = `
Start here:
  arcp serve --agent echo=./echo.ts
  arcp submit echo --input '{"hello":"world"}'

Environment:
  ARCP_URL     where the runtime listens (default: ws://127.0.0.1:7777/arcp)
  ARCP_TOKEN   the token to show; for serve, those to let in: TOKEN[=PRINCIPAL], separated by commas
  ARCP_GATEWAY_MASTER_KEY  for gateway: what lets an administrator make keys
  ARCP_DB      the database, where --db does not say which: a file, or postgresql://…
  ARCP_DB_KEY  the keys of an encrypted database: base64 of 32 bytes each, the one in use first, separated by commas
  ARCP_DEBUG   anything: errors come with their stack
  NO_COLOR     anything: no colours

Exit codes: 0 success, 1 error, 2 the job failed, 64 wrong arguments, 130 interrupted.`;

function createProgram(): Command {
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
  for (const add of [
    addServe,
    addSubmit,
    addJobs,
    addTail,
    addCancel,
    addInterrupt,
    addSend,
    addRespond,
    addArtifact,
    addSchedule,
    addReplay,
    addAudit,
    addAgents,
    addGateway,
    addCredentials,
    addDb,
    addToken,
    addNodes,
    addDrain,
  ])
    add(program, run);
  program
    .command("version")
    .description("Print the version")
    .action(() => {
      process.stdout.write(`${ABOUT}\n`);
    });
  return program;
}

async function run(work: () => Promise<ExitCode>): Promise<void> {
  process.exitCode = await work();
}

/** A reader that has seen enough (`| head`) is no error. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  const program = createProgram();
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (thrown) {
  process.exitCode = reportFailure(thrown);
}
