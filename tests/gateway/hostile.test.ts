/** Agents that look for a way around the gateway, and upstreams that misbehave. */
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { ModelGateway } from "@arcp/gateway";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { json } from "./fake-upstream.ts";
import { ANTHROPIC_SECRET, Fixture, HELLO, OPENAI_SECRET } from "./fixture.ts";

const LEASE = { "model.use": ["gpt-*", "claude-*"], "cost.budget": ["USD:1"] };
const CHAT = { model: "gpt-small", messages: HELLO, max_tokens: 100 };
const MESSAGE = { model: "claude-small", messages: HELLO, max_tokens: 100 };

/** Bytes as they are, over a connection of their own. */
async function raw(fixture: Fixture, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(fixture.origin).port), "127.0.0.1");
  socket.end(bytes);
  return await textOf(socket);
}

test.each([
  ["GET", "/v1/chat/completions"],
  ["POST", "/v1/models"],
  ["POST", "/v1/chat/completions/"],
  ["POST", "/v1//chat/completions"],
  ["POST", "/v1/../v1/chat/completions"],
  ["POST", "/v1/%63hat/completions"],
  ["POST", "/v1/files"],
  ["GET", "/v1/responses/resp_1"],
  ["DELETE", "/v1/models/gpt-small"],
  ["POST", "/key/generate"],
  ["POST", "http://127.0.0.1/v1/chat/completions"],
])("%s %s does not exist", async (method, target) => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const body = JSON.stringify(CHAT);
  const answer = await raw(
    fixture,
    `${method} ${target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${credential.value}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  expect(answer).toContain('"code":"not_found"');
  expect(fixture.upstream.heard).toEqual([]);
});

test("what is not there is said in each API's words", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const openai = await fixture.post("/v1/nothing", credential.value, {});
  expect(await openai.json()).toMatchObject({
    error: { type: "invalid_request_error", code: "not_found", param: null },
  });
  const anthropic = await fixture.post("/v1/messages/batches", credential.value, {});
  expect(await anthropic.json()).toMatchObject({ type: "error", error: { type: "not_found_error" } });
});

test.each([
  ["no credential", {}],
  ["another scheme", { authorization: "Basic abc" }],
  ["a key that there is none of", { authorization: "Bearer sk-arcp-0000000000000000000000000000000000000000000" }],
  ["the upstream's own key", { authorization: `Bearer ${OPENAI_SECRET}` }],
  ["nothing in the scheme", { authorization: "Bearer " }],
])("%s lets nobody in", async (_, headers) => {
  await using fixture = await Fixture.start();
  const response = await fetch(`${fixture.origin}/v1/chat/completions`, {
    method: "POST",
    headers: headers as Record<string, string>,
    body: JSON.stringify(CHAT),
  });
  expect(response.status).toBe(401);
  expect(response.headers.get("x-should-retry")).toBe("false");
});

test("two different credentials are none, and two equal ones are one", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const other = await fixture.job(LEASE);
  const both = (key: string): Promise<Response> =>
    fixture.post("/v1/messages", credential.value, MESSAGE, { "x-api-key": key });
  expect((await both(other.credential.value)).status).toBe(401);
  expect((await both(credential.value)).status).toBe(200);
  const body = JSON.stringify(CHAT);
  const twice = await raw(
    fixture,
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${credential.value}\r\n` +
      `authorization: Bearer ${other.credential.value}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
  expect(twice).toMatch(/^HTTP\/1\.1 401 /);
});

test("the key of a job never goes upstream, and neither does any header of its own", async () => {
  covers("V11-14-18");
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const headers = {
    "x-forwarded-for": "10.0.0.1",
    "openai-organization": "org-other",
    "openai-project": "proj-other",
    "x-evil": credential.value,
    cookie: `key=${credential.value}`,
    "anthropic-version": `2023-06-01\t${credential.value}`,
    "accept-encoding": "gzip",
  };
  await fixture.post("/v1/chat/completions", credential.value, CHAT, headers);
  await fixture.post("/v1/messages", credential.value, MESSAGE, headers);
  expect(fixture.upstream.heard).toHaveLength(2);
  const [openai, anthropic] = fixture.upstream.heard;
  const common = ["accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"];
  expect(Object.keys(openai?.headers ?? {}).sort()).toEqual([...common, "authorization"].sort());
  expect(Object.keys(anthropic?.headers ?? {}).sort()).toEqual([...common, "anthropic-version", "x-api-key"].sort());
  expect(anthropic?.headers["anthropic-version"]).toBe("2023-06-01");
  expect(openai?.headers["accept-encoding"]).toBe("identity");
  expect(JSON.stringify(fixture.upstream.heard)).not.toContain(credential.value);
  expect(fixture.logged.join()).not.toContain(credential.value);
});

test("the upstream's key is in no response, whatever the upstream answers", async () => {
  covers("V11-14-18");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const seen: string[] = [];
  const ask = async (): Promise<number> => {
    const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
    const text = await response.text().catch(() => "cut");
    seen.push(text, JSON.stringify([...response.headers]));
    return response.status;
  };
  const leak = { error: { message: `no such key: ${OPENAI_SECRET}`, type: "invalid_request_error", code: "x" } };
  for (const status of [400, 404, 422, 429, 500, 503]) {
    fixture.upstream.behaviour = (_, response) => json(response, leak, status);
    expect(await ask()).toBe(status);
    expect(seen.at(-2)).toContain("[redacted]");
  }
  // What an upstream says about the gateway's own key is for nobody else.
  for (const status of [401, 403]) {
    fixture.upstream.behaviour = (_, response) => json(response, { error: { message: "key sk-up****6789" } }, status);
    expect(await ask()).toBe(502);
    expect(seen.at(-2)).not.toContain("6789");
  }
  fixture.upstream.behaviour = (_, response) => json(response, { choices: [], leak: OPENAI_SECRET });
  expect(await ask()).toBe(502);
  fixture.upstream.behaviour = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "x-secret": OPENAI_SECRET });
    response.end(`data: {"a":1}\n\ndata: {"leak":"${OPENAI_SECRET}"}\n\n`);
  };
  // It is cut before the event that holds the key, and perhaps before the first one is out.
  await ask().catch(() => {});
  fixture.upstream.behaviour = (_, response) => {
    response.writeHead(307, { location: `https://elsewhere.example/?key=${OPENAI_SECRET}` });
    response.end();
  };
  expect(await ask()).toBe(502);
  expect(seen.join()).not.toContain(OPENAI_SECRET);
  expect(seen.join()).not.toContain(ANTHROPIC_SECRET);
  expect(fixture.logged.join()).not.toContain(OPENAI_SECRET);
  // Refusals cost nothing; what was answered and kept back did.
  expect(job.metrics).toHaveLength(2);
});

test("an upstream's refusal is passed on as it is, with the headers that a client needs", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const body = { error: { message: "slow down", type: "requests", param: null, code: "rate_limit_exceeded" } };
  fixture.upstream.behaviour = (_, response) => {
    response.setHeader("retry-after", "7");
    response.setHeader("openai-organization", "org-secret");
    response.setHeader("set-cookie", "a=b");
    json(response, body, 429);
  };
  const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(response.status).toBe(429);
  expect(await response.json()).toEqual(body);
  const names = [...response.headers.keys()].sort();
  expect(names).toEqual(
    "cache-control connection content-type date keep-alive retry-after transfer-encoding x-request-id".split(" "),
  );
  expect(job.spent()).toBe(0);
});

test("an upstream that is not there costs nothing, one that breaks off does", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = (_, response) => void response.destroy();
  const broken = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(broken.status).toBe(502);
  expect(await broken.json()).toMatchObject({ error: { code: "upstream_unavailable" } });
  const spent = job.spent();
  expect(spent).toBe((JSON.stringify(CHAT).length + 200) / 1e6);
  await fixture.upstream[Symbol.asyncDispose]();
  const absent = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(absent.status).toBe(502);
  expect(job.spent()).toBe(spent);
});

test("a response without a usage, or with one that cannot be true, costs the most that it may have", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const usages = [
    undefined,
    null,
    { prompt_tokens: 0, completion_tokens: 0 },
    { prompt_tokens: -5 },
    { prompt_tokens: "9" },
    { prompt_tokens: 10, completion_tokens: -7 },
    { prompt_tokens: 10, completion_tokens: 1.5 },
  ];
  for (const usage of usages) {
    fixture.upstream.behaviour = (_, response) => json(response, { choices: [], usage });
    await fixture.post("/v1/chat/completions", credential.value, CHAT);
  }
  const most = (JSON.stringify(CHAT).length + 200) / 1e6;
  expect(job.metrics.map(({ value }) => value)).toEqual(usages.map(() => most));
  fixture.upstream.behaviour = (_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end("xx");
  };
  expect((await fixture.post("/v1/chat/completions", credential.value, CHAT)).status).toBe(502);
  expect(job.metrics.at(-1)).toMatchObject({ value: most, dimensions: { estimated: true } });
});

test("reasoning that an upstream leaves out of the output is counted by the total", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = (_, response) =>
    json(response, { choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 115 } });
  await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(job.spent()).toBe((10 + 105 * 2) / 1e6);
});

test.each([
  ["not JSON", "{"],
  ["not an object", "[]"],
  ["no model", { messages: HELLO }],
  ["a model that is none", { ...CHAT, model: 5 }],
  ["an empty model", { ...CHAT, model: "" }],
  ["a limit below one", { ...CHAT, max_tokens: 0 }],
  ["a limit that means no limit", { ...CHAT, max_tokens: -1 }],
  ["a limit as text", { ...CHAT, max_tokens: "5" }],
  ["a broken limit", { ...CHAT, max_completion_tokens: 1.5 }],
  ["too many answers", { ...CHAT, n: 1000 }],
  ["streaming as text", { ...CHAT, stream: "true" }],
  ["options that are none", { ...CHAT, stream_options: [] }],
  ["another spelling of a name", { ...CHAT, Model: "gpt-big" }],
  ["a spelling with another K", { ...CHAT, "max_to\u212aens": 1_000_000 }],
  ["a spelling with a long s", { ...CHAT, "max_token\u017f": 1_000_000 }],
  ["bottomless content", `{"model":"gpt-small","messages":${"[".repeat(5000)}${"]".repeat(5000)}}`],
])("a body with %s is refused", async (_, body) => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const response = await fixture.post("/v1/chat/completions", credential.value, body);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", code: "INVALID_REQUEST" } });
  expect(fixture.upstream.heard).toEqual([]);
});

test("of a name that stands twice, what is checked is what is sent", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job({ ...LEASE, "model.use": ["gpt-small"] });
  const body = `{"model":"gpt-big","model":"gpt-small","max_tokens":5,"max_tokens":100,"messages":[]}`;
  expect((await fixture.post("/v1/chat/completions", credential.value, body)).status).toBe(200);
  expect(fixture.upstream.last.text).toBe('{"model":"gpt-small","max_tokens":100,"messages":[]}');
});

test("the larger of two limits counts", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job({ ...LEASE, "cost.budget": ["USD:0.001"] });
  const body = { ...CHAT, max_tokens: 1, max_completion_tokens: 100_000 };
  expect((await fixture.post("/v1/chat/completions", credential.value, body)).status).toBe(402);
});

test.each<[string, string, object]>([
  ["/v1/responses", "previous_response_id", { model: "gpt-small", input: "x", previous_response_id: "resp_1" }],
  ["/v1/responses", "conversation", { model: "gpt-small", input: "x", conversation: "conv_1" }],
  ["/v1/responses", "background", { model: "gpt-small", input: "x", background: true }],
  ["/v1/responses", "prompt", { model: "gpt-small", prompt: { id: "pmpt_1" } }],
  ["/v1/responses", "tools:web_search", { model: "gpt-small", input: "x", tools: [{ type: "web_search" }] }],
  ["/v1/responses", "tools:mcp", { model: "gpt-small", input: "x", tools: [{ type: "mcp", server_url: "https://e" }] }],
  ["/v1/responses", "stored_content", { model: "gpt-small", input: [{ type: "item_reference", id: "rs_1" }] }],
  ["/v1/chat/completions", "web_search_options", { ...CHAT, web_search_options: {} }],
  ["/v1/chat/completions", "service_tier", { ...CHAT, service_tier: "priority" }],
  ["/v1/chat/completions", "modalities", { ...CHAT, modalities: ["text", "audio"] }],
  ["/v1/chat/completions", "remote_content", { ...CHAT, messages: [image("https://evil.example/?secret")] }],
  ["/v1/chat/completions", "stored_content", { ...CHAT, messages: [part({ type: "file", file: { file_id: "f" } })] }],
  ["/v1/messages", "remote_content", { ...MESSAGE, messages: [part(remoteDocument())] }],
  ["/v1/messages", "tools:web_fetch_20250910", { ...MESSAGE, tools: [{ type: "web_fetch_20250910", name: "f" }] }],
  ["/v1/messages", "mcp_servers", { ...MESSAGE, mcp_servers: [{ type: "url", url: "https://e.example" }] }],
])("%s with %s reaches beyond the request and is refused", async (path, feature, body) => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const response = await fixture.post(path, credential.value, body);
  expect(response.status).toBe(403);
  expect(await response.json()).toMatchObject({
    error: { code: "feature_not_permitted", arcp: { details: { feature } } },
  });
  expect(fixture.upstream.heard).toEqual([]);
  expect(job.journal).toMatchObject([{ error: "PERMISSION_DENIED" }]);
});

function part(value: object): object {
  return { role: "user", content: [value] };
}

function image(url: string): object {
  return part({ type: "image_url", image_url: { url } });
}

function remoteDocument(): object {
  return { type: "document", source: { type: "url", url: "https://evil.example" } };
}

test("what an operator allows goes through, and is bounded by the model's context", async () => {
  await using fixture = await Fixture.start({
    openai: { allow: ["previous_response_id"] },
    gateway: {
      prices: {
        "gpt-small": { input: "1", output: "2", maxInputTokens: 50_000 },
        "gpt-big": { input: "1", output: "2" },
      },
    },
  });
  const { job, credential } = await fixture.job(LEASE);
  let held = 0;
  fixture.upstream.onHeard = () => {
    held = job.held();
  };
  const body = { model: "gpt-small", input: "x", previous_response_id: "resp_1", max_output_tokens: 100 };
  expect((await fixture.post("/v1/responses", credential.value, body)).status).toBe(200);
  expect(held).toBe(0.0502);
  const unbounded = await fixture.post("/v1/responses", credential.value, { ...body, model: "gpt-big" });
  expect(unbounded.status).toBe(403);
  expect(await unbounded.json()).toMatchObject({ error: { code: "cost_unbounded" } });
});

test("arguments of tools are nobody's content", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const use = {
    type: "tool_use",
    id: "t",
    name: "f",
    input: { type: "document", source: { url: "https://x" }, file_id: "y" },
  };
  const messages = [...HELLO, { role: "assistant", content: [use] }];
  expect((await fixture.post("/v1/messages", credential.value, { ...MESSAGE, messages })).status).toBe(200);
});

test("an image is held for by what one may count as, and not by its bytes", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  let held = 0;
  fixture.upstream.onHeard = () => {
    held = job.held();
  };
  const data = "A".repeat(40_000);
  const body = { ...CHAT, model: "gpt-vision", messages: [image(`data:image/png;base64,${data}`)] };
  expect((await fixture.post("/v1/chat/completions", credential.value, body)).status).toBe(200);
  expect(held).toBeCloseTo((JSON.stringify(body).length - 40_000 + 1500 + 200) / 1e6, 12);
  // Text that only looks like an image is text.
  const hidden = { ...body, messages: [image(`data:image/png;base64,${"word ".repeat(8000)}`)] };
  await fixture.post("/v1/chat/completions", credential.value, hidden);
  expect(held).toBeGreaterThan(0.04);
  const blind = { ...body, model: "gpt-small" };
  expect((await fixture.post("/v1/chat/completions", credential.value, blind)).status).toBe(403);
});

test("characters that a tokenizer may spell out are held for as spelt out", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  let held = 0;
  fixture.upstream.onHeard = () => {
    held = job.held();
  };
  const body = { ...CHAT, messages: [{ role: "user", content: "\ufdfa".repeat(1000) }] };
  await fixture.post("/v1/chat/completions", credential.value, body);
  expect(held).toBeGreaterThan(0.03);
});

test("a body that is too large or too slow is not waited for", async () => {
  await using fixture = await Fixture.start({ gateway: { limits: { maxBodyBytes: 1000, bodyTimeoutMs: 5000 } } });
  const { credential } = await fixture.job(LEASE);
  const large = await fixture.post("/v1/chat/completions", credential.value, { ...CHAT, user: "x".repeat(1000) });
  expect(large.status).toBe(413);
  expect(await large.json()).toMatchObject({ error: { code: "request_too_large" } });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${credential.value}\r\n`;
  const chunked = await raw(
    fixture,
    `${head}transfer-encoding: chunked\r\n\r\n7d0\r\n${"x".repeat(2000)}\r\n0\r\n\r\n`,
  );
  expect(chunked).toMatch(/^HTTP\/1\.1 413 /);
  const socket = connect(Number(new URL(fixture.origin).port), "127.0.0.1");
  socket.write(`${head}content-length: 100\r\n\r\n{"mod`);
  while (fixture.clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  fixture.clock.advance(5000);
  expect(await textOf(socket)).toMatch(/^HTTP\/1\.1 408 /);
  // Nobody waits for half a body when the gateway closes.
  const last = connect(Number(new URL(fixture.origin).port), "127.0.0.1");
  last.write(`${head}content-length: 100\r\n\r\n{"mod`);
  while (fixture.clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  const answer = textOf(last);
  await fixture.gateway.close();
  expect(await answer).toMatch(/^HTTP\/1\.1 503 /);
});

test("one key has so many requests under way, and no more", async () => {
  await using fixture = await Fixture.start({ gateway: { limits: { maxConcurrentRequests: 2 } } });
  const { job, credential } = await fixture.job(LEASE);
  const other = await fixture.job(LEASE);
  const responses: (() => void)[] = [];
  const both = Promise.withResolvers<void>();
  fixture.upstream.behaviour = (heard, response) => {
    responses.push(() => fixture.upstream.speak(heard, response));
    if (responses.length === 2) both.resolve();
  };
  const first = [1, 2].map(() => fixture.post("/v1/chat/completions", credential.value, CHAT));
  await both.promise;
  const third = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(third.status).toBe(429);
  expect(third.headers.get("x-should-retry")).toBe("true");
  fixture.upstream.behaviour = undefined;
  expect((await fixture.post("/v1/chat/completions", other.credential.value, CHAT)).status).toBe(200);
  for (const respond of responses) respond();
  await Promise.all(first);
  expect((await fixture.post("/v1/chat/completions", credential.value, CHAT)).status).toBe(200);
  expect(job.journal).toHaveLength(3);
});

test("closing ends what is under way, pays for it, and lets nobody in", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = () => {};
  const arrived = fixture.upstream.next();
  const answered = fixture.post("/v1/chat/completions", credential.value, CHAT);
  await arrived;
  await fixture.gateway.close();
  expect((await answered).status).toBe(503);
  expect(job.spent()).toBeGreaterThan(0.0002);
  await fixture.gateway.close();
});

test("a server of somebody else's can hand requests over", async () => {
  await using fixture = await Fixture.start();
  await using gateway = new ModelGateway({
    upstreams: [
      { api: "openai", baseUrl: `${fixture.upstream.origin}/v1`, apiKey: OPENAI_SECRET, models: ["gpt-small"] },
    ],
    publicUrl: "https://gateway.example",
  });
  const { job } = await fixture.job({ "model.use": ["gpt-small"] });
  const { value, endpoint } = await job.issue(gateway.provisioner);
  expect(endpoint).toBe("https://gateway.example/v1");
  const server = createServer(gateway.handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { authorization: `Bearer ${value}` } });
  expect(await response.json()).toMatchObject({ data: [{ id: "gpt-small" }] });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test("nothing is served, and no key sent, unencrypted beyond this machine", async () => {
  covers("V11-14-17");
  const upstream = { api: "openai", baseUrl: "https://api.example/v1", apiKey: "sk-x", models: ["m"] } as const;
  const gateway = new ModelGateway({ upstreams: [upstream] });
  await expect(gateway.listen({ host: "0.0.0.0" })).rejects.toThrow(/without TLS/);
  await gateway.close();
  expect(() => new ModelGateway({ upstreams: [{ ...upstream, baseUrl: "http://api.example/v1" }] })).toThrow(
    /unencrypted/,
  );
  expect(() => new ModelGateway({ upstreams: [upstream], publicUrl: "http://gateway.example" })).toThrow(/https/);
  expect(() => new ModelGateway({ upstreams: [{ ...upstream, apiKey: "" }] })).toThrow(/apiKey/);
});

test("a credential is not issued while nobody can use it", async () => {
  await using fixture = await Fixture.start();
  await using gateway = new ModelGateway({ upstreams: [] });
  const { job } = await fixture.job({ "model.use": ["gpt-small"] });
  await expect(job.issue(gateway.provisioner)).rejects.toThrow(/not listening/);
});
