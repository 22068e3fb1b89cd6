/** Certificates with which clients have connected (RFC §8.2 `mtls`). */
import { timingSafeEqual } from "node:crypto";
import { type Identity, InvalidRequestError, type TrustLevel, UnauthenticatedError } from "@arcp/core";
import type { AuthRequest, SchemeVerifier } from "./scheme.ts";

export interface MtlsOptions {
  /** Who has which certificate, by its SHA-256 fingerprint: `sha256:` and 64 hexadecimal digits for the function. */
  readonly principals:
    | ReadonlyMap<string, string>
    | ((fingerprint: string, signal: AbortSignal) => string | undefined | Promise<string | undefined>);
  /** Default: `trusted`. */
  readonly trustLevel?: TrustLevel;
}

const PREFIX = "sha256:";

/**
 * The scheme `mtls`: the client names the certificate that its connection was made with, and sends no token.
 *
 * @throws TypeError for fingerprints that are none.
 */
export function mtlsVerifier({ principals, trustLevel }: MtlsOptions): SchemeVerifier {
  const find = typeof principals === "function" ? principals : lookUp(principals);
  return {
    scheme: "mtls",
    async verify(request: AuthRequest, signal: AbortSignal): Promise<Identity> {
      const fingerprint = provenFingerprint(request);
      const principal = await find(`${PREFIX}${fingerprint.toString("hex")}`, signal);
      if (principal === undefined || principal === "") throw new UnauthenticatedError("the certificate is not known");
      return { principal, ...(trustLevel !== undefined && { trustLevel }) };
    },
  };
}

/** That of the transport, which the client has named. */
function provenFingerprint({ token, fingerprint: named, peer }: AuthRequest): Buffer {
  if (token !== undefined) throw new InvalidRequestError("auth.token: mtls has none");
  if (named === undefined) throw new InvalidRequestError("client.fingerprint: required for mtls");
  const claimed = fingerprintIn(named);
  if (claimed === undefined) throw new InvalidRequestError("client.fingerprint: expected a SHA-256 fingerprint");
  const actual = peer.certificateFingerprint === undefined ? undefined : fingerprintIn(peer.certificateFingerprint);
  if (actual === undefined || !timingSafeEqual(actual, claimed))
    throw new UnauthenticatedError("the connection was not made with this certificate");
  return actual;
}

function lookUp(principals: ReadonlyMap<string, string>): (fingerprint: string) => string | undefined {
  const byFingerprint = new Map<string, string>();
  for (const [text, principal] of principals) {
    const fingerprint = fingerprintIn(text);
    if (fingerprint === undefined) throw new TypeError(`${text} is no SHA-256 fingerprint`);
    byFingerprint.set(`${PREFIX}${fingerprint.toString("hex")}`, principal);
  }
  return (fingerprint) => byFingerprint.get(fingerprint);
}

/** The 32 bytes, as OpenSSL, browsers and RFC §8.2 write them: upper or lower case, with colons, with a prefix. */
function fingerprintIn(text: string): Buffer | undefined {
  const digits = text
    .toLowerCase()
    .replace(/^sha-?256(?:[:=]| fingerprint=)/, "")
    .replaceAll(":", "");
  return /^[0-9a-f]{64}$/.test(digits) ? Buffer.from(digits, "hex") : undefined;
}
