import type { Command } from "commander";
import { Option } from "commander";
import type { ARCPConfig } from "../../config.ts";
import type { ExitCode } from "../exit-code.ts";
import { type GatewayOptions, runGateway } from "../gateway.ts";

const LEVELS: readonly NonNullable<ARCPConfig["logLevel"]>[] = ["debug", "info", "warn", "error", "silent"];

const EXAMPLES = `
Examples:
  ARCP_GATEWAY_MASTER_KEY=… arcp gateway               upstreams and prices: \`gateway\` in arcp.config.ts
  arcp gateway --config gateway.json --master-key-file ./master.key --key-file ./keys.jsonl
  arcp gateway --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem

Whoever has the master key makes keys with POST /key/generate. It is never an argument: others could see it.`;

export function addGateway(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("gateway")
    .description("Run a model gateway by itself: it holds the real keys and takes keys of its own")
    .option("--config <file>", "default: arcp.config.ts, .js, .mjs or .json in this directory")
    .option("--master-key-file <file>", "file with the master key, mode 600; else ARCP_GATEWAY_MASTER_KEY")
    .option("--key-file <file>", "where keys outlive the process, as digests")
    .option("--host <host>", "address to listen on (default: 127.0.0.1)")
    .option("--port <port>", "port to listen on; 0: any free one (default: 4000)")
    .option("--tls-cert <file>", "certificate, PEM")
    .option("--tls-key <file>", "private key, PEM")
    .option("--allow-insecure", "allow plain http:// beyond this machine")
    .addOption(new Option("--log-level <level>", "what to log (default: info)").choices(LEVELS))
    .option("--json", 'print one line of JSON when ready: {"type":"ready","url":…}')
    .addHelpText("after", EXAMPLES)
    .action((options: GatewayOptions) => run(() => runGateway(options)));
}
