/** Every host of HTTP against the table of requests that are refused. */
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HTTP_HOSTS, type HttpHost, type RunningHttpHost } from "../adapters/http-hosts.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { AGENTS } from "./hostile-client.ts";
import { BAD_REQUESTS, type BadRequest, OPENING, RESET, statusAt } from "./http-requests.ts";

const AS_ALICE = ["authorization", "Bearer alice"] as const;
const JSON_BODY = ["content-type", "application/json"] as const;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

type Ask = (
  request: Pick<BadRequest, "method" | "path" | "headers" | "body" | "announcedBytes" | "text">,
) => Promise<Answer>;

/** What is sent if nothing else is said. */
function headersOf(
  { headers = [] }: Pick<BadRequest, "headers">,
  host: string,
): readonly (readonly [string, string])[] {
  const own = [["host", host], AS_ALICE, JSON_BODY] as const;
  const named = new Set(headers.map(([name]) => name));
  return [...own.filter(([name]) => !named.has(name)), ...headers].flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
}

/** Writes bytes, and reads the head of what comes back. */
const overSockets =
  (url: URL): Ask =>
  async (request) => {
    const port = Number(url.port);
    const socket: Socket =
      url.protocol === "https:"
        ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false })
        : connectTcp(port, "127.0.0.1");
    // What is refused before it is read may break the writing off.
    socket.on("error", () => {});
    const body = Buffer.from(request.body ?? OPENING);
    const lines = headersOf(request, url.host);
    const isCounted = lines.some(([name]) => name === "content-length" || name === "transfer-encoding");
    const bytes = request.announcedBytes ?? body.length;
    const length = isCounted || bytes === 0 ? [] : [["content-length", String(bytes)] as const];
    const head = [...lines, ...length].map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const text = `${request.method ?? "POST"} ${request.path ?? "/arcp/http"} HTTP/1.1\r\n${head}\r\n`;
    let answer = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      answer += piece;
      if (answer.includes("\r\n\r\n")) socket.destroy();
    });
    // At once: what a server has not read when it closes takes the answer away with it.
    socket.write(Buffer.concat([Buffer.from(request.text?.(text) ?? text, "latin1"), body]));
    await once(socket, "close");
    return {
      status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1]),
      headers: Object.fromEntries(
        [...answer.matchAll(/^([\w-]+): (.*)\r$/gm)].map(([, name = "", value]) => [name.toLowerCase(), value]),
      ),
    };
  };

const overHttp2 =
  (url: URL): Ask =>
  async (request) => {
    const session = connectHttp2(`${url.protocol}//127.0.0.1:${url.port}`, {
      rejectUnauthorized: false,
      maxHeaderListPairs: 5_000,
    });
    session.on("error", () => {});
    const { host, ...headers } = Object.fromEntries(headersOf(request, url.host));
    try {
      const body = request.body ?? OPENING;
      const stream = session.request(
        {
          ...{ ":method": request.method ?? "POST", ":path": request.path ?? "/arcp/http", ":authority": host },
          ...headers,
          ...(request.announcedBytes !== undefined && { "content-length": String(request.announcedBytes) }),
        },
        { endStream: body.length === 0 },
      );
      const answered = once(stream, "response") as Promise<[Record<string, string | undefined>]>;
      if (request.announcedBytes !== undefined) stream.write(body);
      else if (body.length > 0) stream.end(body);
      const [answer] = await answered.catch(() => [{ ":status": String(RESET) }]);
      return { status: Number(answer[":status"]), headers: answer };
    } finally {
      session.destroy();
    }
  };

describe.each(HTTP_HOSTS.map((host) => [host.name, host] as const))("HTTP of %s", (_name, host: HttpHost) => {
  let harness: Harness;
  let running: RunningHttpHost;
  let ask: Ask;
  let connection = "";
  const accepted: (string | undefined)[] = [];

  beforeAll(async () => {
    harness = startHarness({ agents: AGENTS });
    running = await host.startHttp({
      onTransport: (transport) => {
        accepted.push(transport.peer.remoteAddress);
        return harness.server.accept(transport);
      },
    });
    const url = new URL(running.url);
    ask = host.kind === "HTTP/2" ? overHttp2(url) : overSockets(url);
    const answer = await ask({ headers: [["x-forwarded-for", "203.0.113.9"]] });
    expect(answer.status).toBe(201);
    connection = answer.headers["location"] ?? "";
  });

  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
    await running.close();
  });

  const askable = BAD_REQUESTS.filter((request) => statusAt(request, host.kind) !== undefined);
  test.each(askable.map((request) => [request.name, request] as const))("%s", async (_name, request) => {
    const { path = "/arcp/http", ...rest } = request;
    const answer = await ask({ ...rest, path: path.replace("{connection}", connection) });
    expect(answer.status).toBe(statusAt(request, host.kind));
    // Nobody is told that a page of theirs may read it (J20).
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });

  test("is as well as before", async () => {
    expect((await ask({})).status).toBe(201);
    const closed = await ask({ path: connection, method: "DELETE", body: "" });
    expect(closed.status).toBe(204);
    // A header that anybody can write tells nobody's address (J15).
    expect(accepted[0]).toMatch(/127\.0\.0\.1$/);
  });
});
