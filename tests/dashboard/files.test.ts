import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Dashboard, dashboard, oidcSignIn } from "@arcp/dashboard";
import { createAdaptorServer } from "@hono/node-server";
import createExpress from "express";
import createExpress4 from "express-4";
import { fastify } from "fastify";
import { Hono } from "hono";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { bunPath } from "../adapters/bun-host.ts";
import { buildPages, SIGN_IN } from "./runtime.ts";
import { expectSecure } from "./secure-headers.ts";

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serveAlone = (pages: Dashboard): Promise<string> =>
  serve((request, response) => {
    if (!pages.handle(request, response)) response.writeHead(404).end("the application's own answer");
  });

beforeAll(buildPages, 60_000);

describe("the files of the dashboard", () => {
  it("are served with the headers of a page that nobody frames, on every route, refusals included", async () => {
    const origin = await serveAlone(dashboard());
    const page = await fetch(`${origin}/`);
    expect(page.status).toBe(200);
    expectSecure(page.headers);
    expect(page.headers.get("cache-control")).toBe("no-store");
    const html = await page.text();
    // No script and no style stands in the page itself.
    expect(html).not.toMatch(/<script(?![^>]* src=)|<style|\son\w+=|style=/);
    const assets = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, name]) => name ?? "");
    expect(assets.length).toBeGreaterThan(1);
    for (const name of assets) {
      const file = await fetch(`${origin}/${name}`);
      expect(file.status).toBe(200);
      expectSecure(file.headers);
      expect(file.headers.get("cache-control")).toContain("immutable");
      const again = await fetch(`${origin}/${name}`, { headers: { "if-none-match": file.headers.get("etag") ?? "" } });
      expect(again.status).toBe(304);
    }
    const others: readonly (readonly [string, string, number])[] = [
      ["GET", "/dashboard.json", 200],
      ["GET", "/assets/none.js", 404],
      ["GET", "/assets/../package.json", 404],
      ["GET", "/assets/%2e%2e/index.html", 404],
      ["POST", "/", 405],
      ["DELETE", "/assets/x.js", 405],
      ["HEAD", "/", 200],
    ];
    for (const [method, path, status] of others) {
      const answer = await fetch(origin + path, { method });
      if (answer.status === 404 && (await answer.clone().text()).includes("own answer")) continue;
      expect([method, path, answer.status]).toEqual([method, path, status]);
      expectSecure(answer.headers);
    }
    // What is for others is theirs, headers and all.
    const theirs = await fetch(`${origin}/v1/jobs`);
    expect([theirs.status, theirs.headers.get("content-security-policy")]).toEqual([404, null]);
  });

  it("are for nobody who was led here under another name", async () => {
    const origin = await serveAlone(dashboard());
    const { port } = new URL(origin);
    const statusFor = async (...hosts: readonly string[]): Promise<string> => {
      const socket = connect(Number(port), "127.0.0.1");
      socket.write(`GET / HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join("")}Connection: close\r\n\r\n`);
      const [chunk] = (await once(socket, "data")) as [Buffer];
      socket.destroy();
      return String(chunk).slice(9, 12);
    };
    expect(await statusFor(`127.0.0.1:${port}`)).toBe("200");
    expect(await statusFor(`localhost:${port}`)).toBe("200");
    expect(await statusFor("attacker.test")).toBe("421");
    expect(await statusFor(`127.0.0.1.attacker.test:${port}`)).toBe("421");
    expect(await statusFor("attacker.test", `127.0.0.1:${port}`)).toBe("400");
    const named = await serveAlone(dashboard({ allowedHosts: ["agents.example.com"] }));
    expect((await fetch(named)).status).toBe(421);
  });

  it("need no cookies, and come to a browser that has some of other servers of this machine", async () => {
    const origin = await serveAlone(dashboard());
    const answer = await fetch(origin, { headers: { cookie: "session=of-somebody-else" } });
    expect(answer.status).toBe(200);
  });

  it("say over TLS that there is no other way", async () => {
    const pages = dashboard({ allowedHosts: "any" });
    const answerTo = async (url: string): Promise<Response | undefined> => pages.fetch(new Request(url));
    expect((await answerTo("https://agents.example.com/"))?.headers.get("strict-transport-security")).toMatch(
      /max-age=\d{8}/,
    );
    expect((await answerTo("http://agents.example.com/"))?.headers.get("strict-transport-security")).toBeNull();
  });

  it("know where the runtime is, on this host or on another one", async () => {
    const settings = async (pages: Dashboard): Promise<unknown> =>
      (await pages.fetch(new Request("http://localhost/dashboard.json")))?.json();
    expect(await settings(dashboard())).toEqual({ endpoint: "/arcp" });
    const far = dashboard({ endpoint: "wss://runtime.example:7777/arcp" });
    expect(await settings(far)).toEqual({ endpoint: "wss://runtime.example:7777/arcp" });
    const policy = (await far.fetch(new Request("http://localhost/")))?.headers.get("content-security-policy");
    expect(policy).toContain("connect-src 'self' wss://runtime.example:7777;");
    expect(() => dashboard({ endpoint: "https://runtime.example" })).toThrow(TypeError);
    expect(() => dashboard({ endpoint: "//runtime.example/arcp" })).toThrow(TypeError);
    expect(() => dashboard({ path: "ops" })).toThrow(TypeError);
  });
});

describe.each(["/", "/ops/"])("the dashboard at %s of a host", (path) => {
  const pages = (): Dashboard => dashboard({ path, signIn: oidcSignIn(SIGN_IN) });

  /** The page, its files, and the application beside it. */
  async function expectPage(origin: string): Promise<void> {
    const page = await fetch(`${origin}${path}`);
    expect(page.status).toBe(200);
    expectSecure(page.headers);
    const [, asset] = /src="\.\/(assets\/[^"]+)"/.exec(await page.text()) ?? [];
    const file = await fetch(`${origin}${path}${asset}`);
    expect([file.status, file.headers.get("content-encoding")]).toEqual([200, "gzip"]);
    expect(await file.text()).toContain("session.hello");
    expect(await (await fetch(`${origin}/hello`)).text()).toBe("hello");
    // Every host hands over what a sign-in takes: the body, and where it comes from.
    const [own] = SIGN_IN.publicUrls;
    const token = (headers: Readonly<Record<string, string>>, body = "{}"): Promise<Response> =>
      fetch(`${origin}${path}auth/token`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
      });
    const nobody = await token({ origin: new URL(own).origin, cookie: `__Host-arcp-session=${"A".repeat(43)}` });
    expect([nobody.status, nobody.headers.getSetCookie().length]).toEqual([204, 1]);
    const refused = await token({ origin: "https://evil.test" });
    expect(refused.status).toBe(403);
    expectSecure(refused.headers);
    expect((await token({ origin: new URL(own).origin }, "x".repeat(5_000))).status).toBe(413);
    if (path === "/") return;
    const short = await fetch(origin + path.slice(0, -1), { redirect: "manual" });
    expect([short.status, short.headers.get("location")]).toEqual([308, path]);
  }

  it("node:http", async () => {
    const handler = pages();
    await expectPage(
      await serve((request, response) => void (handler.handle(request, response) || response.end("hello"))),
    );
  });

  it.each([
    ["5", createExpress],
    ["4", createExpress4 as unknown as typeof createExpress],
  ])("Express %s", async (_version, express) => {
    const handler = pages();
    const app = express();
    app.use((request, response, next) => void (handler.handle(request, response) || next()));
    app.get("/hello", (_request, response) => void response.send("hello"));
    await expectPage(await serve(app));
  });

  it("Fastify", async () => {
    const handler = pages();
    const app = fastify();
    app.addHook("onRequest", async (request, reply) => {
      if (handler.handle(request.raw, reply.raw)) reply.hijack();
    });
    app.get("/hello", async () => "hello");
    onTestFinished(() => app.close());
    await expectPage(await app.listen({ port: 0, host: "127.0.0.1" }));
  });

  it("Hono", async () => {
    const handler = pages();
    const app = new Hono();
    app.use(async (context, next) => handler.fetch(context.req.raw) ?? next());
    app.get("/hello", (context) => context.text("hello"));
    const server = createAdaptorServer({ fetch: app.fetch });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    await expectPage(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });

  it.skipIf(bunPath === undefined)("Bun", async () => {
    const program = fileURLToPath(new URL("bun-server.ts", import.meta.url));
    const child: ChildProcess = spawn(bunPath ?? "", [program, path], { stdio: ["pipe", "pipe", "inherit"] });
    onTestFinished(async () => {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    });
    if (child.stdout === null) throw new Error("the child has no output");
    const [port] = (await once(createInterface(child.stdout), "line")) as [string];
    await expectPage(`http://127.0.0.1:${port}`);
  });
});
