/** Four nights of a shop, in a second: `node examples/nightly-report/run.ts`. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, realpath, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ARCPClient,
  ARCPServer,
  ARCPToolClient,
  fileBlobs,
  newWebhookSecret,
  pairMemoryTransports,
  StaticBearerVerifier,
  sqliteStore,
  storedSchedules,
} from "@arcp/sdk";
import { HandClock } from "../clock.ts";
import { startModel } from "../model/model.ts";
import { webhookReceiver } from "../webhooks/receiver.ts";
import nightlyReport, { options, version } from "./agent.ts";

const clock = new HandClock("2027-03-01T18:00:00Z");
const directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-nightly-")));
const [sales, reports] = [join(directory, "sales"), join(directory, "reports")];
await mkdir(sales);
await mkdir(reports);

/** `Mon, 01 Mar 18:00`. */
const timeOf = (ms: number): string => new Date(ms).toUTCString().replace(/ \d{4} (\d\d:\d\d).*/, " $1");
const say = (line: string): void => console.log(`${timeOf(clock.now())}  ${line}`);

// --- The runtime: what it knows is in a database and a directory, so it can be stopped and started ------------------------

const secret = newWebhookSecret();
let onMail = Promise.withResolvers<{ readonly jobId: string; readonly status: string }>();
const mailbox = webhookReceiver(
  secret,
  async ({ type, data }) => {
    if (type === "job.ended") onMail.resolve({ jobId: data.job_id, status: data.status });
  },
  () => clock.now(),
);
await new Promise<void>((resolve) => mailbox.listen(0, "127.0.0.1", resolve));
const { port } = mailbox.address() as AddressInfo;

function startRuntime() {
  const store = sqliteStore({ path: join(directory, "runtime.db") });
  const server = new ARCPServer({
    runtime: { name: "shop", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map([["demo-token", { principal: "owner" }]])),
    eventLog: store,
    blobs: fileBlobs({ directory: join(directory, "artifacts") }),
    webhooks: { endpoints: [{ name: "mailbox", url: `http://127.0.0.1:${port}/`, secret, events: ["job.ended"] }] },
    clock,
  });
  server.registerAgent(`nightly-report@${version}`, nightlyReport, options);
  return {
    connect: async () => {
      const [near, far] = pairMemoryTransports();
      void server.accept(far);
      return near;
    },
    schedule: async () => {
      for await (const schedule of storedSchedules(store)) return schedule;
      throw new Error("nothing is scheduled");
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await store.close();
    },
  };
}

interface Result {
  readonly scheduledFor: string;
  readonly days: readonly string[];
  readonly report: { readonly uri: string };
}

/** Waits until the mailbox is told of a run, and reads its report. */
async function readMail({ connect }: ReturnType<typeof startRuntime>): Promise<readonly string[]> {
  const { jobId, status } = await onMail.promise;
  onMail = Promise.withResolvers();
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const { result } = await (await client.subscribe(jobId, { history: true })).done;
  const { scheduledFor, days, report } = result as Result;
  say(`mail: ${jobId}, ${status}, the run of ${timeOf(Date.parse(scheduledFor))}`);

  await using tools = await ARCPToolClient.open(connect, { token: "demo-token" });
  const text = new TextDecoder().decode(await tools.fetchArtifact(report.uri));
  console.log(text.trimEnd().replaceAll(/^/gm, "    | "));
  return days;
}

/** The shop closes, and puts down what it has sold. */
async function sell(day: string, sold: string): Promise<void> {
  clock.moveTo(`${day}T20:00:00Z`);
  await writeFile(join(sales, `${day}.csv`), sold);
  say("the shop closes");
}

// The time stands still while everybody waits, and nothing else keeps the process.
const stay = setInterval(() => {}, 60_000);
const model = await startModel((messages) => {
  const { bestseller } = JSON.parse(String(messages.at(-1)?.content)) as { readonly bestseller: string };
  return `The ${bestseller} made the day: keep enough of them in stock.`;
});
try {
  {
    await using runtime = startRuntime();
    const client = await ARCPToolClient.open(runtime.connect, { token: "demo-token" });
    const lease = {
      "fs.read": [`${sales}/**`, `${reports}/**`],
      "fs.write": [`${reports}/*.md`],
      "model.use": [model.name],
      "net.fetch": [`${model.url}/**`],
      "cost.budget": ["tokens:10000"],
    };
    const work = { tool: "nightly-report", arguments: { sales, reports }, options: { lease } };
    await client.schedule(work, { every: "FREQ=DAILY;BYHOUR=2;BYMINUTE=0" }).accepted;
    // Nobody has to stay for it.
    await client.close();
    say(`scheduled, every day at 02:00: next on ${timeOf((await runtime.schedule()).nextAt)}`);

    await sell("2027-03-01", "desk lamp,3,49.90\nbulb,12,4.50\n");
    clock.moveTo("2027-03-02T02:00:00Z");
    assert.deepEqual(await readMail(runtime), ["2027-03-01"]);
  }
  say("the runtime is stopped");

  await sell("2027-03-02", "desk lamp,1,49.90\nfloor lamp,1,189.00\n");
  clock.moveTo("2027-03-03T02:00:00Z");
  say("nobody is there to report");
  await sell("2027-03-03", "bulb,30,4.50\nshade,2,24.00\n");
  clock.moveTo("2027-03-04T02:00:00Z");
  say("nobody is there to report");

  clock.moveTo("2027-03-04T09:00:00Z");
  await using runtime = startRuntime();
  say("the runtime is back");
  assert.deepEqual(await readMail(runtime), ["2027-03-02", "2027-03-03"]);

  await sell("2027-03-04", "desk lamp,4,49.90\n");
  clock.moveTo("2027-03-05T02:00:00Z");
  assert.deepEqual(await readMail(runtime), ["2027-03-04"]);

  const { runs, skipped, failed, nextAt } = await runtime.schedule();
  say(`${runs} runs for 4 nights, ${skipped} skipped, ${failed} failed; next on ${timeOf(nextAt)}`);
  assert.deepEqual([runs, skipped, failed], [3, 1, 0]);
  assert.deepEqual(
    await readdir(reports),
    await readdir(sales).then((days) => days.map((day) => day.replace("csv", "md"))),
  );
} finally {
  clearInterval(stay);
  mailbox.closeAllConnections();
  mailbox.close();
  await model[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
}
