/** `arcp doctor`: looks at everything that `arcp` needs, and says how to mend what is wrong. */
import { dirname } from "node:path";
import { isLoopbackHost } from "@arcp/core";
import type { Command } from "commander";
import { databaseOf } from "../data.ts";
import { DEFAULT_DATABASE } from "../database.ts";
import { Check, exitCodeOf, type Finding, type Level, worstOf } from "../doctor/finding.ts";
import { checkDisk, checkNode, checkPackages, OWN_DIRECTORY } from "../doctor/machine.ts";
import { checkPort, checkRuntime, clockSkewMs, isRuntimeAt, judgeClock } from "../doctor/network.ts";
import { checkAccess, checkAgents, checkConfiguration, checkTls, tlsPaths } from "../doctor/settings.ts";
import { checkDatabase } from "../doctor/storage.ts";
import type { WebSocketEndpoint } from "../endpoint.ts";
import { escapeLine } from "../escape.ts";
import type { ExitCode } from "../exit-code.ts";
import { printJson } from "../json-view.ts";
import { isPostgres } from "../postgres.ts";
import type { RuntimeAddress } from "../runtime-address.ts";
import { Terminal } from "../terminal.ts";
import { DEPENDENCIES, NODE_RANGE, version } from "../version.ts";

interface Options {
  readonly config?: string;
  readonly db?: string;
  readonly bind?: string;
  readonly host?: string;
  readonly port?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly url?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly allowInsecure?: boolean;
  readonly strict?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp doctor                                what \`arcp serve\` would meet in this directory
  arcp doctor --url wss://arcp.example.com/arcp
  arcp doctor --json | jq -r '.checks[] | select(.level != "ok").fix'

Exit code: 0 where nothing is wrong, 1 for a ✗, and with --strict for a ! as well.`;

export function addDoctor(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("doctor")
    .description("Look for what is wrong, and say how to mend it")
    .option("--config <file>", "as of `arcp serve`")
    .option("--db <database>", `as of \`arcp serve\`; else ARCP_DB (default: ${DEFAULT_DATABASE})`)
    .option("--bind <host:port>", "as of `arcp serve`")
    .option("--host <host>", "as of `arcp serve`")
    .option("-p, --port <port>", "as of `arcp serve`")
    .option("--tls-cert <file>", "as of `arcp serve`")
    .option("--tls-key <file>", "as of `arcp serve`")
    .option("--uri, --url <url>", "a runtime that should answer; else ARCP_URL")
    .option("--token <token>", "to show there; other users can see it: prefer ARCP_TOKEN or --token-file")
    .option("--token-file <file>", "file whose first line is the token to show there")
    .option("--allow-insecure", "as of `arcp serve`; and send the token over ws:// beyond this machine")
    .option("--strict", "a warning counts as an error")
    .option("--json", "one line of JSON")
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => run(() => doctor(options)));
}

async function doctor(options: Options): Promise<ExitCode> {
  const findings = await examine(options);
  const worst = worstOf(findings);
  if (options.json === true) await printJson(process.stdout, { ok: worst !== "error", worst, checks: findings });
  else await printFindings(findings);
  const code = exitCodeOf(worst, options.strict === true);
  // Agents that were loaded may have begun something that goes on.
  process.stdout.write("", () => process.exit(code));
  return code;
}

async function examine(options: Options): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const about = (name: string): Check => new Check(name, findings);
  checkNode(about("node"), process.versions.node, NODE_RANGE);
  checkPackages(about("packages"), { own: OWN_DIRECTORY, version, needed: DEPENDENCIES, project: process.cwd() });
  const url = options.url ?? (process.env["ARCP_URL"] || undefined);
  const loaded = await checkConfiguration(about("config"), options.config);
  if (loaded !== undefined) {
    await checkAgents(about("agents"), loaded);
    const { token: _, tokenFile: __, ...ofServe } = options;
    const access = await checkAccess(about("auth"), ofServe, loaded);
    const paths = tlsPaths(options, loaded);
    if (paths !== undefined) await checkTls(about("tls"), ...paths, Date.now());
    const storage = about("database");
    const database = await storage.attempt(() => databaseOf(options, loaded), "--db says which");
    if (database !== undefined) {
      await checkDatabase(storage, database, loaded.config.postgres);
      await checkDisk(about("disk"), isPostgres(database) || database === ":memory:" ? "." : dirname(database));
    }
    const webSocket = access?.endpoint.carrier === "listeners" ? access.endpoint.webSocket : undefined;
    if (webSocket !== undefined) {
      const own = { ...options, url: urlOf(webSocket) };
      const isRuntime = await checkPort(about("port"), webSocket.host, webSocket.port, () => isRuntimeAt(own));
      if (isRuntime && url === undefined) await checkAt(own, about);
    }
  }
  if (url !== undefined) await checkAt({ ...options, url }, about);
  return findings;
}

async function checkAt(address: RuntimeAddress, about: (name: string) => Check): Promise<void> {
  await checkRuntime(about("runtime"), address);
  const skewMs = await clockSkewMs(address.url);
  if (skewMs !== undefined) judgeClock(about("clock"), skewMs);
}

/** Where a client on this machine finds it. */
function urlOf({ host, port, path, isEncrypted }: WebSocketEndpoint): string {
  const name = isLoopbackHost(host) ? host : "127.0.0.1";
  return `${isEncrypted ? "wss" : "ws"}://${name.includes(":") ? `[${name}]` : name}:${port}${path}`;
}

const SYMBOLS: Readonly<Record<Level, readonly [symbol: string, style: "green" | "yellow" | "red"]>> = {
  ok: ["✓", "green"],
  warning: ["!", "yellow"],
  error: ["✗", "red"],
};

async function printFindings(findings: readonly Finding[]): Promise<void> {
  const terminal = new Terminal(process.stdout);
  const width = Math.max(...findings.map(({ check }) => check.length));
  for (const { check, level, message, fix } of findings) {
    const [symbol, style] = SYMBOLS[level];
    await terminal.print(`${terminal.style(style, symbol)} ${check.padEnd(width)}  ${escapeLine(message)}`);
    if (fix !== undefined)
      await terminal.print(`  ${" ".repeat(width)}  ${terminal.style("gray", `→ ${escapeLine(fix)}`)}`);
  }
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const [errors, warnings] = [count("error"), count("warning")];
  const verdict = errors + warnings === 0 ? "nothing is wrong" : `errors: ${errors}, warnings: ${warnings}`;
  await terminal.print(`\n${verdict}`);
}
