/**
 * Goes through the flows with published SDKs in both directions and prints what works: `node interop/run.ts [sdk...]`.
 * Exits with 1 when a flow fails that interop/expected.json has as passing; `--update` writes that file anew.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { StaticBearerVerifier, silentLogger, startWebSocketServer } from "@arcp/core";
import { ARCPServer } from "@arcp/runtime";
import { registerAgents } from "./agents.ts";
import { NotOffered, type Route } from "./flows.ts";
import { type Command, type Ready, SDKS, type Sdk } from "./sdks.ts";

interface Outcome {
  readonly outcome: "pass" | "fail" | "not offered" | "not run";
  readonly reason?: string;
}

/** By flow. */
type Column = Readonly<Record<string, Outcome>>;

interface Matrix {
  /** Their client, our runtime. */
  readonly theirClient: Column;
  /** Our client, their runtime. */
  readonly ourClient: Column;
}

const TOKEN = "interop-token";
const FLOW_TIMEOUT_MS = 10_000;
const START_TIMEOUT_MS = 20_000;
const DRIVER_TIMEOUT_MS = 240_000;
const EXPECTED = new URL("expected.json", import.meta.url);

function start([program, ...parameters]: Command): ChildProcess {
  return spawn(program, parameters, { stdio: ["pipe", "pipe", process.env["INTEROP_VERBOSE"] ? "inherit" : "ignore"] });
}

async function withTimeout<Result>(work: Promise<Result>, ms: number, what: string): Promise<Result> {
  const timer = Promise.withResolvers<never>();
  const timeout = setTimeout(() => timer.reject(new Error(`${what} took more than ${ms} ms`)), ms);
  try {
    return await Promise.race([work, timer.promise]);
  } finally {
    clearTimeout(timeout);
  }
}

async function runTheirClient(sdk: Ready): Promise<Column> {
  const server = new ARCPServer({
    runtime: { name: "arcp", version: "0.1.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map([[TOKEN, { principal: "interop" }]])),
    logger: silentLogger,
  });
  registerAgents(server);
  const listener = await startWebSocketServer({ onTransport: (transport) => void server.accept(transport) });
  const child = start(sdk.client(listener.url, TOKEN));
  const column: Record<string, Outcome> = {};
  const read = async (): Promise<void> => {
    if (!child.stdout) return;
    for await (const line of createInterface({ input: child.stdout })) {
      const { flow, outcome, reason } = JSON.parse(line) as Outcome & { readonly flow: string };
      column[flow] = reason === undefined ? { outcome } : { outcome, reason };
    }
  };
  try {
    await withTimeout(read(), DRIVER_TIMEOUT_MS, "the driver");
  } catch (thrown) {
    console.error(`their client: ${(thrown as Error).message}`);
  } finally {
    child.kill();
    await server.close();
    await listener.close();
  }
  return column;
}

async function firstUrl(child: ChildProcess): Promise<string> {
  if (child.stdout) {
    for await (const line of createInterface({ input: child.stdout })) {
      return (JSON.parse(line) as { readonly url: string }).url;
    }
  }
  throw new Error("the server ended before it listened");
}

async function runOurClient(sdk: Ready, routes: readonly Route[]): Promise<Column> {
  const child = start(sdk.server(TOKEN));
  const column: Record<string, Outcome> = {};
  try {
    const url = await withTimeout(firstUrl(child), START_TIMEOUT_MS, "their server");
    for (const { name, go } of routes) {
      await using stack = new AsyncDisposableStack();
      try {
        await withTimeout(go({ url, token: TOKEN }, stack), FLOW_TIMEOUT_MS, "the flow");
        column[name] = { outcome: "pass" };
      } catch (thrown) {
        const reason = (thrown as Error).message.split("\n").slice(0, 6).join(" ");
        column[name] = { outcome: thrown instanceof NotOffered ? "not offered" : "fail", reason };
      }
    }
  } catch (thrown) {
    console.error(`our client: ${(thrown as Error).message}`);
  } finally {
    child.stdin?.end();
    child.kill();
  }
  return column;
}

const NOT_RUN: Outcome = { outcome: "not run" };
const cell = (column: Column, flow: string): string => (column[flow] ?? NOT_RUN).outcome;

function print({ title, routes }: Sdk, version: string, { theirClient, ourClient }: Matrix): void {
  console.log(`\n${title} (${version})\n`);
  console.log(`| Flow | ${title} client, this runtime | This client, ${title} runtime |\n|---|---|---|`);
  for (const { name } of routes) console.log(`| ${name} | ${cell(theirClient, name)} | ${cell(ourClient, name)} |`);
  for (const [side, column] of [
    [`${title} client`, theirClient],
    [`${title} runtime`, ourClient],
  ] as const) {
    for (const [flow, { reason }] of Object.entries(column)) if (reason) console.log(`\n${side}, ${flow}: ${reason}`);
  }
}

/** Flows that are expected to pass and do not. */
function regressions(expected: Partial<Matrix>, { theirClient, ourClient }: Matrix): readonly string[] {
  const lost = (before: Column | undefined, now: Column): readonly string[] =>
    Object.entries(before ?? {})
      .filter(([flow, { outcome }]) => outcome === "pass" && cell(now, flow) !== "pass")
      .map(([flow]) => flow);
  return [
    ...lost(expected.theirClient, theirClient).map((flow) => `their client, ${flow}`),
    ...lost(expected.ourClient, ourClient).map((flow) => `our client, ${flow}`),
  ];
}

async function main(): Promise<void> {
  const parameters = process.argv.slice(2);
  const isUpdate = parameters.includes("--update");
  const named = parameters.filter((parameter) => !parameter.startsWith("--"));
  const unknown = named.filter((name) => SDKS[name] === undefined);
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(", ")}; known: ${Object.keys(SDKS).join(", ")}`);
  const expected = JSON.parse(await readFile(EXPECTED, "utf8")) as Record<string, Matrix>;
  const failures: string[] = [];
  for (const name of named.length > 0 ? named : Object.keys(SDKS)) {
    const sdk = SDKS[name];
    if (!sdk) continue;
    const ready = await sdk.prepare();
    if ("skipped" in ready) {
      console.log(`\n${sdk.title}: skipped. ${ready.skipped}`);
      continue;
    }
    const matrix: Matrix = {
      theirClient: await runTheirClient(ready),
      ourClient: await runOurClient(ready, sdk.routes),
    };
    print(sdk, ready.version, matrix);
    failures.push(...regressions(expected[name] ?? {}, matrix).map((failure) => `${sdk.title}: ${failure}`));
    expected[name] = matrix;
  }
  if (isUpdate) await writeFile(EXPECTED, `${JSON.stringify(expected, undefined, 2)}\n`);
  else if (failures.length > 0) {
    console.error(`\nWorked before and does not now:\n${failures.join("\n")}`);
    process.exitCode = 1;
  }
}

await main();
