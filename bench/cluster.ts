/**
 * Runtimes over one PostgreSQL on this machine: `node bench/cluster.ts [--runs 3] [--quick]`. See README.md.
 *
 * The server is the one that ARCP_TEST_POSTGRES names, or one that is installed here and started for this: with its
 * defaults, so that a commit is on disk before it is acknowledged. It shares the cores with the nodes and with the load.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installation, PostgresServer } from "../tests/support/postgres-server.ts";
import { median } from "./scenarios.ts";
import { ServerProcess } from "./server-process.ts";
import { WireSession } from "./wire-client.ts";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "3" }, quick: { type: "boolean", default: false } },
});
const runs = Number(values.runs);
const scale = values.quick ? 0.1 : 1;
const EVENT_BYTES = 100;
/** Two nodes know of each other, and everything has been compiled. */
const WARM_UP_EVENTS = 3_000;

interface Line {
  readonly what: string;
  readonly unit: string;
  readonly values: number[];
  readonly isMet: (value: number) => boolean | undefined;
  readonly target: string;
}

const lines = new Map<string, Line>();

function note(what: string, unit: string, value: number, target = "", isMet: Line["isMet"] = () => undefined): void {
  const line = lines.get(what) ?? { what, unit, values: [], isMet, target };
  line.values.push(value);
  lines.set(what, line);
}

/** Reads what a job writes until it ends. */
async function received(session: WireSession, onLog: (message: string) => void = () => {}): Promise<number> {
  let logs = 0;
  await session.until(({ type, payload }) => {
    if (type === "job.event" && payload.kind === "log") {
      logs += 1;
      onLog(payload.body?.message ?? "");
    }
    return type === "job.result";
  });
  return logs;
}

async function stream(session: WireSession, count: number): Promise<void> {
  session.submit("stream", { count, bytes: EVENT_BYTES });
  if ((await received(session)) !== count) throw new Error("events are missing");
}

/** Every node runs `jobs` jobs of `each` events, each for a session of its own. Events per second, all together. */
async function throughput(nodes: readonly ServerProcess[], jobs: number, each: number): Promise<number> {
  const sessions = await Promise.all(
    nodes.flatMap(({ url }) => Array.from({ length: jobs }, () => WireSession.open(url))),
  );
  await Promise.all(sessions.map((session) => stream(session, Math.ceil(WARM_UP_EVENTS / jobs))));
  const startedAt = performance.now();
  await Promise.all(sessions.map((session) => stream(session, each)));
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const session of sessions) session.drop();
  return (sessions.length * each) / seconds;
}

/** From the moment at which an agent speaks at one node to the moment at which a subscriber of another one hears it, in ms. */
async function latencies(from: ServerProcess, to: ServerProcess, count: number): Promise<number[]> {
  const [owner, observer] = [await WireSession.open(from.url), await WireSession.open(to.url)];
  const delays: number[] = [];
  owner.submit("paced", { count, bytes: 0, perSecond: 500 });
  let jobId = "";
  await owner.until(({ type, job_id, payload }) => {
    jobId = job_id ?? payload.job_id ?? "";
    return type === "job.accepted";
  });
  observer.send("job.subscribe", JSON.stringify({ job_id: jobId, history: false }));
  await received(observer, (message) => delays.push(Date.now() - Number(message)));
  for (const session of [owner, observer]) session.drop();
  return delays.sort((a, b) => a - b);
}

/** From the hello at another node to the last of `count` events, in ms. */
async function resumption(from: ServerProcess, to: ServerProcess, count: number): Promise<number> {
  const session = await WireSession.open(from.url);
  await stream(session, count);
  const { sessionId, resumeToken } = session;
  session.drop();
  const startedAt = performance.now();
  const again = await WireSession.open(to.url, { resume: { sessionId, resumeToken, lastEventSeq: 0 } });
  if ((await received(again)) !== count) throw new Error("events are missing");
  const took = performance.now() - startedAt;
  again.drop();
  return took;
}

async function run(url: string, directory: string, number: number): Promise<void> {
  const database = { url, schema: `bench_${process.pid}_${number}` };
  const nodes: ServerProcess[] = [];
  const join = async (): Promise<ServerProcess> => {
    const node = await ServerProcess.start("product", { directory, synchronous: "FULL", database }, []);
    nodes.push(node);
    return node;
  };
  try {
    const a = await join();
    const events = Math.round(50_000 * scale);
    const atLeast = (least: number) => (value: number) => value >= least;
    const atMost = (most: number) => (value: number) => value <= most;
    note("one node, one job", "events/s", await throughput([a], 1, events), ">= 15,000", atLeast(15_000));
    note("one node, 8 jobs", "events/s", await throughput([a], 8, events / 5), ">= 15,000", atLeast(15_000));
    const b = await join();
    const delays = await latencies(a, b, Math.round(5_000 * scale));
    const percentile = (share: number): number => delays[Math.floor((delays.length - 1) * share)] ?? Number.NaN;
    note("one node to another, p50", "ms", percentile(0.5), "<= 25", atMost(25));
    note("one node to another, p99", "ms", percentile(0.99), "<= 100", atMost(100));
    for (let round = 0; round < 3; round += 1) {
      note("resume of 1,000 events at another node", "ms", await resumption(a, b, 1_000), "<= 100", atMost(100));
    }
    note("two nodes, 4 jobs each", "events/s", await throughput([a, b], 4, events / 5));
    const c = await join();
    note("three nodes, 4 jobs each", "events/s", await throughput([a, b, c], 4, events / 5));
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
  }
}

async function main(): Promise<void> {
  const named = process.env["ARCP_TEST_POSTGRES"];
  if (!named && installation() === undefined)
    throw new Error("PostgreSQL is not installed, and ARCP_TEST_POSTGRES names none");
  const directory = mkdtempSync(join(tmpdir(), "arcp-bench-cluster-"));
  // PostgreSQL runs as another user if this is root.
  chmodSync(directory, 0o755);
  const server = named ? undefined : new PostgresServer(join(directory, "postgres"));
  try {
    const url = named ?? (await server?.create())?.url ?? "";
    for (let number = 1; number <= runs; number += 1) {
      process.stderr.write(`run ${number} of ${runs}\n`);
      await run(url, directory, number);
    }
  } finally {
    await server?.remove();
    rmSync(directory, { recursive: true, force: true });
  }
  for (const { what, unit, values: all, target, isMet } of lines.values()) {
    const value = median(all);
    const met = isMet(value);
    const verdict = met === undefined ? "" : `${target}  ${met ? "met" : "MISSED"}`;
    console.log(`${what.padEnd(40)} ${value.toFixed(value < 100 ? 1 : 0).padStart(8)} ${unit.padEnd(9)} ${verdict}`);
  }
}

await main();
