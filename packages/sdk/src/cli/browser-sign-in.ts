/** How people sign in to the dashboard of `arcp serve`, besides with a token: at an identity provider. */
import { isLoopbackHost, type Logger } from "@arcp/core";
import { type OidcOptions, oidcSignIn, type SignIn } from "@arcp/dashboard";
import { type IdentityClaims, identityIn } from "@arcp/runtime";
import type { AuthSettings } from "../config.ts";
import type { LoadedConfig } from "./config-file.ts";
import type { WebSocketEndpoint } from "./endpoint.ts";
import { UsageError } from "./exit-code.ts";
import { readSecret } from "./secrets.ts";

export interface SignInOptions {
  readonly oidcIssuer?: string;
  readonly oidcClientId?: string;
  readonly oidcClientSecretFile?: string;
  readonly oidcScopes?: string;
  readonly oidcTenant?: string;
  readonly publicUrl?: readonly string[];
}

/** What is known before it is known where the dashboard is. */
export type SignInSettings = Omit<OidcOptions, "publicUrls" | "identityOf" | "logger" | "clock" | "acceptsTokens"> &
  IdentityClaims & { readonly publicUrls: readonly string[] | undefined };

/** `undefined`: people sign in with a token. Throws {@link UsageError} for what cannot be right. */
export async function readSignIn(options: SignInOptions, loaded: LoadedConfig): Promise<SignInSettings | undefined> {
  const { oidc } = loaded.config.auth ?? {};
  const settings = fromCommandLine(options) ?? oidc;
  if (settings === undefined) {
    if (options.publicUrl === undefined) return undefined;
    throw new UsageError("--public-url goes with --oidc-issuer");
  }
  const { clientSecret: source, publicUrls, ...rest } = settings;
  const clientSecret = source && (await readSecret(source, "auth.oidc: the client's secret", loaded.directory));
  return {
    ...rest,
    ...(clientSecret !== undefined && { clientSecret }),
    publicUrls: options.publicUrl ?? publicUrls,
  };
}

/** What the command line says: all of it, or nothing. */
function fromCommandLine(options: SignInOptions): AuthSettings["oidc"] | undefined {
  const { oidcIssuer, oidcClientId, oidcClientSecretFile, oidcScopes, oidcTenant } = options;
  if ((oidcIssuer === undefined) !== (oidcClientId === undefined))
    throw new UsageError("--oidc-issuer and --oidc-client-id go together");
  if (oidcIssuer === undefined || oidcClientId === undefined) {
    if ([oidcClientSecretFile, oidcScopes, oidcTenant].every((option) => option === undefined)) return undefined;
    throw new UsageError("a sign-in needs --oidc-issuer and --oidc-client-id");
  }
  return {
    ...{ issuer: oidcIssuer, clientId: oidcClientId },
    ...(oidcClientSecretFile !== undefined && { clientSecret: { file: oidcClientSecretFile } }),
    ...(oidcScopes !== undefined && { scopesClaim: oidcScopes }),
    ...(oidcTenant !== undefined && { tenantClaim: oidcTenant }),
  };
}

/** Throws {@link UsageError} for settings that cannot be right. */
export function openSignIn(
  { publicUrls, principalClaim, tenantClaim, scopesClaim, ...settings }: SignInSettings,
  endpoint: WebSocketEndpoint,
  { acceptsTokens, logger }: { readonly acceptsTokens: boolean; readonly logger: Logger },
): SignIn {
  const names: IdentityClaims = {
    ...(principalClaim !== undefined && { principalClaim }),
    ...(tenantClaim !== undefined && { tenantClaim }),
    ...(scopesClaim !== undefined && { scopesClaim }),
  };
  try {
    return oidcSignIn({
      ...{ ...settings, acceptsTokens, logger },
      publicUrls: publicUrls ?? ownUrls(endpoint),
      identityOf: (claims) => identityIn(claims, names),
    });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`auth.oidc: ${error.message}`);
    throw error;
  }
}

/** On this machine it is known what browsers call it. */
function ownUrls({ host, port, isEncrypted }: WebSocketEndpoint): readonly string[] {
  if (!isLoopbackHost(host) || port === 0)
    throw new UsageError("a sign-in has to come back to somewhere: say --public-url https://…/");
  const scheme = isEncrypted ? "https" : "http";
  return ["localhost", host.includes(":") ? `[${host}]` : host].map((name) => `${scheme}://${name}:${port}/`);
}
