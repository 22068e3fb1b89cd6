import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { oidcSignIn } from "@arcp/dashboard";
// It has no types of its own.
// @ts-expect-error
import Provider from "oidc-provider";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reasonForNoChromium, usePages } from "../support/pages.ts";
import { buildPages, DashboardRuntime } from "./runtime.ts";

/** The part of `oidc-provider` that is used here. */
interface OidcProvider {
  callback(): RequestListener;
  interactionFinished(...given: unknown[]): Promise<void>;
  on(event: string, listener: (...told: unknown[]) => void): void;
}

interface ProviderContext {
  readonly provider: {
    readonly Grant: new (of: object) => { addOIDCScope(scope: string): void; save(): Promise<void> };
  };
  readonly client: { readonly clientId: string };
  readonly session: { readonly accountId: string };
}

/** The identity provider of panva, with a page that asks nothing: whoever comes is `account`. */
class RealProvider {
  account = "alice";
  readonly issuer: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<RealProvider> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new RealProvider(server);
  }

  serve(redirectUri: string): void {
    const provider: OidcProvider = new Provider(this.issuer, {
      clients: [
        {
          ...{ client_id: "dashboard", token_endpoint_auth_method: "none", redirect_uris: [redirectUri] },
          ...{ grant_types: ["authorization_code", "refresh_token"], response_types: ["code"] },
        },
      ],
      cookies: { keys: ["a key for cookies"] },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_: unknown, { uid }: { readonly uid: string }) => `/interaction/${uid}` },
      findAccount: (_: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
      // Everybody has agreed to everything before.
      loadExistingGrant: async ({ oidc }: { readonly oidc: ProviderContext }) => {
        const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope("openid offline_access");
        await grant.save();
        return grant;
      },
      ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    });
    const answer = provider.callback();
    this.#server.on("request", (request, response) => {
      if (request.url?.startsWith("/interaction/") !== true) return answer(request, response);
      void provider.interactionFinished(request, response, { login: { accountId: this.account } });
    });
  }

  close(): void {
    this.#server.close().closeAllConnections();
  }
}

describe.skipIf(reasonForNoChromium() !== undefined)("signing in in Chromium", { timeout: 60_000 }, () => {
  const openPage = usePages();
  let provider: RealProvider;
  let runtime: DashboardRuntime;
  beforeAll(async () => {
    await buildPages();
    provider = await RealProvider.start();
    runtime = await DashboardRuntime.start(
      {
        asks: async (_input, ctx) =>
          ctx.requestHumanInput({ prompt: "Which branch?", responseSchema: { type: "string" } }),
      },
      (url) => {
        provider.serve(`${url}auth/callback`);
        return oidcSignIn({ issuer: provider.issuer, clientId: "dashboard", publicUrls: [url] });
      },
    );
  }, 60_000);
  afterAll(async () => {
    await runtime[Symbol.asyncDispose]();
    provider.close();
  });

  test("through the provider and back to the place; the token is in no script's reach, and one's jobs are one's own", async () => {
    const client = await runtime.connect("bob");
    const ofBob = await client.submit({ agent: "asks" });
    const { page, problems } = await openPage();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(`${runtime.url}#/inbox`);
    await page.getByRole("button", { name: `Sign in with ${new URL(provider.issuer).host}` }).click();
    await page.getByRole("heading", { name: "Inbox", level: 1 }).waitFor();
    expect(page.url()).toBe(`${runtime.url}#/inbox`);
    const alice = await runtime.connect("alice");
    const { jobId } = await alice.submit({ agent: "asks" });
    const card = page.getByRole("article");
    await card.getByText("Which branch?").waitFor();
    expect(await card.locator("a.id").getAttribute("href")).toBe(`#/jobs/${jobId}`);
    await card.getByLabel("Answer").fill("main");
    await card.getByRole("button", { name: "Answer" }).click();
    await expect.poll(() => page.getByRole("article").count()).toBe(0);
    await page.goto(`${runtime.url}#/jobs/${ofBob.jobId}`);
    await page.getByText("There is no such job").waitFor();
    const kept = await page.evaluate("JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }])");
    expect(kept).toBe('["",{},{}]');
    // Not in any address, and nowhere but to the two of them (threats J16).
    const hosts = new Set(asked.map((each) => new URL(each).host));
    expect([...hosts].sort()).toEqual([new URL(runtime.url).host, new URL(provider.issuer).host].sort());
    expect(asked.filter((each) => each.includes("arcp_page_"))).toEqual([]);
    // Cookies know no ports: the provider's are beside it.
    const cookies = (await page.context().cookies(runtime.url)).filter(({ name }) => name.includes("arcp"));
    expect(
      cookies.map(({ name, httpOnly, secure, sameSite, path }) => ({ name, httpOnly, secure, sameSite, path })),
    ).toEqual([{ name: "__Host-arcp-session", httpOnly: true, secure: true, sameSite: "Strict", path: "/" }]);
    // The next tab is signed in; signing out ends it for this browser.
    const other = await page.context().newPage();
    await other.goto(runtime.url);
    await other.getByRole("navigation").waitFor();
    await other.getByRole("button", { name: "Sign out" }).click();
    await other.getByRole("button", { name: /^Sign in with/ }).waitFor();
    await other.reload();
    await other.getByRole("button", { name: /^Sign in with/ }).waitFor();
    await page.reload();
    await page.getByRole("button", { name: /^Sign in with/ }).waitFor();
    expect(problems).toEqual([]);
  });

  test("pages of other sites get nothing out of the cookie", async () => {
    const { page } = await openPage();
    await page.goto(runtime.url);
    await page.getByRole("button", { name: /^Sign in with/ }).click();
    await page.getByRole("navigation").waitFor();
    const evil = createServer((_request, response) =>
      response.setHeader("content-type", "text/html").end("<!doctype html>"),
    );
    evil.listen(0, "127.0.0.1");
    await once(evil, "listening");
    try {
      // Another name is another site.
      await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`);
      const target = JSON.stringify(runtime.url);
      const read = (init: string): Promise<unknown> =>
        page.evaluate(`fetch(${target} + "auth/token", ${init}).then((it) => it.text(), () => "refused")`);
      expect(await read(`{ method: "POST", credentials: "include" }`)).toBe("refused");
      expect(
        await read(`{ method: "POST", credentials: "include", headers: { "content-type": "application/json" } }`),
      ).toBe("refused");
      const opened = `new Promise((resolve) => {
        const socket = new WebSocket(${target}.replace("http", "ws") + "arcp");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      })`;
      expect(await page.evaluate(opened)).toBe("refused");
      await page.evaluate(
        `document.body.innerHTML = '<form method=post enctype=text/plain action=' + ${target} + 'auth/end><input name=x></form>'; document.forms[0].submit()`,
      );
      await page.waitForURL(`${runtime.url}auth/end`);
      await page.getByText("Only the dashboard's own page").waitFor();
      await page.goto(runtime.url);
      await page.getByRole("navigation").waitFor();
    } finally {
      evil.close().closeAllConnections();
    }
  });
});
