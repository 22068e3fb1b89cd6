import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { cpuMs } from "../support/cpu-time.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { startCanary } from "./canary.ts";
import { AGENTS, closeOf, refused, stillWorks } from "./hostile-client.ts";
import { envelope, MALFORMED, nested } from "./malformed-frames.ts";

describe.each(CARRIERS)("malformed frames over %s", (carrier) => {
  test.each(MALFORMED)("%s is refused, and the session goes on", async (_name, text) => {
    covers("V11-12-04", "V11-12-01", "V11-5.1-12", "V11-5.1-04");
    await using harness = startHarness({ carrier, agents: AGENTS });
    const client = await harness.rawSession();
    const answer = await refused(client, text);
    expect(JSON.stringify(answer).length).toBeLessThan(2048);
    expect(answer.session_id).toBe(client.sessionId);
    expect(({} as { role?: string; isAdmin?: boolean }).role ?? ({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    await stillWorks(client);
  });

  test("before a session exists, a malformed frame is answered and ends the connection", async () => {
    covers("V11-12-04", "V11-6.1-04");
    await using harness = startHarness({ carrier });
    const canary = await startCanary(harness);
    for (const [, text] of MALFORMED.filter(([, { length }]) => length < 10_000)) {
      const client = await harness.raw();
      client.sendText(text);
      const answer = await client.next();
      expect(answer).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
      expect(answer.session_id).toMatch(/^[\x21-\x7e]{1,128}$/);
      await client.transport.closed;
    }
    await canary.completes();
  });

  test("the twentieth malformed frame in a row closes the connection, the session can be resumed", async () => {
    await using harness = startHarness({ carrier, agents: AGENTS });
    const canary = await startCanary(harness);
    const client = await harness.rawSession();
    for (let n = 1; n <= 19; n += 1) client.sendText(`{"n":${n}`);
    await stillWorks(client);
    for (let n = 1; n <= 25; n += 1) client.sendText(`{"n":${n}`);
    const close = await closeOf(client);
    if (carrier === "websocket") expect(close.code).toBe(4400);
    expect(client.frames.filter(({ type }) => type === "session.error").length).toBe(19 + 20);
    const again = await harness.raw();
    expect((await again.resume(client, 0)).type).toBe("session.welcome");
    await canary.completes();
  });
});

describe("what is within the bounds is accepted", () => {
  test.each([
    ["64 levels", `{"agent":"echo","input":${nested(62)}}`],
    ["a pair of surrogates, escaped", '{"agent":"echo","input":"\\ud83d\\ude00"}'],
    ["an escaped backslash before u0000", '{"agent":"echo","input":"\\\\u0000"}'],
    ["the largest double", '{"agent":"echo","input":1.7976931348623157e308}'],
    ["the same name in sibling objects", '{"agent":"echo","input":[{"a":1},{"a":2}]}'],
    ["a string that looks like a member", '{"agent":"echo","input":["a","a","a:","\\"a\\":"]}'],
  ])("%s", async (_name, payload) => {
    await using harness = startHarness({ agents: AGENTS });
    const client = await harness.rawSession();
    client.sendText(envelope("job.submit", {}).replace("{}", () => payload));
    const accepted = await client.next("job.accepted");
    const end = await client.ended(accepted.payload.job_id);
    expect(end.payload.result).toEqual(JSON.parse(payload).input);
  });

  test("a thousand unknown members of the envelope are ignored, neither stored nor echoed", async () => {
    covers("V11-5.1-13");
    await using harness = startHarness({ agents: AGENTS });
    const client = await harness.rawSession();
    const unknown = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`x${n}`, `CANARY${"y".repeat(1018)}`]));
    const text = envelope("job.submit", { agent: "echo", input: 1 }, unknown);
    expect(text.length).toBeLessThan(1024 * 1024);
    client.sendText(text);
    const accepted = await client.next("job.accepted", "session.error");
    expect(accepted.type).toBe("job.accepted");
    await client.ended(accepted.payload.job_id);
    expect(JSON.stringify(client.frames)).not.toContain("CANARY");
    for await (const job of harness.server.eventLog.jobs()) expect(JSON.stringify(job)).not.toContain("CANARY");
    for await (const entry of harness.server.eventLog.entries(accepted.payload.job_id)) {
      expect(JSON.stringify(entry)).not.toContain("CANARY");
    }
    const stored = await harness.server.eventLog.findJob(accepted.payload.job_id);
    expect(JSON.stringify(stored)).not.toContain("CANARY");
  });
});

test("a surrogate that is not escaped, where the carrier lets it through, is refused", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const client = await harness.rawSession();
  for (const text of ["\ud800", "\udc00", "a\ud83dz", "\udc00\ud800"]) {
    await refused(client, envelope("job.submit", {}).replace("{}", `{"agent":"echo","input":"${text}"}`));
  }
  await stillWorks(client);
});

/** Values that are no count, as JSON. */
const NO_COUNTS = ["-1", "1.5", '"10"', "1e400", "[]", "{}", "-0", "true", "9007199254740993", "9223372036854775808"];

test("a list of capabilities may hold anything, and grants nothing that was not named", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const client = await harness.raw();
  client.sendText(envelope("session.hello", { client_name: "flat", auth: { scheme: "bearer", token: "alice" } }));
  await client.welcomed();
  for (const name of [{ toString: 1 }, null, 7, ["fs.read"], "__proto__", "", "fs.*"]) {
    const payload = { agent: "echo", input: 1, lease_request: { capabilities: [name] } };
    await refused(client, envelope("job.submit", payload, { id: `msg_${JSON.stringify(name).length}` }));
  }
  expect(harness.server.runningJobs).toBe(0);
});

describe("numbers that are no counts", () => {
  test.each([...NO_COUNTS, "null"])("last_processed_seq: %s frees nothing", async (value) => {
    covers("V11-5.2-03");
    await using harness = startHarness({ agents: AGENTS });
    const client = await harness.rawSession();
    await stillWorks(client);
    await refused(client, envelope("session.ack", {}).replace("{}", `{"last_processed_seq":${value}}`));
    const again = await harness.raw();
    client.cut();
    expect((await again.resume(client, 0)).type).toBe("session.welcome");
    expect((await again.next("job.result")).event_seq).toBe(1);
  });

  test.each([...NO_COUNTS, "null"])("last_event_seq: %s resumes nothing", async (value) => {
    covers("V11-5.2-03");
    await using harness = startHarness({ agents: AGENTS });
    const owner = await harness.rawSession();
    const client = await harness.raw();
    const resume = `{"session_id":"${owner.sessionId}","resume_token":"${owner.resumeToken}","last_event_seq":${value}}`;
    client.sendText(
      envelope("session.hello", {}).replace("{}", `{"auth":{"scheme":"bearer","token":"alice"},"resume":${resume}}`),
    );
    expect(await client.next()).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
    await client.transport.closed;
    await stillWorks(owner);
  });

  test.each(NO_COUNTS)("from_event_seq: %s subscribes to nothing", async (value) => {
    await using harness = startHarness({ agents: AGENTS });
    const client = await harness.rawSession();
    const payload = `{"job_id":"job_x","history":true,"from_event_seq":${value}}`;
    await refused(client, envelope("job.subscribe", {}).replace("{}", payload));
    await stillWorks(client);
  });

  test.each(["0", "-1", "1.5", '"10"', "1e400", "[]", "-0", "9007199254740993"])(
    "limit: %s lists nothing",
    async (value) => {
      await using harness = startHarness({ agents: AGENTS });
      const client = await harness.rawSession();
      await refused(client, envelope("session.list_jobs", {}).replace("{}", `{"limit":${value}}`));
      await stillWorks(client);
    },
  );

  test.each(["0", "-1", '"10"', "1e400", "[]", "-0", "1e10"])("max_runtime_sec: %s runs nothing", async (value) => {
    await using harness = startHarness({ agents: AGENTS });
    const client = await harness.rawSession();
    await refused(
      client,
      envelope("job.submit", {}).replace("{}", `{"agent":"hold","input":1,"max_runtime_sec":${value}}`),
    );
    expect(harness.server.runningJobs).toBe(0);
    await stillWorks(client);
  });
});

describe("members that are too many or too long", () => {
  /** Payloads whose refusal must neither take long nor repeat what was sent. */
  const TOO_MUCH: readonly (readonly [name: string, type: string, payload: unknown])[] = [
    [
      "100,000 features",
      "session.hello",
      { capabilities: { features: Array.from({ length: 100_000 }, (_, n) => `f${n}`) } },
    ],
    ["500,000 features that are numbers", "session.hello", { capabilities: { features: new Array(500_000).fill(0) } }],
    [
      "200,000 encodings that are null",
      "session.hello",
      { capabilities: { encodings: new Array(200_000).fill(null) } },
    ],
    ["a token of 1 MB", "session.hello", { auth: { scheme: "bearer", token: "t".repeat(1_000_000) } }],
    ["a client name of 1 MB", "session.hello", { client: { name: "n".repeat(1_000_000) } }],
    ["500,000 statuses", "session.list_jobs", { filter: { status: new Array(500_000).fill(1) } }],
    [
      "900 unknown filters of 1 KiB",
      "session.list_jobs",
      { filter: Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`${n}${"z".repeat(1000)}`, 1])) },
    ],
    [
      "500,000 patterns",
      "job.submit",
      { agent: "echo", input: 1, lease_request: { "fs.read": new Array(500_000).fill(1) } },
    ],
    [
      "900 capabilities of 1 KiB",
      "job.submit",
      {
        agent: "echo",
        input: 1,
        lease_request: Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`${n}${"z".repeat(1000)}`, []])),
      },
    ],
    ["an idempotency key of 1 MB", "job.submit", { agent: "echo", input: 1, idempotency_key: "k".repeat(1_000_000) }],
    ["an empty idempotency key", "job.submit", { agent: "echo", input: 1, idempotency_key: "" }],
    ["an agent of 1 MB", "job.submit", { agent: "a".repeat(1_000_000), input: 1 }],
    ["an agent outside the grammar", "job.submit", { agent: "echo/../admin", input: 1 }],
    ["an agent with an empty version", "job.submit", { agent: "echo@", input: 1 }],
    ["a reason of 1 MB", "job.cancel", { job_id: "job_x", reason: "r".repeat(1_000_000) }],
    ["a cursor of 1 MB", "session.list_jobs", { cursor: "c".repeat(1_000_000) }],
    [
      "a forged cursor",
      "session.list_jobs",
      { cursor: Buffer.from('0123456789abcdef[0,"job_"]').toString("base64url") },
    ],
    ["a nonce of 1 MB", "session.ping", { nonce: "n".repeat(1_000_000) }],
  ];
  /** Far above what a refusal takes, far below what holds up other sessions. */
  const BOUND_MS = 500;

  test.each(TOO_MUCH)("%s", async (_name, type, payload) => {
    await using harness = startHarness({ agents: AGENTS });
    const canary = await startCanary(harness);
    const client = type === "session.hello" ? await harness.raw() : await harness.rawSession();
    const text = envelope(type, payload);
    const before = cpuMs();
    const answer = await refused(client, text);
    expect(cpuMs() - before).toBeLessThan(BOUND_MS);
    expect(answer.payload.request_id).toBe("msg_hostile");
    expect(JSON.stringify(answer).length).toBeLessThan(2048);
    expect(harness.server.runningJobs).toBe(1);
    await canary.completes();
  });
});
