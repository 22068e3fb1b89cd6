/** Connections over HTTP as any client can make them: requests, and a stream of events. */
import { execFile } from "node:child_process";
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { promisify } from "node:util";
import { type HttpTransportOptions, httpTransport } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";

const run = promisify(execFile);

const hello = (features: readonly string[] = ["ack"], token?: string): object => ({
  ...{ arcp: "1.1", id: "msg_hello", type: "session.hello" },
  payload: {
    client: { name: "curl", version: "8" },
    capabilities: { encodings: ["json"], features },
    ...(token !== undefined && { auth: { scheme: "bearer", token } }),
  },
});
const submit = (id = "msg_submit"): object => ({
  ...{ arcp: "1.1", id, type: "job.submit", payload: { agent: "puppet", input: null } },
});
const AS_ALICE = { authorization: "Bearer alice" };

/** A request that says exactly what it is told to. */
function ask(
  url: string,
  method: string,
  { body, headers = {} }: { readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<{ readonly status: number; readonly headers: IncomingMessage["headers"]; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const request = httpRequest(url, { method, headers: { ...type, ...headers } }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(pieces).toString(),
        }),
      );
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : text);
  });
}

interface Event {
  readonly id: string | undefined;
  readonly type: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of a message
  readonly data: any;
}

/** A stream of events, read as they come. */
class Events {
  readonly all: Event[] = [];
  readonly response: IncomingMessage;
  #wake: (() => void)[] = [];
  isOver = false;

  constructor(response: IncomingMessage) {
    this.response = response;
    let rest = "";
    const over = (): void => {
      this.isOver = true;
      for (const wake of this.#wake.splice(0)) wake();
    };
    response.setEncoding("utf8");
    response.on("data", (text: string) => {
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
        const data = field("data");
        if (data !== undefined) this.all.push({ id: field("id"), type: field("event"), data: JSON.parse(data) });
      }
      for (const wake of this.#wake.splice(0)) wake();
    });
    response.on("error", over);
    response.on("close", over);
  }

  static open(url: string, headers: Record<string, string> = {}): Promise<Events> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(url, { headers: { ...AS_ALICE, ...headers } }, (response) => {
        expect(response.statusCode).toBe(200);
        resolve(new Events(response));
      });
      request.on("error", reject);
      request.end();
    });
  }

  async until(matches: (event: Event) => boolean): Promise<Event> {
    for (;;) {
      const found = this.all.find(matches);
      if (found !== undefined) return found;
      if (this.isOver) throw new Error("the stream ended without it");
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async end(): Promise<void> {
    while (!this.isOver) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  cut(): void {
    this.response.destroy();
  }

  get ids(): readonly (string | undefined)[] {
    return this.all.filter(({ id }) => id !== undefined).map(({ id }) => id);
  }
}

/** Opens a connection as alice: where it is. */
async function opened(harness: Harness, payload: object = hello()): Promise<string> {
  const url = await harness.httpUrl();
  const answer = await ask(url, "POST", { body: payload, headers: AS_ALICE });
  expect(answer.status).toBe(201);
  return new URL(answer.headers.location ?? "", url).href;
}

describe("a connection over HTTP", () => {
  test("is named by the answer to the first envelope, and takes further ones until it is deleted", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const at = await opened(harness);
    const events = await Events.open(`${at}/events`);
    expect(events.response.headers).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-store, no-transform",
      "x-accel-buffering": "no",
    });
    const lines = [submit("msg_a"), submit("msg_b")].map((message) => JSON.stringify(message)).join("\n");
    const headers = { ...AS_ALICE, "content-type": "application/x-ndjson" };
    expect((await ask(at, "POST", { body: lines, headers })).status).toBe(202);
    await events.until(({ data }) => data.payload.request_id === "msg_b");
    expect(events.all.map(({ data }) => data.payload.request_id)).toEqual(["msg_a", "msg_b"]);
    for (const job of [await puppet.next(), await puppet.next()]) job.finish();
    await events.until(({ id }) => id === "2");
    expect((await ask(at, "DELETE", { headers: AS_ALICE })).status).toBe(204);
    expect((await events.until(({ type }) => type === "close")).data).toEqual({ code: 1000, reason: "" });
    expect((await ask(at, "DELETE", { headers: AS_ALICE })).status).toBe(404);
  });

  test("goes on after the last event that was seen, as often as it is cut", async () => {
    covers("V11-6.3-07", "V11-6.3-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const at = await opened(harness);
    const first = await Events.open(`${at}/events`);
    await ask(at, "POST", { body: submit(), headers: AS_ALICE });
    const job = await puppet.next();
    await emitLogs(job, 3);
    await first.until(({ id }) => id === "3");
    first.cut();
    await emitLogs(job, 3, 4);
    // The last one was on its way when the stream broke: the client has not seen it.
    const second = await Events.open(`${at}/events`, { "last-event-id": "2" });
    await second.until(({ id }) => id === "6");
    second.cut();
    job.finish("done");
    const third = await Events.open(`${at}/events`, { "last-event-id": "6" });
    await third.until(({ data }) => data.type === "job.result");
    expect([...first.ids.slice(0, 2), ...second.ids, ...third.ids]).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    third.cut();
    const whole = await Events.open(`${at}/events`, { "last-event-id": "0" });
    await whole.until(({ id }) => id === "7");
    expect(whole.ids).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
  });

  test("has one reader: another one takes its place, and misses nothing", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const at = await opened(harness);
    const first = await Events.open(`${at}/events`);
    await ask(at, "POST", { body: submit(), headers: AS_ALICE });
    const job = await puppet.next();
    await emitLogs(job, 2);
    await first.until(({ id }) => id === "2");
    const second = await Events.open(`${at}/events`);
    expect((await first.until(({ type }) => type === "close")).data.code).toBe(1008);
    await first.end();
    job.finish();
    await second.until(({ id }) => id === "3");
    expect(second.ids).toEqual(["1", "2", "3"]);
  });

  test("refuses the Last-Event-ID of another session", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const at = await opened(harness);
    const stream = await Events.open(`${at}/events`);
    for (const [id, status, code] of [
      ["5000", 410, "RESUME_WINDOW_EXPIRED"],
      ["msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", 400, "INVALID_REQUEST"],
      ["-1", 400, "INVALID_REQUEST"],
    ] as const) {
      const refused = await ask(`${at}/events`, "GET", { headers: { ...AS_ALICE, "last-event-id": id } });
      expect(refused.headers["content-type"]).toBe("application/problem+json");
      expect({ id, status: refused.status, ...JSON.parse(refused.text) }).toMatchObject({ status, code });
    }
    // Who was there stays there.
    await ask(at, "POST", { body: submit(), headers: AS_ALICE });
    (await puppet.next()).finish();
    await stream.until(({ data }) => data.type === "job.result");
  });

  test("of wire 1.0 goes on after the message of that id", async () => {
    covers("V10-19-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const envelope = (type: string, payload: object): object => ({
      ...{ arcp: "1.0", id: `msg_${type.replace(".", "_")}`, type, timestamp: new Date(0).toISOString(), payload },
    });
    const at = await opened(harness, envelope("session.open", { client: { kind: "curl", version: "8" } }));
    const first = await Events.open(`${at}/events`);
    await ask(at, "POST", { body: envelope("tool.invoke", { tool: "puppet", arguments: {} }), headers: AS_ALICE });
    const job = await puppet.next();
    await emitLogs(job, 2);
    const seen = await first.until(({ data }) => data.payload.message === "1");
    first.cut();
    job.finish("done");
    const second = await Events.open(`${at}/events`, { "last-event-id": seen.id ?? "" });
    await second.until(({ data }) => data.type === "tool.result");
    const said = second.all.filter(({ data }) => data.job_id !== undefined && data.type !== "metric");
    expect(said.map(({ data }) => data.payload.message ?? data.type)).toEqual(
      expect.arrayContaining(["2", "tool.result"]),
    );
    expect(said.map(({ data }) => data.payload.message)).not.toContain("1");
    const foreign = { ...AS_ALICE, "last-event-id": "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV" };
    expect((await ask(`${at}/events`, "GET", { headers: foreign })).status).toBe(410);
  });

  test("that nobody reads is over after a while, and its session is not", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, http: { readerTimeoutMs: 1 } });
    const at = await opened(harness);
    await ask(at, "POST", { body: submit(), headers: AS_ALICE });
    const job = await puppet.next();
    await harness.accepted?.closed;
    expect((await ask(at, "POST", { body: submit(), headers: AS_ALICE })).status).toBe(409);
    job.finish();
    const events = await Events.open(`${at}/events`);
    await events.until(({ data }) => data.type === "job.result");
  });
});

describe("who may use a connection", () => {
  test("shows what it was opened with, or its key", async () => {
    await using harness = startHarness();
    const url = await harness.httpUrl();
    const answer = await ask(url, "POST", { body: hello(["ack"], "alice") });
    const at = new URL(answer.headers.location ?? "", url).href;
    const key = String(answer.headers["arcp-connection-key"]);
    expect((await ask(`${at}/events`, "GET")).status).toBe(401);
    // The token of the session's own principal is not what the connection was opened with.
    expect((await ask(`${at}/events`, "GET", { headers: AS_ALICE })).status).toBe(404);
    expect((await ask(at, "DELETE", { headers: { "arcp-connection-key": `${key}x` } })).status).toBe(404);
    expect((await ask(at, "DELETE", { headers: { "arcp-connection-key": key } })).status).toBe(204);
  });

  test("gets the runtime's own refusal", async () => {
    await using harness = startHarness();
    const url = await harness.httpUrl();
    for (const [body, status, code] of [
      [hello(["ack"], "nobody"), 401, "UNAUTHENTICATED"],
      [hello(), 401, "UNAUTHENTICATED"],
      [submit(), 400, "INVALID_REQUEST"],
      ["{", 400, "INVALID_REQUEST"],
      [`${"[".repeat(100)}${"]".repeat(100)}`, 400, "INVALID_REQUEST"],
    ] as const) {
      const refused = await ask(url, "POST", { body });
      expect(refused.status).toBe(status);
      expect(JSON.parse(refused.text)).toMatchObject({ type: "session.error", payload: { code } });
      expect(refused.headers["www-authenticate"]).toBe(status === 401 ? "Bearer" : undefined);
      expect(refused.headers.location).toBeUndefined();
    }
  });
});

describe("what is refused before it is read", () => {
  const started = async (
    options: Partial<HttpTransportOptions> = {},
  ): Promise<{ readonly url: string; readonly port: number } & AsyncDisposable> => {
    const handler = httpTransport({ onTransport: (transport) => transport.close(), ...options });
    const server = createServer((request, response) => void handler.handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return {
      ...{ port, url: `http://127.0.0.1:${port}/arcp/http` },
      async [Symbol.asyncDispose]() {
        handler.close();
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  };

  test.each([
    ["a Host of another name", { host: "evil.example" }, 421],
    ["a page of another origin", { origin: "https://evil.example" }, 403],
    ["cookies from nowhere", { cookie: "a=b" }, 403],
    ["another scheme", { authorization: "Basic YTpi" }, 401],
    ["a compressed body", { "content-encoding": "gzip" }, 415],
    ["a form", { "content-type": "text/plain" }, 415],
    ["a body that is too long", { "content-length": "2000000" }, 413],
  ])("%s", async (_what, headers, status) => {
    await using server = await started();
    const body = status === 413 ? "x".repeat(2_000_000) : hello();
    const answer = await ask(server.url, "POST", { body, headers }).catch((error: Error) => error);
    // What the client still sends when it has been refused may break the connection first.
    if (answer instanceof Error)
      expect([status, answer.message]).toEqual([413, expect.stringMatching(/EPIPE|hang up|RESET/)]);
    else expect(answer.status).toBe(status);
  });

  test("a body without a length that goes on for ever", async () => {
    await using server = await started({ maxFrameBytes: 1000 });
    const answer = await raw(server.port, [
      "POST /arcp/http HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
      `800\r\n${"x".repeat(2048)}\r\n`,
    ]);
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
  });

  test("a body that never ends, after its time", async () => {
    await using server = await started({ bodyTimeoutMs: 20 });
    const answer = await raw(server.port, [
      "POST /arcp/http HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    ]);
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
    expect(answer).toContain("connection: close");
  });

  test("headers without end, two Hosts, and HTTP/1.0 without any", async () => {
    await using server = await started();
    const head = "POST /arcp/http HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n";
    expect(await raw(server.port, [`${head}X: ${"x".repeat(20_000)}\r\n\r\n`])).toMatch(/^HTTP\/1.1 431 /);
    expect(await raw(server.port, [`${head}Host: evil.example\r\nConnection: close\r\n\r\n`])).toMatch(
      /^HTTP\/1.1 400 /,
    );
    expect(await raw(server.port, ["GET /arcp/http/a/events HTTP/1.0\r\n\r\n"])).toMatch(/^HTTP\/1.1 400 /);
    expect(await raw(server.port, ["GET /arcp/http/a/events HTTP/1.0\r\nHost: localhost\r\n\r\n"])).toMatch(
      /^HTTP\/1.1 401 /,
    );
  });

  test("pages ask first, and only those that were named are told that they may", async () => {
    await using server = await started({ allowedOrigins: ["https://app.example"] });
    const origin = { origin: "https://app.example", "access-control-request-method": "POST" };
    const allowed = await ask(server.url, "OPTIONS", { headers: origin });
    expect(allowed.status).toBe(204);
    expect(allowed.headers).toMatchObject({
      "access-control-allow-origin": "https://app.example",
      "access-control-allow-methods": "POST",
    });
    expect(allowed.headers["access-control-allow-credentials"]).toBeUndefined();
    const refused = await ask(server.url, "OPTIONS", { headers: { ...origin, origin: "https://evil.example" } });
    expect(refused.status).toBe(403);
    expect(refused.headers["access-control-allow-origin"]).toBeUndefined();
    expect((await ask(server.url, "GET")).headers.allow).toBe("POST");
    expect((await ask(server.url, "GET")).status).toBe(405);
  });
});

describe("other ways to get there", () => {
  test("HTTP/2 without TLS on this machine: one connection carries the posts and the stream", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const handler = httpTransport({ onTransport: (transport) => harness.server.accept(transport) });
    const server = createHttp2Server((request, response) => void handler.handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const post = (path: string, body: object): Promise<{ status: number; location: string }> =>
      new Promise((resolve, reject) => {
        const stream = client.request({
          ...{ ":method": "POST", ":path": path, "content-type": "application/json", ...AS_ALICE },
        });
        stream.on("response", (headers) => {
          stream.resume();
          resolve({ status: Number(headers[":status"]), location: String(headers["location"]) });
        });
        stream.on("error", reject);
        stream.end(JSON.stringify(body));
      });
    const { status, location } = await post("/arcp/http", hello());
    expect(status).toBe(201);
    const stream = client.request({ ":path": `${location}/events`, ...AS_ALICE });
    expect((await post(location, submit())).status).toBe(202);
    (await puppet.next()).finish("done");
    let text = "";
    for await (const piece of stream.setEncoding("utf8")) {
      text += piece;
      if (text.includes("job.result")) break;
    }
    expect(text).toMatch(/^id: 1$/m);
    client.destroy();
    handler.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test("curl alone submits a job and follows it through two cuts", async ({ skip }) => {
    if (!(await run("curl", ["--version"]).catch(() => undefined))) skip("there is no curl on this machine");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const url = await harness.httpUrl();
    const auth = ["-sS", "-H", "Authorization: Bearer alice"];
    const json = [...auth, "-H", "Content-Type: application/json", "--data"];
    const { stdout: head } = await run("curl", [...json, JSON.stringify(hello()), "-o", "/dev/null", "-D", "-", url]);
    const at = new URL(/^location: (.*)$/im.exec(head)?.[1]?.trim() ?? "", url).href;
    await run("curl", [...json, JSON.stringify(submit()), at]);
    const job = await puppet.next();
    const ids: string[] = [];
    /** Reads until event `last`, and hangs up. */
    const follow = async (after: string | undefined, last: string): Promise<void> => {
      const position = after === undefined ? [] : ["-H", `Last-Event-ID: ${after}`];
      await new Promise<void>((resolve) => {
        const curl = execFile("curl", [...auth, "-N", ...position, `${at}/events`], () => resolve());
        let text = "";
        curl.stdout?.on("data", (piece: string) => {
          text += piece;
          if (!text.includes(`\nid: ${last}\n`) || !text.endsWith("\n\n")) return;
          curl.kill("SIGKILL");
        });
        curl.on("close", () => ids.push(...[...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id ?? "")));
      });
    };
    await emitLogs(job, 2);
    await follow(undefined, "2");
    await emitLogs(job, 2, 3);
    await follow("2", "4");
    job.finish("done");
    await follow("4", "5");
    expect(ids).toEqual(["1", "2", "3", "4", "5"]);
  });
});

/** What the server says to bytes that no HTTP client would send. */
function raw(port: number, pieces: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (piece: string) => {
      text += piece;
      if (text.includes("\r\n\r\n") && text.endsWith("}")) socket.end();
    });
    socket.on("close", () => resolve(text));
    socket.on("error", (error) => (text === "" ? reject(error) : resolve(text)));
    for (const piece of pieces) socket.write(piece);
  });
}

describe("a reader that does not read", () => {
  test("holds back what is written to it, and gets all of it when it reads on", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const at = await opened(harness);
    const events = await Events.open(`${at}/events`);
    await ask(at, "POST", { body: submit(), headers: AS_ALICE });
    const job = await puppet.next();
    events.response.pause();
    const text = "x".repeat(60_000);
    for (let n = 0; n < 300; n += 1) await Promise.race([job.context.log("info", text), job.context.flush()]);
    // 18 MB were written: the stream holds what the bound and one page allow, the store the rest.
    expect(harness.accepted?.bufferedBytes).toBeLessThan(6 * 1024 * 1024);
    expect(harness.accepted?.isClosed).toBe(false);
    events.response.resume();
    job.finish();
    await events.until(({ data }) => data.type === "job.result");
    expect(events.ids).toEqual(Array.from({ length: events.ids.length }, (_, index) => String(index + 1)));
    expect(events.ids.length).toBeGreaterThanOrEqual(301);
  });
});
