/**
 * `auth/` of the dashboard. Everything that changes something is a POST of the dashboard's own page; the one exception is the
 * way back from the provider, which only the browser that began it can end, once.
 */
import { randomBytes } from "node:crypto";
import { HttpRefusal } from "@arcp/core";
import { ATTEMPT_COOKIE, cookieIn, SESSION_COOKIE, setCookie } from "./cookies.ts";
import { ATTEMPT_SECONDS } from "./sealed-attempt.ts";
import { type SignIn, SignInProblem } from "./sign-in.ts";

/** A request for something below `auth/`. */
export interface AuthRequest {
  readonly method: string;
  /** What is behind `auth/`. */
  readonly name: string;
  /** What is behind `?`. */
  readonly query: string;
  /** By its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Its body, of which `maxBytes` are read at most. Rejects for a longer one. */
  readonly body: (maxBytes: number) => Promise<string>;
}

export interface AuthAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cookies?: readonly string[];
  readonly type?: "application/json" | "text/html; charset=utf-8" | "text/plain; charset=utf-8";
  readonly body?: string;
}

const MAX_BODY_BYTES = 4096;
const PLACE = /^#\/[^\\\u0000-\u0020\u007f]{0,2000}$/;
/** The cookie is as old as the session, which ends by itself: what a browser keeps longer means nothing. */
const COOKIE_SECONDS = 30 * 24 * 3600;

export class AuthRoutes {
  readonly #signIn: SignIn;

  constructor(signIn: SignIn) {
    this.#signIn = signIn;
  }

  /** Never rejects. */
  async answer(request: AuthRequest): Promise<AuthAnswer> {
    const { name, method } = request;
    const route = ROUTES[name];
    if (route === undefined) return plain(404, "There is nothing here.");
    if (method !== route) return { ...plain(405, `${route} it`), headers: { allow: route } };
    try {
      if (name === "callback") return await this.#callback(request);
      const home = this.#assertOwnPage(request);
      const body = bodyOf(await request.body(MAX_BODY_BYTES));
      if (name === "begin") return await this.#begin(home, body);
      if (name === "token") return await this.#token(request);
      return this.#end(request);
    } catch (error) {
      return this.#refused(error, name === "callback");
    }
  }

  /** Where the provider is, with what it takes to come back in a cookie. */
  async #begin(home: URL, body: Readonly<Record<string, unknown>>): Promise<AuthAnswer> {
    const { place } = body;
    const attempt = {
      ...{ state: secret(), nonce: secret(), codeVerifier: secret() },
      redirectUri: new URL("auth/callback", home).href,
      // Behind `#`: whatever it says, it is a place on this page.
      place: typeof place === "string" && PLACE.test(place) ? place : "#/",
    };
    const location = await this.#signIn.provider.authorizationUrl(attempt);
    return {
      ...json({ location: location.href }),
      cookies: [setCookie(ATTEMPT_COOKIE, this.#signIn.attempts.seal(attempt), ATTEMPT_SECONDS)],
    };
  }

  /** The way back. Whoever was signed in with this browser is no more; the session has a name that nobody knew before. */
  async #callback({ query, header }: AuthRequest): Promise<AuthAnswer> {
    const { provider, sessions, attempts } = this.#signIn;
    const sealed = cookieIn(header("cookie"), ATTEMPT_COOKIE);
    const states = new URLSearchParams(query).getAll("state");
    const attempt = sealed === undefined || states.length !== 1 ? undefined : attempts.take(sealed, states[0] ?? "");
    if (attempt === undefined)
      throw new SignInProblem(400, "This sign-in was not begun in this browser, took too long, or is over.");
    const member = await provider.redeem(attempt, query);
    const earlier = cookieIn(header("cookie"), SESSION_COOKIE);
    if (earlier !== undefined) sessions.close(earlier);
    const home = new URL("..", attempt.redirectUri);
    return {
      status: 303,
      headers: { location: home.pathname + attempt.place },
      cookies: [setCookie(SESSION_COOKIE, sessions.open(member), COOKIE_SECONDS), setCookie(ATTEMPT_COOKIE, "", 0)],
    };
  }

  /** A ticket for the page's connections; 204 if nobody is signed in. */
  async #token({ header }: AuthRequest): Promise<AuthAnswer> {
    const name = cookieIn(header("cookie"), SESSION_COOKIE);
    const ticket = name === undefined ? undefined : await this.#signIn.sessions.ticket(name);
    if (ticket !== undefined) return json(ticket);
    return { status: 204, ...(name !== undefined && { cookies: [setCookie(SESSION_COOKIE, "", 0)] }) };
  }

  #end({ header }: AuthRequest): AuthAnswer {
    const name = cookieIn(header("cookie"), SESSION_COOKIE);
    const member = name === undefined ? undefined : this.#signIn.sessions.close(name);
    const location = member === undefined ? undefined : this.#signIn.provider.endSessionUrl(member);
    return {
      ...json(location === undefined ? {} : { location: location.href }),
      cookies: [setCookie(SESSION_COOKIE, "", 0)],
    };
  }

  /**
   * The address of the page that asks, one of the dashboard's own: browsers say where a POST comes from, and pages cannot
   * have them say something else.
   */
  #assertOwnPage({ header }: AuthRequest): URL {
    const origin = header("origin");
    const home = this.#signIn.publicUrls.find((url) => url.origin === origin);
    const site = header("sec-fetch-site") ?? "same-origin";
    if (home === undefined || site !== "same-origin")
      throw new SignInProblem(403, "Only the dashboard's own page, at one of its addresses, may ask this.");
    // What forms can send without the page's consent has another type.
    if (header("content-type")?.split(";")[0]?.trim() !== "application/json")
      throw new SignInProblem(415, "Expected application/json.");
    return home;
  }

  #refused(error: unknown, isForPerson: boolean): AuthAnswer {
    if (error instanceof HttpRefusal) return plain(error.status, error.message);
    const problem =
      error instanceof SignInProblem ? error : new SignInProblem(500, "Something went wrong here.", error);
    const { status, message, cause } = problem;
    if (cause !== undefined) this.#signIn.logger.warn({ err: cause, status }, "nobody was signed in");
    if (!isForPerson) return plain(status, message);
    const body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Not signed in</title><h1>Not signed in</h1><p>${message}</p><p><a href="../">Try again</a></p></html>\n`;
    return { status, type: "text/html; charset=utf-8", body, cookies: [setCookie(ATTEMPT_COOKIE, "", 0)] };
  }
}

const ROUTES: Readonly<Record<string, "GET" | "POST">> = Object.assign(Object.create(null), {
  ...{ begin: "POST", callback: "GET", token: "POST", end: "POST" },
});

function bodyOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const body: unknown = JSON.parse(text === "" ? "{}" : text);
    if (typeof body === "object" && body !== null) return body as Readonly<Record<string, unknown>>;
  } catch {
    // It is said below.
  }
  throw new SignInProblem(400, "Expected a JSON object.");
}

const secret = (): string => randomBytes(32).toString("base64url");

const json = (body: object): AuthAnswer => ({ status: 200, type: "application/json", body: JSON.stringify(body) });

const plain = (status: number, message: string): AuthAnswer => ({
  ...{ status, type: "text/plain; charset=utf-8" as const, body: `${message}\n` },
});
