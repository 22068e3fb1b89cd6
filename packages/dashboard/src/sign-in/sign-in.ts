/** What the dashboard needs of an identity provider, and what it hands to the runtime. */
import type { BearerVerifier, Identity, Logger } from "@arcp/core";
import type { PageSessions } from "./page-sessions.ts";
import type { SealedAttempts } from "./sealed-attempt.ts";

/** Who has signed in, as the provider said last. */
export interface Member {
  readonly identity: Identity;
  /** With which the provider is asked again; `undefined`: it is not. */
  readonly refreshToken: string | undefined;
  /** When it is time to ask again, in milliseconds since the epoch; `undefined`: never. */
  readonly staleAt: number | undefined;
  /** What the provider has called the person: by it a later answer is known to be about the same one. */
  readonly subject: string;
  readonly idToken: string | undefined;
}

/** A sign-in that has begun, as its browser keeps it, sealed. */
export interface Attempt {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /** Where the provider sends the browser back to. */
  readonly redirectUri: string;
  /** The place on the page to come back to: `#/…`. */
  readonly place: string;
}

/** One that signs people in. */
export interface IdentityProvider {
  /** What people know it by. */
  readonly name: string;
  /** Where the browser goes. @throws SignInProblem if the provider cannot be asked. */
  authorizationUrl(attempt: Attempt): Promise<URL>;
  /** Who has come back, with the query that the provider gave. @throws SignInProblem for whatever is not right. */
  redeem(attempt: Attempt, query: string): Promise<Member>;
  /**
   * The same person, as the provider sees it now; `undefined` if it lets the person in no more. @throws SignInProblem if
   * the provider cannot be asked.
   */
  renew(member: Member): Promise<Member | undefined>;
  /** Where the browser is signed out of the provider, too; `undefined`: it is not. */
  endSessionUrl(member: Member): URL | undefined;
}

/** Why nobody was signed in: a status and words for the person; what was behind it is the cause, for the log. */
export class SignInProblem extends Error {
  readonly status: number;

  constructor(status: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** How people sign in to a dashboard with something else than a token. */
export interface SignIn {
  /**
   * Verifies what pages are handed for their connections, and nothing else: for the runtime's option `bearer`, beside other
   * verifiers if there are any.
   */
  readonly bearer: BearerVerifier;
  /** For `dashboard`, and nobody else. */
  readonly provider: IdentityProvider;
  /** For `dashboard`, and nobody else. */
  readonly sessions: PageSessions;
  /** For `dashboard`, and nobody else. */
  readonly attempts: SealedAttempts;
  /** Addresses of the dashboard: a sign-in comes back to one of these, and to nowhere else. */
  readonly publicUrls: readonly URL[];
  readonly acceptsTokens: boolean;
  /** Hears why nobody was signed in. */
  readonly logger: Logger;
}
