import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createLogger, systemClock } from "@arcp/core";
import { dashboard, type OidcOptions, oidcSignIn, type SignIn } from "@arcp/dashboard";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { IdentityProviderStub } from "./identity-provider.ts";

/** One dashboard, and a browser that has nothing but cookies. */
class Browser {
  readonly cookies = new Map<string, string>();
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...(cookie !== "" && { cookie }), ...(init.headers as Record<string, string>) };
    const response = await fetch(new URL(path, this.#origin), { ...init, headers, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ""] = line.split(";");
      const [name = "", value = ""] = pair.split("=");
      if (/Max-Age=0\b/.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }

  /** As the page asks. */
  post(name: string, body: unknown = {}, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.ask(`auth/${name}`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { origin: new URL(this.#origin).origin, "content-type": "application/json", ...headers },
    });
  }

  async begin(place?: unknown): Promise<string> {
    const answer = await this.post("begin", { place });
    return ((await answer.json()) as { readonly location: string }).location;
  }

  /** Follows the way back. */
  comeBack(url: URL): Promise<Response> {
    return this.ask(url.href);
  }

  async ticket(): Promise<string | undefined> {
    const answer = await this.post("token");
    return answer.status === 200 ? ((await answer.json()) as { readonly token: string }).token : undefined;
  }
}

describe("signing in at an identity provider", { timeout: 60_000 }, () => {
  let provider: IdentityProviderStub;
  let close: () => Promise<void>;
  let url: string;
  let signIn: SignIn;
  const clock = new ManualClock(Date.now());
  const options = (): OidcOptions => ({
    ...{ issuer: provider.issuer, clientId: "dashboard", publicUrls: [url], idTokenAlgorithm: "ES256", clock },
    logger: createLogger(() => {}, "silent"),
    // A machine that does much else is no provider that is silent.
    timeoutSeconds: 60,
  });

  beforeAll(async () => {
    provider = await IdentityProviderStub.start();
    let pages = dashboard();
    const server = createServer((request, response) => {
      if (!pages.handle(request, response)) response.writeHead(404).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ops/`;
    signIn = oidcSignIn(options());
    pages = dashboard({ path: "/ops/", signIn });
    close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
  });
  afterAll(async () => {
    await close();
    await provider[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    provider.faults = {};
    provider.account = "alice";
  });

  const browser = (): Browser => new Browser(url);
  const signedIn = async (): Promise<Browser> => {
    const person = browser();
    await person.comeBack(provider.agree(await person.begin()));
    return person;
  };

  it("asks with state, nonce and a challenge, and what comes back is a session of nobody else", async () => {
    const person = browser();
    const asked = new URL(await person.begin("#/jobs/job_1?kind=log"));
    expect(Object.fromEntries(asked.searchParams)).toMatchObject({
      ...{ response_type: "code", scope: "openid", client_id: "dashboard", code_challenge_method: "S256" },
      ...{ redirect_uri: `${url}auth/callback`, state: expect.stringMatching(/^[\w-]{43}$/) },
      ...{ nonce: expect.stringMatching(/^[\w-]{43}$/), code_challenge: expect.stringMatching(/^[\w-]{43}$/) },
    });
    expect(await person.ticket()).toBeUndefined();
    const back = await person.comeBack(provider.agree(asked.href));
    expect([back.status, back.headers.get("location")]).toEqual([303, "/ops/#/jobs/job_1?kind=log"]);
    const [session, attempt] = back.headers.getSetCookie();
    // Threats J14.
    expect(session).toMatch(/^__Host-arcp-session=[\w-]{43}; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Strict$/);
    expect(attempt).toMatch(/^__Host-arcp-sign-in=; Path=\/; Max-Age=0; Secure; HttpOnly; SameSite=Lax$/);
    const ticket = (await person.ticket()) ?? "";
    expect(await signIn.bearer.verify(ticket)).toMatchObject({ principal: "alice", expiresAt: expect.any(Number) });
    // The cookie itself opens no connection, and the ticket none after a minute.
    await expect(signIn.bearer.verify(person.cookies.get("__Host-arcp-session") ?? "")).rejects.toThrow("not valid");
    clock.advance(60_000);
    await expect(signIn.bearer.verify(ticket)).rejects.toThrow("not valid");
    expect(await (await browser().ask("dashboard.json")).json()).toEqual({
      ...{ endpoint: "/arcp", signIn: { provider: new URL(provider.issuer).host, acceptsTokens: false } },
    });
  });

  it("is ended by nobody but the browser that began it, once", async () => {
    const [alice, mallory] = [browser(), browser()];
    const back = provider.agree(await alice.begin());
    await mallory.begin();
    // Somebody else's code, in a browser that has begun another sign-in, or none.
    expect((await mallory.comeBack(back)).status).toBe(400);
    expect((await browser().comeBack(back)).status).toBe(400);
    const wrongState = new URL(back);
    wrongState.searchParams.set("state", "A".repeat(43));
    const twice = new URL(back);
    twice.searchParams.append("state", "B".repeat(43));
    for (const wrong of [wrongState, twice]) expect((await new Browser(url).comeBack(wrong)).status).toBe(400);
    const kept = new Map(alice.cookies);
    expect((await alice.comeBack(back)).status).toBe(303);
    // Again, with everything that there was.
    for (const [name, value] of kept) alice.cookies.set(name, value);
    const before = provider.tokenRequests.length;
    expect((await alice.comeBack(back)).status).toBe(400);
    expect(provider.tokenRequests.length).toBe(before);
    expect(await mallory.ticket()).toBeUndefined();
  });

  it("takes too long after ten minutes, and a seal that was touched is none", async () => {
    const late = browser();
    const back = provider.agree(await late.begin());
    clock.advance(600_000);
    expect((await late.comeBack(back)).status).toBe(400);
    const forger = browser();
    const other = provider.agree(await forger.begin());
    const sealed = forger.cookies.get("__Host-arcp-sign-in") ?? "";
    forger.cookies.set("__Host-arcp-sign-in", `${sealed.slice(0, -2)}AA`);
    expect((await forger.comeBack(other)).status).toBe(400);
  });

  it("begins a session that nobody had named before (fixation), and ends the one of before", async () => {
    const person = await signedIn();
    const first = person.cookies.get("__Host-arcp-session") ?? "";
    const planted = browser();
    planted.cookies.set("__Host-arcp-session", "A".repeat(43));
    await planted.comeBack(provider.agree(await planted.begin()));
    expect(planted.cookies.get("__Host-arcp-session")).not.toBe("A".repeat(43));
    provider.account = "bob";
    await person.comeBack(provider.agree(await person.begin()));
    const old = browser();
    old.cookies.set("__Host-arcp-session", first);
    expect(await old.ticket()).toBeUndefined();
    expect(await signIn.bearer.verify((await person.ticket()) ?? "")).toMatchObject({ principal: "bob" });
  });

  it.each([
    ["another nonce", { claims: { nonce: "another" } }],
    ["another issuer in the token", { claims: { iss: "https://evil.test" } }],
    ["another audience", { claims: { aud: "somebody-else" } }],
    ["a token that has ended", { claims: { exp: 1_000 } }],
    ["no subject", { claims: { sub: "" } }],
    ["no signature", { signature: "none" as const }],
    ["a key that is not the provider's", { signature: "unknown" as const }],
    ["the public key as a secret", { signature: "secret" as const }],
    [
      "no ID token",
      {
        token: (to: ServerResponse) =>
          void to.setHeader("content-type", "application/json").end('{"access_token":"at","token_type":"bearer"}'),
      },
    ],
    ["an answer that is no JSON", { token: (to: ServerResponse) => void to.end("<html>") }],
    ["a failure", { token: (to: ServerResponse) => void to.writeHead(503).end() }],
    [
      "a redirect",
      { token: (to: ServerResponse) => void to.writeHead(307, { location: "http://127.0.0.1:1/" }).end() },
    ],
    [
      "too much",
      {
        token: (to: ServerResponse) =>
          void to.writeHead(200, { "content-type": "application/json" }).end("x".repeat(600_000)),
      },
    ],
    [
      "half an answer",
      {
        token: (to: ServerResponse) => {
          to.writeHead(200, { "content-length": "100" }).write("{");
          to.destroy();
        },
      },
    ],
  ])("lets nobody in with %s", async (_name, faults) => {
    const person = browser();
    const back = provider.agree(await person.begin());
    provider.faults = faults;
    const answer = await person.comeBack(back);
    expect(answer.status).toBe(502);
    expect(await answer.text()).not.toMatch(/evil|nonce|jwt/i);
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await person.ticket()).toBeUndefined();
    expect(person.cookies.size).toBe(0);
  });

  it("looks at who answers, and at what the provider says instead of a code", async () => {
    const [mixedUp, denied, silent] = [browser(), browser(), browser()];
    const wrongIssuer = provider.agree(await mixedUp.begin());
    wrongIssuer.searchParams.set("iss", "https://evil.test");
    expect((await mixedUp.comeBack(wrongIssuer)).status).toBe(502);
    const none = provider.agree(await silent.begin());
    none.searchParams.delete("iss");
    expect((await silent.comeBack(none)).status).toBe(502);
    const refusal = provider.agree(await denied.begin());
    refusal.searchParams.delete("code");
    refusal.searchParams.set("error", "access_denied");
    refusal.searchParams.set("error_description", "<script>alert(1)</script>");
    const answer = await denied.comeBack(refusal);
    expect(answer.status).toBe(403);
    expect(await answer.text()).not.toContain("script");
  });

  it("a code that was used or changed, and another verifier, are the provider's to refuse", async () => {
    const person = browser();
    const back = provider.agree(await person.begin());
    back.searchParams.set("code", "code-0");
    expect((await person.comeBack(back)).status).toBe(400);
  });

  it("waits for no provider that is silent, and asks again when it is back", async () => {
    const alone = await IdentityProviderStub.start();
    const late = oidcSignIn({ ...options(), issuer: alone.issuer });
    const pages = dashboard({ path: "/ops/", signIn: late });
    const ask = async (): Promise<number | undefined> => {
      const headers = { origin: new URL(url).origin, "content-type": "application/json" };
      return (await pages.fetch(new Request(`${url}auth/begin`, { method: "POST", headers, body: "{}" })))?.status;
    };
    alone.faults = { discovery: { issuer: "https://evil.test" } };
    expect(await ask()).toBe(502);
    alone.faults = {};
    expect(await ask()).toBe(200);
    await alone[Symbol.asyncDispose]();
    const gone = oidcSignIn({ ...options(), issuer: alone.issuer });
    const answer = await dashboard({ path: "/ops/", signIn: gone }).fetch(
      new Request(`${url}auth/begin`, {
        ...{ method: "POST", body: "{}" },
        headers: { origin: new URL(url).origin, "content-type": "application/json" },
      }),
    );
    expect(answer?.status).toBe(502);
    const mute = createServer();
    mute.listen(0, "127.0.0.1");
    await once(mute, "listening");
    const issuer = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const never = dashboard({ path: "/ops/", signIn: oidcSignIn({ ...options(), issuer, timeoutSeconds: 0.2 }) });
    const waited = await never.fetch(
      new Request(`${url}auth/begin`, {
        ...{ method: "POST", body: "{}" },
        headers: { origin: new URL(url).origin, "content-type": "application/json" },
      }),
    );
    mute.closeAllConnections();
    await new Promise((resolve) => mute.close(resolve));
    expect(waited?.status).toBe(504);
  });

  // Threats J08, J12, J15, J20.
  it("is asked for by the dashboard's own page alone", async () => {
    const person = await signedIn();
    const own = new URL(url).origin;
    const wrong: readonly (readonly [Readonly<Record<string, string>>, number])[] = [
      [{ origin: "https://evil.test" }, 403],
      [{ origin: "null" }, 403],
      [{ origin: `${own}.evil.test` }, 403],
      [{ origin: own, "sec-fetch-site": "cross-site" }, 403],
      [{ origin: own, "sec-fetch-site": "same-site" }, 403],
      [{ origin: own, "content-type": "text/plain" }, 415],
      [{ origin: own, "content-type": "application/x-www-form-urlencoded" }, 415],
      [{ origin: "https://evil.test", "x-forwarded-host": "evil.test", "x-forwarded-proto": "https" }, 403],
    ];
    for (const name of ["begin", "token", "end"]) {
      for (const [headers, status] of wrong) {
        const answer = await person.post(name, {}, headers);
        expect([name, headers, answer.status]).toEqual([name, headers, status]);
        expect(answer.headers.get("access-control-allow-origin")).toBeNull();
        expect(answer.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
      }
      for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
        const answer = await person.ask(`auth/${name}`, { method, headers: { "x-http-method-override": "POST" } });
        expect([name, method, answer.status]).toEqual([name, method, 405]);
      }
    }
    expect((await person.post("begin", "x".repeat(5_000))).status).toBe(413);
    expect((await person.post("begin", [])).status).toBe(200);
    expect((await person.ask("auth/constructor")).status).toBe(404);
    // Nothing of that has ended the session.
    expect(await person.ticket()).toBeDefined();
  });

  it.each([
    "//evil.test",
    "https:evil.test",
    "/\\evil.test",
    "https://evil.test/",
    "#//evil.test\\x",
    "javascript:alert(1)",
    7,
  ])("comes back to a place on its own page, whatever is asked for: %s", async (place) => {
    const person = browser();
    const back = await person.comeBack(provider.agree(await person.begin(place)));
    expect(back.headers.get("location")).toBe("/ops/#/");
  });

  it("ends with the session, on connections too: at sign-out, after its time, and when the provider says so", async () => {
    const person = await signedIn();
    const identity = await signIn.bearer.verify((await person.ticket()) ?? "");
    const { signal } = new AbortController();
    expect(await identity.isRevoked?.(signal)).toBe(false);
    const cookie = person.cookies.get("__Host-arcp-session") ?? "";
    const ticket = (await person.ticket()) ?? "";
    expect((await person.post("end")).status).toBe(200);
    expect(await identity.isRevoked?.(signal)).toBe(true);
    await expect(signIn.bearer.verify(ticket)).rejects.toThrow("not valid");
    person.cookies.set("__Host-arcp-session", cookie);
    expect(await person.ticket()).toBeUndefined();

    provider.faults = { refreshToken: "again" };
    const [kept, dismissed] = [await signedIn(), await signedIn()];
    const first = await signIn.bearer.verify((await kept.ticket()) ?? "");
    const second = await signIn.bearer.verify((await dismissed.ticket()) ?? "");
    clock.advance(301_000);
    provider.faults = { token: (to) => void to.writeHead(503).end() };
    expect(await first.isRevoked?.(signal)).toBe(false);
    provider.faults = {
      token: (to) => void to.writeHead(400, { "content-type": "application/json" }).end('{"error":"invalid_grant"}'),
    };
    expect(await second.isRevoked?.(signal)).toBe(true);
    expect(await dismissed.ticket()).toBeUndefined();
    // Somebody else under the same token is nobody.
    clock.advance(31_000);
    provider.faults = {};
    provider.account = "bob";
    expect(await kept.ticket()).toBeUndefined();
    provider.account = "alice";
    const last = await signedIn();
    clock.advance(8 * 3_600_000);
    expect(await last.ticket()).toBeUndefined();
    // Sessions whose browsers never come back are not kept.
    await signedIn();
    expect(signIn.sessions.size).toBe(1);
  });

  it("says who somebody is as it was told to, and lets in nobody that it cannot name", async () => {
    const strict = oidcSignIn({
      ...options(),
      identityOf: ({ org, sub }) => {
        if (typeof org !== "string") throw new Error("no tenant");
        return { principal: String(sub), tenant: org, permissions: ["observe:own"] };
      },
    });
    const pages = dashboard({ path: "/ops/", signIn: strict });
    const ask = async (request: Request): Promise<Response> => (await pages.fetch(request)) ?? new Response();
    const headers = { origin: new URL(url).origin, "content-type": "application/json" };
    const run = async (): Promise<{ readonly status: number; readonly cookie: string }> => {
      const begun = await ask(new Request(`${url}auth/begin`, { method: "POST", headers, body: "{}" }));
      const cookie = begun.headers.getSetCookie()[0]?.split(";")[0] ?? "";
      const back = provider.agree(((await begun.json()) as { location: string }).location);
      const answer = await ask(new Request(back, { headers: { cookie } }));
      return { status: answer.status, cookie: answer.headers.getSetCookie()[0]?.split(";")[0] ?? "" };
    };
    expect((await run()).status).toBe(403);
    provider.faults = { claims: { org: "acme" } };
    const { status, cookie } = await run();
    expect(status).toBe(303);
    const told = await ask(
      new Request(`${url}auth/token`, { method: "POST", headers: { ...headers, cookie }, body: "{}" }),
    );
    const { token } = (await told.json()) as { readonly token: string };
    expect(await strict.bearer.verify(token)).toMatchObject({
      ...{ principal: "alice", tenant: "acme", permissions: ["observe:own"] },
    });
  });

  it("refuses settings that cannot be right", () => {
    const wrong: readonly Partial<OidcOptions>[] = [
      { issuer: "http://id.example" },
      { publicUrls: [] },
      { publicUrls: ["http://agents.example/"] },
      { publicUrls: ["https://agents.example/ops"] },
      { publicUrls: ["https://agents.example/?next=//evil.test"] },
      { clientId: "" },
      { sessionSeconds: 0 },
    ];
    for (const each of wrong)
      expect(() => oidcSignIn({ ...options(), clock: systemClock, ...each })).toThrow(TypeError);
  });
});
