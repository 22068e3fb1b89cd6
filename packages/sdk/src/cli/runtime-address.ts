/** The runtime that a client command talks to, and how it gets in. */
import { ARCPClient, type ClientOptions, type ToolOpenOptions } from "@arcp/client";
import { isLoopbackHost, rootLogger, silentLogger } from "@arcp/core";
import { type Command, Option } from "commander";
import { UsageError } from "./exit-code.ts";
import { findDeveloperToken, parseTokenList, readTokenFile } from "./tokens.ts";
import { version } from "./version.ts";

export interface RuntimeAddress {
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly allowInsecure?: boolean;
}

export const DEFAULT_URL = "ws://127.0.0.1:7777/arcp";

/** Adds the options that every client command has. */
export function withRuntimeAddress(command: Command): Command {
  return command
    .addOption(new Option("--uri, --url <url>", "where the runtime listens").env("ARCP_URL").default(DEFAULT_URL))
    .option("--token <token>", "bearer token; other users can see it: prefer ARCP_TOKEN or --token-file")
    .option("--token-file <file>", "file whose first line is the token")
    .option("--allow-insecure", "send the token over ws:// beyond this machine");
}

/** How long to wait between two attempts to get a lost connection back. */
export const RECONNECT = { initialDelayMs: 200, maxDelayMs: 2_000, onExpired: "reattach" } as const;

/**
 * A client that is connected, and reconnects by itself. With `signal`, the first connection is given up when it aborts.
 */
export async function connectTo(
  address: RuntimeAddress,
  signal?: AbortSignal,
  options: Pick<ClientOptions, "maxKeptEvents"> = {},
): Promise<ARCPClient> {
  const token = await tokenFor(address);
  return ARCPClient.connect(address.url, {
    ...options,
    client: { name: "arcp", version },
    ...(token === undefined ? {} : { token }),
    allowInsecure: address.allowInsecure === true,
    reconnect: RECONNECT,
    logger: process.env["ARCP_DEBUG"] ? rootLogger : silentLogger,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** What a session of wire 1.0 is opened with. Without a token: as nobody in particular, which few runtimes let in. */
export async function credentialsFor(address: RuntimeAddress): Promise<ToolOpenOptions> {
  const token = await tokenFor(address);
  return {
    client: { kind: "arcp", version },
    ...(token === undefined ? {} : { token }),
    allowInsecure: address.allowInsecure === true,
    logger: process.env["ARCP_DEBUG"] ? rootLogger : silentLogger,
  };
}

/** By option, then file, then environment, then what a developer's runtime left here. */
async function tokenFor({ url, token, tokenFile }: RuntimeAddress): Promise<string | undefined> {
  if (token !== undefined) {
    warnOfVisibleToken();
    return parseTokenList(token)[0]?.value;
  }
  if (tokenFile !== undefined) return (await readTokenFile(tokenFile))[0]?.value;
  const fromEnvironment = parseTokenList(process.env["ARCP_TOKEN"] ?? "")[0];
  if (fromEnvironment !== undefined) return fromEnvironment.value;
  // A token that was made for this machine never leaves it.
  return isLocal(url) ? (await findDeveloperToken())?.value : undefined;
}

function isLocal(url: string): boolean {
  if (!URL.canParse(url)) throw new UsageError(`--url is not a URL: ${url}`);
  if (/^(?:unix|pipe):/i.test(url)) return true;
  return isLoopbackHost(new URL(url).hostname);
}

/** Once per process. */
export function warnOfVisibleToken(): void {
  if (hasWarned) return;
  hasWarned = true;
  process.stderr.write(
    "arcp: warning: other users of this machine can see --token in the list of processes, and it stays in the shell's history; prefer ARCP_TOKEN or --token-file\n",
  );
}

let hasWarned = false;
