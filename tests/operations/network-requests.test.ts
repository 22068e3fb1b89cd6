/** What an agent may send, where redirects take it, and what is told of it. */
import { InvalidRequestError, PermissionDeniedError } from "@arcp/core";
import OpenAI from "openai";
import { afterEach, describe, expect, test } from "vitest";
import type { AgentFetchInit } from "../../packages/runtime/src/engine/agent-operations.ts";
import { agentFetch, type NetworkOptions } from "../../packages/runtime/src/operations/network/fetch.ts";
import { createCertificate } from "./certificate.ts";
import { LeaseGuard } from "./lease-guard.ts";
import { codeOf } from "./refusal.ts";
import { TcpServer, WebServer } from "./web-server.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function job(patterns: readonly string[], options: NetworkOptions = {}) {
  const guard = new LeaseGuard({ "net.fetch": [...patterns] });
  const network = agentFetch(guard, options);
  closing.push(network.close);
  return { guard, fetch: network.fetch };
}

/** `init` as an agent without types might write it. */
const untyped = (init: unknown): AgentFetchInit => init as AgentFetchInit;

describe("a request", () => {
  test("arrives as it was written", async () => {
    await using server = await WebServer.start();
    const { fetch } = job([server.at("/**")]);
    await fetch(server.at("/a%20b?q=%2F..&r=1#part"), {
      method: "PATCH",
      headers: {
        "X-One": "1",
        Authorization: "Bearer t",
        "content-type": "application/json",
        __proto__: null,
      } as never,
      body: new TextEncoder().encode('{"ä":1}'),
    });
    await fetch(server.at("/text"), { method: "post", body: "ä" });
    await fetch(server.at("/"));
    const [first, second, third] = server.requests;
    expect(first).toMatchObject({ method: "PATCH", url: "/a%20b?q=%2F..&r=1", body: '{"ä":1}' });
    expect(first?.headers).toMatchObject({
      host: `127.0.0.1:${server.port}`,
      "x-one": "1",
      authorization: "Bearer t",
      "content-type": "application/json",
      "content-length": "8",
    });
    expect(second).toMatchObject({ method: "POST", body: "ä" });
    expect(second?.headers["content-type"]).toBe("text/plain;charset=UTF-8");
    expect(third).toMatchObject({ method: "GET", body: "" });
    expect(third?.headers).toEqual({
      host: `127.0.0.1:${server.port}`,
      connection: "keep-alive",
      accept: "*/*",
      "accept-encoding": "gzip, br",
      "user-agent": "arcp",
    });
  });

  test.each<readonly [string, unknown]>([
    ["a method with a space", { method: "GET /admin HTTP/1.1\r\nX:" }],
    ["no method", { method: "" }],
    ["a method that is no text", { method: 1 }],
    ["CONNECT", { method: "CONNECT" }],
    ["TRACE", { method: "TRACE" }],
    ["trace", { method: "trace" }],
    ["TRACK", { method: "TRACK" }],
    ["a line break in a value", { headers: { a: "b\r\nX-Evil: 1" } }],
    ["a line feed in a value", { headers: { a: "b\nc" } }],
    ["a carriage return in a value", { headers: { a: "b\rc" } }],
    ["a zero in a value", { headers: { a: "b\u0000c" } }],
    ["another alphabet in a value", { headers: { a: "\u010d\u010a" } }],
    ["a line break in a name", { headers: { "a\r\nb": "c" } }],
    ["a colon in a name", { headers: { "a:b": "c" } }],
    ["no name", { headers: { "": "c" } }],
    ["a value that is no text", { headers: { a: ["b", "c"] } }],
    ["a header that is there twice", { headers: { a: "1", A: "2" } }],
    ["headers that are neither", { headers: new Map([["a", "b"]]) }],
    ["a list of headers without values", { headers: [["a"]] }],
    [
      "a list that has a header twice",
      {
        headers: [
          ["a", "1"],
          ["A", "2"],
        ],
      },
    ],
    ["a name in a list that is no text", { headers: [[1, "2"]] }],
    ...[
      ...[
        "Host",
        "host",
        "Transfer-Encoding",
        "Content-Length",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "TE",
        "Trailer",
      ],
      ...["Expect", "HTTP2-Settings", "Proxy-Authorization", "Proxy-Connection", "proxy-anything"],
    ].map((name) => [name, { headers: { [name]: "1" } }] as const),
    ["a body that is no text", { method: "POST", body: { a: 1 } }],
    ["a body of GET", { body: "x" }],
    ["a body of HEAD", { method: "head", body: "x" }],
    ["another redirect", { redirect: "error" }],
    ["another signal", { signal: {} }],
    ["other options", "GET"],
    ["no options", null],
  ])("E27: %s is no request", async (_what, init) => {
    await using server = await WebServer.start();
    const { fetch, guard } = job([server.at("/**")]);
    expect(await codeOf(fetch(server.at("/"), untyped(init)))).toBe("INVALID_REQUEST");
    expect(guard.calls).toEqual([]);
    expect(server.connections).toBe(0);
  });

  test.each([
    [undefined],
    [null],
    [1],
    [["http://127.0.0.1/"]],
    [{ href: "http://127.0.0.1/" }],
    [new Request("http://127.0.0.1/")],
  ])("%o is no URL", async (url) => {
    const { fetch, guard } = job(["http://127.0.0.1/**"]);
    expect(await codeOf(fetch(url as never))).toBe("INVALID_REQUEST");
    expect(guard.calls).toEqual([]);
  });

  test("may be written as the platform's own", async () => {
    await using server = await WebServer.start();
    const { fetch } = job([server.at("/**")]);
    await fetch(server.at("/"), {
      headers: new Headers([
        ["X-One", "1"],
        ["x-one", "2"],
      ]),
      body: null,
      signal: null,
    });
    await fetch(server.at("/"), { headers: [["X-One", "3"]] });
    expect(server.requests.map(({ method, headers }) => [method, headers["x-one"]])).toEqual([
      ["GET", "1, 2"],
      ["GET", "3"],
    ]);
    for (const name of ["host", "content-length", "transfer-encoding", "proxy-authorization"]) {
      expect(await codeOf(fetch(server.at("/"), { headers: new Headers({ [name]: "1" }) })), name).toBe(
        "INVALID_REQUEST",
      );
    }
    expect(server.requests).toHaveLength(2);
  });

  test("may be one of a client that takes a fetch", async () => {
    const message = { role: "assistant", content: "hello" };
    await using server = await WebServer.start((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ object: "chat.completion", choices: [{ index: 0, message }] }));
    });
    const { fetch, guard } = job([server.at("/v1/**")]);
    const openai = new OpenAI({ apiKey: "secret", baseURL: server.at("/v1"), fetch, maxRetries: 0 });
    const { choices } = await openai.chat.completions.create({
      model: "m",
      messages: [{ role: "user", content: "hi" }],
    });
    expect(choices[0]?.message.content).toBe("hello");
    expect(server.requests[0]).toMatchObject({ method: "POST", headers: { authorization: "Bearer secret" } });
    expect(guard.calls).toMatchObject([{ capability: "net.fetch", outcome: { status: 200 } }]);

    const elsewhere = new OpenAI({ apiKey: "secret", baseURL: server.at("/v2"), fetch, maxRetries: 0 });
    const refusal: unknown = await elsewhere.models.list().catch((error: unknown) => error);
    expect((refusal as Error).cause).toBeInstanceOf(PermissionDeniedError);
    expect(server.requests).toHaveLength(1);
  });

  test("is read once", async () => {
    await using server = await WebServer.start();
    let reads = 0;
    const url = Object.defineProperty(new URL(server.at("/other")), "href", {
      get: () => (reads++ === 0 ? server.at("/good") : server.at("/evil")),
    });
    const headers = {
      get a() {
        return reads++ < 3 ? "good" : "evil\r\n";
      },
    };
    const body = Buffer.from("good");
    const { fetch } = job([server.at("/good")]);
    const response = fetch(url, { method: "POST", headers, body });
    body.write("evil");
    expect((await response).url).toBe(server.at("/good"));
    expect(server.requests[0]).toMatchObject({ url: "/good", body: "good" });
    expect(server.requests[0]?.headers["a"]).toBe("good");
  });

  test("has its limits", async () => {
    await using server = await WebServer.start();
    const { fetch } = job([server.at("/**")], { limits: { maxRequestBytes: 10, maxRequestHeaderBytes: 100 } });
    for (const [init, limit] of [
      [{ method: "POST", body: "ä".repeat(6) }, "maxRequestBytes"],
      [{ method: "POST", body: new Uint8Array(11) }, "maxRequestBytes"],
      [{ headers: { a: "b".repeat(50), b: "b".repeat(50) } }, "maxRequestHeaderBytes"],
    ] as const) {
      const refusal = await fetch(server.at("/"), init).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(InvalidRequestError);
      expect((refusal as InvalidRequestError).details).toMatchObject({ reason: "too_large", limit });
    }
    expect(await codeOf(fetch(server.at("/"), { method: "POST", body: new Uint8Array(10) }))).toBe("allowed");
    expect(server.requests).toHaveLength(1);
  });
});

describe("what is told of it", () => {
  test("has no query, no fragment and no headers", async () => {
    await using server = await WebServer.start();
    const { fetch, guard } = job([server.at("/**")]);
    await fetch(server.at("/a?token=secret#secret"), { headers: { Authorization: "secret" }, cost: { USD: 1 } });
    expect(guard.calls).toEqual([
      {
        capability: "net.fetch",
        args: { method: "GET", url: server.at("/a") },
        cost: { USD: 1 },
        outcome: { status: 200, url: server.at("/a"), bytes: 2 },
      },
    ]);
  });

  test("a refusal is one operation", async () => {
    const { fetch, guard } = job(["http://127.0.0.1/a"]);
    await fetch("http://127.0.0.1/b?secret").catch(() => {});
    expect(guard.calls).toEqual([
      {
        capability: "net.fetch",
        args: { method: "GET", url: "http://127.0.0.1/b" },
        cost: undefined,
        outcome: "PERMISSION_DENIED",
      },
    ]);
  });
});

describe("redirects", () => {
  /** Answers `/to/<status>?<location>` with that; `/count/3` leads to `/count/2` and so on; everything else with ok. */
  const redirecting = (
    ...certificate: Parameters<typeof WebServer.start> extends [unknown?, (infer C)?] ? [C?] : never
  ) =>
    WebServer.start(
      (request, response) => {
        const url = new URL(request.url ?? "", "http://localhost");
        const [, kind, count] = url.pathname.split("/");
        if (kind === "to") {
          response.writeHead(Number(count), { location: decodeURIComponent(url.search.slice(1)) }).end("moved");
        } else if (kind === "count" && count !== "0") {
          response.writeHead(302, { location: `/count/${Number(count) - 1}` }).end();
        } else {
          response.end("ok");
        }
      },
      ...certificate,
    );

  const to = (server: WebServer, status: number, location: string): string =>
    server.at(`/to/${status}?${encodeURIComponent(location)}`);

  test("E24: lead only to what the lease covers", async () => {
    await using server = await redirecting();
    await using inside = await WebServer.start();
    const { fetch, guard } = job([server.at("/to/**"), server.at("/open/*")]);
    for (const location of [
      inside.at("/"),
      `http://localhost:${inside.port}/`,
      `http://2130706433:${inside.port}/`,
      server.at("/secret"),
      "/secret",
      "/open/../secret",
      `//127.0.0.1:${inside.port}/`,
      `\\\\127.0.0.1:${inside.port}\\`,
      "file:///etc/passwd",
      "javascript:alert(1)",
      "/open/%2e%2e%2fsecret",
    ]) {
      expect(await codeOf(fetch(to(server, 302, location))), location).toBe("PERMISSION_DENIED");
    }
    expect(await codeOf(fetch(to(server, 302, server.at("/open/x").replace("//", "//u:p@"))))).toBe("INVALID_REQUEST");
    expect(inside.connections).toBe(0);
    expect(server.requests.every(({ url }) => url.startsWith("/to/"))).toBe(true);
    expect(guard.calls.every(({ outcome }) => outcome !== null)).toBe(true);

    const response = await fetch(to(server, 302, "/open/x?token=1#there"));
    expect(await response.text()).toBe("ok");
    expect(response).toMatchObject({ status: 200, redirected: true, url: server.at("/open/x?token=1") });
    expect(guard.calls.at(-1)?.outcome).toEqual({ status: 200, url: server.at("/open/x"), bytes: 2 });
  });

  test("E24: lead only to addresses that are looked at", async () => {
    await using server = await redirecting();
    await using inside = await WebServer.start();
    const { fetch } = job([server.at("/**"), inside.at("/**", "*.test")], { resolve: async () => ["127.0.0.1"] });
    expect(await codeOf(fetch(to(server, 302, inside.at("/", "inside.test"))))).toBe("PERMISSION_DENIED");
    expect(inside.connections).toBe(0);
  });

  test("E24: are followed five times", async () => {
    await using server = await redirecting();
    const { fetch } = job([server.at("/**")]);
    expect(await (await fetch(server.at("/count/5"))).text()).toBe("ok");
    server.requests.length = 0;
    const refusal = await fetch(server.at("/count/21")).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(InvalidRequestError);
    expect((refusal as InvalidRequestError).details).toMatchObject({ reason: "too_many_redirects" });
    expect(server.requests).toHaveLength(6);
  });

  test("E24: credentials stay with the origin that they were for", async () => {
    await using server = await redirecting();
    await using other = await redirecting();
    const { fetch } = job([server.at("/**"), other.at("/**")]);
    const headers = { Authorization: "secret", Cookie: "secret", "X-Other": "kept" };
    await fetch(to(server, 307, "/same"), { headers });
    expect(server.requests.at(-1)).toMatchObject({
      url: "/same",
      headers: { authorization: "secret", cookie: "secret", "x-other": "kept" },
    });
    // They do not come back either.
    await fetch(to(server, 307, to(other, 302, server.at("/back"))), { headers });
    for (const { headers: received } of [other.requests.at(-1), server.requests.at(-1)].flatMap((one) => one ?? [])) {
      expect(received).not.toHaveProperty("authorization");
      expect(received).not.toHaveProperty("cookie");
      expect(received).toMatchObject({ "x-other": "kept" });
    }
    expect(server.requests.at(-1)?.url).toBe("/back");
  });

  test("E24: a body does not go to another origin", async () => {
    await using server = await redirecting();
    await using other = await WebServer.start();
    const { fetch } = job([server.at("/**"), other.at("/**")]);
    for (const [status, method] of [
      [307, "POST"],
      [308, "POST"],
      [302, "PUT"],
      [301, "PATCH"],
    ] as const) {
      const sent = fetch(to(server, status, other.at("/")), { method, body: "secret" });
      await expect(sent, `${status} ${method}`).rejects.toBeInstanceOf(PermissionDeniedError);
    }
    expect(other.connections).toBe(0);
    // Without one there is nothing to keep back.
    expect((await fetch(to(server, 307, other.at("/")), { method: "POST" })).status).toBe(200);
    expect((await fetch(to(server, 303, other.at("/")), { method: "POST", body: "secret" })).status).toBe(200);
    expect(other.requests.map(({ method, body }) => [method, body])).toEqual([
      ["POST", ""],
      ["GET", ""],
    ]);
  });

  test.each([
    [301, "POST", "GET"],
    [302, "POST", "GET"],
    [303, "POST", "GET"],
    [307, "POST", "POST"],
    [308, "POST", "POST"],
    [301, "PUT", "PUT"],
    [302, "PUT", "PUT"],
    [303, "PUT", "GET"],
    [303, "HEAD", "HEAD"],
    [302, "HEAD", "HEAD"],
  ])("%i %s becomes %s", async (status, method, becomes) => {
    await using server = await redirecting();
    const { fetch } = job([server.at("/**")]);
    const hasBody = method !== "HEAD";
    await fetch(to(server, status, "/there"), {
      method,
      headers: { "content-type": "application/json", "content-language": "de" },
      ...(hasBody && { body: "{}" }),
    });
    const arrived = server.requests.at(-1);
    expect(arrived).toMatchObject({ method: becomes, url: "/there", body: hasBody && becomes === method ? "{}" : "" });
    const keepsBody = becomes === method;
    expect(arrived?.headers["content-type"]).toBe(keepsBody ? "application/json" : undefined);
    expect(arrived?.headers["content-language"]).toBe(keepsBody ? "de" : undefined);
    expect(arrived?.headers["content-length"]).toBe(keepsBody && hasBody ? "2" : undefined);
  });

  test("from https to http needs a lease that has both", async () => {
    const certificate = createCertificate("service.test");
    await using secure = await redirecting(certificate);
    await using plain = await WebServer.start();
    const options = {
      resolve: async () => ["127.0.0.1"],
      allowedNetworks: ["127.0.0.1"],
      certificateAuthorities: [certificate.cert],
    };
    const grants = [secure.at("/**", "service.test"), `https://service.test:${plain.port}/**`];
    const url = `${secure.at("/to/302", "service.test")}?${encodeURIComponent(plain.at("/", "service.test"))}`;
    expect(await codeOf(job(grants, options).fetch(url))).toBe("PERMISSION_DENIED");
    expect(plain.connections).toBe(0);
    const both = job([...grants, plain.at("/**", "service.test")], options);
    const response = await both.fetch(url, { headers: { Authorization: "secret" } });
    expect(response.url).toBe(plain.at("/", "service.test"));
    expect(plain.requests[0]?.headers).not.toHaveProperty("authorization");
  });

  test("keep the fragment, unless they have their own", async () => {
    await using server = await redirecting();
    const { fetch } = job([server.at("/to/**"), server.at("/there#own"), server.at("/there#kept")]);
    expect((await fetch(`${to(server, 302, "/there")}#kept`)).status).toBe(200);
    expect((await fetch(`${to(server, 302, "/there#own")}#other`)).status).toBe(200);
    expect(await codeOf(fetch(`${to(server, 302, "/there")}#other`))).toBe("PERMISSION_DENIED");
  });

  test("are not waited for to the end of what they say", async () => {
    const cut = Promise.withResolvers<void>();
    await using server = await TcpServer.start((socket) => {
      socket.once("data", (request) => {
        if (request.includes("GET /there ")) return socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx");
        socket.once("close", cut.resolve);
        return socket.write("HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 10\r\n\r\nx");
      });
    });
    const { fetch } = job([server.at("/"), server.at("/there")]);
    const response = await fetch(server.at("/"));
    expect(response.url).toBe(server.at("/there"));
    await cut.promise;
    await response.body?.cancel();
  });

  test("can be left to the agent", async () => {
    await using server = await redirecting();
    const { fetch } = job([server.at("/to/**")]);
    const response = await fetch(to(server, 302, "http://10.0.0.1/"), { redirect: "manual" });
    expect(response).toMatchObject({ status: 302, redirected: false });
    expect(response.headers.get("location")).toBe("http://10.0.0.1/");
    expect(await response.text()).toBe("moved");
  });

  test("without a place to go to are answers, and with a false one failures", async () => {
    await using server = await WebServer.start((request, response) => {
      response.writeHead(302, request.url === "/none" ? {} : { location: "http://[" }).end();
    });
    const { fetch } = job([server.at("/**")]);
    expect((await fetch(server.at("/none"))).status).toBe(302);
    expect(await codeOf(fetch(server.at("/false")))).toBe("INTERNAL_ERROR");
  });
});
