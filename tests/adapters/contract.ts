/** What holds for a runtime on any host, whoever's server it is. */
import { connect } from "node:net";
import type { Transport } from "@arcp/core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { COMPRESSED_VIOLATIONS, compressedFrame } from "../hostile/compressed-frames.ts";
import { AGENTS } from "../hostile/hostile-client.ts";
import { PING, RawSocket, statusOf, upgradeRequest, webSocketFrame } from "../hostile/raw-socket.ts";
import { REFUSED_UPGRADES, VIOLATIONS } from "../hostile/websocket-violations.ts";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import type { HostLimits } from "./host-limits.ts";
import type { AppOptions, Host, RunningHost } from "./hosts.ts";

class Hosted implements AsyncDisposable {
  readonly harness: Harness;
  readonly running: RunningHost;
  readonly transports: readonly Transport[];

  private constructor(harness: Harness, running: RunningHost, transports: readonly Transport[]) {
    this.harness = harness;
    this.running = running;
    this.transports = transports;
  }

  static async start(host: Host, ...apps: readonly Partial<AppOptions>[]): Promise<Hosted> {
    const harness = startHarness({ agents: AGENTS });
    const transports: Transport[] = [];
    const onTransport = (transport: Transport): unknown => {
      transports.push(transport);
      return harness.server.accept(transport);
    };
    const options = (apps.length === 0 ? [{}] : apps).map((app) => ({ path: "/arcp", onTransport, ...app }));
    return new Hosted(harness, await host.start(options), transports);
  }

  url(path = "/arcp"): string {
    return `${this.running.origin.replace("http", "ws")}${path}`;
  }

  async hello(): Promise<string> {
    return (await fetch(`${this.running.origin}/hello`)).text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness[Symbol.asyncDispose]();
    for (const app of this.running.apps) await app.close();
    await this.running.close();
  }
}

const hello = (token?: string): object => {
  const auth = token === undefined ? undefined : { scheme: "bearer", token };
  return { arcp: "1.1", id: "msg_hello", type: "session.hello", payload: { auth } };
};
const authorization = (token: string) => ({ headers: [["Authorization", `Bearer ${token}`]] as const });

const PATIENTLY = { timeout: 30_000 };
const OFFER = { headers: [["Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"]] as const };

/** Memory of the process that the host runs in. */
const rssOf = async ({ running }: Hosted): Promise<number> =>
  running.rssBytes === undefined ? process.memoryUsage().rss : running.rssBytes();

/** A request that asks for no upgrade is the host's. */
const UPGRADES = REFUSED_UPGRADES.filter(([name]) => name !== "a POST");

/** What comes back on one connection until it ends. */
async function answers(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(text);
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  return answer;
}

/** Tests every part of the contract on one host. */
export function adapterContract(host: Host, limits: HostLimits = {}): void {
  describe(`a runtime on ${host.name}`, () => {
    test("leaves all other requests to the host", async () => {
      await using hosted = await Hosted.start(host);
      const { origin } = hosted.running;
      expect(await hosted.hello()).toBe("hello");
      const echo = await fetch(`${origin}/echo`, {
        method: "POST",
        body: "a body",
        headers: { "content-type": "text/plain" },
      });
      expect(await echo.text()).toBe("a body");
      expect((await fetch(`${origin}/nowhere`)).status).toBe(404);
      expect((await fetch(`${origin}/arcp`)).status).toBeGreaterThanOrEqual(400);
      expect(hosted.transports).toEqual([]);
    });

    test.runIf(limits.ignoresOtherUpgrades ?? true)("leaves upgrades to something else to the host", async () => {
      await using hosted = await Hosted.start(host);
      const text = upgradeRequest(hosted.url("/hello")).replace("websocket", "h2c");
      const answer = await answers(hosted.url(), text.replace("\r\n\r\n", "\r\nAccept: */*\r\n\r\n"));
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer).toMatch(/hello$|hello\r\n0\r\n\r\n$/);
    });

    test("takes credentials from hello", async () => {
      await using hosted = await Hosted.start(host);
      using socket = await RawSocket.open(hosted.url());
      socket.sendJson(hello("alice"));
      await socket.message("session.welcome");
      using stranger = await RawSocket.open(hosted.url());
      stranger.sendJson(hello("guessed"));
      expect((await stranger.message("session.error")).payload.code).toBe("UNAUTHENTICATED");
    });

    test("takes credentials from the request's header, where hello has none", async () => {
      await using hosted = await Hosted.start(host);
      using socket = await RawSocket.open(hosted.url(), authorization("alice"));
      socket.sendJson(hello());
      await socket.message("session.welcome");
      const anonymous = { auth: { scheme: "none" }, client: { kind: "test", version: "1" }, capabilities: {} };
      using old = await RawSocket.open(hosted.url(), authorization("alice"));
      const timestamp = new Date().toISOString();
      old.sendJson({ arcp: "1.0", id: "msg_open", type: "session.open", timestamp, payload: anonymous });
      await old.message("session.accepted");
    });

    test.each([
      ["guessed", undefined],
      ["alice", "guessed"],
    ])("refuses the header %s with the hello %s", async (header, inHello) => {
      await using hosted = await Hosted.start(host);
      const socket = await RawSocket.open(hosted.url(), authorization(header));
      socket.sendJson(hello(inHello));
      expect((await socket.message("session.error")).payload.code).toBe("UNAUTHENTICATED");
      socket[Symbol.dispose]();
    });

    test("answers to the names that it was told, with any port", async () => {
      await using hosted = await Hosted.start(host, { allowedHosts: ["agents.example", "other.example:8443"] });
      const statusFor = (name: string) =>
        statusOf(hosted.url(), upgradeRequest(hosted.url(), { headers: [["Host", name]] }));
      expect(await statusFor("agents.example")).toBe(101);
      expect(await statusFor("AGENTS.example:9000")).toBe(101);
      expect(await statusFor("other.example:8443")).toBe(101);
      for (const name of ["other.example", "127.0.0.1", "agents.example.evil.test"]) {
        expect(await statusFor(name), name).toBe(421);
      }
    });

    test("lets pages of the origins connect that it was told, and its own", async () => {
      await using hosted = await Hosted.start(host, { allowedOrigins: ["https://app.example"] });
      const statusFor = (origin: string) =>
        statusOf(
          hosted.url(),
          upgradeRequest(hosted.url(), {
            headers: [
              ["Origin", origin],
              ["Cookie", "a=b"],
            ],
          }),
        );
      expect(await statusFor("https://app.example")).toBe(101);
      expect(await statusFor(hosted.running.origin)).toBe(101);
      for (const origin of ["https://app.example.evil.test", "http://app.example", "null", "http://localhost:1"]) {
        expect(await statusFor(origin), origin).toBe(403);
      }
    });

    test("speaks the subprotocol that is offered, if it is its own", async () => {
      await using hosted = await Hosted.start(host);
      using socket = await RawSocket.open(hosted.url(), { headers: [["Sec-WebSocket-Protocol", "mqtt, arcp.v1"]] });
      expect(socket.head).toMatch(/sec-websocket-protocol: arcp\.v1/i);
    });

    test("reads nothing that follows a refused upgrade", async () => {
      await using hosted = await Hosted.start(host);
      const refused = upgradeRequest(hosted.url(), { headers: [["Host", "evil.test"]] });
      const smuggled = `GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
      const answer = await answers(hosted.url(), `${refused}${smuggled}`);
      expect(answer).toMatch(/^HTTP\/1\.1 421 /);
      expect(answer).not.toContain("hello");
    });

    test("reads frames that came in one packet with the request", async () => {
      await using hosted = await Hosted.start(host);
      const frame = webSocketFrame(JSON.stringify(hello("alice"))).toString("latin1");
      const ping = webSocketFrame("p", { opcode: PING }).toString("latin1");
      const socket = connect(Number(new URL(hosted.url()).port), "127.0.0.1");
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk;
      });
      socket.write(Buffer.from(`${upgradeRequest(hosted.url())}${ping}${frame}`, "latin1"));
      await expect.poll(() => answer, PATIENTLY).toContain("session.welcome");
      socket.destroy();
    });

    test("takes frames up to the size that it was told", async () => {
      await using hosted = await Hosted.start(host, { maxFrameBytes: 1000 });
      using socket = await RawSocket.open(hosted.url());
      await socket.hello();
      socket.write(
        webSocketFrame(JSON.stringify({ arcp: "1.1", id: "m", type: "session.ping", payload: {} }).padEnd(1000)),
      );
      await socket.message("session.pong");
      socket.write(webSocketFrame("x".repeat(1001)));
      expect([1006, 1009]).toContain(await socket.closeCode());
    });

    test("does not compress unless it was told to", async () => {
      await using hosted = await Hosted.start(host);
      using socket = await RawSocket.open(hosted.url(), OFFER);
      expect(socket.head).not.toMatch(/extensions/i);
    });

    test("makes agents wait for a client that does not read, and loses nothing", async () => {
      await using hosted = await Hosted.start(host);
      const total = 600;
      let written = 0;
      hosted.harness.server.registerAgent("flood", async (_input, context) => {
        for (; written < total; written += 1) await context.log("info", `${written} ${"x".repeat(100_000)}`);
        return "done";
      });
      using socket = await RawSocket.open(hosted.url());
      await socket.hello("alice");
      socket.socket.pause();
      socket.sendJson({ arcp: "1.1", id: "msg_1", type: "job.submit", payload: { agent: "flood", input: null } });
      await expect.poll(() => hosted.transports[0]?.bufferedBytes ?? 0, PATIENTLY).toBeGreaterThan(64 * 1024);
      for (const transport of hosted.transports) expect(transport.bufferedBytes).toBeLessThan(32 * 1024 * 1024);
      socket.socket.resume();
      expect((await socket.message("job.result")).payload.result).toBe("done");
      const numbers = socket.messages.filter(({ type }) => type === "job.event").map(({ event_seq }) => event_seq);
      expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
    });

    test("says goodbye, and leaves the host as it was", async () => {
      await using hosted = await Hosted.start(host);
      using socket = await RawSocket.open(hosted.url());
      await socket.hello();
      const [app] = hosted.running.apps;
      expect(await app?.connections()).toBe(1);
      const closed = app?.close();
      expect(await socket.closeCode()).toBe(1001);
      socket.socket.end();
      await closed;
      expect(await app?.connections()).toBe(0);
      if (limits.closesOneByOne === false) return;
      const status = await statusOf(hosted.url(), upgradeRequest(hosted.url()));
      expect(status).toBe(limits.statusWhenClosed ?? 404);
      expect(await hosted.hello()).toBe("hello");
    });

    test("lets the runtime end its sessions first", async () => {
      await using hosted = await Hosted.start(host);
      using socket = await RawSocket.open(hosted.url());
      await socket.hello();
      await hosted.harness.server.close("maintenance");
      expect([1000, 1001]).toContain(await socket.closeCode());
      socket.socket.end();
      await hosted.running.apps[0]?.close();
    });

    test("forgets connections that are gone", async () => {
      await using hosted = await Hosted.start(host);
      const sockets = await Promise.all(Array.from({ length: 5 }, () => RawSocket.open(hosted.url())));
      const [app] = hosted.running.apps;
      await expect.poll(() => app?.connections(), PATIENTLY).toBe(5);
      for (const socket of sockets) socket[Symbol.dispose]();
      await expect.poll(() => app?.connections(), PATIENTLY).toBe(0);
    });

    test("shares the server with other runtimes", async () => {
      const other = startHarness({ agents: AGENTS });
      const onTransport = (transport: Transport): unknown => other.server.accept(transport);
      await using hosted = await Hosted.start(host, { path: "/one" }, { path: "/two", onTransport });
      using one = await RawSocket.open(hosted.url("/one"));
      using two = await RawSocket.open(hosted.url("/two"));
      await one.hello();
      await two.hello();
      expect(hosted.transports).toHaveLength(1);
      if (limits.closesOneByOne ?? true) {
        const closed = hosted.running.apps[0]?.close();
        expect(await one.closeCode()).toBe(1001);
        one.socket.end();
        await closed;
        two.sendJson({ arcp: "1.1", id: "msg_1", type: "session.ping", payload: {} });
        await two.message("session.pong");
      }
      two.socket.end();
      await other[Symbol.asyncDispose]();
    });

    describe("beside clients that are well", () => {
      let hosted: Hosted;
      beforeAll(async () => {
        hosted = await Hosted.start(host);
      });
      afterEach(async () => {
        using socket = await RawSocket.open(hosted.url());
        await socket.hello();
        expect(await hosted.hello()).toBe("hello");
      });
      afterAll(() => hosted[Symbol.asyncDispose]());

      test.each(UPGRADES)("refuses an upgrade with %s", async (name, request, status) => {
        covers("V11-4.1-04");
        const expected = limits.refusals?.[name] ?? status;
        const before = hosted.transports.length;
        expect(await statusOf(hosted.url(), request(hosted.url()))).toBe(expected);
        if (expected !== 101) expect(hosted.transports).toHaveLength(before);
      });

      const violations = VIOLATIONS.filter(([name]) => !limits.bears?.includes(name));
      test.each(violations)("closes a connection for %s", async (_name, bytes, code) => {
        covers("V11-4.1-02");
        using socket = await RawSocket.open(hosted.url());
        await socket.hello();
        socket.write(bytes);
        expect(await socket.closeCode()).toBe(code);
      });

      test.each(COMPRESSED_VIOLATIONS)(
        "closes a connection, on which nothing is compressed, for %s",
        async (_, bytes) => {
          using socket = await RawSocket.open(hosted.url(), OFFER);
          await socket.hello();
          socket.write(bytes);
          expect(await socket.closeCode()).toBe(1002);
        },
      );
    });

    describe.runIf(limits.compresses ?? true)("that compresses", () => {
      let hosted: Hosted;
      beforeAll(async () => {
        hosted = await Hosted.start(host, { compression: true });
      });
      afterEach(async () => {
        using socket = await RawSocket.open(hosted.url(), OFFER);
        await socket.hello();
      });
      afterAll(() => hosted[Symbol.asyncDispose]());

      const echo = (input: string): object => ({
        ...{ arcp: "1.1", id: "msg_1", type: "job.submit", payload: { agent: "echo", input } },
      });

      test("does so where the client offers it, both ways", async () => {
        using socket = await RawSocket.open(hosted.url(), OFFER);
        expect(socket.head).toMatch(/permessage-deflate/i);
        await socket.hello();
        const input = "so much of the same ".repeat(10_000);
        socket.write(compressedFrame(JSON.stringify(echo(input))));
        expect((await socket.message("job.result")).payload.result).toBe(input);
        expect(socket.socket.bytesRead).toBeLessThan(20_000);
        // Nothing of the frames before is needed to read one: the reader above keeps nothing.
        socket.write(compressedFrame(JSON.stringify({ ...echo("short"), id: "msg_2" })));
        await expect.poll(() => socket.messages.at(-1)?.payload.result, PATIENTLY).toBe("short");
      });

      test("does not where the client does not offer it", async () => {
        using socket = await RawSocket.open(hosted.url());
        expect(socket.head).not.toMatch(/extensions/i);
        await socket.hello();
        socket.sendJson(echo("x".repeat(10_000)));
        await socket.message("job.result");
        expect(socket.socket.bytesRead).toBeGreaterThan(10_000);
      });

      test.each(COMPRESSED_VIOLATIONS)("closes a connection for %s", async (_name, bytes, code) => {
        using socket = await RawSocket.open(hosted.url(), OFFER);
        await socket.hello();
        const before = await rssOf(hosted);
        socket.write(bytes);
        expect(await socket.closeCode()).toBe(code);
        expect((await rssOf(hosted)) - before).toBeLessThan(64 * 1024 * 1024);
      });
    });
  });
}
