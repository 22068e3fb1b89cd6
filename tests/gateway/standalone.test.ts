/** The gateway by itself: keys over an administrator's API that LiteLLM's clients speak, in a file that outlives it. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BudgetExhaustedError, LeaseExpiredError, PermissionDeniedError } from "@arcp/core";
import { ModelGateway } from "@arcp/gateway";
import { expect, test } from "vitest";
import { openKeyFile } from "../../packages/gateway/src/standalone/key-file.ts";
import { explainUpstreamRefusal } from "../../packages/runtime/src/provisioners/upstream-refusal.ts";
import { covers } from "../support/covers.ts";
import { Fixture, HELLO, MASTER_KEY, rejection } from "./fixture.ts";

const ADMIN = { gateway: { admin: { masterKey: MASTER_KEY } } };
const SMALL = { models: ["gpt-small"], max_budget: 0.001, duration: "1h", key_alias: "job-1" };
const CHAT = { model: "gpt-small", messages: HELLO, max_tokens: 100 };

async function generate(fixture: Fixture, body: object = SMALL): Promise<string> {
  const answer = await fixture.admin("POST", "/key/generate", body);
  expect(answer.status).toBe(200);
  return String(answer.body["key"]);
}

const infoOf = async (fixture: Fixture, key: string): Promise<unknown> =>
  (await fixture.admin("GET", `/key/info?key=${encodeURIComponent(key)}`)).body["info"];

/** A directory that is gone afterwards. */
function directory(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "arcp-gateway-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test("a key is made with its models, budget and lifetime, and says what it has spent", async () => {
  covers("V11-9.8.3-01", "V11-9.8.3-02", "V11-9.8.3-03");
  await using fixture = await Fixture.start(ADMIN);
  const answer = await fixture.admin("POST", "/key/generate", { ...SMALL, metadata: { job: "j1" } });
  const expires = new Date(fixture.clock.now() + 3_600_000).toISOString();
  const known = { key_alias: "job-1", models: ["gpt-small"], max_budget: 0.001, expires, blocked: false };
  expect(answer.body).toMatchObject({ ...known, spend: 0, metadata: { job: "j1" } });
  const key = String(answer.body["key"]);
  expect(key).toMatch(/^sk-arcp-[\w-]{43}$/);
  const client = fixture.openai(key);
  await client.chat.completions.create(CHAT);
  expect(await infoOf(fixture, key)).toMatchObject({ ...known, spend: 0.00005 });
  expect(await infoOf(fixture, String(answer.body["token_id"]))).toMatchObject({ spend: 0.00005 });
  const denied = await rejection(client.chat.completions.create({ ...CHAT, model: "gpt-big" }));
  expect(explainUpstreamRefusal(denied)).toBeInstanceOf(PermissionDeniedError);
  const tooDear = await rejection(client.chat.completions.create({ ...CHAT, max_tokens: 1000 }));
  expect(explainUpstreamRefusal(tooDear)).toBeInstanceOf(BudgetExhaustedError);
  fixture.clock.advance(3_600_000);
  const late = await rejection(client.chat.completions.create(CHAT));
  expect(explainUpstreamRefusal(late)).toBeInstanceOf(LeaseExpiredError);
  expect((await client.models.list().catch((error: unknown) => error)) as object).toMatchObject({ status: 403 });
});

test("what is spent is exact, down to nothing", async () => {
  covers("V11-9.6-07");
  await using fixture = await Fixture.start(ADMIN);
  const key = await generate(fixture, { models: ["gpt-small", "claude-small"], max_budget: 0.00035 });
  fixture.upstream.usage = { input: 1, output: 2 };
  for (let count = 1; count <= 7; count += 1) {
    const response = await fixture.post("/v1/chat/completions", key, { ...CHAT, max_tokens: 10 });
    expect(response.status).toBe(200);
    expect(await infoOf(fixture, key)).toMatchObject({ spend: (count * 5) / 1e6 });
  }
  fixture.upstream.usage = { input: 15, output: 150 };
  expect((await fixture.post("/v1/chat/completions", key, { ...CHAT, max_tokens: 100 })).status).toBe(200);
  // More than was foreseen, so nothing is left, not even for what is free.
  const counting = { model: "claude-small", messages: HELLO };
  expect((await fixture.post("/v1/messages/count_tokens", key, counting)).status).toBe(402);
  expect((await fixture.post("/v1/chat/completions", key, { ...CHAT, max_tokens: 1 })).status).toBe(402);
  expect(await infoOf(fixture, key)).toMatchObject({ spend: 0.00035 });
});

test("a key is deleted by itself, its digest or its alias, any number of times", async () => {
  await using fixture = await Fixture.start(ADMIN);
  const one = await generate(fixture, { ...SMALL, key_alias: "one" });
  const two = await generate(fixture, { ...SMALL, key_alias: "two" });
  expect((await fixture.admin("POST", "/key/delete", { keys: [one] })).body).toEqual({ deleted_keys: [one] });
  expect((await fixture.admin("POST", "/key/delete", { key_aliases: ["two", "three"] })).body).toEqual({
    deleted_keys: ["two"],
  });
  expect(await fixture.admin("POST", "/key/delete", { key_aliases: ["two"] })).toEqual({
    status: 200,
    body: { deleted_keys: [] },
  });
  for (const key of [one, two]) {
    expect((await fixture.post("/v1/chat/completions", key, CHAT)).status).toBe(401);
    expect((await fixture.admin("GET", `/key/info?key=${key}`)).status).toBe(404);
  }
  await generate(fixture, { ...SMALL, key_alias: "two" });
});

test("a blocked key is good for nothing until it is unblocked, and what it has under way ends", async () => {
  await using fixture = await Fixture.start(ADMIN);
  const key = await generate(fixture);
  fixture.upstream.behaviour = () => {};
  const arrived = fixture.upstream.next();
  const answered = fixture.post("/v1/chat/completions", key, CHAT);
  const heard = await arrived;
  expect((await fixture.admin("POST", "/key/block", { key })).body).toMatchObject({ blocked: true });
  await heard.aborted;
  expect((await answered).status).toBe(401);
  fixture.upstream.behaviour = undefined;
  expect((await fixture.post("/v1/chat/completions", key, CHAT)).status).toBe(401);
  expect(await infoOf(fixture, key)).toMatchObject({ blocked: true });
  expect((await fixture.admin("POST", "/key/unblock", { key })).body).toMatchObject({ blocked: false });
  expect((await fixture.post("/v1/chat/completions", key, CHAT)).status).toBe(200);
  expect((await fixture.admin("POST", "/key/block", { key: "sk-nothing" })).status).toBe(404);
});

test("only the master key makes keys, and it is no key itself", async () => {
  await using fixture = await Fixture.start(ADMIN);
  const key = await generate(fixture);
  for (const wrong of [key, "", `${MASTER_KEY}x`, "Bearer"]) {
    expect((await fixture.admin("POST", "/key/generate", SMALL, wrong)).status).toBe(401);
    expect((await fixture.admin("GET", `/key/info?key=${key}`, undefined, wrong)).status).toBe(401);
  }
  expect((await fixture.post("/v1/chat/completions", MASTER_KEY, CHAT)).status).toBe(401);
  expect(() => new ModelGateway({ upstreams: [], admin: { masterKey: "short" } })).toThrow(/16 characters/);
});

test.each<[string, object]>([
  ["no models", { max_budget: 1 }],
  ["an empty list of models", { models: [] }],
  ["a pattern that is none", { models: ["gpt-{small,big}"] }],
  ["a negative budget", { ...SMALL, max_budget: -1 }],
  ["a budget as text", { ...SMALL, max_budget: "5" }],
  ["a lifetime without a unit", { ...SMALL, duration: "30" }],
  ["an empty alias", { ...SMALL, key_alias: "" }],
  ["metadata that is none", { ...SMALL, metadata: [] }],
  ["a limit that is not kept", { ...SMALL, rpm_limit: 5 }],
  ["a key of the caller's choice", { ...SMALL, key: "sk-mine" }],
])("a key with %s is not made", async (_, body) => {
  await using fixture = await Fixture.start(ADMIN);
  const answer = await fixture.admin("POST", "/key/generate", body);
  expect(answer.status).toBe(400);
  expect(answer.body["error"]).toMatchObject({ code: "INVALID_REQUEST" });
});

test("an alias stands for one key", async () => {
  await using fixture = await Fixture.start(ADMIN);
  await generate(fixture);
  expect((await fixture.admin("POST", "/key/generate", SMALL)).status).toBe(400);
});

test("every model and no budget can be asked for, in LiteLLM's words", async () => {
  await using fixture = await Fixture.start(ADMIN);
  const key = await generate(fixture, {
    models: ["all-proxy-models"],
    max_budget: null,
    duration: null,
    rpm_limit: null,
  });
  expect((await fixture.post("/v1/chat/completions", key, { ...CHAT, model: "gpt-free" })).status).toBe(200);
  expect(await infoOf(fixture, key)).toMatchObject({ max_budget: null, expires: null, spend: 0 });
});

test("keys in a file outlive the gateway, with what they have spent; the file tells nobody a key", async () => {
  covers("V11-14-21");
  using folder = directory();
  const keyFile = join(folder.path, "keys.jsonl");
  const options = { gateway: { admin: { masterKey: MASTER_KEY, keyFile } } };
  const keys: string[] = [];
  {
    await using fixture = await Fixture.start(options);
    keys.push(await generate(fixture, { ...SMALL, key_alias: "kept" }));
    keys.push(await generate(fixture, { ...SMALL, key_alias: "gone" }));
    keys.push(await generate(fixture, { ...SMALL, key_alias: "blocked" }));
    for (const key of keys) await fixture.post("/v1/chat/completions", key, CHAT);
    await fixture.admin("POST", "/key/delete", { key_aliases: ["gone"] });
    await fixture.admin("POST", "/key/block", { key: keys[2] });
  }
  await using fixture = await Fixture.start(options);
  const [kept = "", gone = "", blocked = ""] = keys;
  expect(await infoOf(fixture, kept)).toMatchObject({ spend: 0.00005, max_budget: 0.001, key_alias: "kept" });
  expect((await fixture.post("/v1/chat/completions", kept, CHAT)).status).toBe(200);
  expect((await fixture.post("/v1/chat/completions", gone, CHAT)).status).toBe(401);
  expect((await fixture.post("/v1/chat/completions", blocked, CHAT)).status).toBe(401);
  expect(await infoOf(fixture, kept)).toMatchObject({ spend: 0.0001 });
  const text = readFileSync(keyFile, "utf8");
  for (const key of keys) expect(text).not.toContain(key);
  expect(statSync(keyFile).mode & 0o777).toBe(0o600);
});

test("a request that a crash cut off counts as if it had cost what was held for it", async () => {
  using folder = directory();
  const path = join(folder.path, "keys.jsonl");
  const digest = "ab".repeat(32);
  const units = (value: bigint): ReadonlyMap<string, bigint> => new Map([["USD", value]]);
  const store = openKeyFile(path);
  store.added({
    ...{ digest, alias: "a", lease: { "model.use": ["m"], "cost.budget": ["USD:1"] }, expiresAt: null, createdAt: 0 },
    ...{ metadata: {}, isBlocked: false, spent: new Map() },
  });
  store.held(digest, 1, units(100n));
  store.spent(digest, 1, units(30n));
  store.released(digest, 1);
  store.held(digest, 2, units(50n));
  store.held(digest, 3, units(40n));
  store.spent(digest, 3, units(60n));
  store.close();
  // Half a line, as a crash leaves it.
  appendFileSync(path, '{"type":"deleted","dig');
  const again = openKeyFile(path);
  expect(again.keys[0]?.spent).toEqual(units(30n + 50n + 60n));
  again.close();
  const third = openKeyFile(path);
  expect(third.keys[0]?.spent).toEqual(units(140n));
  third.close();
  writeFileSync(path, "nonsense\n");
  expect(() => openKeyFile(path)).toThrow(/keys\.jsonl:1/);
});

test("without a file, keys die with the gateway", async () => {
  let key = "";
  {
    await using fixture = await Fixture.start(ADMIN);
    key = await generate(fixture);
  }
  await using fixture = await Fixture.start(ADMIN);
  expect((await fixture.post("/v1/chat/completions", key, CHAT)).status).toBe(401);
});
