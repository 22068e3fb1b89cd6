/** Certificates with which clients have connected (RFC §8.2 `mtls`). */
import { timingSafeEqual } from "node:crypto";
import {
  type CertificateNames,
  type Identity,
  InvalidRequestError,
  type TrustLevel,
  UnauthenticatedError,
} from "@arcp/core";
import { isPrincipal } from "./claims.ts";
import type { AuthRequest, SchemeVerifier } from "./scheme.ts";

/** Which client certificates are believed (RFC §8.2). */
export interface MtlsOptions {
  /**
   * Who has which certificate: by its SHA-256 fingerprint, `sha256:` and 64 hexadecimal digits for the function; or whom the
   * certificate names itself, by a rule. A rule trusts whatever the authorities that the listener accepts have signed.
   */
  readonly principals: ReadonlyMap<string, string> | FindCertified | CertificateName;
  /** How far who shows one is trusted (RFC §15.6). Default: `trusted`. */
  readonly trustLevel?: TrustLevel;
}

/** A principal, or all that there is to know of it. */
type Certified = string | Identity | undefined;

/** Who has the certificate; `undefined` where nobody has it. */
export type FindCertified = (
  fingerprint: string,
  signal: AbortSignal,
  names: CertificateNames,
) => Certified | Promise<Certified>;

/** The one name of that kind in the certificate. A certificate that has none, or several, speaks for nobody. */
export type CertificateName = "san:uri" | "san:dns" | "san:email" | "cn";

/** The scheme of certificates. */
export const MTLS = "mtls";
const PREFIX = "sha256:";

/**
 * The scheme `mtls`: the client names the certificate that its connection was made with, and sends no token.
 *
 * @throws TypeError for fingerprints that are none.
 */
export function mtlsVerifier({ principals, trustLevel }: MtlsOptions): SchemeVerifier {
  const find = finder(principals);
  return {
    scheme: MTLS,
    async verify(request: AuthRequest, signal: AbortSignal): Promise<Identity> {
      const fingerprint = provenFingerprint(request);
      const names = request.peer.certificateNames ?? {};
      const found = await find(`${PREFIX}${fingerprint.toString("hex")}`, signal, names);
      const identity = typeof found === "string" ? { principal: found } : found;
      if (identity === undefined || identity.principal === "")
        throw new UnauthenticatedError("the certificate is not known");
      return { ...(trustLevel !== undefined && { trustLevel }), ...identity };
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

function finder(principals: MtlsOptions["principals"]): FindCertified {
  if (typeof principals === "function") return principals;
  if (typeof principals !== "string") return lookUp(principals);
  if (!Object.hasOwn(NAMED, principals)) throw new TypeError(`${principals} is no name in a certificate`);
  const member = NAMED[principals];
  return (_fingerprint, _signal, names) => {
    const [name, ...others] = names[member] ?? [];
    return others.length > 0 || !isPrincipal(name) ? undefined : name;
  };
}

const NAMED: { readonly [Name in CertificateName]: keyof CertificateNames } = {
  "san:uri": "uris",
  "san:dns": "dnsNames",
  "san:email": "emails",
  cn: "commonNames",
};

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
