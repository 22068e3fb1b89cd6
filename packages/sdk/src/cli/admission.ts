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
import { jwtVerifier, mtlsVerifier, oauth2Verifier, type SchemeVerifier } from "@arcp/runtime";
import type { AuthSettings } from "../config.ts";
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
}

export interface CredentialOptions {
  readonly token?: readonly string[];
  readonly tokenFile?: string;
}

/** Throws {@link UsageError} for what cannot be right. */
export async function readCredentials(options: CredentialOptions, loaded: LoadedConfig): Promise<Credentials> {
  const tokens = await readTokens(options, loaded);
  return { tokens, ...(await readSchemes(loaded.config.auth ?? {}, loaded.directory)) };
}

export const hasCredentials = ({ tokens, schemes }: Credentials): boolean => tokens.length > 0 || schemes.length > 0;

async function readTokens(options: CredentialOptions, { config, directory }: LoadedConfig): Promise<Token[]> {
  if (options.token !== undefined) warnOfVisibleToken();
  const tokens = [...(options.token ?? []).map(parseToken), ...parseTokenList(process.env["ARCP_TOKEN"] ?? "")];
  if (options.tokenFile !== undefined) tokens.push(...(await readTokenFile(options.tokenFile)));
  if (config.tokenFile !== undefined) tokens.push(...(await readTokenFile(resolve(directory, config.tokenFile))));
  for (const [value, principal] of Object.entries(config.tokens ?? {})) tokens.push({ value, principal });
  return tokens;
}

/** Every member that the settings may have. */
const MEMBERS: Readonly<Record<keyof AuthSettings, true>> = { jwt: true, oauth2: true, mtls: true, schemes: true };

async function readSchemes(settings: AuthSettings, directory: string): Promise<Omit<Credentials, "tokens">> {
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
    const certificates = mtls ? [mtlsVerifier({ principals: new Map(Object.entries(mtls.principals)) })] : [];
    return {
      schemes: [...tokenSchemes, ...certificates, ...schemes],
      bearer: tokenSchemes[0]?.bearer,
      certificates: mtls && ca && { ca, required: mtls.required ?? false },
    };
  });
}

type Jwks = NonNullable<AuthSettings["jwt"]>["jwks"];

async function keysOf(jwks: Jwks, directory: string): Promise<Parameters<typeof jwtVerifier>[0]["jwks"]> {
  if (typeof jwks === "string") {
    if (!URL.canParse(jwks)) throw new UsageError(`auth.jwt: jwks is not a URL: ${jwks}`);
    return new URL(jwks);
  }
  if ("secret" in jwks) return { secret: await readSecret(jwks.secret, "auth.jwt: the secret", directory) };
  return jwks;
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
 * shows any token; and otherwise whoever can read the developer's token, which is made now if there is none.
 */
export async function admissionOf(credentials: Credentials, endpoint: Endpoint, isOpen: boolean): Promise<Admission> {
  const closed = { anonymousPrincipal: undefined, developer: undefined, isOpen: false };
  if (hasCredentials(credentials)) return { ...closed, bearer: bearerOf(credentials) };
  if (endpoint.carrier === "stdio") return { ...closed, bearer: new AnyToken(), anonymousPrincipal: LOCAL_PRINCIPAL };
  if (isOpen) return { ...closed, bearer: new AnyToken(), isOpen };
  const developer = await ensureDeveloperToken();
  return { ...closed, bearer: tableOf([developer]), developer };
}

const bearerOf = ({ tokens, bearer }: Credentials): BearerVerifier =>
  tokens.length === 0 && bearer !== undefined ? bearer : tableOf(tokens);

const tableOf = (tokens: readonly Token[]): BearerVerifier =>
  new StaticBearerVerifier(new Map(tokens.map(({ value, principal }) => [value, { principal }])));

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
