/** The REST surface: what it answers, to whom, and that its description is true. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ARCPError, ERROR_CODES, ERROR_FACTS, problemOf } from "@arcp/core";
import { type AgentHandler, type ARCPServerOptions, restApi } from "@arcp/runtime";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApiDocument } from "../../packages/runtime/src/rest/openapi.ts";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";

const document = openApiDocument("1") as { readonly components: { readonly schemas: object } };
const ajv = addFormats.default(new Ajv2020({ strict: false }));
ajv.addSchema({ $id: "arcp", ...document });
/** Is `value` what the description says? */
const conforms = (schema: string, value: unknown): void => {
  const validate = ajv.compile({ $ref: `arcp#/components/schemas/${schema}` });
  validate(value);
  expect(validate.errors).toBeNull();
};

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of an answer
  readonly body: any;
}

/** A runtime with its REST surface, on a port of its own. */
async function started(
  agents: Readonly<Record<string, AgentHandler>> = {},
  options: Partial<ARCPServerOptions> = {},
): Promise<
  {
    readonly ask: (method: string, path: string, body?: unknown, headers?: object) => Promise<Answer>;
    readonly url: string;
  } & AsyncDisposable
> {
  const harness = startHarness({ agents, server: options });
  const rest = restApi({ accept: (transport) => harness.server.accept(transport) });
  const server = createServer((request, response) => {
    if (!rest.handle(request, response)) response.writeHead(404).end("elsewhere");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    async ask(method, path, body, headers = {}) {
      const isText = typeof body === "string" || body instanceof Uint8Array;
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: "Bearer alice",
          ...(!isText && body !== undefined && { "content-type": "application/json" }),
          ...headers,
        },
        ...(body !== undefined && { body: isText ? (body as string) : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.includes("json") ?? false;
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
    },
    async [Symbol.asyncDispose]() {
      rest.close();
      server.closeAllConnections();
      server.close();
      await harness[Symbol.asyncDispose]();
    },
  };
}

/** The events of a stream, to its end or until `isEnough`. */
async function follow(
  url: string,
  lastEventId: string | undefined,
  isEnough: (ids: readonly string[]) => boolean,
): Promise<string[]> {
  const stop = new AbortController();
  const response = await fetch(url, {
    headers: {
      ...{ authorization: "Bearer alice", accept: "text/event-stream" },
      ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
    },
    signal: stop.signal,
  });
  expect(response.status).toBe(200);
  let text = "";
  const ids = (): string[] => [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id ?? "");
  for await (const piece of response.body ?? []) {
    text += Buffer.from(piece as Uint8Array).toString();
    if (isEnough(ids())) break;
  }
  stop.abort();
  return ids();
}

describe("a job by REST", () => {
  test("is submitted, listed, followed through cuts, and read with its result", async () => {
    const puppet = new Puppet();
    await using api = await started({ puppet: puppet.handler });
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const accepted = await api.ask("POST", "/v1/jobs", { agent: "puppet", input: { a: 1 } }, { traceparent });
    expect(accepted.status).toBe(202);
    conforms("Accepted", accepted.body);
    expect(accepted.body.trace_id).toBe("4bf92f3577b34da6a3ce929d0e0e4736");
    const at = accepted.headers.get("location") ?? "";
    const job = await puppet.next();
    expect(job.input).toEqual({ a: 1 });
    await emitLogs(job, 2);
    const live = await api.ask("GET", at);
    conforms("Job", live.body);
    expect(live.body).toMatchObject({ status: "running" });
    expect(live.body.result).toBeUndefined();
    const listed = await api.ask("GET", "/v1/jobs?status=running&limit=5");
    conforms("JobPage", listed.body);
    expect(listed.body.jobs.map(({ job_id }: { job_id: string }) => job_id)).toEqual([accepted.body.job_id]);

    const first = await follow(`${api.url}${at}/events`, undefined, (ids) => ids.length === 2);
    await emitLogs(job, 2, 3);
    const second = await follow(`${api.url}${at}/events`, "2", (ids) => ids.length === 2);
    job.finish({ done: true });
    const third = await follow(`${api.url}${at}/events`, "4", () => false);
    expect([...first, ...second, ...third]).toEqual(["1", "2", "3", "4", "5"]);
    const over = await api.ask("GET", `${at}/events`, undefined, { accept: "text/event-stream", "last-event-id": "5" });
    expect(over.status).toBe(204);

    const page = await api.ask("GET", `${at}/events?after=1&limit=3`);
    conforms("EventPage", page.body);
    expect(page.body).toMatchObject({ next_after: 4, is_complete: false });
    const rest = await api.ask("GET", `${at}/events?after=4`);
    expect(rest.body).toMatchObject({ next_after: 5, is_complete: true });
    expect(rest.body.events[0]).toMatchObject({ n: 5, type: "job.result" });
    expect((await api.ask("GET", `${at}/events?after=5`)).body).toEqual({
      events: [],
      next_after: 5,
      is_complete: true,
    });
    const ended = await api.ask("GET", at);
    conforms("Job", ended.body);
    expect(ended.body).toMatchObject({ status: "success", result: { done: true } });
  });

  test("starts once for one Idempotency-Key, and not for another body", async () => {
    covers("V11-7.2-01");
    const puppet = new Puppet();
    await using api = await started({ puppet: puppet.handler });
    const key = { "idempotency-key": "k1" };
    const once = await api.ask("POST", "/v1/jobs", { agent: "puppet", input: 1 }, key);
    const again = await api.ask("POST", "/v1/jobs", { agent: "puppet", input: 1 }, key);
    expect(again.body.job_id).toBe(once.body.job_id);
    const other = await api.ask("POST", "/v1/jobs", { agent: "puppet", input: 2 }, key);
    expect([other.status, other.body.code]).toEqual([409, "DUPLICATE_KEY"]);
    (await puppet.next()).finish();
  });

  test("is cancelled, and says so", async () => {
    const puppet = new Puppet();
    await using api = await started({ puppet: puppet.handler });
    const { body } = await api.ask("POST", "/v1/jobs", { agent: "puppet", input: null });
    const job = await puppet.next();
    const cancelled = await api.ask("POST", `/v1/jobs/${body.job_id}/cancel`, { reason: "enough" });
    expect(cancelled.status).toBe(202);
    job.finish();
    await follow(`${api.url}/v1/jobs/${body.job_id}/events`, undefined, () => false);
    const ended = await api.ask("GET", `/v1/jobs/${body.job_id}`);
    conforms("Job", ended.body);
    expect(ended.body).toMatchObject({ status: "cancelled", error: { code: "CANCELLED" } });
  });

  test("asks people, and goes on with the answer", async () => {
    await using api = await started({
      asking: async (_input, ctx) =>
        (await ctx.requestHumanInput({ prompt: "Go on?", responseSchema: { type: "string" } })).value,
    });
    const { body } = await api.ask("POST", "/v1/jobs", { agent: "asking", input: null });
    const at = `/v1/jobs/${body.job_id}`;
    await follow(`${api.url}${at}/events`, undefined, (ids) => ids.length >= 1);
    const { events } = (await api.ask("GET", `${at}/events`)).body;
    const question = events.find(
      ({ payload }: { payload: { kind: string } }) => payload.kind === "x-vendor.arcp.question",
    );
    const path = `/v1/questions/${question.payload.body.id}/answer`;
    const wrong = await api.ask("POST", path, { kind: "input", value: 7 });
    expect([wrong.status, wrong.body.code]).toEqual([400, "INVALID_REQUEST"]);
    const applied = await api.ask("POST", path, { kind: "input", value: "yes" });
    expect(applied.body).toEqual({ status: "applied" });
    const all = await follow(`${api.url}${at}/events`, undefined, () => false);
    expect(all).toEqual(all.map((_, index) => String(index + 1)));
    expect((await api.ask("GET", at)).body.result).toBe("yes");
  });
});

describe("artifacts by REST", () => {
  test("come back as they were stored, as downloads", async () => {
    await using api = await started();
    const content = Buffer.alloc(1_300_000, "abc");
    const put = await api.ask("PUT", "/v1/artifacts/report.bin", content, { "content-type": "text/html" });
    expect(put.status).toBe(201);
    conforms("ArtifactReference", put.body);
    const response = await fetch(`${api.url}/v1/artifacts/report.bin`, { headers: { authorization: "Bearer alice" } });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      ...{ "content-type": "text/html", "content-disposition": "attachment", "x-content-type-options": "nosniff" },
      ...{ "content-length": "1300000", etag: `"${put.body.sha256}"` },
    });
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    expect((await api.ask("GET", "/v1/artifacts/report.bin", undefined, { authorization: "Bearer bob" })).status).toBe(
      404,
    );
    expect((await api.ask("PUT", "/v1/artifacts/report.bin", "other")).status).toBe(409);
    expect((await api.ask("PUT", "/v1/artifacts/-", "x")).status).toBe(400);
  });
});

describe("a request that is refused", () => {
  test("says why, in the same form everywhere, with its trace", async () => {
    const puppet = new Puppet();
    await using api = await started({ puppet: puppet.handler });
    const { body: accepted } = await api.ask("POST", "/v1/jobs", { agent: "puppet", input: null });
    const deep = `{"agent":"puppet","input":${"[".repeat(100)}${"]".repeat(100)}}`;
    const asJson = { "content-type": "application/json" };
    for (const [what, asked, status, code] of [
      ["no token", ["GET", "/v1/jobs", undefined, { authorization: "" }], 401, "UNAUTHENTICATED"],
      ["a wrong token", ["GET", "/v1/jobs", undefined, { authorization: "Bearer nobody" }], 401, "UNAUTHENTICATED"],
      ["another scheme", ["GET", "/v1/jobs", undefined, { authorization: "Basic YQ==" }], 401, "UNAUTHENTICATED"],
      ["an unknown agent", ["POST", "/v1/jobs", { agent: "ghost", input: 1 }], 404, "AGENT_NOT_AVAILABLE"],
      [
        "an unknown version",
        ["POST", "/v1/jobs", { agent: "puppet@9.9.9", input: 1 }],
        404,
        "AGENT_VERSION_NOT_AVAILABLE",
      ],
      ["a member of another name", ["POST", "/v1/jobs", { agent: "puppet", inputs: 1 }], 400, "INVALID_REQUEST"],
      ["a member of another type", ["POST", "/v1/jobs", { agent: 7, input: 1 }], 400, "INVALID_REQUEST"],
      ["no JSON", ["POST", "/v1/jobs", "{", asJson], 400, "INVALID_REQUEST"],
      ["deep JSON", ["POST", "/v1/jobs", deep, asJson], 400, "INVALID_REQUEST"],
      ["a name twice", ["POST", "/v1/jobs", '{"agent":"a","agent":"b"}', asJson], 400, "INVALID_REQUEST"],
      ["a form", ["POST", "/v1/jobs", "agent=puppet"], 415, undefined],
      ["too much", ["POST", "/v1/jobs", { agent: "puppet", input: "x".repeat(2_000_000) }], 413, undefined],
      ["a job that is not there", ["GET", "/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV"], 404, "JOB_NOT_FOUND"],
      [
        "another's job",
        ["GET", `/v1/jobs/${accepted.job_id}`, undefined, { authorization: "Bearer bob" }],
        403,
        "PERMISSION_DENIED",
      ],
      [
        "its events",
        ["GET", `/v1/jobs/${accepted.job_id}/events`, undefined, { authorization: "Bearer bob" }],
        403,
        "PERMISSION_DENIED",
      ],
      [
        "its end",
        ["POST", `/v1/jobs/${accepted.job_id}/cancel`, {}, { authorization: "Bearer bob" }],
        404,
        "JOB_NOT_FOUND",
      ],
      [
        "an id of another stream",
        ["GET", `/v1/jobs/${accepted.job_id}/events`, undefined, { "last-event-id": "msg_x" }],
        400,
        "INVALID_REQUEST",
      ],
      ["a cursor of nobody's", ["GET", "/v1/jobs?cursor=abc"], 400, "INVALID_REQUEST"],
      ["an unknown parameter", ["GET", "/v1/jobs?state=running"], 400, "INVALID_REQUEST"],
      ["an answer of no kind", ["POST", "/v1/questions/q_1/answer", { value: 1 }], 400, "INVALID_REQUEST"],
      ["another method", ["DELETE", "/v1/jobs"], 405, undefined],
      ["another path", ["GET", "/v1/secrets"], 404, undefined],
      ["a foreign page", ["GET", "/v1/jobs", undefined, { origin: "https://evil.example" }], 403, undefined],
    ] as const) {
      const [method, path, body, headers] = asked;
      const answer = await api.ask(method, path, body, headers ?? {});
      expect({ what, status: answer.status, code: answer.body.code }).toEqual({ what, status, code });
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      conforms("Problem", answer.body);
    }
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const traced = await api.ask("GET", "/v1/jobs/none", undefined, { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
    expect(traced.body.trace).toBe(trace);
    (await puppet.next()).finish();
  });

  test.each(ERROR_CODES)("%s has its status", (code) => {
    const { status, body } = problemOf(new ARCPError(code, "why"), "4bf92f3577b34da6a3ce929d0e0e4736");
    expect(status).toBe(ERROR_FACTS[code].httpStatus);
    expect(body).toMatchObject({ type: `urn:arcp:error:${code}`, status, detail: "why", code });
    conforms("Problem", body);
  });

  test("because there are too many, may be asked again", () => {
    const exhausted = new ARCPError("INTERNAL_ERROR", "full", { details: { code: "RESOURCE_EXHAUSTED" } });
    expect(problemOf(exhausted).status).toBe(429);
  });
});

describe("the description", () => {
  let api: Awaited<ReturnType<typeof started>>;
  beforeAll(async () => {
    api = await started();
  });
  afterAll(async () => api[Symbol.asyncDispose]());

  test("is valid OpenAPI 3.1, for everybody to read", async () => {
    const open = await fetch(`${api.url}/openapi.json`);
    expect(open.status).toBe(200);
    const served = (await open.json()) as Record<string, unknown>;
    const { valid, errors } = await new Validator().validate(served);
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(served).toEqual(JSON.parse(JSON.stringify(document)));
  });

  test("names every path that there is, and no other", async () => {
    const { paths } = document as unknown as {
      readonly paths: Readonly<Record<string, Readonly<Record<string, object>>>>;
    };
    for (const [path, item] of Object.entries(paths)) {
      const answer = await api.ask("OPTIONS", path.replaceAll(/\{\w+\}/g, "x"));
      const described = Object.keys(item)
        .filter((name) => name !== "parameters")
        .map((name) => name.toUpperCase());
      expect(answer.headers.get("allow")?.split(", ").toSorted()).toEqual(described.toSorted());
    }
  });
});

test("an address that is wrong too often is told when to come back", async () => {
  await using api = await started({}, { authAttempts: { perMinute: 1, burst: 2 } });
  const wrong = (token: string) => api.ask("GET", "/v1/jobs", undefined, { authorization: `Bearer ${token}` });
  expect((await wrong("guess-1")).status).toBe(401);
  expect((await wrong("guess-2")).status).toBe(401);
  const refused = await wrong("guess-3");
  expect(refused.status).toBe(429);
  expect(refused.body.details).toMatchObject({ code: "RESOURCE_EXHAUSTED", limit: "authAttempts" });
  expect(refused.body.details.retry_after_seconds).toBeGreaterThan(0);
});
