/**
 * `npm run demo -- crash`: a job of ten steps whose runtime is killed three times, and a client that notices little.
 *
 * The runtime is a process on an SQLite file, the library a real HTTP server, the notes real files. One `for await` loop
 * follows the job from beginning to end. Exits with 1 if an event is missing or came twice, or an effect did.
 */
import { mkdir, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCPClient, type JobEvent } from "@arcp/sdk";
import { Library, type Moment } from "./library.ts";
import { RuntimeProcess } from "./runtime-process.ts";

/** The worst moments there are: what was asked for is not done, or is done and nobody has heard of it. */
const MOMENTS: ReadonlyMap<string, Moment> = new Map([
  ["/loans The Tenth Step", "before"],
  ["/reports", "after"],
]);
const TOLD: Readonly<Record<Moment, string>> = {
  before: "before it was done",
  after: "after it was done, before the answer",
};
/** And one in which it sleeps between two steps, long enough for a client that has just lost it to hear of that. */
const ASLEEP_AFTER = "has read Small Hours";
const STEPS = 10;

function show({ seq, kind, body }: JobEvent): void {
  console.log(`  ${String(seq).padStart(3)}  ${textOf()}`);

  function textOf(): string {
    if (kind === "tool_call") return `→ ${body.tool} ${Object.values(Object(body.args)).join(" ")}`;
    if (kind === "tool_result") return body.error === undefined ? "← done" : `← ${body.error.code}`;
    if (kind === "status") return `${body.phase}: ${body.message ?? ""}`;
    if (kind === "progress") return `${body.current} of ${body.total} ${body.units}`;
    return kind === "log" ? body.message : kind;
  }
}

/** Throws if something is missing, came twice, or came out of order. */
function check(numbers: readonly number[], { deeds }: Library, files: readonly string[], kills: number): string[] {
  const wrong = numbers.findIndex((number, index) => number !== index + 1);
  if (wrong !== -1) throw new Error(`event ${wrong + 1} is missing: ${numbers[wrong]} came in its place`);
  const all = [...deeds.values()];
  const repeated = all.find(({ effects }) => effects !== 1);
  if (repeated !== undefined) throw new Error(`${repeated.what} was done ${repeated.effects} times`);
  if (all.length !== STEPS - 1)
    throw new Error(`${all.length} things were done in the library instead of ${STEPS - 1}`);
  const again = all.filter(({ requests }) => requests > 1).map(({ what }) => what.split(" ")[0]);
  return [
    `kills     ${kills}`,
    `events    1 to ${numbers.length}, each once and in order, in one loop`,
    `library   ${all.length} things done, each once; asked for twice, with the same key: ${again.join(", ")}`,
    `files     ${files.join(" ")}`,
  ];
}

async function main(directory: string): Promise<void> {
  const startedAt = performance.now();
  const notes = join(directory, "notes");
  await mkdir(notes);
  const kill = (why: string): void => {
    console.log(`  ✗    kill -9 ${runtime.pid}: ${why}`);
    runtime.kill();
  };
  await using library = await Library.open(MOMENTS, (what, moment) => kill(`${what}, ${TOLD[moment]}`));
  await using runtime = await RuntimeProcess.start(join(directory, "runtime.db"), (pid, downMs) =>
    console.log(`  ✓    the runtime is back as ${pid}, after ${downMs.toFixed(0)} ms`),
  );
  await using client = await ARCPClient.connect(runtime.url, { token: "demo-token", reconnect: { maxDelayMs: 200 } });
  const job = await client.submit({
    agent: "research",
    input: { question: "What survives a crash?", library: library.origin, notes },
    leaseRequest: { "net.fetch": [`${library.origin}/**`], "fs.write": [`${notes}/**`] },
  });
  console.log(`${job.jobId} runs in process ${runtime.pid} at ${runtime.url}\n`);

  const numbers: number[] = [];
  for await (const event of job) {
    show(event);
    numbers.push(event.seq ?? Number.NaN);
    if (event.kind === "log" && event.body.message === ASLEEP_AFTER && runtime.kills === 1) kill("while it sleeps");
  }
  const { result } = await job.done;
  console.log(`\nThe job has ended, once: ${JSON.stringify(result)}`);
  const facts = check(numbers, library, (await readdir(notes)).sort(), runtime.kills);
  console.log(`  ${facts.join("\n  ")}\n  time      ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

const directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-crash-")));
try {
  await main(directory);
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
