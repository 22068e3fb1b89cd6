/** Threats J07 to J09, J13, J15 and J20 at the dashboard: what is refused, and what each refusal says to a browser. */
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { createLogger } from "@arcp/core";
import { dashboard, oidcSignIn } from "@arcp/dashboard";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DASHBOARD_REQUESTS, type DashboardRequest, OWN_HOST } from "../hostile/dashboard-requests.ts";
import { buildPages, SIGN_IN } from "./runtime.ts";
import { expectSecure } from "./secure-headers.ts";

const server = createServer();
let host = "";

beforeAll(async () => {
  await buildPages();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const logger = createLogger(() => {}, "silent");
  const pages = dashboard({ signIn: oidcSignIn({ ...SIGN_IN, publicUrls: [`http://${host}/`], logger }) });
  server.on("request", (request, response) => {
    if (!pages.handle(request, response)) response.writeHead(500).end();
  });
}, 60_000);

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function ask({ method = "GET", path = "", headers = [], body = "" }: Partial<DashboardRequest>) {
  const ofPosts = [
    ["origin", `http://${host}`],
    ["content-type", "application/json"],
  ] as const;
  const own = [["host", OWN_HOST] as const, ...(method === "POST" ? ofPosts : [])];
  const named = new Set(headers.map(([name]) => name));
  const lines = [...own.filter(([name]) => !named.has(name)), ...headers].flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value.replace(OWN_HOST, host)}\r\n`],
  );
  const socket = connect(Number(host.split(":")[1]), "127.0.0.1").setEncoding("latin1");
  // What is refused before it is read may break the writing off.
  socket.on("error", () => {});
  const length = body === "" ? "" : `content-length: ${body.length}\r\n`;
  socket.write(`${method} /${path} HTTP/1.1\r\n${lines.join("")}${length}connection: close\r\n\r\n${body}`);
  let text = "";
  socket.on("data", (piece: string) => {
    text += piece;
  });
  await once(socket, "close");
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const found = [...head.matchAll(/^([\w-]+): (.*)$/gm)].map(([, name = "", value = ""]) => [name, value.trim()]);
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]),
    headers: new Headers(found as [string, string][]),
    body: rest.join("\r\n\r\n"),
  };
}

test.each(DASHBOARD_REQUESTS.map((request) => [request.name, request] as const))("%s", async (_name, request) => {
  const { status, headers, body } = await ask(request);
  expect(status).toBe(request.status);
  // The way back takes away what belonged to it; nothing else says anything about cookies.
  if (headers.has("set-cookie") && request.path?.startsWith("auth/callback") === true) {
    expect(headers.get("set-cookie")).toMatch(
      /^__Host-arcp-sign-in=; Path=\/; Max-Age=0; Secure; HttpOnly; SameSite=Lax$/,
    );
    headers.delete("set-cookie");
  }
  for (const [name] of headers) expect(name).not.toMatch(/^access-control-/);
  if (request.isBare === true) return expect(body).toMatch(/^(0\s*)?$/);
  expectSecure(headers);
  expect(headers.get("cache-control")).toBe("no-store");
  expect(body).not.toMatch(/<script|evil\.test/);
});

test("what a header says of the way here changes nothing", async () => {
  const passedOn = [
    ["x-forwarded-proto", "https"],
    ["x-forwarded-host", "evil.test"],
    ["x-forwarded-for", "203.0.113.9"],
    ["forwarded", "for=203.0.113.9;host=evil.test;proto=https"],
    ["x-original-url", "/auth/end"],
    ["x-rewrite-url", "/auth/end"],
    ["x-user-id", "olga"],
  ] as const;
  const [with_, without] = [await ask({ headers: passedOn }), await ask({})];
  expect([with_.status, with_.body]).toEqual([200, without.body]);
  expect(with_.headers.get("strict-transport-security")).toBeNull();
  expect([...with_.headers.keys()]).toEqual([...without.headers.keys()]);
  expectSecure(with_.headers);
});
