/** Where an agent's requests may go, whatever names, spellings and resolvers say. */
import { InternalError, PermissionDeniedError } from "@arcp/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { agentFetch, type NetworkOptions } from "../../packages/runtime/src/operations/network/fetch.ts";
import { covers } from "../support/covers.ts";
import { createCertificate } from "./certificate.ts";
import { LeaseGuard } from "./lease-guard.ts";
import { codeOf } from "./refusal.ts";
import { TcpServer, WebServer } from "./web-server.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const close of closing.splice(0)) close();
});

/** A job that may fetch what matches `patterns`. */
function job(patterns: readonly string[], options: NetworkOptions = {}) {
  const guard = new LeaseGuard({ "net.fetch": [...patterns] });
  const network = agentFetch(guard, options);
  closing.push(network.close);
  return { guard, fetch: network.fetch };
}

const API = "https://api.example.com/v1/**";

/** A resolver that gives its answers one after the other, the last one for ever. */
function resolver(...answers: (readonly string[])[]) {
  const asked: string[] = [];
  const resolve = async (hostname: string): Promise<readonly string[]> => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(hostname);
    return answer;
  };
  return { asked, resolve };
}

const LOCAL = ["127.0.0.1/32"];

describe("spellings of an address", () => {
  const HOSTS = {
    E01: ["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "0177.0.0.1", "127.0.0.1."],
    E02: ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"],
    E03: ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"],
    E04: ["[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[fd00:ec2::254]", "[fe80::1]"],
    E06: [
      "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
      "127\u30020\u30020\u30021",
      "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    ],
  };

  test.each(Object.entries(HOSTS).flatMap(([id, hosts]) => hosts.map((host) => [id, host] as const)))(
    "%s: %s is denied",
    async (_id, host) => {
      await using server = await WebServer.start();
      const asked = resolver(["127.0.0.1"]);
      // Also to who may use the usual spelling, and where an operator allows what is behind it.
      const lease = [API, server.at("/**"), "http://169.254.169.254/**", "https://*.example.com/**"];
      const { fetch } = job(lease, { ...asked, allowedNetworks: ["0.0.0.0/0", "::/0"] });
      expect(await codeOf(fetch(`http://${host}:${server.port}/`))).toBe("PERMISSION_DENIED");
      expect(await codeOf(fetch(`http://${host}/`))).toBe("PERMISSION_DENIED");
      expect(server.connections).toBe(0);
      expect(asked.asked).toEqual([]);
    },
  );

  // The same addresses as what a name leads to: there the lease has nothing to say.
  test.each([
    ["E03", "::1", "loopback"],
    ["E03", "::ffff:127.0.0.1", "loopback"],
    ["E03", "::ffff:7f00:1", "loopback"],
    ["E03", "::127.0.0.1", "loopback"],
    ["E03", "::ffff:0:127.0.0.1", "loopback"],
    ["E04", "64:ff9b::a9fe:a9fe", "metadata"],
    ["E04", "64:ff9b:1::a9fe:a9fe", "private"],
    ["E04", "2002:7f00:1::", "loopback"],
    ["E04", "fd00:ec2::254", "metadata"],
    ["E04", "fe80::1", "link-local"],
    ["E04", "fe80::1%lo", "link-local"],
    ["E12", "169.254.169.254", "metadata"],
    ["E12", "100.100.100.200", "metadata"],
    ["", "127.0.0.1", "loopback"],
    ["", "0.0.0.0", "unspecified"],
    ["", "10.0.0.1", "private"],
    ["", "100.64.0.1", "shared"],
    ["", "255.255.255.255", "reserved"],
    ["", "no address", "reserved"],
  ])("%s a name that leads to %s is denied as %s", async (_id, address, addressClass) => {
    await using server = await WebServer.start();
    const { fetch } = job([server.at("/**", "service.test")], resolver([address]));
    const refusal = await fetch(server.at("/x?secret=1", "service.test")).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(PermissionDeniedError);
    expect((refusal as PermissionDeniedError).details).toEqual({
      capability: "net.fetch",
      target: server.at("/x", "service.test"),
      address_class: addressClass,
    });
    // A resolver's answers are nobody's business.
    expect((refusal as PermissionDeniedError).message).not.toContain(address);
    expect(server.connections).toBe(0);
  });
});

describe("URLs", () => {
  const denied = async (url: string | URL, patterns: readonly string[] = [API]): Promise<string> => {
    const asked = resolver(["127.0.0.1"]);
    const { fetch } = job(patterns, { ...asked, allowedNetworks: LOCAL });
    const code = await codeOf(fetch(url));
    expect(asked.asked).toEqual([]);
    return code;
  };

  test.each([
    "https://api.example.com@evil.test/v1/",
    "https://api.example.com:443@evil.test/v1/",
    "https://api.example.com%2f@evil.test/v1/",
  ])("E07: %s carries user information", async (url) => {
    covers("V11-14-03", "V11-14-04");
    expect(await denied(url)).toBe("INVALID_REQUEST");
    const guard = new LeaseGuard({ "net.fetch": [API] });
    await agentFetch(guard)
      .fetch(url)
      .catch(() => {});
    expect(guard.calls).toEqual([expect.objectContaining({ args: { method: "GET" }, outcome: "INVALID_REQUEST" })]);
  });

  test("E08: a backslash does not hide a host", async () => {
    expect(await denied("https://evil.test\\@api.example.com/v1/")).toBe("PERMISSION_DENIED");
    expect(await denied(new URL("https://evil.test\\@api.example.com/v1/"))).toBe("PERMISSION_DENIED");
  });

  test("E09: a fragment is no host", async () => {
    expect(await denied("https://evil.test#.example.com/x", ["https://*.example.com/**"])).toBe("PERMISSION_DENIED");
  });

  test.each([
    ["https://evil.test?.example.com/x", "PERMISSION_DENIED"],
    ["https://evil.test\\.example.com/x", "PERMISSION_DENIED"],
    ["https://u:p@evil.test:80#.example.com/x", "INVALID_REQUEST"],
  ])("E10: %s is %s", async (url, code) => {
    expect(await denied(url, ["https://*.example.com/**"])).toBe(code);
  });

  test.each(["https://169.254.169.254/latest", "https://2852039166/", "https://[fd00:ec2::254]/"])(
    "E12: %s is denied to a lease that would have everything",
    async (url) => {
      expect(await denied(url, ["https://**", "https://*/**", "**", "https://*.169.254/**"])).toBe("PERMISSION_DENIED");
    },
  );

  test.each([
    ["127.0.0.1", "loopback"],
    ["localhost", "loopback"],
    ["169.254.169.254", "metadata"],
    ["[fd00:ec2::254]", "metadata"],
  ])("E12: %s is denied even if patterns could say everything", async (host, addressClass) => {
    await using server = await WebServer.start();
    const guard = new LeaseGuard({ "net.fetch": [server.at("/**", "*.test")] });
    const network = agentFetch({
      lease: guard.lease,
      signal: guard.signal,
      // Every target passes.
      operation: (_capability, target, act) =>
        Promise.resolve(
          act({
            target,
            callId: "call",
            signal: guard.signal,
            authorize: (another) => another,
            report: async () => {},
          }),
        ),
    });
    closing.push(network.close);
    const refusal = await network.fetch(server.at("/", host)).catch((error: unknown) => error);
    expect((refusal as PermissionDeniedError).details).toMatchObject({ address_class: addressClass });
    expect(server.connections).toBe(0);
  });

  test.each(["/v1/../admin", "/v1/%2e%2e/admin", "/v1/.%2e/admin", "/v1\\..\\admin"])("E13: %s", async (path) => {
    expect(await denied(`https://api.example.com${path}`)).toBe("PERMISSION_DENIED");
    expect(await denied(new URL(`https://api.example.com${path}`))).toBe("PERMISSION_DENIED");
  });

  test.each(["/v1/..%2fadmin", "/v1/..%5cadmin", "/v1/%252e%252e/admin", "/v1/..;/admin"])("E14: %s", async (path) => {
    expect(await denied(`https://api.example.com${path}`)).toBe("PERMISSION_DENIED");
  });

  test.each([
    "https://api.example.com\t.evil.test/",
    "https://api.example.com%2eevil.test",
    "https://api.example.com\u3002evil.test",
  ])("E15: %j", async (url) => {
    expect(await denied(url)).toBe("PERMISSION_DENIED");
  });

  test("E16: a letter of another alphabet", async () => {
    expect(await denied("https://\u0430pi.example.com/v1/x")).toBe("PERMISSION_DENIED");
  });

  test("E18: what is spelt otherwise and means the same is requested as it was checked", async () => {
    await using server = await WebServer.start();
    const { fetch, guard } = job([server.at("/v1/**", "api.example.com")], {
      ...resolver(["127.0.0.1"]),
      allowedNetworks: LOCAL,
    });
    for (const url of [
      `http://API.EXAMPLE.COM:${server.port}/v1/%78`,
      `http://api.example.com:0${server.port}/v1/x`,
      `HTTP://api.example.com:${server.port}/v1/x#part`,
      new URL(server.at("/v1/x", "api.example.com")),
    ]) {
      expect((await fetch(url)).url).toBe(server.at("/v1/x", "api.example.com"));
    }
    expect(server.requests.map(({ url }) => url)).toEqual(Array(4).fill("/v1/x"));
    expect(server.requests[0]?.headers.host).toBe(`api.example.com:${server.port}`);
    expect(guard.calls[0]?.args).toEqual({ method: "GET", url: server.at("/v1/x", "api.example.com") });
  });

  test.each(["https://api.example.com:444/v1/x", "https://api.example.com./v1/x", "http://api.example.com/v1/x"])(
    "E19: %s is another grant",
    async (url) => {
      expect(await denied(url)).toBe("PERMISSION_DENIED");
    },
  );

  test.each([
    "file:///etc/passwd",
    "data:text/html,x",
    "blob:https://api.example.com/x",
    "ftp://api.example.com/v1/x",
    "ws://api.example.com/v1/x",
    "javascript:alert(1)",
  ])("E20: %s", async (url) => {
    expect(await denied(url)).toBe("PERMISSION_DENIED");
    expect(await denied(new URL(url))).toBe("PERMISSION_DENIED");
  });
});

describe("names", () => {
  test("E21: an answer that was checked is the one that is connected to", async () => {
    await using server = await WebServer.start();
    // With the second answer the same connection would lead elsewhere.
    const asked = resolver(["127.0.0.1"], ["127.0.0.2"]);
    const { fetch } = job([server.at("/**", "service.test")], { ...asked, allowedNetworks: LOCAL });
    expect(await (await fetch(server.at("/", "service.test"))).text()).toBe("ok");
    expect(asked.asked).toEqual(["service.test"]);
    expect(server.requests).toHaveLength(1);
  });

  test("E21: every request is a question of its own", async () => {
    await using server = await WebServer.start((_request, response) => {
      response.writeHead(200, { connection: "close" }).end("ok");
    });
    const asked = resolver(["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]);
    const { fetch } = job([server.at("/**", "service.test")], { ...asked, allowedNetworks: LOCAL });
    await (await fetch(server.at("/", "service.test"))).text();
    await (await fetch(server.at("/", "service.test"))).text();
    expect(await codeOf(fetch(server.at("/", "service.test")))).toBe("PERMISSION_DENIED");
    expect(server.connections).toBe(2);
  });

  test("E22: a kept connection does not outlive the answer that it was made for", async () => {
    await using server = await WebServer.start();
    const same = Array(5).fill(["127.0.0.1"]);
    const asked = resolver(...same, ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"]);
    const { fetch } = job([server.at("/**", "service.test")], { ...asked, allowedNetworks: LOCAL });
    for (const _ of same) await (await fetch(server.at("/", "service.test"))).text();
    // They were kept, so they could have been used.
    expect(server.connections).toBeLessThan(same.length);
    expect(await codeOf(fetch(server.at("/", "service.test")))).toBe("PERMISSION_DENIED");
    expect(await codeOf(fetch(server.at("/", "service.test")))).toBe("PERMISSION_DENIED");
    expect(server.requests).toHaveLength(same.length);
  });

  test("E22: a kept connection is not used when the name leads to another address that is allowed", async () => {
    await using server = await WebServer.start();
    const asked = resolver(["127.0.0.1"], ["::1"], ["127.0.0.1"]);
    const { fetch } = job([server.at("/**", "service.test")], {
      ...asked,
      allowedNetworks: ["127.0.0.1/32", "::1/128"],
    });
    await (await fetch(server.at("/1", "service.test"))).text();
    // Nobody listens there.
    await expect(fetch(server.at("/2", "service.test"))).rejects.toBeInstanceOf(InternalError);
    await (await fetch(server.at("/3", "service.test"))).text();
    expect(server.requests.map(({ url }) => url)).toEqual(["/1", "/3"]);
    expect(server.connections).toBe(2);
  });

  test("E22: no job uses the connection of another", async () => {
    await using server = await WebServer.start();
    const [one, two] = [job([server.at("/**")]), job([server.at("/**")])];
    await (await one.fetch(server.at("/"))).text();
    await (await two.fetch(server.at("/"))).text();
    await (await one.fetch(server.at("/"))).text();
    expect(server.connections).toBe(2);
  });

  test.each([
    ["public first", ["93.184.216.34", "127.0.0.1"]],
    ["private first", ["127.0.0.1", "93.184.216.34"]],
    ["of both families", ["93.184.216.34", "::1"]],
    ["of both families", ["93.184.216.34", "fd00::1"]],
    ["of both families", ["2606:4700:4700::1111", "10.0.0.1"]],
  ])("E25: answers that are public and private, %s", async (_order, answers) => {
    await using server = await WebServer.start();
    const { fetch } = job([server.at("/**", "service.test")], resolver(answers));
    expect(await codeOf(fetch(server.at("/", "service.test")))).toBe("PERMISSION_DENIED");
    expect(server.connections).toBe(0);
  });

  test("an address that does not answer is not the last word", async () => {
    await using server = await WebServer.start();
    const { fetch } = job([server.at("/**", "service.test")], {
      ...resolver(["::1", "127.0.0.1"]),
      allowedNetworks: ["127.0.0.1/32", "::1/128"],
    });
    expect(await (await fetch(server.at("/", "service.test"))).text()).toBe("ok");
  });

  test("a name that leads nowhere", async () => {
    for (const resolve of [
      async () => [],
      () => Promise.reject(Object.assign(new Error("getaddrinfo ENOTFOUND service.test"), { code: "ENOTFOUND" })),
    ]) {
      const { fetch } = job(["http://service.test/**"], { resolve });
      const failure = await fetch("http://service.test/").catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(InternalError);
      expect((failure as InternalError).details).toEqual({ reason: "name_not_found" });
    }
  });
});

describe("addresses that are not public are for those", () => {
  test("whose lease spells them out", async () => {
    await using server = await WebServer.start();
    const asked = resolver(["127.0.0.1"]);
    const { fetch } = job([server.at("/a/**")], asked);
    expect((await fetch(server.at("/a/b"))).status).toBe(200);
    expect(await codeOf(fetch(server.at("/b")))).toBe("PERMISSION_DENIED");
    // A name is not the address that it leads to, and another port is not this one.
    expect(await codeOf(fetch(server.at("/a/b", "localhost")))).toBe("PERMISSION_DENIED");
    expect(await codeOf(fetch("http://127.0.0.1:1/a/b"))).toBe("PERMISSION_DENIED");
    expect(asked.asked).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });

  test("whose lease says localhost, which is the machine's own and no question to a resolver", async () => {
    await using server = await WebServer.start();
    const asked = resolver(["10.0.0.1"]);
    const { fetch } = job([server.at("/**", "localhost")], asked);
    expect(await (await fetch(server.at("/", "localhost"))).text()).toBe("ok");
    expect(asked.asked).toEqual([]);
    expect(server.requests[0]?.headers.host).toBe(`localhost:${server.port}`);
  });

  test("but not for a name in a lease, or a wildcard, beside a lease for the address", async () => {
    await using server = await WebServer.start();
    const patterns = [server.at("/**"), server.at("/**", "service.test"), server.at("/**", "*.localhost")];
    const { fetch } = job(patterns, resolver(["127.0.0.1"]));
    expect(await codeOf(fetch(server.at("/", "service.test")))).toBe("PERMISSION_DENIED");
    expect(await codeOf(fetch(server.at("/", "a.localhost")))).toBe("PERMISSION_DENIED");
    expect(server.connections).toBe(0);
  });

  test("whose operator allows the network", async () => {
    await using server = await WebServer.start();
    const patterns = [server.at("/**", "service.test")];
    for (const [network, outcome] of [
      ["127.0.0.0/8", "allowed"],
      ["127.0.0.1", "allowed"],
      ["127.0.0.2/32", "PERMISSION_DENIED"],
      ["::/0", "PERMISSION_DENIED"],
    ] as const) {
      const { fetch } = job(patterns, { ...resolver(["127.0.0.1"]), allowedNetworks: [network] });
      expect(await codeOf(fetch(server.at("/", "service.test"))), network).toBe(outcome);
    }
    expect(() => job([], { allowedNetworks: ["10.0.0.0/40"] })).toThrow(TypeError);
  });
});

describe("TLS", () => {
  test("a host is who its certificate says, by its name and not by its address", async () => {
    const certificate = createCertificate("service.test");
    await using server = await WebServer.start(undefined, certificate);
    const options = { ...resolver(["127.0.0.1"]), allowedNetworks: LOCAL, certificateAuthorities: [certificate.cert] };
    const { fetch } = job(
      [server.at("/**", "service.test"), server.at("/**", "other.test"), server.at("/**")],
      options,
    );
    expect(await (await fetch(server.at("/", "service.test"))).text()).toBe("ok");
    for (const host of ["other.test", "127.0.0.1"]) {
      const failure = await fetch(server.at("/", host)).catch((error: unknown) => error);
      expect((failure as InternalError).details).toEqual({ reason: "tls" });
    }
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.headers.host).toBe(`service.test:${server.port}`);
    expect(server.requests[0]?.servername).toBe("service.test");
  });

  test("nothing in the environment makes an unknown certificate good", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    vi.spyOn(process, "emitWarning").mockImplementation(() => {}); // Node.js warns of that variable.
    await using server = await WebServer.start(undefined, createCertificate("service.test"));
    const { fetch } = job([server.at("/**", "service.test")], { ...resolver(["127.0.0.1"]), allowedNetworks: LOCAL });
    const failure = await fetch(server.at("/", "service.test")).catch((error: unknown) => error);
    expect((failure as InternalError).details).toEqual({ reason: "tls" });
    expect(server.requests).toEqual([]);
  });
});

describe("the environment", () => {
  test("E28: proxies are not used", async () => {
    await using server = await WebServer.start();
    await using proxy = await TcpServer.start((socket) => socket.end());
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]) {
      vi.stubEnv(name, proxy.at("/"));
    }
    vi.stubEnv("NO_PROXY", "");
    vi.stubEnv("NODE_USE_ENV_PROXY", "1");
    const { fetch } = job([server.at("/**"), "https://service.test/**"], resolver(["10.0.0.1"]));
    expect(await (await fetch(server.at("/"))).text()).toBe("ok");
    expect(await codeOf(fetch("https://service.test/"))).toBe("PERMISSION_DENIED");
    expect(proxy.connections).toBe(0);
  });
});

describe("failures name a reason and no address", () => {
  test("nobody listens", async () => {
    const server = await WebServer.start();
    const url = server.at("/", "service.test");
    await server[Symbol.asyncDispose]();
    for (const answers of [["127.0.0.1"], ["127.0.0.1", "::1"]]) {
      const { fetch } = job([url], { ...resolver(answers), allowedNetworks: ["127.0.0.1", "::1"] });
      const failure = await fetch(url).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(InternalError);
      expect((failure as InternalError).details).toEqual({ reason: "connection_refused" });
      expect(JSON.stringify((failure as InternalError).toWire())).not.toContain("127.0.0.1");
    }
  });

  test("the connection breaks", async () => {
    await using server = await TcpServer.start((socket) => socket.once("data", () => socket.destroy()));
    const { fetch } = job([server.at("/**")]);
    const failure = await fetch(server.at("/")).catch((error: unknown) => error);
    expect((failure as InternalError).details).toEqual({ reason: "connection_lost" });
  });

  test.each([
    "SSH-2.0-OpenSSH\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "HTTP/1.1 999 X\r\n\r\n",
  ])("what answers does not speak HTTP: %j", async (text) => {
    await using server = await TcpServer.answering(text);
    const { fetch } = job([server.at("/**")]);
    const failure = await fetch(server.at("/")).catch((error: unknown) => error);
    expect((failure as InternalError).details).toEqual({ reason: "protocol" });
  });
});
