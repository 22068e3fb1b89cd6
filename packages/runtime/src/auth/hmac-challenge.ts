/** Proof that the client has a secret, which itself is never sent (RFC §8.1). */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { type Clock, hmacSha256Hex, type Identity, systemClock } from "@arcp/core";
import { Challenge } from "./challenge.ts";
import { type AuthRequest, notValid, type SchemeVerifier, tokenIn } from "./scheme.ts";

/** What a token that is only a name stands for. */
export interface HeldSecret {
  /** At least 32 bytes that nobody can guess: whoever sees a challenge and its answer can try. */
  readonly secret: string;
  readonly identity: Identity;
}

/** Whose secrets sign the answers to challenges (RFC §8.1). */
export interface HmacOptions {
  /** By the token, which names the secret and may be known to anybody. */
  readonly secrets:
    | ReadonlyMap<string, HeldSecret>
    | ((token: string, signal: AbortSignal) => Promise<HeldSecret | undefined>);
  /** Default: `bearer`. */
  readonly scheme?: string;
  /** How long a client has to answer. Default: 30,000. */
  readonly lifetimeMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

const HMAC_CHALLENGE = "hmac-sha256";
const NONCE_BYTES = 32;
const MIN_SECRET_BYTES = 32;
const DIGEST = /^[0-9a-f]{64}$/i;

/**
 * A scheme in four messages. The token names a secret; the challenge `{"type": "hmac-sha256", "params": {"nonce"}}` is
 * answered with `hmacSha256Hex(secret, nonce)`. A token that names nothing is challenged like any other.
 *
 * @throws TypeError for secrets that are too short.
 */
export function hmacVerifier(options: HmacOptions): SchemeVerifier {
  const { secrets, scheme = "bearer", clock = systemClock, lifetimeMs } = options;
  if (typeof secrets !== "function") for (const held of secrets.values()) assertLength(held);
  const find = async (token: string, signal: AbortSignal): Promise<HeldSecret | undefined> => {
    const held = typeof secrets === "function" ? await secrets(token, signal) : secrets.get(token);
    if (held !== undefined) assertLength(held);
    return held;
  };
  return {
    scheme,
    async verify(request: AuthRequest, signal: AbortSignal): Promise<Challenge> {
      const held = await find(tokenIn(request), signal);
      // Nobody has this one, and its answer takes the same time.
      const secret = held?.secret ?? randomBytes(NONCE_BYTES).toString("hex");
      const nonce = randomBytes(NONCE_BYTES).toString("base64url");
      return new Challenge({
        ...{ type: HMAC_CHALLENGE, params: { nonce }, clock },
        ...(lifetimeMs !== undefined && { lifetimeMs }),
        check: async (response) => {
          const expected = await hmacSha256Hex(secret, nonce);
          if (!isDigest(response, expected) || held === undefined) throw notValid("a challenge was answered wrongly");
          return held.identity;
        },
      });
    },
  };
}

function assertLength({ secret }: HeldSecret): void {
  if (Buffer.byteLength(secret) < MIN_SECRET_BYTES) throw new TypeError("a secret has at least 32 bytes");
}

/** In time that does not depend on how much of it is right. */
const isDigest = (response: unknown, expected: string): boolean =>
  typeof response === "string" &&
  DIGEST.test(response) &&
  timingSafeEqual(Buffer.from(response, "hex"), Buffer.from(expected, "hex"));
