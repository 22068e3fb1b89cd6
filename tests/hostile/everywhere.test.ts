/** What is refused inside the protocol is refused alike, whatever carries it: every transport, every adapter. */
import { ARCPError, InvalidRequestError } from "@arcp/core";
import { type JobContext, jwtVerifier, oauth2Verifier } from "@arcp/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HOSTS } from "../adapters/hosts.ts";
import { HTTP_HOSTS } from "../adapters/http-hosts.ts";
import { IssuerServer } from "../auth/issuer-server.ts";
import { AUDIENCE, ISSUER } from "../auth/tokens.ts";
import { WebServer } from "../operations/web-server.ts";
import { CARRIERS, type Harness, OTHER_CARRIERS, startHarness } from "../support/harness.ts";
import { BAD_INTROSPECTIONS, Forger } from "./bad-tokens.ts";
import {
  ADDRESSES,
  BAD_CLAIMS,
  BAD_CREDENTIALS,
  BAD_DESTINATIONS,
  BAD_LEASES,
  BAD_REDIRECTS,
  BAD_REQUEST_FORMS,
} from "./credentials-and-targets.ts";
import { AGENTS, refused, stillWorks } from "./hostile-client.ts";
import { envelope, MALFORMED } from "./malformed-frames.ts";

const EVERYWHERE = [
  ...[...CARRIERS, ...OTHER_CARRIERS].map((name) => [name, name] as const),
  ...HOSTS.map((host) => [`WebSockets of ${host.name}`, host] as const),
  ...HTTP_HOSTS.map((host) => [`HTTP of ${host.name}`, host] as const),
];

const AT_ONCE = 6;

let forger: Forger;
let issuer: IssuerServer;
let web: WebServer;
let inside: WebServer;

beforeAll(async () => {
  forger = await Forger.create();
  const answers = new Map(BAD_INTROSPECTIONS);
  // The token that it is asked about says what it answers.
  issuer = await IssuerServer.start((request, response) => {
    const token = new URLSearchParams(issuer.requests.at(-1)?.body).get("token");
    answers.get(token ?? "")?.(request, response);
  });
  inside = await WebServer.start();
  web = await WebServer.start((request, response) => {
    const { pathname, search } = new URL(request.url ?? "", "http://localhost");
    if (pathname === "/to/x") response.writeHead(302, { location: decodeURIComponent(search.slice(1)) });
    response.end("ok");
  });
});

afterAll(async () => {
  for (const server of [issuer, web, inside]) await server[Symbol.asyncDispose]();
});

/** What an agent is told that goes where its client says. */
async function visit(input: unknown, { fetch }: JobContext): Promise<readonly string[]> {
  const codes: string[] = [];
  for (const [url, init] of input as readonly (readonly [string, object | undefined])[]) {
    const outcome = await fetch(url, init).then(
      () => "let through",
      (error: unknown) => ARCPError.from(error).code,
    );
    codes.push(outcome);
  }
  return codes;
}

describe.each(EVERYWHERE)("over %s", { timeout: 60_000 }, (_name, carrier) => {
  let harness: Harness;
  /** Only WebSockets, and memory, have codes of ours. */
  let closes: (code: number) => number;

  beforeAll(async () => {
    const jwt = jwtVerifier({ audience: AUDIENCE, issuer: ISSUER, jwks: await forger.published() });
    const introspection = { introspectionEndpoint: issuer.url, clientId: "runtime", clientSecret: "secret" };
    const oauth2 = oauth2Verifier({ ...introspection, audience: AUDIENCE });
    harness = startHarness({
      carrier,
      agents: { ...AGENTS, visit },
      server: {
        authAttempts: "unlimited",
        authSchemes: [jwt, oauth2],
        operations: { network: { resolve: async (name) => ADDRESSES[name] ?? [] } },
      },
    });
    const { kind } = (await harness.transport()).peer;
    closes = (code) => (kind === "websocket" || kind === "memory" ? code : 1000);
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  /** Says hello, and resolves with the refusal and the close that follow. */
  async function refusal(
    payload: object,
  ): Promise<{ readonly answer: string; readonly code: string; readonly close: number }> {
    const client = await harness.raw();
    client.sendText(envelope("session.hello", { client: { name: "alice", version: "1" }, ...payload }));
    const { type, payload: said } = await client.next();
    const { code: close } = await client.transport.closed;
    return { answer: JSON.stringify([type, said]), code: said.code, close };
  }

  test("malformed frames are refused, and the session goes on", async () => {
    const client = await harness.rawSession();
    for (const [index, [, text]] of MALFORMED.entries()) {
      await refused(client, text);
      // Twenty in a row would end the connection.
      if (index % 15 !== 14) continue;
      client.send("session.ping", {});
      expect((await client.next()).type).toBe("session.pong");
    }
    await stillWorks(client);
  });

  test("bad credentials let nobody in, and end the connection", async () => {
    const shown = [
      ...BAD_CREDENTIALS,
      ...BAD_INTROSPECTIONS.map(([what]) => [what, () => ({ scheme: "oauth2", token: what })] as const),
    ];
    // A few at a time: in one place each of them is a process.
    for (let from = 0; from < shown.length; from += AT_ONCE) {
      const some = shown.slice(from, from + AT_ONCE).map(async ([name, make]) => {
        const { code, close } = await refusal({ auth: await make(forger) });
        expect([name, code, close]).toEqual([name, "UNAUTHENTICATED", closes(4401)]);
      });
      await Promise.all(some);
    }
  });

  test("a session is given to nobody but its owner", async () => {
    const owner = await harness.rawSession();
    const { payload } = await owner.submit("echo", "mine");
    await owner.ended(payload.job_id);
    const other = await harness.rawSession();
    await harness.disconnect(owner);
    const session = {
      sessionId: owner.sessionId ?? "",
      resumeToken: owner.resumeToken ?? "",
      otherToken: other.resumeToken ?? "",
      lastEventSeq: Math.max(...owner.numbered.map(({ event_seq }) => event_seq ?? 0)),
    };
    const answers = new Set<string>();
    for (const [name, claim, expected, token = "alice"] of BAD_CLAIMS) {
      const resume = { last_event_seq: 0, ...claim(session) };
      const { answer, code, close } = await refusal({ auth: { scheme: "bearer", token }, resume });
      const isKnown = expected === "UNAUTHENTICATED";
      expect([name, code, close]).toEqual([name, expected, closes(isKnown ? 4401 : 4410)]);
      if (!isKnown) answers.add(answer);
    }
    expect(answers.size).toBe(1);
    // Whoever claims to be somebody else is who the token says.
    const mallory = await harness.raw();
    const auth = { scheme: "bearer", token: "mallory" };
    mallory.send("session.hello", { auth, client: { name: "alice", version: "1", principal: "alice" } });
    expect((await mallory.welcomed()).type).toBe("session.welcome");
    mallory.send("job.subscribe", { job_id: payload.job_id });
    expect((await mallory.next()).type).toBe("session.error");
    const again = await harness.raw();
    expect((await again.resume(session, session.lastEventSeq)).type).toBe("session.welcome");
  });

  test("agents get no further than their lease", async () => {
    const client = await harness.client();
    const codes = async (
      lease: readonly string[],
      visits: readonly (readonly [string, object?])[],
    ): Promise<unknown> => {
      const job = await client.submit({ agent: "visit", input: visits, leaseRequest: { "net.fetch": [...lease] } });
      return (await job.done).result;
    };
    for (const [lease, urls] of BAD_DESTINATIONS) {
      const seen = (await codes(
        [lease],
        urls.map(([url]) => [url]),
      )) as readonly string[];
      expect(urls.map(([url], index) => [url, seen[index]])).toEqual(urls);
    }
    for (const lease of BAD_LEASES) {
      await expect(codes([lease], []), lease).rejects.toThrow(InvalidRequestError);
    }
    const lease = [web.at("/to/**"), web.at("/open/*")];
    const redirects = BAD_REDIRECTS.map(([location]) => {
      const to = location.replace("{inside}", new URL(inside.at("/")).origin);
      return [web.at(`/to/x?${encodeURIComponent(to)}`)] as const;
    });
    expect(await codes(lease, redirects)).toEqual(BAD_REDIRECTS.map(([, code]) => code));
    const forms = BAD_REQUEST_FORMS.map(([, init]) => [web.at("/open/x"), init] as const);
    expect(await codes(lease, forms)).toEqual(BAD_REQUEST_FORMS.map(([, , code]) => code));
    expect(inside.connections).toBe(0);
    expect(await codes(lease, [[web.at("/open/x")]])).toEqual(["let through"]);
  });
});
