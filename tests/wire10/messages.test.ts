/** What messages have to be, whatever they say (RFC §4, §6, §20, §21). */
import { CLIENT_TYPES } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";

/** A required member of each type, and a value that it cannot have. Types without one take anything for an object. */
const WRONG: readonly (readonly [type: string, payload: object])[] = [
  ["tool.invoke", { tool: 7 }],
  ["tool.invoke", {}],
  ["workflow.start", { workflow: [] }],
  ["workflow.start", {}],
  ["job.schedule", { job: { type: "tool.invoke", payload: { tool: "echo" } }, when: { at: 7 } }],
  ["job.schedule", { when: { after: 1 } }],
  ["agent.delegate", { target: "echo", task: 7 }],
  ["agent.delegate", { task: "x" }],
  ["agent.handoff", { to_runtime: "me" }],
  ["agent.handoff", {}],
  ["cancel", { target: "job", target_id: 7 }],
  ["cancel", {}],
  ["interrupt", { target: "job", target_id: [] }],
  ["subscribe", { filter: { types: 7 } }],
  ["subscribe", { filter: "all" }],
  ["unsubscribe", {}],
  ["artifact.put", { media_type: "text/plain" }],
  ["artifact.put", { media_type: "text/plain", data: 7 }],
  ["artifact.fetch", {}],
  ["artifact.release", { artifact_id: {} }],
  ["human.choice.response", {}],
  ["lease.refresh", { lease_id: 7 }],
  ["checkpoint.restore", {}],
  ["resume", { after_message_id: 7 }],
  ["backpressure", { desired_rate_per_second: "fast" }],
];

describe("a message that is not of its form", () => {
  test.each(WRONG)("is refused and does nothing: %s %j", async (type, payload) => {
    covers("V10-4.4-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler, echo: (input) => input } });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("puppet");
    const run = await puppet.next();
    const before = client.frames.length;
    const id = client.send(type, payload);
    expect(await client.answerTo(id)).toMatchObject({
      type: "nack",
      payload: { code: "INVALID_ARGUMENT", ack_for: id },
    });
    await client.fence();
    expect(client.frames).toHaveLength(before + 2);
    expect(run.context.signal.aborted).toBe(false);
    run.finish("done");
    expect((await client.ending(job_id)).payload.value).toBe("done");
  });

  test.each([
    ["without a version", { arcp: undefined }],
    ["of another major version", { arcp: "2.0" }],
    ["without an id", { id: undefined }],
    ["without a timestamp", { timestamp: undefined }],
    ["with a timestamp that is none", { timestamp: "yesterday" }],
    ["with a priority that is none", { priority: "urgent" }],
    ["with members of no namespace", { extensions: { color: "red" } }],
    ["with a payload that is none", { payload: "x" }],
    ["for a session that is another", { session_id: "sess_01J00000000000000000000000" }],
  ])("is refused %s", async (_what, members) => {
    covers("V10-4.4-02", "V10-6.1-01", "V10-6.1.1-13");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    client.send("ping", {}, members);
    await client.next("nack");
    await client.fence();
    expect(client.ofType("pong")).toHaveLength(1);
  });

  test("is taken without a timestamp where the operator forgives that, and with members that nobody knows", async () => {
    covers("V10-6.1.1-17", "V10-6.1.1-16");
    await using harness = startHarness({ server: { allowMissingTimestamp: true } });
    const client = await harness.rawSession10();
    const members = { timestamp: undefined, source: "cli", target: "runtime", weather: "fine", causation_id: "msg_x" };
    const id = client.send("ping", {}, members);
    expect((await client.answerTo(id)).type).toBe("pong");
  });

  test("ends the connection when it comes twenty times in a row", async () => {
    await using harness = startHarness();
    const client = await harness.rawSession10();
    for (let n = 0; n < 20; n += 1) client.sendText("{");
    expect((await client.next("session.evicted")).payload.code).toBe("INVALID_ARGUMENT");
    await client.transport.closed;
  });
});

test("every type of a client is known", async () => {
  covers("V10-6.2-01");
  await using harness = startHarness({ server: { fingerprint: "sha256:a" } });
  const client = await harness.rawSession10();
  const quiet = new Set([
    "session.open",
    "session.authenticate",
    "session.close",
    "session.resume",
    "pong",
    "ack",
    "nack",
  ]);
  for (const type of CLIENT_TYPES) {
    if (quiet.has(type)) continue;
    client.send(type, {});
  }
  await client.fence();
  expect(client.ofType("nack").filter(({ payload }) => payload.code === "UNIMPLEMENTED")).toEqual([]);
});

test("a handler of the operator's own answers an extension, and only that one", async () => {
  covers("V10-4.7-01", "V10-6.2-02");
  const { pairMemoryTransports } = await import("@arcp/core");
  const { RawClient10 } = await import("../support/raw-client-10.ts");
  await using harness = startHarness({
    server: { capabilities: { encodings: ["json"], extensions: ["arcpx.acme.dance.v1"] } },
  });
  const [left, right] = pairMemoryTransports();
  const context = await harness.server.accept(right);
  context.registerHandler("arcpx.acme.dance.v1", ({ payload }) =>
    context.send({ type: "arcpx.acme.danced.v1", payload: payload as object }),
  );
  const client = new RawClient10(left);
  const accepted = await client.open({ capabilities: { extensions: ["arcpx.acme.dance.v1"] } });
  expect(accepted.payload.capabilities.extensions).toEqual(["arcpx.acme.dance.v1"]);
  client.send("arcpx.acme.dance.v1", { steps: 3 });
  expect((await client.next("arcpx.acme.danced.v1")).payload).toEqual({ steps: 3 });
  const other = client.send("arcpx.acme.sing.v1", {});
  expect((await client.answerTo(other)).payload.code).toBe("UNIMPLEMENTED");
  left.close();
});

test("a job tells of everything between its start and its end, and of no resource", async () => {
  covers("V10-4.2-01", "V10-6.3-01", "V10-6.1.1-06", "V10-20-02");
  await using harness = startHarness({
    agents: {
      teller: async (_input, context) => {
        await context.log("info", "a log");
        await context.progress(1, { total: 2 });
        await context.thought("a thought");
        await context.checkpoint({ at: 1 });
        const stream = context.openStream({ kind: "text" });
        await stream.write("a part");
        await stream.close("done");
        await context.emitEvent("x-vendor.acme.event", {});
        return "a result";
      },
    },
  });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("teller");
  await client.ending(job_id);
  const types = client.ofJob(job_id).map(({ type }) => type);
  const wanted = ["log", "job.progress", "stream.open", "stream.chunk", "stream.close", "job.checkpoint", "event.emit"];
  for (const type of wanted) {
    expect(types.indexOf(type), type).toBeGreaterThan(types.indexOf("job.started"));
    expect(types.indexOf(type), type).toBeLessThan(types.indexOf("tool.result"));
  }
  for (const frame of client.frames) {
    expect(frame.type.startsWith("resource.")).toBe(false);
    if (frame.type.startsWith("stream.")) expect(frame.stream_id).toMatch(/^str_/);
  }
});

test("a command that comes again through every door has its effect once", async () => {
  covers("V10-6.4-03");
  let effects = 0;
  await using harness = startHarness({
    agents: {
      pay: () => {
        effects += 1;
        return effects;
      },
    },
  });
  const key = { idempotency_key: "pay-1" };
  for (let n = 0; n < 3; n += 1) {
    const client = await harness.rawSession10();
    const id = "msg_one-and-the-same";
    client.send("tool.invoke", { tool: "pay", arguments: {} }, { ...key, id });
    client.send("tool.invoke", { tool: "pay", arguments: {} }, { ...key, id });
    client.send("tool.invoke", { tool: "pay", arguments: {} }, key);
    await client.sees(({ type }) => type === "tool.result");
    await client.fence();
    client.cut();
  }
  expect(effects).toBe(1);
});

test("whoever observes a job has no say in it", async () => {
  covers("V10-13.1-04", "V10-10.4-10");
  const puppet = new Puppet();
  await using harness = startHarness({
    agents: { puppet: puppet.handler },
    server: { jobAuthorizationPolicy: () => true, cancelAuthority: "principal" },
  });
  const owner = await harness.rawSession10();
  const { job_id } = await owner.invoke("puppet");
  const run = await puppet.next();
  const observer = await harness.rawSession10("oscar");
  await observer.ask("subscribe", { filter: { job_id: [job_id] } });
  const aim = { target: "job", target_id: job_id };
  expect((await observer.ask("cancel", aim)).type).toBe("cancel.refused");
  expect((await observer.ask("interrupt", { ...aim, prompt: "stop" })).type).toBe("nack");
  expect((await observer.ask("checkpoint.create", { job_id })).type).toBe("nack");
  run.finish("done");
  await observer.sees(({ payload }) => payload.event?.type === "tool.result");
});
