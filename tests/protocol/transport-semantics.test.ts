import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Carrier, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import type { Frame } from "../support/raw-client.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

/** What differs from run to run, named by the order in which it appears. */
function normalised(frames: readonly Frame[]): unknown {
  const names = new Map<string, string>();
  const nameOf = (value: string): string => {
    const name = names.get(value) ?? `<${value.split("_")[0]} ${names.size}>`;
    names.set(value, name);
    return name;
  };
  const text = JSON.stringify(frames)
    .replace(/\b(?:msg|sess|job|rt)_[0-9A-Za-z]{4,}/g, nameOf)
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>");
  return JSON.parse(text);
}

/** Submit, events, a lost connection, resume, cancel, list, close: everything that the client was sent. */
async function scriptedSession(carrier: Carrier): Promise<readonly Frame[]> {
  const puppet = new Puppet();
  await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
  const before = await harness.rawSession();
  const { job_id } = await before.submit("puppet", { n: 1 }, {}, { trace_id: TRACE });
  const run = await puppet.next();
  await emitLogs(run, 3);
  await before.sees(({ event_seq }) => event_seq === 3);
  before.send("session.ack", { last_processed_seq: 2 });
  await before.fence();
  await harness.disconnect(before);
  await emitLogs(run, 2, 4);

  const after = await harness.raw();
  await after.resume(before, 3);
  await after.sees(({ event_seq }) => event_seq === 5);
  await emitLogs(run, 1, 6);
  const second = await after.submit("puppet", null, {}, { trace_id: TRACE });
  const secondRun = await puppet.next();
  await after.reply(after.send("job.cancel", {}, { job_id }));
  run.finish();
  await after.ended(job_id as string);
  await after.reply(after.send("session.list_jobs"));
  await after.reply(after.send("job.cancel", { job_id: second.job_id, reason: "enough" }));
  secondRun.finish();
  await after.ended(second.job_id as string);
  await after.reply(after.send("session.close"));
  await after.transport.closed;
  return [...before.frames, ...after.frames];
}

describe("a session", () => {
  test("reads the same over every carrier", async () => {
    covers("V11-4.3-01");
    const [expected, ...others] = await Promise.all(CARRIERS.map(async (carrier) => scriptedSession(carrier)));
    expect(expected?.map(({ type, event_seq }) => [type, event_seq].join(" ").trim())).toEqual([
      ...["session.welcome", "job.accepted", "job.event 1", "job.event 2", "job.event 3", "session.pong"],
      ...["session.welcome", "job.event 4", "job.event 5", "job.event 6", "job.accepted", "job.cancelled"],
      ...["job.error 7", "session.jobs", "job.cancelled", "job.error 8", "session.closed"],
    ]);
    for (const trace of others) expect(normalised(trace)).toEqual(normalised(expected ?? []));
  });
});
