/** What operators are told over HTTP: what is stored, at least once, until the endpoint has taken it. */
import { readFileSync } from "node:fs";
import { PermissionDeniedError } from "@arcp/core";
import { newWebhookSecret, WEBHOOK_EVENT_TYPES, webhookEventSchema } from "@arcp/core/webhooks";
import { auditRows, retryWebhooks, type Store, StoreError } from "@arcp/runtime";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { settle } from "../support/puppet.ts";
import { type Received, Receiver, status } from "./receiver.ts";
import { collected, configured, DAY, HOUR, MINUTE, SECOND, told } from "./told.ts";

const schema = JSON.parse(readFileSync(new URL("../../docs/webhook.schema.json", import.meta.url), "utf8"));
const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
const isValid = ajv.compile(schema);

const bodyOf = ({ body }: Received) => JSON.parse(body);

/** The events of a receiver, each one verified and as the schema says. */
async function verified(receiver: Receiver, requests: readonly Received[]) {
  const events = [];
  for (const request of requests) {
    expect(isValid(bodyOf(request)), JSON.stringify(isValid.errors)).toBe(true);
    events.push((await receiver.verified(request)).event);
  }
  return events;
}

test("the schema in the documentation is that of the code", () => {
  const made = z.toJSONSchema(webhookEventSchema, { target: "draft-2020-12" });
  expect(schema).toEqual({ title: "A webhook of an ARCP runtime", ...made });
});

describe("an endpoint is told", () => {
  test("of the end of a job, signed, without what the job was given and has made", async () => {
    await using world = await told();
    const { client, jobId, run } = await world.job({}, { question: "of life" });
    run.finish({ answer: 42 });
    await client.ended(jobId);
    const [request] = (await world.receiver.has(1)) as [Received];
    expect(request.headers).toMatchObject({ "content-type": "application/json", "user-agent": "arcp-webhooks" });
    expect(request.headers["webhook-id"]).toMatch(/^msg_[\w-]{27}$/);
    const [event] = await verified(world.receiver, [request]);
    expect(event).toMatchObject({
      type: "job.ended",
      timestamp: new Date(world.clock.now()).toISOString(),
      data: { job_id: jobId, principal: "alice", agent: "puppet@0.0.0", status: "success" },
    });
    expect(request.body).not.toMatch(/of life|"answer"/);
    await world.outbox((stored) => stored.length === 0);
    expect(world.receiver.all).toHaveLength(1);
  });

  test("of an error by its code, and by its message only where the operator wants texts, without secrets", async () => {
    await using quiet = await told();
    await using open = await told({ endpoint: { texts: true } });
    for (const world of [quiet, open]) {
      const { run } = await world.job();
      run.fail(new PermissionDeniedError("no: sk-0123456789abcdef and Bearer abcdefgh"));
    }
    const [without, withText] = [
      bodyOf((await quiet.receiver.has(1))[0] as Received),
      bodyOf((await open.receiver.has(1))[0] as Received),
    ];
    expect(without.data.error).toEqual({ code: "PERMISSION_DENIED", retryable: false });
    expect(withText.data.error.message).toBe("no: [redacted] and Bearer [redacted]");
  });

  test("of questions to people, when they are asked", async () => {
    await using world = await told({ endpoint: { events: ["question.asked"], texts: true } });
    const { run } = await world.job();
    run.context.requestHumanInput({ prompt: "which branch?", expiresInMs: MINUTE }).catch(() => {});
    run.context
      .requestPermission({
        permission: "net.fetch",
        resource: "https://example.com/a?token=1",
        operation: "read",
      })
      .catch(() => {});
    const [input, permission] = await verified(world.receiver, await world.receiver.has(2));
    expect([input, permission].map((event) => event?.data)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          ...{ question: "input", prompt: "which branch?" },
          expires_at: new Date(world.clock.now() + MINUTE).toISOString(),
        }),
        expect.objectContaining({ question: "permission", permission: "net.fetch", operation: "read" }),
      ]),
    );
    expect(world.receiver.all.map(({ body }) => body).join()).not.toMatch(/token=1/);
    run.finish();
  });

  test("of each share of a budget once, also over a restart", async () => {
    await using world = await told({
      webhooks: { budgetThresholds: [0.5, 0.8, 1] },
      endpoint: { events: ["budget.threshold"] },
    });
    const { client, jobId, run } = await world.job({ lease_request: { "cost.budget": ["USD:1.00"] } });
    for (const value of [0.3, 0.1, 0.1]) await run.context.metric({ name: "cost.tokens", value, unit: "USD" });
    await world.receiver.has(1);
    await run.context.metric({ name: "cost.tokens", value: 0.7, unit: "USD" });
    const events = await verified(world.receiver, await world.receiver.has(3));
    expect(events.map(({ data }) => [data["threshold"], data["initial"], data["remaining"]]).toSorted()).toEqual([
      [0.5, 1, 0.5],
      [0.8, 1, -0.2],
      [1, 1, -0.2],
    ]);
    run.finish();
    await client.ended(jobId);
    await world.outbox((stored) => stored.length === 0);
    expect(world.receiver.all).toHaveLength(3);
  });

  test("of what it wants to know, and of nothing else", async () => {
    await using other = await Receiver.start();
    const endpoints = (receiver: Receiver) => [
      { name: "agents", url: `${receiver.url}/agents`, secret: receiver.secret, agents: ["another"] },
      { name: "tenants", url: `${receiver.url}/tenants`, secret: receiver.secret, tenants: ["acme"] },
      { name: "none", url: `${receiver.url}/none`, secret: receiver.secret, tenants: [""], agents: ["puppet@0.0.0"] },
      { name: "events", url: `${receiver.url}/events`, secret: receiver.secret, events: ["question.asked"] as const },
    ];
    await using world = await told({ webhooks: { endpoints: endpoints(other) } });
    const { run } = await world.job();
    run.finish();
    const [request] = await other.has(1);
    await world.outbox((stored) => stored.length === 0);
    expect(other.all.map(({ path }) => path)).toEqual(["/hooks/none"]);
    expect(bodyOf(request as Received).data).not.toHaveProperty("tenant");
  });
});

describe("what an endpoint does not take", () => {
  test("is tried again, later each time, with the same id and a signature of that moment", async () => {
    await using world = await told();
    world.receiver.answer = status(500);
    const { run } = await world.job();
    run.finish();
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 12; attempt += 1) {
      const [stored] = await world.outbox(([one]) => one?.attempts === attempt);
      expect(stored).toMatchObject({ state: "waiting", lastError: "HTTP 500" });
      waits.push(Number(stored?.dueAt) - world.clock.now());
      world.clock.advance(Number(stored?.dueAt) - world.clock.now());
    }
    waits.forEach((wait, index) => {
      const whole = Math.min(5 * SECOND * 2 ** index, HOUR);
      expect(wait).toBeGreaterThanOrEqual(whole * 0.8);
      expect(wait).toBeLessThanOrEqual(whole * 1.2);
    });
    world.receiver.answer = status(200);
    await world.outbox(([one]) => (one?.attempts ?? 13) === 13);
    const [last] = await world.outbox(() => true);
    if (last !== undefined) world.clock.advance(last.dueAt - world.clock.now());
    await world.outbox((stored) => stored.length === 0);
    const sent = world.receiver.all;
    expect(new Set(sent.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(sent.map(({ body }) => body)).size).toBe(1);
    expect(new Set(sent.map(({ headers }) => headers["webhook-timestamp"])).size).toBeGreaterThan(10);
    await verified(world.receiver, sent);
  });

  test("is told when it is there again, by another runtime if need be", async () => {
    await using world = await told();
    world.receiver.answer = (response) => response.destroy();
    const { client, jobId, run } = await world.job();
    run.finish();
    await client.ended(jobId);
    const [stored] = await world.outbox(([one]) => one?.attempts === 1);
    expect(stored?.lastError).toBe("UND_ERR_SOCKET");
    await world.harness.server.close();
    world.clock.advance(2 * DAY);
    world.receiver.answer = status(200);
    expect(world.receiver.all).toHaveLength(1);
    await world.restart();
    const [, request] = await world.receiver.has(2);
    expect(request?.headers["webhook-id"]).toBe(stored?.id);
    await world.outbox((left) => left.length === 0);
  });

  test("is given up after its time, audited, listed, tried again when an operator says so, and forgotten at last", async () => {
    await using world = await told({ webhooks: { giveUpAfterMs: DAY, maxRetryMs: 6 * HOUR, keepDeadMs: 10 * DAY } });
    world.receiver.answer = status(503);
    const { jobId, run } = await world.job();
    run.finish();
    const given = async () => {
      for (;;) {
        const [stored] = await world.outbox(([one]) => one?.state === "dead" || Number(one?.dueAt) > world.clock.now());
        if (stored?.state === "dead") return stored;
        world.clock.advance(Number(stored?.dueAt) - world.clock.now());
      }
    };
    const dead = await given();
    expect(world.clock.now() - dead.createdAt).toBeLessThanOrEqual(DAY);
    expect(dead.attempts).toBeGreaterThan(5);
    const before = world.receiver.all.length;
    world.clock.advance(DAY);
    await settle();
    expect(world.receiver.all).toHaveLength(before);

    expect(await retryWebhooks(world.store, [dead], world.clock.now())).toBe(1);
    world.clock.advance(10 * SECOND);
    await world.receiver.has(before + 1);
    const again = await given();
    expect(again.attempts).toBeGreaterThan(dead.attempts);
    world.clock.advance(10 * DAY);
    await world.outbox((stored) => stored.length === 0);
    const rows = await collected(auditRows(world.store));
    const acts = rows
      .filter(({ action }) => action.startsWith("webhook."))
      .map((row) => [row.action, row.jobId, JSON.parse(row.facts)]);
    const facts = { endpoint: "ops", type: "job.ended", webhook_id: dead.id };
    expect(acts).toEqual([
      ["webhook.given_up", jobId, { ...facts, attempts: dead.attempts }],
      ["webhook.retried", jobId, facts],
      ["webhook.given_up", jobId, { ...facts, attempts: again.attempts }],
    ]);
  });

  test("is left alone for as long as it asks, and given up at once if the endpoint is gone", async () => {
    await using world = await told();
    world.receiver.answer = status(429, { "retry-after": "1800" });
    const { run } = await world.job();
    run.finish();
    const [stored] = await world.outbox(([one]) => one?.attempts === 1);
    expect(Number(stored?.dueAt) - world.clock.now()).toBe(1800 * SECOND);
    world.receiver.answer = status(410);
    world.clock.advance(1800 * SECOND);
    await world.outbox(([one]) => one?.state === "dead");
  });

  test("is not looked for elsewhere: a redirect is a failure", async () => {
    await using elsewhere = await Receiver.start();
    await using world = await told();
    world.receiver.answer = status(307, { location: elsewhere.url });
    const { run } = await world.job();
    run.finish();
    const [stored] = await world.outbox(([one]) => one?.attempts === 1);
    expect(stored?.lastError).toBe("HTTP 307");
    expect(elsewhere.all).toEqual([]);
  });

  test("keeps nobody else waiting: attempts are bounded in number and in time", async () => {
    await using world = await told({ webhooks: { concurrency: 2 } });
    world.receiver.answer = () => {}; // It hangs.
    for (let count = 0; count < 5; count += 1) (await world.job()).run.finish();
    await world.receiver.has(2);
    await settle();
    expect(world.receiver.all).toHaveLength(2);
    world.clock.advance(15 * SECOND);
    const failed = await world.outbox((stored) => stored.filter(({ attempts }) => attempts === 1).length === 2);
    expect(failed.flatMap(({ lastError }) => lastError ?? [])).toEqual(["TIMEOUT", "TIMEOUT"]);
    await world.receiver.has(4);
  });

  test("is read no further than it must: an answer without an end is cut", async () => {
    await using world = await told();
    const cut = Promise.withResolvers<void>();
    world.receiver.answer = (response) => {
      response.on("close", () => cut.resolve());
      response.writeHead(200);
      const more = (): void =>
        void (response.destroyed || response.write("x".repeat(65_536), () => setImmediate(more)));
      more();
    };
    const { run } = await world.job();
    run.finish();
    await world.outbox((stored) => stored.length === 0);
    await cut.promise;
  });
});

test("nothing is told that was not stored", async () => {
  let isBroken = false;
  const wrap = (store: Store): Store =>
    new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (name === "commit" && isBroken) return () => Promise.reject(new StoreError("failed", "the disk is gone"));
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  const failed = Promise.withResolvers<unknown>();
  const errors: string[] = [];
  const logger = {
    debug() {},
    info() {},
    warn() {},
    error: (_: object, text = "") => void errors.push(text),
    child: () => logger,
  };
  await using world = await told({ wrap, mayFail: true, server: { onStoreFailure: failed.resolve, logger } });
  const { run } = await world.job();
  isBroken = true;
  run.finish();
  await failed.promise;
  await settle();
  expect(world.receiver.all).toEqual([]);
  expect(await world.outbox(() => true)).toEqual([]);
  expect(errors.join()).toContain("a commit failed");
});

test("a configuration that cannot be right is refused, without the secret in what is said", async () => {
  const secret = newWebhookSecret();
  const url = "https://example.com/hooks";
  const refused = (endpoint: object, more: object = {}): Promise<void> =>
    configured({ endpoints: [{ url, secret, ...endpoint }], ...more });
  await expect(refused({ url: "http://example.com" })).rejects.toThrow("use https");
  await expect(refused({ url: "https://me:pw@example.com" })).rejects.toThrow("without a user");
  await expect(refused({ url: "ftp://example.com" })).rejects.toThrow("use https");
  await expect(refused({ secret: "whsec_c2hvcnQ=" })).rejects.toThrow(/^(?!.*c2hvcnQ).*webhooks.secret/);
  await expect(refused({ secret: [] })).rejects.toThrow("webhooks.secret");
  await expect(refused({ name: "a b" })).rejects.toThrow("webhooks.name");
  await expect(refused({ events: ["job.began"] })).rejects.toThrow(WEBHOOK_EVENT_TYPES.join(", "));
  await expect(refused({}, { budgetThresholds: [80] })).rejects.toThrow("budgetThresholds");
  await expect(refused({}, { concurrency: 0 })).rejects.toThrow("concurrency");
  await expect(refused({}, { timeoutMs: Number.NaN })).rejects.toThrow("timeoutMs");
  await expect(
    configured({
      endpoints: [
        { url, secret },
        { url, secret },
      ],
    }),
  ).rejects.toThrow("give them names");
  await refused({ url: "http://10.0.0.1/hooks", allowInsecure: true });
});
