/**
 * `npm run demo -- cluster`: three nodes over one PostgreSQL behind a proxy that knows nothing of sessions, and a client with one
 * `for await` loop over a durable job.
 *
 * The client's line is cut, the node that it then is at is killed, the node that runs the job is killed in the middle of a step,
 * and PostgreSQL is restarted. Exits with 1 if an event is missing or came twice, the job ended twice, or a letter was sent twice.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { postgres } from "@arcp/postgres";
import { ARCPClient, type JobEvent, type JobId, type SharedStore } from "@arcp/sdk";
import { Library } from "../durable-research/library.ts";
import { type Database, findDatabase, urlOf } from "./database.ts";
import type { LogRecord, NodeProcess } from "./node-process.ts";
import { TcpProxy } from "./proxy.ts";
import { startThreeNodes } from "./three-nodes.ts";

const LETTERS = 20;
const PAUSE_MS = 300;
/** After which letters what happens. The tenth is sent, and nobody has heard of it. */
const CUT_AFTER = "letter 2 is sent";
const KILL_CLIENT_NODE_AFTER = "letter 5 is sent";
const KILL_JOB_NODE_IN = "/letters 10";
const RESTART_AFTER = "letter 15 is sent";

const startedAt = performance.now();
const tell = (mark: string, text: string): void =>
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s ${mark} ${text}`);

/** Who has what, as the nodes and the proxy tell it. */
class Timeline {
  nodes: ReadonlyMap<string, NodeProcess> = new Map();
  /** Names of nodes. */
  clientAt = "";
  jobAt = "";
  claims = 0;
  moves = 0;

  readonly onConnection = (name: string): void => {
    if (name !== this.clientAt) this.moves += 1;
    tell("→", `node ${name} takes the client's session`);
    this.clientAt = name;
  };

  readonly onLog = (name: string, { level, msg, jobId }: LogRecord): void => {
    if (msg === "this node runs the job from now on") {
      this.claims += 1;
      this.jobAt = name;
      tell("↻", `node ${name} has claimed ${jobId}, and goes on with it`);
    } else if (level === "error") tell("!", `node ${name}: ${msg}`);
  };

  kill(name: string, why: string): void {
    const node = this.nodes.get(name);
    tell("✗", `kill -9 ${node?.pid}: node ${name}, ${why}`);
    node?.kill();
  }
}

/** The name of the node that runs the job. */
async function nodeOf(store: SharedStore, jobId: JobId): Promise<string> {
  const [head] = await store.heads([jobId]);
  return (await store.nodes()).find(({ id }) => id === head?.node)?.name ?? "";
}

/** Throws if something is missing, came twice, or came out of order. */
async function check(
  numbers: readonly number[],
  { deeds }: Library,
  store: SharedStore,
  jobId: JobId,
): Promise<string[]> {
  const wrong = numbers.findIndex((number, index) => number !== index + 1);
  if (wrong !== -1) throw new Error(`event ${wrong + 1} is missing: ${numbers[wrong]} came in its place`);
  const all = [...deeds.values()];
  const repeated = all.find(({ effects }) => effects !== 1);
  if (repeated !== undefined) throw new Error(`${repeated.what} was sent ${repeated.effects} times`);
  if (all.length !== LETTERS) throw new Error(`${all.length} letters were sent instead of ${LETTERS}`);
  let ends = 0;
  for await (const { type } of store.entries(jobId)) if (type !== "job.event") ends += 1;
  if (ends !== 1) throw new Error(`the job has ended ${ends} times`);
  const again = all.filter(({ requests }) => requests > 1).map(({ what }) => what.split(" ")[1]);
  return [
    `events    1 to ${numbers.length}, each once and in order, in one loop`,
    "the job   has ended once",
    `letters   ${all.length} sent, each once; asked for twice, with the same key: ${again.join(", ")}`,
  ];
}

async function main(stack: AsyncDisposableStack, database: Database, directory: string): Promise<void> {
  const timeline = new Timeline();
  const library = stack.use(
    await Library.open(new Map([[KILL_JOB_NODE_IN, "after"]]), () =>
      timeline.kill(timeline.jobAt, "which runs the job; the tenth letter is sent, and it has not heard of that"),
    ),
  );
  timeline.nodes = await startThreeNodes(stack, {
    ...{ directory, database: urlOf(database), token: "demo-token=demo" },
    onLog: timeline.onLog,
    onBack: (name) => tell("✓", `node ${name} is back as process ${timeline.nodes.get(name)?.pid}`),
  });
  const store = postgres({ url: database.url, schema: database.schema, migrate: false, pool: { max: 2 } });
  stack.defer(() => store.close());
  const proxy = stack.use(
    await TcpProxy.listen({
      backends: [...timeline.nodes.values()],
      onConnection: ({ name }) => timeline.onConnection(name),
    }),
  );
  for (const { name, id, agents } of (await store.nodes()).toReversed()) tell("·", `node ${name} is ${id}: ${agents}`);

  const client = await ARCPClient.connect(proxy.url, { token: "demo-token", reconnect: { maxDelayMs: 300 } });
  stack.defer(() => client.close());
  const job = await client.submit({
    agent: "mailing",
    input: { office: library.origin, letters: LETTERS, pauseMs: PAUSE_MS },
    leaseRequest: { "net.fetch": [`${library.origin}/**`] },
  });
  timeline.jobAt = await nodeOf(store, job.jobId);
  tell("·", `node ${timeline.jobAt} runs ${job.jobId}`);

  let restarting = Promise.resolve();
  const restart = async (): Promise<void> => {
    if (database.restart === undefined) return tell("·", "PostgreSQL is not restarted: it is not the example's own");
    tell("✗", "PostgreSQL is stopped as by a power cut, and started again");
    await database.restart();
    tell("✓", "PostgreSQL is back");
  };
  const numbers: number[] = [];
  for await (const event of job) {
    numbers.push(event.seq ?? Number.NaN);
    if (event.kind === "log") meddle(event);
  }
  const { result } = await job.done;
  await restarting;
  tell(
    "·",
    `the job has ended on node ${timeline.jobAt}, the client is at node ${timeline.clientAt}: ${JSON.stringify(result)}`,
  );
  const facts = await check(numbers, library, store, job.jobId);
  console.log(`\n  ${facts.join("\n  ")}`);
  console.log(`  nodes     the session was at ${timeline.moves}, the job at ${timeline.claims + 1}`);

  function meddle({ seq, body }: Extract<JobEvent, { kind: "log" }>): void {
    tell(" ", `${String(seq).padStart(3)}  ${body.message}`);
    if (body.message === CUT_AFTER) {
      tell("✗", `the client's line to node ${timeline.clientAt} is cut`);
      proxy.cut();
    }
    if (body.message === KILL_CLIENT_NODE_AFTER) timeline.kill(timeline.clientAt, "at which the client is");
    if (body.message === RESTART_AFTER) restarting = restart();
  }
}

const database = await findDatabase();
if (typeof database === "string") {
  console.error(`demo: this needs PostgreSQL: ${database}`);
  process.exitCode = process.env["CI"] === "true" ? 1 : 0;
} else {
  await using stack = new AsyncDisposableStack();
  process.once("SIGINT", () => void stack.disposeAsync().finally(() => process.exit(130)));
  stack.use(database);
  const directory = await mkdtemp(join(tmpdir(), "arcp-cluster-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  try {
    await main(stack, database, directory);
  } catch (error) {
    console.error(`demo: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
