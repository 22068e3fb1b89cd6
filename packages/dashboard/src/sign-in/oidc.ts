/** OpenID Connect: the code flow with PKCE, done by `openid-client` on this side, so that no page has a token of the provider. */
import {
  type BearerVerifier,
  type Clock,
  type Identity,
  isLoopbackHost,
  type JsonObject,
  type Logger,
  rootLogger,
  systemClock,
} from "@arcp/core";
import * as oidc from "openid-client";
import { boundedFetch } from "./bounded-fetch.ts";
import { PageSessions } from "./page-sessions.ts";
import { SealedAttempts } from "./sealed-attempt.ts";
import { type Attempt, type IdentityProvider, type Member, type SignIn, SignInProblem } from "./sign-in.ts";

/** The provider that people sign in with (OpenID Connect), and what this page is to it. */
export interface OidcOptions {
  /** The provider, as its tokens name it: an `https:` URL, or on this machine `http:`. Its endpoints are found there. */
  readonly issuer: string;
  /** What the provider knows the dashboard as. */
  readonly clientId: string;
  /** Default: none, the client is a public one. */
  readonly clientSecret?: string;
  /**
   * Where the dashboard is for browsers, e.g. `https://agents.example/`: `https:` URLs, or on this machine `http:`. The
   * provider has to know each with `auth/callback` behind it, and a sign-in that comes from elsewhere is refused.
   */
  readonly publicUrls: readonly string[];
  /** What is asked for. Default: `openid`. With `offline_access` the provider is asked again while somebody is signed in. */
  readonly scopes?: readonly string[];
  /**
   * Who the claims of an ID token speak for. Default: the principal is `sub`. Whatever it throws lets nobody in.
   */
  readonly identityOf?: (claims: JsonObject) => Identity;
  /** How long somebody stays signed in at most. Default: 28,800 (8 hours). */
  readonly sessionSeconds?: number;
  /** How the ID token has to be signed. Default: RS256. */
  readonly idTokenAlgorithm?: string;
  /** Signing out here signs out of the provider, too, if it offers that. Default: false. */
  readonly endsSessionAtProvider?: boolean;
  /** Can people sign in with a token as well? Default: false. */
  readonly acceptsTokens?: boolean;
  /** How long the provider may take for one answer. Default: 5. */
  readonly timeoutSeconds?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
  readonly logger?: Logger;
}

const DEFAULT_SESSION_SECONDS = 8 * 3600;
const DEFAULT_TIMEOUT_SECONDS = 5;

/**
 * People sign in at `issuer`. Hand the result to `dashboard`, and its `bearer` to the runtime.
 *
 * @throws TypeError for options that cannot be right.
 */
export function oidcSignIn(options: OidcOptions): SignIn {
  const { clock = systemClock, logger = rootLogger, sessionSeconds = DEFAULT_SESSION_SECONDS } = options;
  if (!(sessionSeconds > 0 && sessionSeconds <= 30 * 24 * 3600))
    throw new TypeError("sessionSeconds: more than 0, 30 days at most");
  if (options.clientId === "") throw new TypeError("the client has no id");
  const publicUrls = options.publicUrls.map((url) => secureUrl(url, "the address of the dashboard"));
  if (publicUrls.length === 0) throw new TypeError("a sign-in has to come back to somewhere: publicUrls");
  for (const url of publicUrls) {
    if (!url.pathname.endsWith("/")) throw new TypeError(`the address of the dashboard ends with /: ${url.href}`);
  }
  const provider = new OidcProvider(options, secureUrl(options.issuer, "the issuer"), clock);
  const sessions = new PageSessions({ provider, clock, logger, sessionMs: sessionSeconds * 1000 });
  const bearer: BearerVerifier = { verify: (token) => sessions.verify(token) };
  const attempts = new SealedAttempts(clock);
  return { bearer, provider, sessions, attempts, publicUrls, acceptsTokens: options.acceptsTokens === true, logger };
}

class OidcProvider implements IdentityProvider {
  readonly #options: OidcOptions;
  readonly #issuer: URL;
  readonly #clock: Clock;
  #found: Promise<oidc.Configuration> | undefined;

  constructor(options: OidcOptions, issuer: URL, clock: Clock) {
    this.#options = options;
    this.#issuer = issuer;
    this.#clock = clock;
  }

  get name(): string {
    return this.#issuer.host;
  }

  async authorizationUrl({ state, nonce, codeVerifier, redirectUri }: Attempt): Promise<URL> {
    const { scopes = ["openid"] } = this.#options;
    const config = await this.#config();
    return oidc.buildAuthorizationUrl(config, {
      ...{ redirect_uri: redirectUri, response_type: "code", scope: [...new Set(["openid", ...scopes])].join(" ") },
      ...{ state, nonce, code_challenge_method: "S256" },
      code_challenge: await oidc.calculatePKCECodeChallenge(codeVerifier),
      // Providers that follow the specification give no refresh token without having asked the person.
      ...(scopes.includes("offline_access") && { prompt: "consent" }),
    });
  }

  async redeem({ state, nonce, codeVerifier, redirectUri }: Attempt, query: string): Promise<Member> {
    const config = await this.#config();
    const cameTo = new URL(redirectUri);
    cameTo.search = query;
    const tokens = await told(() =>
      oidc.authorizationCodeGrant(config, cameTo, {
        ...{ pkceCodeVerifier: codeVerifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true },
      }),
    );
    const claims = tokens.claims();
    if (claims === undefined || claims.sub === "")
      throw new SignInProblem(502, "The identity provider did not say who you are.");
    return this.#member(tokens, claims, tokens.id_token);
  }

  async renew(member: Member): Promise<Member | undefined> {
    const { refreshToken } = member;
    if (refreshToken === undefined) return member;
    const config = await this.#config();
    try {
      const tokens = await oidc.refreshTokenGrant(config, refreshToken);
      const claims = tokens.claims();
      if (claims !== undefined) return this.#member(tokens, claims, tokens.id_token, refreshToken);
      return { ...member, refreshToken: tokens.refresh_token ?? refreshToken, staleAt: this.#staleAt(tokens) };
    } catch (error) {
      if (error instanceof oidc.ResponseBodyError && error.error === "invalid_grant") return undefined;
      throw problemOf(error);
    }
  }

  endSessionUrl({ idToken }: Member): URL | undefined {
    const { endsSessionAtProvider = false } = this.#options;
    const config = this.#known;
    if (!endsSessionAtProvider || config?.serverMetadata().end_session_endpoint === undefined) return undefined;
    return oidc.buildEndSessionUrl(config, idToken === undefined ? {} : { id_token_hint: idToken });
  }

  #member(
    tokens: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
    claims: oidc.IDToken,
    idToken: string | undefined,
    earlier?: string,
  ): Member {
    const { identityOf = bySubject } = this.#options;
    const refreshToken = tokens.refresh_token ?? earlier;
    return {
      identity: mapped(() => identityOf(claims as JsonObject)),
      ...{ refreshToken, idToken, subject: claims.sub },
      staleAt: refreshToken === undefined ? undefined : this.#staleAt(tokens),
    };
  }

  #staleAt(tokens: oidc.TokenEndpointResponseHelpers): number {
    const seconds = tokens.expiresIn() ?? DEFAULT_STALE_SECONDS;
    return this.#clock.now() + Math.max(seconds, MIN_STALE_SECONDS) * 1000;
  }

  #known: oidc.Configuration | undefined;

  /** What the provider says of itself, asked for once it is needed, and again after it could not be had. */
  async #config(): Promise<oidc.Configuration> {
    this.#found ??= told(() => this.#discover());
    try {
      this.#known = await this.#found;
      return this.#known;
    } catch (error) {
      this.#found = undefined;
      throw error;
    }
  }

  #discover(): Promise<oidc.Configuration> {
    const { clientId, clientSecret, idTokenAlgorithm = "RS256" } = this.#options;
    const { timeoutSeconds = DEFAULT_TIMEOUT_SECONDS } = this.#options;
    // A signature says who has made a token wherever it has come from: it is looked at, though TLS would do.
    const execute = [oidc.enableNonRepudiationChecks];
    // Only an issuer of this machine may be asked without TLS.
    if (this.#issuer.protocol === "http:") execute.push(oidc.allowInsecureRequests);
    return oidc.discovery(
      this.#issuer,
      clientId,
      { id_token_signed_response_alg: idTokenAlgorithm },
      clientSecret === undefined ? oidc.None() : oidc.ClientSecretBasic(clientSecret),
      { execute, timeout: timeoutSeconds, [oidc.customFetch]: boundedFetch },
    );
  }
}

const DEFAULT_STALE_SECONDS = 300;
/** A provider whose tokens end at once is not asked more often than this. */
const MIN_STALE_SECONDS = 30;

const bySubject = ({ sub }: JsonObject): Identity => ({ principal: String(sub) });

function mapped(map: () => Identity): Identity {
  try {
    return map();
  } catch (error) {
    throw new SignInProblem(403, "The identity provider knows you, and this runtime does not let you in.", error);
  }
}

async function told<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    throw problemOf(error);
  }
}

/** A person is told whose fault it is and no more. */
function problemOf(error: unknown): SignInProblem {
  if (error instanceof SignInProblem) return error;
  if (error instanceof oidc.AuthorizationResponseError)
    return new SignInProblem(403, "The identity provider did not sign you in.", error);
  const code = error instanceof oidc.ClientError ? error.code : undefined;
  if (code === "OAUTH_TIMEOUT") return new SignInProblem(504, "The identity provider did not answer in time.", error);
  if (error instanceof oidc.ResponseBodyError && error.status < 500)
    return new SignInProblem(400, "The identity provider did not take back what it had given.", error);
  return new SignInProblem(502, "What the identity provider answered could not be used.", error);
}

/** @throws TypeError for a URL over which secrets could be read. */
function secureUrl(text: string, what: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHere = url?.protocol === "http:" && isLoopbackHost(url.hostname);
  if (url === undefined || (url.protocol !== "https:" && !isHere))
    throw new TypeError(`${what} is an https: URL, or on this machine http:, not ${text}`);
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "")
    throw new TypeError(`${what} has nothing but a host and a path: ${text}`);
  return url;
}
