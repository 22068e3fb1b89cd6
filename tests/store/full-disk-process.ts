/** Runs where the given directory is a small file system: fills it under a runtime at work, and says what happened. */
import { closeSync, openSync, statSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createLogger, pairMemoryTransports, StaticBearerVerifier } from "@arcp/core";
import { ARCPServer, sqliteStore } from "@arcp/runtime";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import { type Frame, RawClient } from "../support/raw-client.ts";

const [directory = ""] = process.argv.slice(2);
const path = join(directory, "runtime.db");
const fill = join(directory, "fill");
const reserve = `${path}-reserve`;

// The runtime's own timers keep no process alive.
const alive = setInterval(() => {}, 60_000);
const errors: string[] = [];
const store = sqliteStore({ path });
const server = new ARCPServer({
  runtime: { name: "small", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
  logger: createLogger((line) => errors.push(line), "error"),
  eventLog: store,
});
const puppet = new Puppet();
server.registerAgent("puppet", puppet.handler);

async function connected(): Promise<RawClient> {
  const [left, right] = pairMemoryTransports();
  await server.accept(right);
  return new RawClient(left);
}

/** Writes until nothing more fits. */
function fillDisk(): void {
  const fd = openSync(fill, "a");
  const piece = Buffer.alloc(4096, 1);
  try {
    for (;;) writeSync(fd, piece);
  } catch {
    closeSync(fd); // It is full.
  }
}

/** Resolves when the runtime has set its room aside. */
async function untilReserve(): Promise<void> {
  const size = (): number => statSync(reserve, { throwIfNoEntry: false })?.size ?? 0;
  while (size() < 4 * 1024 * 1024) await new Promise((resolve) => setImmediate(resolve));
  await settle();
}

const client = await connected();
await client.hello();
async function begin(): Promise<{ readonly jobId: string; readonly run: Run }> {
  const { payload } = await client.submit("puppet");
  return { jobId: payload.job_id, run: await puppet.next() };
}
const talker = await begin();
const ender = await begin();
const late = await begin();
await untilReserve();

// An agent that talks all the time, and knows how much of that was taken.
let taken = 0;
let isTalking = true;
const talk = (async () => {
  while (isTalking) {
    await talker.run.context.log("info", "x".repeat(20_000));
    await talker.run.context.flush();
    taken += 1;
  }
})();
const isOf = (jobId: string) => (frame: Frame) => frame.job_id === jobId;
const phaseOf = (phase: string, jobId: string) => (frame: Frame) =>
  isOf(jobId)(frame) && frame.payload.body?.phase === phase;

fillDisk();
await client.find(phaseOf("storage_full", talker.jobId));
const takenWhenFull = taken;
const refused = (await client.submit("puppet")).payload;
const watcher = await connected();
const watching = (await watcher.hello()).type;
ender.run.finish("done");
const ended = (await client.find((frame) => isOf(ender.jobId)(frame) && frame.type === "job.result")).payload
  .final_status;
const isTalkerHeld = taken - takenWhenFull <= 1;

// Nothing at all can be written now.
fillDisk();
for (let n = 0; n < 64; n += 1) late.run.context.log("info", "y".repeat(60_000)).catch(() => {});
late.run.finish("late");
const stranger = await connected();
const strange = (await stranger.hello()).payload;
const pinged = client.send("session.ping", { nonce: "n", sent_at: new Date().toISOString() });
await client.find((frame) => frame.type === "session.pong");
const wasToldTooEarly = client.frames.some((frame) => isOf(late.jobId)(frame) && frame.type === "job.result");

unlinkSync(fill);
const lateEnd = (await client.find((frame) => isOf(late.jobId)(frame) && frame.type === "job.result")).payload
  .final_status;
await client.find(phaseOf("storage_available", talker.jobId));
await untilReserve();
const again = await begin();
again.run.finish("again");
await client.find((frame) => isOf(again.jobId)(frame) && frame.type === "job.result");
isTalking = false;
await talk;
talker.run.finish(taken);
await client.find((frame) => isOf(talker.jobId)(frame) && frame.type === "job.result");

const numbers = client.frames.flatMap(({ event_seq }) => (event_seq === undefined ? [] : [event_seq]));
await server.close();
const kept: Record<string, number> = {};
for await (const entry of store.entries(talker.jobId as never)) kept[entry.type] = (kept[entry.type] ?? 0) + 1;
await store.close();
clearInterval(alive);
writeFileSync(
  1,
  JSON.stringify({
    refused: [refused.code, refused.retryable, refused.details],
    ...{ watching, ended, isTalkerHeld, wasToldTooEarly, lateEnd, pinged: pinged !== "" },
    strange: [strange.code, strange.retryable, strange.details?.reason],
    isGapFree: numbers.every((seq, index) => seq === index + 1),
    // What it said, and the two words about the disk.
    isAllKept: kept["job.event"] === taken + 2,
    wasMoreTaken: taken > takenWhenFull,
    invariants: errors.filter((line) => line.includes('"invariant":true')),
  }),
);
