/** Tokens of an issuer that tests own, good ones and forged ones. */
import { CompactSign, exportJWK, exportSPKI, type GenerateKeyPairResult, generateKeyPair, type JWK } from "jose";

export const AUDIENCE = "https://runtime.example.com";
export const ISSUER = "https://issuer.example.com";

const encoder = new TextEncoder();
export const base64url = (text: string): string => Buffer.from(text).toString("base64url");

/** One key of the issuer. */
export class SigningKey {
  readonly alg: string;
  readonly kid: string;
  readonly pair: GenerateKeyPairResult;

  private constructor(alg: string, kid: string, pair: GenerateKeyPairResult) {
    this.alg = alg;
    this.kid = kid;
    this.pair = pair;
  }

  static async generate(alg: string, kid: string = alg): Promise<SigningKey> {
    return new SigningKey(alg, kid, await generateKeyPair(alg, { extractable: true }));
  }

  /** As the issuer publishes it. */
  async jwk(): Promise<JWK> {
    return { ...(await exportJWK(this.pair.publicKey)), kid: this.kid, alg: this.alg, use: "sig" };
  }

  pem(): Promise<string> {
    return exportSPKI(this.pair.publicKey);
  }

  /** `claims` as an object, or as the text that is signed. */
  sign(claims: object | string, header: object = {}): Promise<string> {
    const text = typeof claims === "string" ? claims : JSON.stringify(claims);
    return new CompactSign(encoder.encode(text))
      .setProtectedHeader({ alg: this.alg, kid: this.kid, ...header })
      .sign(this.pair.privateKey);
  }
}

/** Claims of a token that is valid for ten minutes from `now`, in milliseconds. */
export function claimsAt(now: number, overrides: object = {}): Record<string, unknown> {
  const seconds = Math.floor(now / 1000);
  return { iss: ISSUER, aud: AUDIENCE, sub: "alice", iat: seconds, exp: seconds + 600, ...overrides };
}

/** `claims` without one of them. */
export function without(name: string, claims: Record<string, unknown>): object {
  const { [name]: _, ...rest } = claims;
  return rest;
}
