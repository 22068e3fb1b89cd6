/** What a server may answer, for how long, and who may interrupt it. */
import { getEventListeners } from "node:events";
import type { Socket } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { type ARCPError, CancelledError, InvalidRequestError, TimeoutError } from "@arcp/core";
import { afterEach, describe, expect, test } from "vitest";
import { agentFetch, type NetworkOptions } from "../../packages/runtime/src/operations/network/fetch.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { LeaseGuard } from "./lease-guard.ts";
import { codeOf } from "./refusal.ts";
import { TcpServer, WebServer } from "./web-server.ts";

const clock = new ManualClock();
const jobs: { readonly guard: LeaseGuard; readonly close: () => void }[] = [];
afterEach(() => {
  for (const { guard, close } of jobs.splice(0)) {
    close();
    // Whatever happened, nothing waits for it any more.
    expect(getEventListeners(guard.signal, "abort")).toEqual([]);
  }
  expect(clock.pending).toBe(0);
});

const LIMITS = {
  maxResponseBytes: 100_000,
  maxResponseHeaderBytes: 10_000,
  connectTimeoutMs: 1_000,
  headTimeoutMs: 2_000,
  bodyIdleTimeoutMs: 3_000,
  totalTimeoutMs: 10_000,
};

const secure = (url: string): string => url.replace("http:", "https:");

function job(server: WebServer | TcpServer, options: NetworkOptions = {}) {
  const patterns = [server.at("/**"), server.at("/**", "service.test"), secure(server.at("/**"))];
  const guard = new LeaseGuard({ "net.fetch": patterns });
  const { fetch, close } = agentFetch(guard, { clock, limits: LIMITS, ...options });
  jobs.push({ guard, close });
  return { guard, fetch, close };
}

async function failureOf(promise: Promise<unknown>): Promise<ARCPError> {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return failure as ARCPError;
}

/** The connections of a server, one after the other, each with what was asked. */
function talks() {
  const arrived: Socket[] = [];
  let tell = (): void => {};
  const talk = (socket: Socket): void => {
    socket.once("data", () => {
      arrived.push(socket);
      tell();
    });
  };
  const next = async (): Promise<Socket> => {
    while (arrived.length === 0) await new Promise<void>((resolve) => (tell = resolve));
    return arrived.shift() as Socket;
  };
  return { talk, next };
}

/** When the other side has broken off, however it did. */
const closeOf = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

/** When `isSo`, which does not take time but turns of the event loop. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise<void>((resolve) => setImmediate(resolve));
}

const HEAD = "HTTP/1.1 200 OK\r\n";

describe("a response", () => {
  test("is a standard one", async () => {
    await using server = await WebServer.start((_request, response) => {
      response.writeHead(
        201,
        "Made",
        [
          ["set-cookie", "a=1"],
          ["Set-Cookie", "b=2"],
          ["x-a", "\u00e4"],
          ["__proto__", "x"],
        ].flat(),
      );
      response.end('{"a":[1]}');
    });
    const { fetch } = job(server);
    const response = await fetch(server.at("/a?b#c"));
    expect(response).toBeInstanceOf(Response);
    expect(response).toMatchObject({ status: 201, statusText: "Made", ok: true, redirected: false, bodyUsed: false });
    expect(response.url).toBe(server.at("/a?b"));
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(response.headers.get("x-a")).toBe("\u00e4");
    expect(response.headers.get("__proto__")).toBe("x");
    const copy = response.clone();
    expect(await response.json()).toEqual({ a: [1] });
    expect(await copy.text()).toBe('{"a":[1]}');
  });

  test.each([
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["GZIP", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
    ["identity", (text: Buffer) => text],
    ["gzip, br", (text: Buffer) => brotliCompressSync(gzipSync(text))],
    ["rot13", (text: Buffer) => text],
  ])("is decoded: %s", async (encoding, encode) => {
    await using server = await WebServer.start((_request, response) => {
      response.writeHead(200, { "content-encoding": encoding }).end(encode(Buffer.from("ok".repeat(1_000))));
    });
    expect(await (await job(server).fetch(server.at("/"))).text()).toBe("ok".repeat(1_000));
  });

  test("that is not encoded as it says, or not whole, fails", async () => {
    const whole = gzipSync("ok".repeat(1_000));
    await using server = await WebServer.start((request, response) => {
      response.writeHead(200, { "content-encoding": request.url === "/deep" ? "br,br,br,br" : "gzip" });
      response.end(request.url === "/cut" ? whole.subarray(0, -10) : "ok");
    });
    const { fetch } = job(server);
    for (const path of ["/cut", "/false"]) {
      const failure = await failureOf((await fetch(server.at(path))).text());
      expect(failure.toWire(), path).toMatchObject({ code: "INTERNAL_ERROR", details: { reason: "encoding" } });
    }
    expect((await failureOf(fetch(server.at("/deep")))).details).toEqual({ reason: "encoding" });
    await using broken = await TcpServer.start((socket) =>
      socket.once("data", () => socket.end(`${HEAD}content-length: 10\r\n\r\nabc`)),
    );
    const failure = await failureOf((await job(broken).fetch(broken.at("/"))).text());
    expect(failure.toWire()).toMatchObject({ code: "INTERNAL_ERROR", details: { reason: "connection_lost" } });
  });

  test.each([
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 205],
    ["GET", 304],
  ])("to %s with %i has no body", async (method, status) => {
    await using server = await WebServer.start((_request, response) => {
      const length = method === "HEAD" || status === 304 ? 10 ** 12 : 0;
      response.writeHead(status, { "content-length": length, "content-encoding": "gzip" }).end();
    });
    const response = await job(server).fetch(server.at("/"), { method });
    expect(response.body).toBeNull();
    expect(await response.text()).toBe("");
  });
});

describe("E26", () => {
  const tooLarge = (limit: keyof typeof LIMITS) => ({
    code: "INVALID_REQUEST",
    details: { reason: "too_large", limit, max: LIMITS[limit] },
  });

  test("a body without end is cut off, and nothing more is read", async () => {
    let written = 0;
    await using server = await WebServer.start((_request, response) => {
      const piece = Buffer.alloc(50_000);
      const write = (): void => {
        do written += piece.byteLength;
        while (response.write(piece) && !response.destroyed);
      };
      response.on("drain", write);
      write();
    });
    const { fetch } = job(server);
    const response = await fetch(server.at("/"));
    const failure = await failureOf(response.bytes());
    expect(failure).toBeInstanceOf(InvalidRequestError);
    expect(failure.toWire()).toMatchObject(tooLarge("maxResponseBytes"));
    // What the sockets between hold, and no more.
    expect(written).toBeLessThan(50_000_000);
  });

  test("a server that hangs up on whoever reads slowly does no harm, whatever has arrived by then", async () => {
    let hungUp = 0;
    await using server = await TcpServer.start((socket) => {
      socket.once("data", (request) => {
        const size = Number(/^GET \/(\d+)/.exec(request.toString())?.[1]);
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`);
        socket.end(Buffer.alloc(size), () => {
          hungUp += 1;
        });
      });
    });
    const { fetch } = job(server, { limits: { ...LIMITS, maxResponseBytes: 10 ** 6 } });
    const sizes = Array.from({ length: 16 }, (_, index) => (index + 1) * 16_384);
    const responses = await Promise.all(sizes.map((size) => fetch(server.at(`/${size}`))));
    let turns = 0;
    await until(() => hungUp === sizes.length && turns++ === 500);
    const bodies = await Promise.all(responses.map((response) => response.bytes()));
    expect(bodies.map(({ byteLength }) => byteLength)).toEqual(sizes);
  });

  test("nothing is read that nobody asks for", async () => {
    let written = 0;
    await using server = await WebServer.start((_request, response) => {
      const piece = Buffer.alloc(50_000);
      const write = (): void => {
        do written += piece.byteLength;
        while (response.write(piece) && !response.destroyed);
      };
      response.on("drain", write);
      write();
    });
    const { fetch, close } = job(server, { limits: { ...LIMITS, maxResponseBytes: 10 ** 12 } });
    const reader = (await fetch(server.at("/"))).body?.getReader();
    for (let read = 0; read < 10; read++) await reader?.read();
    let turns = 0;
    await until(() => turns++ === 2_000);
    expect(written).toBeLessThan(50_000_000);
    close();
    expect(await codeOf(reader?.read() ?? Promise.resolve())).toBe("CANCELLED");
  });

  test("a body that says that it is too large is not waited for", async () => {
    await using server = await TcpServer.answering(`${HEAD}content-length: 10000000000\r\n\r\n`);
    const failure = await failureOf(job(server).fetch(server.at("/")));
    expect(failure.toWire()).toMatchObject(tooLarge("maxResponseBytes"));
  });

  test("a body of exactly the limit is fine, one byte more is not", async () => {
    await using server = await WebServer.start((request, response) => {
      response.end(Buffer.alloc(LIMITS.maxResponseBytes + Number(request.url?.slice(1))));
    });
    const { fetch } = job(server);
    expect((await (await fetch(server.at("/0"))).bytes()).byteLength).toBe(LIMITS.maxResponseBytes);
    expect(await codeOf(fetch(server.at("/1")).then((response) => response.bytes()))).toBe("INVALID_REQUEST");
  });

  const emptyMembers = Buffer.concat(Array(20_000).fill(gzipSync("")));
  test.each([
    ["gzip", gzipSync(Buffer.alloc(50_000_000))],
    ["br", brotliCompressSync(Buffer.alloc(50_000_000))],
    ["gzip, gzip", gzipSync(gzipSync(Buffer.alloc(50_000_000)))],
    // It inflates on the way, and comes to nothing at the end.
    ["gzip, gzip", gzipSync(emptyMembers)],
  ])("a bomb (%s) does not go off", async (encoding, bomb) => {
    expect(bomb.byteLength).toBeLessThan(LIMITS.maxResponseBytes);
    await using server = await WebServer.start((_request, response) => {
      response.writeHead(200, { "content-encoding": encoding }).end(bomb);
    });
    const response = await job(server).fetch(server.at("/"));
    const failure = await failureOf(response.arrayBuffer());
    expect(failure.toWire()).toMatchObject(tooLarge("maxResponseBytes"));
  });

  test("a megabyte of headers", async () => {
    for (const headers of [`x: ${"a".repeat(2 ** 20)}\r\n`, "x: aaaaaaaaaa\r\n".repeat(2 ** 16)]) {
      await using server = await TcpServer.answering(`${HEAD}${headers}content-length: 0\r\n\r\n`);
      const failure = await failureOf(job(server).fetch(server.at("/")));
      expect(failure.toWire()).toMatchObject(tooLarge("maxResponseHeaderBytes"));
    }
  });

  test("a head that does not come", async () => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const response = failureOf(job(server).fetch(server.at("/")));
    const socket = await next();
    const closed = closeOf(socket);
    socket.write(`${HEAD}content-le`);
    clock.advance(LIMITS.headTimeoutMs);
    const failure = await response;
    expect(failure).toBeInstanceOf(TimeoutError);
    expect(failure.details).toEqual({ reason: "too_slow", limit: "headTimeoutMs", max: LIMITS.headTimeoutMs });
    await closed;
  });

  test("a name that nobody finds, and a connection that is not made", async () => {
    await using server = await WebServer.start();
    const asked = Promise.withResolvers<void>();
    const { fetch } = job(server, {
      resolve: () => {
        asked.resolve();
        return new Promise<never>(() => {});
      },
    });
    const failure = failureOf(fetch(server.at("/", "service.test")));
    await asked.promise;
    clock.advance(LIMITS.headTimeoutMs);
    expect((await failure).details).toMatchObject({ reason: "too_slow", limit: "headTimeoutMs" });

    // TLS, to a server that says nothing.
    await using silent = await TcpServer.start((socket) => {
      socket.once("data", () => clock.advance(LIMITS.connectTimeoutMs));
    });
    const slow = await failureOf(job(silent).fetch(secure(silent.at("/"))));
    expect(slow.details).toMatchObject({ reason: "too_slow", limit: "connectTimeoutMs" });
  });

  test("a body that stops", async () => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const response = job(server).fetch(server.at("/"));
    const socket = await next();
    socket.write(`${HEAD}content-length: 100\r\n\r\nx`);
    const reader = (await response).body?.getReader();
    expect((await reader?.read())?.value).toHaveLength(1);
    // A reader that takes its time is not a server that stops.
    clock.advance(LIMITS.bodyIdleTimeoutMs);
    const rest = failureOf(reader?.read() ?? Promise.resolve());
    const closed = closeOf(socket);
    await until(() => clock.pending === 2);
    clock.advance(LIMITS.bodyIdleTimeoutMs);
    const failure = await rest;
    expect(failure).toBeInstanceOf(TimeoutError);
    expect(failure.details).toMatchObject({ reason: "too_slow", limit: "bodyIdleTimeoutMs" });
    await closed;
  });

  test("a body that comes byte by byte", async () => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const response = job(server).fetch(server.at("/"));
    const socket = await next();
    socket.write(`${HEAD}content-length: 100\r\n\r\n`);
    const reader = (await response).body?.getReader();
    let bytes = 0;
    let failure: ARCPError | undefined;
    while (failure === undefined && bytes < 100) {
      const read = reader?.read();
      socket.write("x");
      await read?.then(
        ({ value }) => {
          bytes += value?.byteLength ?? 0;
        },
        (error: ARCPError) => {
          failure = error;
        },
      );
      clock.advance(1_000);
    }
    expect(failure?.details).toMatchObject({ reason: "too_slow", limit: "totalTimeoutMs" });
    expect(bytes).toBeLessThan(15);
  });

  test("redirects do not begin the time anew", async () => {
    await using server = await WebServer.start((_request, response) => {
      clock.advance(LIMITS.headTimeoutMs - 1);
      response.writeHead(302, { location: "/" }).end();
    });
    const { fetch } = job(server, { limits: { ...LIMITS, totalTimeoutMs: LIMITS.headTimeoutMs * 2 } });
    const failure = await failureOf(fetch(server.at("/")));
    expect(failure.details).toMatchObject({ reason: "too_slow", limit: "totalTimeoutMs" });
  });

  test("another service of the same host", async () => {
    await using other = await WebServer.start();
    await using server = await WebServer.start((_request, response) => {
      const elsewhere = `127.0.0.1:${other.port}`;
      response.writeHead(200, {
        "alt-svc": `http/1.1="${elsewhere}"; ma=86400, h2="${elsewhere}"`,
        "alt-used": elsewhere,
      });
      response.end("ok");
    });
    const { fetch } = job(server);
    for (let count = 0; count < 3; count++) await (await fetch(server.at("/"))).text();
    expect(server.requests).toHaveLength(3);
    expect(other.connections).toBe(0);
  });

  test("an upgrade", async () => {
    await using server = await TcpServer.answering(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\u0081\u0001x",
    );
    const failure = await failureOf(job(server).fetch(server.at("/")));
    expect(failure.toWire()).toMatchObject({ code: "INTERNAL_ERROR", details: { reason: "connection_lost" } });
  });
});

describe("an interruption", () => {
  const cancelled = new CancelledError("stop");

  test("before the call: nothing is sent", async () => {
    await using server = await WebServer.start();
    const { fetch } = job(server);
    const reason = new Error("never mind");
    await expect(fetch(server.at("/"), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(server.requests).toEqual([]);
  });

  test.each(["the job", "the agent", "the end of the job"])("by %s, while the name is looked up", async (who) => {
    await using server = await WebServer.start();
    const found = Promise.withResolvers<readonly string[]>();
    const asked = Promise.withResolvers<void>();
    const { fetch, guard, close } = job(server, {
      allowedNetworks: ["127.0.0.1"],
      resolve: () => {
        asked.resolve();
        return found.promise;
      },
    });
    const agent = new AbortController();
    const failure = failureOf(fetch(server.at("/", "service.test"), { signal: agent.signal }));
    await asked.promise;
    found.resolve(["127.0.0.1"]);
    if (who === "the job") guard.abort(cancelled);
    else if (who === "the agent") agent.abort(cancelled);
    else close();
    expect((await failure).code).toBe("CANCELLED");
    expect(server.connections).toBe(0);
  });

  test.each(["the job", "the agent", "the end of the job"])("by %s, before there is a connection", async (who) => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const { fetch, guard, close } = job(server);
    const agent = new AbortController();
    const failure = failureOf(fetch(secure(server.at("/")), { signal: agent.signal }));
    const socket = await next();
    if (who === "the job") guard.abort(cancelled);
    else if (who === "the agent") agent.abort(cancelled);
    else close();
    expect((await failure).code).toBe("CANCELLED");
    const closed = closeOf(socket);
    close();
    await closed;
  });

  test.each(["the job", "the agent", "the end of the job"])("by %s, before the head", async (who) => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const { fetch, guard, close } = job(server);
    const agent = new AbortController();
    const failure = failureOf(fetch(server.at("/"), { signal: agent.signal }));
    const socket = await next();
    const closed = closeOf(socket);
    if (who === "the job") guard.abort(cancelled);
    else if (who === "the agent") agent.abort(cancelled);
    else close();
    expect((await failure).code).toBe("CANCELLED");
    await closed;
  });

  test.each(["the job", "the agent", "the end of the job"])("by %s, within the body", async (who) => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const { fetch, guard, close } = job(server);
    const agent = new AbortController();
    const response = fetch(server.at("/"), { signal: agent.signal });
    const socket = await next();
    socket.write(`${HEAD}content-length: 100\r\n\r\nx`);
    const text = failureOf((await response).text());
    const closed = closeOf(socket);
    if (who === "the job") guard.abort(cancelled);
    else if (who === "the agent") agent.abort(cancelled);
    else close();
    expect((await text).code).toBe("CANCELLED");
    await closed;
  });

  test("says why, whatever that is", async () => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const { fetch } = job(server);
    const [agent, enough] = [new AbortController(), new Error("enough")];
    const sent = fetch(server.at("/"), { signal: agent.signal });
    (await next()).write(`${HEAD}content-length: 100\r\n\r\nx`);
    const text = failureOf((await sent).text());
    await until(() => clock.pending === 2);
    agent.abort(enough);
    expect(await text).toBe(enough);
  });

  test("within a body that nobody reads", async () => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const { fetch, guard } = job(server);
    const sent = fetch(server.at("/"));
    const socket = await next();
    socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: 100\r\n\r\n`);
    const response = await sent;
    const closed = closeOf(socket);
    guard.abort(cancelled);
    await closed;
    expect(clock.pending).toBe(0);
    await expect(response.text()).rejects.toBe(cancelled);
  });

  test("by a reader who has had enough", async () => {
    const { talk, next } = talks();
    await using server = await TcpServer.start(talk);
    const { fetch } = job(server);
    const sent = fetch(server.at("/"));
    const socket = await next();
    socket.write(`${HEAD}content-length: 100\r\n\r\nx`);
    const closed = closeOf(socket);
    for await (const piece of (await sent).body ?? []) {
      expect(piece).toHaveLength(1);
      break;
    }
    await closed;
    expect(clock.pending).toBe(0);
  });

  test("after the end: there is no network any more", async () => {
    await using server = await WebServer.start();
    const { fetch, close } = job(server);
    await (await fetch(server.at("/"))).text();
    expect(server.open).toBe(1);
    close();
    await until(() => server.open === 0);
    expect(await codeOf(fetch(server.at("/")))).toBe("CANCELLED");
    expect(server.connections).toBe(1);
  });
});
