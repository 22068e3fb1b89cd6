/** What credentials permit, on both wires (RFC §15.1): which command takes which scope, and what is not permitted changes nothing. */
import { EXTENSION_FEATURE, type Identity, type Permission, StaticBearerVerifier } from "@arcp/core";
import { DEFAULT_PRINCIPAL_RATES, RateExceededError } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { Rates } from "../../packages/runtime/src/engine/rates.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_FEATURES, type RawClient } from "../support/raw-client.ts";
import { ALL_CAPABILITIES } from "../support/raw-client-10.ts";

const identity = (principal: string, ...permissions: readonly Permission[]): Identity => ({ principal, permissions });

/** The token of each is its name. `alice` has scopes that say nothing, `nobody` has scopes that permit nothing. */
const PEOPLE = new Map<string, Identity>([
  ["alice", { principal: "alice" }],
  ["bob", { principal: "bob" }],
  ["nobody", identity("alice")],
  ["submitter", identity("alice", "submit")],
  ["reader", identity("alice", "observe:own")],
  ["watcher", identity("oscar", "observe:all")],
  ["answerer", identity("alice", "answer")],
  ["admin", identity("root", "admin")],
]);

function scene(more: Parameters<typeof startHarness>[0] = {}) {
  const puppet = new Puppet();
  const harness = startHarness({
    ...more,
    agents: { puppet: puppet.handler },
    server: { bearer: new StaticBearerVerifier(PEOPLE), cancelAuthority: "principal", ...more.server },
  });
  return { puppet, harness, [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose]() };
}

const EXTENDED = [...ALL_FEATURES, EXTENSION_FEATURE];
const JOB = "job_01JZZZZZZZZZZZZZZZZZZZZZZZ";
const answer = { request_id: "q_01JZZZZZZZZZZZZZZZZZZZZZZZ" };

/** Each command of wire 1.1 that is not free, with what it takes. */
const COMMANDS_11: readonly (readonly [type: string, payload: object, needs: Permission])[] = [
  ["job.submit", { agent: "puppet", input: null }, "submit"],
  ["job.cancel", { job_id: JOB }, "submit"],
  ["session.list_jobs", {}, "observe:own"],
  ["job.subscribe", { job_id: JOB }, "observe:own"],
  ["x-vendor.arcp.human.input.response", { ...answer, value: 1 }, "answer"],
  ["x-vendor.arcp.human.choice.response", { ...answer, choice_id: "a" }, "answer"],
  ["x-vendor.arcp.permission.deny", { ...answer, reason: "no" }, "answer"],
  ["x-vendor.arcp.answer_link", answer, "answer"],
];

/** The same of wire 1.0. */
const COMMANDS_10: readonly (readonly [type: string, payload: object, needs: Permission])[] = [
  ["tool.invoke", { tool: "puppet", arguments: {} }, "submit"],
  ["workflow.start", { workflow: "puppet", arguments: {} }, "submit"],
  ["job.schedule", { job: { type: "tool.invoke", payload: { tool: "puppet" } }, when: { after: 60 } }, "submit"],
  ["cancel", { target: "job", target_id: JOB }, "submit"],
  ["interrupt", { target: "job", target_id: JOB }, "submit"],
  ["artifact.put", { media_type: "text/plain", data: "eA==" }, "submit"],
  ["artifact.release", { artifact_id: "art_x" }, "submit"],
  ["checkpoint.restore", { job_id: JOB, checkpoint_id: "chk_x" }, "submit"],
  ["artifact.fetch", { artifact_id: "art_x" }, "observe:own"],
  ["subscribe", { filter: {} }, "observe:own"],
  ["resume", {}, "observe:own"],
  ["human.input.response", { ...answer, value: 1 }, "answer"],
  ["human.choice.response", { ...answer, choice_id: "a" }, "answer"],
  ["permission.deny", { ...answer, reason: "no" }, "answer"],
];

describe("credentials that permit nothing", () => {
  test.each(COMMANDS_11)(
    "do not permit %s on wire 1.1, and the answer names the scope",
    async (type, payload, needs) => {
      await using it = scene();
      const client = await it.harness.rawSession(EXTENDED, "nobody");
      const refused = await client.ask(type, payload);
      expect(refused).toMatchObject({
        type: "session.error",
        payload: { code: "PERMISSION_DENIED", retryable: false, details: { permission: needs } },
      });
      expect(refused.payload.message).toContain(needs);
      expect(it.puppet.runs).toEqual([]);
    },
  );

  test.each(COMMANDS_10)(
    "do not permit %s on wire 1.0, and the answer names the scope",
    async (type, payload, needs) => {
      await using it = scene();
      const client = await it.harness.rawSession10("nobody");
      const id = `msg_${type}`;
      client.send(type, payload, needs === "answer" ? { id, correlation_id: answer.request_id } : { id });
      const refused = await client.answerTo(id);
      expect(refused.payload).toMatchObject({ code: "PERMISSION_DENIED", details: { permission: needs } });
      expect(refused.payload.retryable).not.toBe(true);
      expect(it.puppet.runs).toEqual([]);
    },
  );

  test("permit a session, its heartbeats and its end", async () => {
    await using it = scene();
    const client = await it.harness.rawSession(EXTENDED, "nobody");
    await client.fence();
    expect((await client.ask("session.close")).type).toBe("session.closed");
    const client10 = await it.harness.rawSession10("nobody");
    await client10.fence();
  });
});

/** What a client may do: submit, see its own, see another's, and stop another's. */
async function powersOf(client: RawClient, foreignJob: string): Promise<readonly string[]> {
  const isDone = async (type: string, payload: object): Promise<boolean> =>
    (await client.ask(type, payload)).payload.code !== "PERMISSION_DENIED";
  const powers: string[] = [];
  if (await isDone("job.submit", { agent: "puppet", input: null })) powers.push("submit");
  if (await isDone("session.list_jobs", {})) powers.push("observe:own");
  if ((await client.ask("job.subscribe", { job_id: foreignJob })).type === "job.subscribed") powers.push("observe:all");
  if ((await client.ask("job.cancel", { job_id: foreignJob })).type === "job.cancelled") powers.push("cancel:all");
  return powers;
}

describe("permissions", () => {
  test.each([
    ["alice", ["submit", "observe:own"]],
    ["submitter", ["submit"]],
    ["reader", ["observe:own"]],
    ["watcher", ["observe:own", "observe:all"]],
    ["answerer", []],
    ["admin", ["submit", "observe:own", "observe:all", "cancel:all"]],
  ])("of %s are these: %j", async (token, powers) => {
    await using it = scene({ server: { cancelGraceMs: 0 } });
    const bob = await it.harness.rawSession(undefined, "bob");
    const { job_id } = (await bob.submit("puppet")).payload;
    const client = await it.harness.rawSession(EXTENDED, token);
    expect(await powersOf(client, String(job_id))).toEqual(powers);
    for (const run of it.puppet.runs) run.finish();
    await settle();
  });

  test("who observes everything is shown everybody's jobs, and nobody else is", async () => {
    await using it = scene();
    const bob = await it.harness.rawSession(EXTENDED, "bob");
    await bob.submit("puppet");
    const lists = async (token: string) => (await it.harness.rawSession(EXTENDED, token)).listJobs();
    expect(await lists("watcher")).toHaveLength(1);
    expect(await lists("admin")).toHaveLength(1);
    expect(await lists("alice")).toEqual([]);
    (await it.puppet.next()).finish();
    await settle();
  });

  test("whose a job is, and since when it is over, is told to those who may observe others' and have agreed on the names", async () => {
    const people = new Map(PEOPLE);
    people.set("customer", { principal: "carol", tenant: "acme" });
    people.set("overseer", { ...identity("oscar", "observe:all"), tenant: "acme" });
    await using it = scene({ server: { bearer: new StaticBearerVerifier(people) } });
    const submitter = await it.harness.rawSession(EXTENDED, "bob");
    const jobId = (await submitter.submit("puppet")).job_id;
    await (await it.harness.rawSession(EXTENDED, "customer")).submit("puppet");
    const told = async (token: string, features: readonly string[] = EXTENDED): Promise<readonly unknown[]> => {
      const client = await it.harness.rawSession(features, token);
      return (await client.listJobs()).map((job) => [job["x-vendor.arcp.owner"], job["x-vendor.arcp.ended_at"]]);
    };
    expect(await told("watcher")).toEqual([[{ principal: "bob" }, undefined]]);
    expect(await told("overseer")).toEqual([[{ principal: "carol", tenant: "acme" }, undefined]]);
    expect(await told("watcher", ALL_FEATURES)).toEqual([[undefined, undefined]]);
    expect(await told("bob")).toEqual([[undefined, undefined]]);
    for (let left = 2; left > 0; left -= 1) (await it.puppet.next()).finish();
    await submitter.sees(({ type, job_id }) => type === "job.result" && job_id === jobId);
    expect(await told("watcher")).toEqual([[{ principal: "bob" }, expect.stringMatching(/^\d{4}-.*Z$/)]]);
    expect(await told("bob")).toEqual([[undefined, expect.stringMatching(/^\d{4}-.*Z$/)]]);
    const watching = await it.harness.rawSession(EXTENDED, "watcher");
    const subscribed = await watching.ask("job.subscribe", { job_id: jobId });
    expect(subscribed.payload).toMatchObject({ "x-vendor.arcp.owner": { principal: "bob" } });
    expect(subscribed.payload["x-vendor.arcp.ended_at"]).toMatch(/Z$/);
    await settle();
  });

  test("who observes everything may fetch everybody's artifacts, within the tenant, and release none", async () => {
    const people = new Map(PEOPLE);
    people.set("stranger", { ...identity("oscar", "observe:all"), tenant: "acme" });
    await using it = scene({ server: { bearer: new StaticBearerVerifier(people) } });
    const open = (token: string) =>
      it.harness.rawSession10(token, { capabilities: { ...ALL_CAPABILITIES, artifacts: true } });
    const put = await (await open("bob")).ask("artifact.put", { media_type: "text/plain", data: "eA==" });
    const { artifact_id } = put.payload;
    for (const [token, isShown] of Object.entries({
      watcher: true,
      admin: true,
      bob: true,
      alice: false,
      stranger: false,
    })) {
      const answer = await (await open(token)).ask("artifact.fetch", { artifact_id });
      if (isShown) expect(answer.payload, token).toMatchObject({ data: "eA==" });
      else expect(answer.payload, token).toMatchObject({ code: "NOT_FOUND" });
    }
    const released = await (await open("admin")).ask("artifact.release", { artifact_id });
    expect(released.payload).toMatchObject({ code: "NOT_FOUND" });
  });

  test("are not among the features that a client is told of", async () => {
    await using it = scene();
    const client = await it.harness.raw();
    const welcome = await client.hello(["list_jobs", "may:admin"], "reader");
    expect(welcome.payload.capabilities.features).toEqual(["list_jobs"]);
    expect((await client.submit("puppet")).payload.code).toBe("PERMISSION_DENIED");
  });

  test("stay with a session that is resumed by its token alone, and change with other credentials", async () => {
    await using it = scene();
    const before = await it.harness.rawSession(EXTENDED, "reader");
    await it.harness.disconnect(before);
    const again = await it.harness.raw();
    again.send("session.resume", {
      ...{ session_id: before.sessionId, resume_token: before.resumeToken, last_event_seq: 0 },
    });
    await again.welcomed();
    expect((await again.submit("puppet")).payload).toMatchObject({ code: "PERMISSION_DENIED" });
    await it.harness.disconnect(again);
    const more = await it.harness.raw();
    await more.resume(again, 0, "submitter", EXTENDED);
    expect((await more.submit("puppet")).type).toBe("job.accepted");
    expect((await more.ask("session.list_jobs")).payload.code).toBe("PERMISSION_DENIED");
    (await it.puppet.next()).finish();
    await settle();
  });

  test("of fresh credentials count at once on wire 1.0", async () => {
    await using it = scene();
    const client = await it.harness.rawSession10("submitter");
    expect((await client.ask("subscribe", { filter: {} })).payload.code).toBe("PERMISSION_DENIED");
    expect((await client.ask("session.authenticate", { auth: { scheme: "bearer", token: "reader" } })).type).toBe(
      "ack",
    );
    expect((await client.ask("subscribe", { filter: {} })).type).toBe("subscribe.accepted");
    expect((await client.invoke("puppet")).payload.code).toBe("PERMISSION_DENIED");
  });

  test("that are gone end the view of others' jobs", async () => {
    const people = new Map(PEOPLE);
    people.set("demoted", { principal: "oscar", permissions: ["observe:own"] });
    await using it = scene({ server: { bearer: new StaticBearerVerifier(people) } });
    const bob = await it.harness.rawSession(EXTENDED, "bob");
    const { job_id } = (await bob.submit("puppet")).payload;
    const run = await it.puppet.next();
    const watcher = await it.harness.rawSession(EXTENDED, "watcher");
    await watcher.ask("job.subscribe", { job_id });
    await it.harness.disconnect(watcher);
    const demoted = await it.harness.raw();
    await demoted.resume(watcher, 0, "demoted", EXTENDED);
    await run.context.log("info", "not for oscar any more");
    run.finish();
    await bob.end(String(job_id));
    await demoted.fence();
    expect(demoted.ofJob(String(job_id)).map(({ payload }) => payload.body?.message)).not.toContain(
      "not for oscar any more",
    );
    expect(demoted.frames.some(({ type }) => type === "job.result")).toBe(false);
  });
});

describe("a principal that is too quick", () => {
  const rateOf = (answer: { readonly payload: { readonly details?: unknown } }): unknown => answer.payload.details;

  test("is told when to come back, and may submit then", async () => {
    const clock = new ManualClock();
    await using it = scene({ server: { clock, principalRates: { submitsPerMinute: 2 } } });
    const clients: readonly RawClient[] = [
      await it.harness.rawSession(["list_jobs"], "alice"),
      await it.harness.rawSession(["list_jobs"], "submitter"),
    ];
    for (const client of clients) expect((await client.submit("puppet")).type).toBe("job.accepted");
    const refused = await (clients[0] as RawClient).submit("puppet");
    expect(refused.payload).toMatchObject({
      ...{ code: "INTERNAL_ERROR", retryable: true },
      details: { code: "RESOURCE_EXHAUSTED", limit: "submitsPerMinute", retry_after_seconds: 30 },
    });
    expect(await (clients[0] as RawClient).listJobs()).toHaveLength(2);
    const bob = await it.harness.rawSession(["list_jobs"], "bob");
    expect((await bob.submit("puppet")).type).toBe("job.accepted");
    clock.advance(30_000);
    expect((await (clients[0] as RawClient).submit("puppet")).type).toBe("job.accepted");
    for (const run of it.puppet.runs) run.finish();
    await settle();
  });

  test("is told so on wire 1.0, and the same message may be sent again", async () => {
    const clock = new ManualClock();
    await using it = scene({ server: { clock, principalRates: { submitsPerMinute: 1 } } });
    const capabilities = { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 };
    const client = await it.harness.rawSession10("alice", { capabilities });
    await client.invoke("puppet");
    const invoke = (): string => client.send("tool.invoke", { tool: "puppet", arguments: {} }, { id: "msg_again" });
    invoke();
    const refused = await client.answerTo("msg_again");
    expect(refused.payload).toMatchObject({
      ...{ code: "RESOURCE_EXHAUSTED", retryable: true },
      details: { limit: "submitsPerMinute", retry_after_seconds: 60 },
    });
    clock.advance(60_000);
    invoke();
    await client.sees(({ type, correlation_id }) => type === "job.accepted" && correlation_id === "msg_again");
    for (const run of it.puppet.runs) run.finish();
    await settle();
  });

  test("may send so many commands a second, and heartbeats besides", async () => {
    const clock = new ManualClock();
    await using it = scene({ server: { clock, principalRates: { commandsPerSecond: 3 } } });
    const client = await it.harness.rawSession(["list_jobs"], "alice");
    const answers = await Promise.all(Array.from({ length: 5 }, () => client.ask("session.list_jobs")));
    expect(answers.map(({ type }) => type)).toEqual([
      ...["session.jobs", "session.jobs", "session.jobs", "session.error", "session.error"],
    ]);
    expect(rateOf(answers[4] as never)).toMatchObject({ limit: "commandsPerSecond", retry_after_seconds: 1 });
    for (let n = 0; n < 20; n += 1) await client.fence();
    clock.advance(1_000);
    expect((await client.ask("session.list_jobs")).type).toBe("session.jobs");
  });

  test("may open so many sessions a minute, and resume as it likes", async () => {
    const clock = new ManualClock();
    await using it = scene({ server: { clock, principalRates: { sessionsPerMinute: 1 } } });
    const client = await it.harness.rawSession(undefined, "alice");
    const refused = await (await it.harness.raw()).hello(undefined, "alice");
    expect(refused.payload).toMatchObject({ retryable: true, details: { limit: "sessionsPerMinute" } });
    await it.harness.disconnect(client);
    const again = await it.harness.raw();
    expect((await again.resume(client, 0)).type).toBe("session.welcome");
  });
});

describe("rates", () => {
  test("of principals that have been quiet take no memory", () => {
    const clock = new ManualClock();
    const rates = new Rates({ ...DEFAULT_PRINCIPAL_RATES, submitsPerMinute: 1 }, clock);
    for (let n = 0; n < 5_000; n += 1) {
      rates.take(`principal ${n}`, "submitsPerMinute");
      clock.advance(60_000);
    }
    rates.take("busy", "submitsPerMinute");
    expect(() => rates.take("busy", "submitsPerMinute")).toThrow(RateExceededError);
  });

  test.each([0, 0.5, -1, Number.NaN])("of %s are refused", (rate) => {
    const make = () => new Rates({ ...DEFAULT_PRINCIPAL_RATES, commandsPerSecond: rate }, new ManualClock());
    expect(make).toThrow("principalRates.commandsPerSecond");
  });
});
