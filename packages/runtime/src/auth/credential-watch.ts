/** How long the credential of a connection stands: until it expires, or whoever issued it withdraws it (RFC §8.4, §8.5). */
import { type Clock, type Identity, type Logger, UnauthenticatedError } from "@arcp/core";
import { callUpstream } from "../engine/credentials/upstream-call.ts";

/** Whose credential is watched, and who is told. */
export interface CredentialWatchOptions {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The credential has expired, or was withdrawn. Called at most once. */
  readonly onEnd: (error: UnauthenticatedError) => void;
  /** It is time for fresh credentials, and nobody but the client can be asked. Called again and again. */
  readonly onStale?: () => void;
}

const ASK_TIMEOUT_MS = 5_000;

/** Watches over the credential of one connection: tells when it has expired, was withdrawn, or has to be shown anew. */
export class CredentialWatch {
  readonly #options: CredentialWatchOptions;
  readonly #stop = new AbortController();
  #stopExpiry: (() => void) | undefined;
  #stopTimer: (() => void) | undefined;

  constructor(options: CredentialWatchOptions) {
    this.#options = options;
    const { clock, identity } = options;
    if (identity.expiresAt !== undefined) {
      const expire = (): void => this.#end("the credential has expired");
      this.#stopExpiry = clock.setTimer(expire, identity.expiresAt - clock.now());
    }
    this.#arm();
  }

  /** Nothing is called any more. Idempotent. */
  stop(): void {
    this.#stop.abort();
    this.#stopExpiry?.();
    this.#stopTimer?.();
  }

  #arm(): void {
    const { clock, identity } = this.#options;
    if (identity.revalidateAfterMs === undefined) return;
    this.#stopTimer = clock.setTimer(() => void this.#revalidate(), identity.revalidateAfterMs);
  }

  async #revalidate(): Promise<void> {
    const { identity, onStale, clock, logger } = this.#options;
    const { signal } = this.#stop;
    if (identity.isRevoked === undefined) onStale?.();
    else {
      try {
        const asked = callUpstream(identity.isRevoked, { clock, timeoutMs: ASK_TIMEOUT_MS, signal });
        const isRevoked = await asked.answer;
        if (signal.aborted) return;
        if (isRevoked) {
          this.#end("the credential was withdrawn");
          return;
        }
      } catch (error) {
        if (signal.aborted) return;
        // Who is in stays in, until the credential expires: an issuer that is down ends no sessions.
        logger.warn({ err: error }, "it could not be found out whether a credential was withdrawn");
      }
    }
    if (!signal.aborted) this.#arm();
  }

  #end(message: string): void {
    this.stop();
    this.#options.onEnd(new UnauthenticatedError(message));
  }
}
