/** Ports, runtimes that answer, and clocks. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { basename } from "node:path";
import { UnauthenticatedError } from "@arcp/core";
import { reasonOf } from "../failure.ts";
import { connectTo, type RuntimeAddress } from "../runtime-address.ts";
import type { Check } from "./finding.ts";

const LIMIT_MS = 5_000;

/** `undefined`: it is free. */
async function portProblem(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
  server.once("error", resolve);
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  return promise;
}

/** Can `arcp serve` listen there? Resolves with whether a runtime does already, which `isRuntime` finds out. */
export async function checkPort(
  check: Check,
  host: string,
  port: number,
  isRuntime: () => Promise<boolean>,
): Promise<boolean> {
  const problem = port === 0 ? undefined : await portProblem(host, port);
  const where = `port ${port} of ${host}`;
  if (problem === undefined) {
    check.ok(port === 0 ? `any free port of ${host}` : `${where} is free`);
    return false;
  }
  if (problem.code === "EADDRINUSE") {
    const owner = (await listenerOf(port)) ?? "another program";
    if (await isRuntime()) {
      check.ok(`${where} has a runtime already: ${owner}`);
      return true;
    }
    const fix = "stop that, or choose another port with --port; --port 0 takes any free one";
    check.error(`${where} is in use by ${owner}`, fix);
  } else if (problem.code === "EACCES") {
    check.error(`this user may not listen on ${where}`, "choose a port from 1024 on, with --port");
  } else if (problem.code === "EADDRNOTAVAIL") {
    const fix = "127.0.0.1 is this machine, 0.0.0.0 all of its addresses";
    check.error(`${host} is no address of this machine`, fix);
  } else check.error(`${where}: ${problem.message}`, "choose another one with --port");
  return false;
}

/** The program that listens on a port, where the system says so (Linux) and it is this user's: `node (process 7)`. */
async function listenerOf(port: number): Promise<string | undefined> {
  if (process.platform !== "linux") return undefined;
  const inodes = new Set([...(await inodesOf("/proc/net/tcp", port)), ...(await inodesOf("/proc/net/tcp6", port))]);
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const id of processes) {
    // A process that is another user's, or has just gone, does not say what it has open.
    const descriptors = await readdir(`/proc/${id}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${id}/fd/${descriptor}`).catch(() => "");
      const [, inode = ""] = /^socket:\[(\d+)\]$/.exec(target) ?? [];
      if (!inodes.has(inode)) continue;
      const program = await readlink(`/proc/${id}/exe`).catch(() => "a program");
      return `${basename(program)} (process ${id})`;
    }
  }
  return undefined;
}

const LISTENING = "0A";

/** Of the sockets that listen on this port. */
async function inodesOf(table: string, port: number): Promise<readonly string[]> {
  const rows = (await readFile(table, "utf8").catch(() => "")).split("\n").slice(1);
  const ending = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return rows.flatMap((row) => {
    const [, local = "", , state, , , , , , inode] = row.trim().split(/\s+/);
    return local.endsWith(ending) && state === LISTENING && inode !== undefined ? [inode] : [];
  });
}

/** Does a runtime answer at `address`, and let this user in? */
export async function checkRuntime(check: Check, address: RuntimeAddress): Promise<void> {
  try {
    await using client = await connectTo(address, AbortSignal.timeout(LIMIT_MS));
    const { runtime, agents = [] } = client.session ?? {};
    check.ok(`${address.url} is ${runtime?.name ?? "a runtime"} ${runtime?.version ?? ""}, agents: ${agents.length}`);
  } catch (thrown) {
    check.error(`${address.url}: ${reasonOf(thrown)}`, fixFor(thrown));
  }
}

/** Is what answers there a runtime, whether it lets this user in or not? */
export async function isRuntimeAt(address: RuntimeAddress): Promise<boolean> {
  try {
    await (await connectTo(address, AbortSignal.timeout(LIMIT_MS))).close();
    return true;
  } catch (thrown) {
    return thrown instanceof UnauthenticatedError;
  }
}

function fixFor(thrown: unknown): string {
  const text = `${reasonOf(thrown)} ${String((thrown as Error).cause ?? "")}`;
  if (thrown instanceof UnauthenticatedError) {
    return "show a token that it knows: ARCP_TOKEN, --token-file, or the directory in which `arcp serve` was started";
  }
  if (/ECONNREFUSED/.test(text)) return "start it there: arcp serve; or say where it is: --url or ARCP_URL";
  if (/ENOTFOUND|EAI_AGAIN/.test(text)) return "look at the host's name in --url, and at this machine's name server";
  if (/certificate|self.signed|CERT_/i.test(text))
    return "NODE_EXTRA_CA_CERTS names a file with the authority's certificate";
  if (/wrong version|packet length|EPROTO/i.test(text)) return "use ws:// where there is no TLS, wss:// where there is";
  if (/40[34]|426|upgrade|unexpected server response/i.test(text))
    return "look at host, port and path in --url: /arcp is usual";
  if (/abort|time/i.test(text)) return "look at firewalls and proxies on the way, which have to pass WebSockets";
  return "ARCP_DEBUG=1 arcp agents says more";
}

/** Beyond it tokens and deadlines are taken for over, or for not yet. */
const WRONG_MS = 60_000;
const OFF_MS = 3_000;

/** How far the clock of the machine at `url` is ahead of this one's; `undefined` where nothing says what time it is there. */
export async function clockSkewMs(url: string, now: () => number = Date.now): Promise<number | undefined> {
  if (!/^(?:ws|http)s?:/i.test(url)) return undefined;
  const before = now();
  const response = await fetch(url.replace(/^ws/i, "http"), {
    ...{ redirect: "manual", signal: AbortSignal.timeout(LIMIT_MS) },
  }).catch(() => undefined);
  await response?.body?.cancel();
  const said = Date.parse(response?.headers.get("date") ?? "");
  // It says whole seconds, which have begun half a second ago on average.
  return Number.isNaN(said) ? undefined : said + 500 - (before + now()) / 2;
}

export function judgeClock(check: Check, skewMs: number): void {
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const message = `that of the runtime is ${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} this machine's`;
  const fix = "set both by NTP: timedatectl set-ntp true";
  if (Math.abs(skewMs) > WRONG_MS) check.error(`${message}: tokens and deadlines are misjudged`, fix);
  else if (Math.abs(skewMs) > OFF_MS) check.warning(message, fix);
  else check.ok("that of the runtime agrees with this machine's");
}
