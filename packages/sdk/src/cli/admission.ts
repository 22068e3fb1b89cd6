/** Who `arcp serve` lets in. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  type BearerVerifier,
  type ClientCertificateOptions,
  type Identity,
  StaticBearerVerifier,
  UnauthenticatedError,
} from "@arcp/core";
import type { SignIn } from "@arcp/dashboard";
import {
  type CertificateName,
  jwtVerifier,
  type MtlsOptions,
  mtlsVerifier,
  oauth2Verifier,
  type SchemeVerifier,
} from "@arcp/runtime";
import type { AuthSettings } from "../config.ts";
import { readSignIn, type SignInOptions, type SignInSettings } from "./browser-sign-in.ts";
import type { LoadedConfig } from "./config-file.ts";
import type { Endpoint } from "./endpoint.ts";
import { UsageError } from "./exit-code.ts";
import { warnOfVisibleToken } from "./runtime-address.ts";
import { readSecret } from "./secrets.ts";
import {
  ensureDeveloperToken,
  LOCAL_PRINCIPAL,
  parseToken,
  parseTokenList,
  readTokenFile,
  type Token,
} from "./tokens.ts";

/** What the operator accepts, by options, environment and configuration. */
export interface Credentials {
  readonly tokens: readonly Token[];
  readonly schemes: readonly SchemeVerifier[];
  /** Where no tokens are configured: who verifies those of clients that know only tokens. */
  readonly bearer: BearerVerifier | undefined;
  readonly certificates: ClientCertificateOptions | undefined;
  /** Does a token count only together with a certificate of the same principal? */
  readonly bindTokensToCertificates: boolean;
  /** How people sign in to the dashboard, besides with a token. */
  readonly signIn: SignInSettings | undefined;
}

export interface CredentialOptions extends SignInOptions {
  readonly token?: readonly string[];
  readonly tokenFile?: string;
  readonly jwks?: string;
  readonly jwtSecretFile?: string;
  readonly jwtIssuer?: string;
  readonly jwtAudience?: string;
  readonly jwtScopes?: string;
  readonly jwtTenant?: string;
  readonly clientCa?: string;
  readonly clientName?: CertificateName;
}

/** Throws {@link UsageError} for what cannot be right. */
export async function readCredentials(options: CredentialOptions, loaded: LoadedConfig): Promise<Credentials> {
  const tokens = await readTokens(options, loaded);
  const { auth = {} } = loaded.config;
  const jwt = jwtOf(options) ?? auth.jwt;
  const mtls = mtlsOf(options) ?? auth.mtls;
  const settings = { ...auth, ...(jwt && { jwt }), ...(mtls && { mtls }) };
  const signIn = await readSignIn(options, loaded);
  return { tokens, signIn, ...(await readSchemes(settings, loaded.directory)) };
}

/** What the command line says of JWTs: all of it, or nothing. */
function jwtOf(options: CredentialOptions): AuthSettings["jwt"] | undefined {
  const { jwks, jwtSecretFile, jwtIssuer, jwtAudience, jwtScopes, jwtTenant } = options;
  const keys = jwks === undefined ? jwtSecretFile && { secret: { file: resolve(jwtSecretFile) } } : urlOrPath(jwks);
  if (keys === undefined || keys === "") {
    if ([jwtIssuer, jwtAudience, jwtScopes, jwtTenant].every((option) => option === undefined)) return undefined;
    throw new UsageError("JWTs need --jwks or --jwt-secret-file");
  }
  if (jwks !== undefined && jwtSecretFile !== undefined)
    throw new UsageError("--jwks and --jwt-secret-file exclude each other");
  if (jwtAudience === undefined) throw new UsageError("JWTs need --jwt-audience: whom they are for");
  if (jwtIssuer === undefined && jwtSecretFile === undefined)
    throw new UsageError("JWTs need --jwt-issuer: who has issued them");
  return {
    ...{ jwks: keys, audience: jwtAudience },
    ...(jwtIssuer !== undefined && { issuer: jwtIssuer }),
    ...(jwtScopes !== undefined && { scopesClaim: jwtScopes }),
    ...(jwtTenant !== undefined && { tenantClaim: jwtTenant }),
  };
}

/** A file is relative to where the command was called. */
const urlOrPath = (text: string): string => (isUrl(text) ? text : resolve(text));

const isUrl = (text: string): boolean => /^https?:/.test(text);

function mtlsOf({ clientCa, clientName }: CredentialOptions): AuthSettings["mtls"] | undefined {
  if (clientCa === undefined && clientName === undefined) return undefined;
  if (clientCa === undefined || clientName === undefined)
    throw new UsageError("--client-ca and --client-name go together");
  return { ca: resolve(clientCa), principals: clientName, required: true };
}

export const hasCredentials = ({ tokens, schemes, signIn }: Credentials): boolean =>
  tokens.length > 0 || schemes.length > 0 || signIn !== undefined;

/** Are there tokens that somebody could paste? */
export const takesTokens = ({ tokens, bearer }: Credentials): boolean => tokens.length > 0 || bearer !== undefined;

async function readTokens(options: CredentialOptions, { config, directory }: LoadedConfig): Promise<Token[]> {
  if (options.token !== undefined) warnOfVisibleToken();
  const tokens = [...(options.token ?? []).map(parseToken), ...parseTokenList(process.env["ARCP_TOKEN"] ?? "")];
  if (options.tokenFile !== undefined) tokens.push(...(await readTokenFile(options.tokenFile)));
  if (config.tokenFile !== undefined) tokens.push(...(await readTokenFile(resolve(directory, config.tokenFile))));
  for (const [value, principal] of Object.entries(config.tokens ?? {})) tokens.push({ value, principal });
  return tokens;
}

/** Every member that the settings may have. */
const MEMBERS: Readonly<Record<keyof AuthSettings, true>> = {
  ...{ jwt: true, oauth2: true, oidc: true, mtls: true, schemes: true },
};

async function readSchemes(settings: AuthSettings, directory: string): Promise<Omit<Credentials, "tokens" | "signIn">> {
  const unknown = Object.keys(settings).find((member) => !Object.hasOwn(MEMBERS, member));
  if (unknown !== undefined) {
    throw new UsageError(`auth: there is no setting "${unknown}"; there are ${Object.keys(MEMBERS).join(", ")}`);
  }
  const { jwt, oauth2, mtls, schemes = [] } = settings;
  const jwks = jwt && (await keysOf(jwt.jwks, directory));
  const clientSecret = oauth2 && (await readSecret(oauth2.clientSecret, "auth.oauth2: the client's secret", directory));
  const ca = mtls && (await readAuthorities(mtls.ca, directory));
  return made(() => {
    const tokenSchemes = [
      ...(jwt && jwks ? [jwtVerifier({ ...jwt, jwks })] : []),
      ...(oauth2 && clientSecret ? [oauth2Verifier({ ...oauth2, clientSecret })] : []),
    ];
    const certificates = mtls ? [mtlsVerifier({ principals: principalsOf(mtls.principals) })] : [];
    return {
      schemes: [...tokenSchemes, ...certificates, ...schemes],
      bearer: tokenSchemes[0]?.bearer,
      certificates: mtls && ca && { ca, required: mtls.required ?? false },
      bindTokensToCertificates: mtls?.bindTokens ?? false,
    };
  });
}

const principalsOf = (setting: NonNullable<AuthSettings["mtls"]>["principals"]): MtlsOptions["principals"] =>
  typeof setting === "string" ? setting : new Map(Object.entries(setting));

type Jwks = NonNullable<AuthSettings["jwt"]>["jwks"];

async function keysOf(jwks: Jwks, directory: string): Promise<Parameters<typeof jwtVerifier>[0]["jwks"]> {
  if (typeof jwks === "string") {
    if (!isUrl(jwks)) return keySetIn(resolve(directory, jwks));
    if (!URL.canParse(jwks)) throw new UsageError(`auth.jwt: jwks is not a URL: ${jwks}`);
    return new URL(jwks);
  }
  if ("secret" in jwks) return { secret: await readSecret(jwks.secret, "auth.jwt: the secret", directory) };
  return jwks;
}

/** Public keys in a file: a key set (RFC 7517). */
async function keySetIn(path: string): Promise<Extract<Jwks, { readonly keys: unknown }>> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`auth.jwt: cannot read ${path}: ${cause.code ?? cause.message}`);
  });
  const set = parsed(text, path);
  if (Array.isArray(set.keys)) return set;
  throw new UsageError(`auth.jwt: ${path} is no set of keys`);
}

function parsed(text: string, path: string): Extract<Jwks, { readonly keys: unknown }> {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    // What is in the file may be a secret, put there by mistake.
    throw new UsageError(`auth.jwt: ${path} is no JSON`);
  }
}

function readAuthorities(path: string, directory: string): Promise<Buffer> {
  return readFile(resolve(directory, path)).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`auth.mtls: cannot read ${path}: ${cause.code ?? cause.message}`);
  });
}

function made<Made>(make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`auth: ${error.message}`);
    throw error;
  }
}

export interface Admission {
  readonly bearer: BearerVerifier;
  /** Who clients without credentials are; `undefined`: nobody, they are not let in. */
  readonly anonymousPrincipal: string | undefined;
  /** The token that was made for this directory. */
  readonly developer: Token | undefined;
  /** Is any token taken for good? */
  readonly isOpen: boolean;
}

/**
 * Without credentials: over standard input and output, the parent process, whatever it shows; with `isOpen`, whoever
 * shows any token; and otherwise whoever can read the developer's token, which is made now if there is none. Who has signed in
 * in a browser comes with what `signIn` has handed to its page.
 */
export async function admissionOf(
  credentials: Credentials,
  endpoint: Endpoint,
  isOpen: boolean,
  signIn: SignIn | undefined,
): Promise<Admission> {
  const closed = { anonymousPrincipal: undefined, developer: undefined, isOpen: false };
  if (hasCredentials(credentials)) {
    const bearer = bearerOf(credentials);
    return { ...closed, bearer: signIn === undefined ? bearer : new EitherToken(signIn.bearer, bearer) };
  }
  if (endpoint.carrier === "stdio") return { ...closed, bearer: new AnyToken(), anonymousPrincipal: LOCAL_PRINCIPAL };
  if (isOpen) return { ...closed, bearer: new AnyToken(), isOpen };
  const developer = await ensureDeveloperToken();
  return { ...closed, bearer: tableOf([developer]), developer };
}

const bearerOf = ({ tokens, bearer }: Credentials): BearerVerifier =>
  bearer === undefined ? tableOf(tokens) : new EitherToken(tableOf(tokens), bearer);

const tableOf = (tokens: readonly Token[]): BearerVerifier =>
  new StaticBearerVerifier(new Map(tokens.map(({ value, principal }) => [value, { principal }])));

/** Tokens that the operator knows by heart, and those that an issuer vouches for. */
class EitherToken implements BearerVerifier {
  readonly #known: BearerVerifier;
  readonly #issued: BearerVerifier;

  constructor(known: BearerVerifier, issued: BearerVerifier) {
    this.#known = known;
    this.#issued = issued;
  }

  async verify(token: string, signal?: AbortSignal): Promise<Identity> {
    try {
      return await this.#known.verify(token, signal);
    } catch (error) {
      if (!(error instanceof UnauthenticatedError)) throw error;
      return this.#issued.verify(token, signal);
    }
  }
}

/** Takes every token that is not empty for the local principal's. */
class AnyToken implements BearerVerifier {
  async verify(token: string): Promise<Identity> {
    if (token.trim() === "") throw new UnauthenticatedError("a bearer token is required");
    return { principal: LOCAL_PRINCIPAL };
  }
}

/** To be said before anybody is let in. */
export function warnOfOpenAccess(): void {
  process.stderr.write(
    "arcp: warning: whoever can reach this port on this machine is let in with any token: set ARCP_TOKEN to lock it down\n",
  );
}
