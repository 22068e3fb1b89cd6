/**
 * Who is signed in, on this side of the cookie: a browser has a random name for its session, and what its page shows to the
 * runtime is a ticket, which opens connections for a minute. Of both only digests are kept, and in memory alone.
 */
import { createHash, randomBytes } from "node:crypto";
import { type BearerVerifier, type Clock, type Identity, type Logger, UnauthenticatedError } from "@arcp/core";
import type { IdentityProvider, Member } from "./sign-in.ts";

export interface PageSessionsOptions {
  readonly provider: Pick<IdentityProvider, "renew">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long somebody stays signed in at most. */
  readonly sessionMs: number;
}

/** What the page is handed. */
export interface Ticket {
  readonly token: string;
  readonly principal: string;
}

interface Kept {
  readonly key: string;
  readonly expiresAt: number;
  member: Member;
  /** Digests of its tickets, with when each ends, the oldest first. */
  readonly tickets: Map<string, number>;
  /** The provider is being asked. */
  asked: Promise<boolean> | undefined;
}

const TICKET_MS = 60_000;
const MAX_TICKETS = 64;
const MAX_SESSIONS = 10_000;
const MAX_SESSIONS_OF_ONE = 32;
/** How often a connection asks whether its session still stands. */
const RECHECK_MS = 10_000;
/** After the provider could not be asked. */
const RETRY_MS = 30_000;
const TICKET_PREFIX = "arcp_page_";

export class PageSessions implements BearerVerifier {
  readonly #options: PageSessionsOptions;
  /** By the digest of the cookie, the oldest first. */
  readonly #sessions = new Map<string, Kept>();
  readonly #byTicket = new Map<string, Kept>();

  constructor(options: PageSessionsOptions) {
    this.#options = options;
  }

  /** How many are signed in. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Begins a session, and returns its name for the cookie: never one that anybody knew before. */
  open(member: Member): string {
    const name = newSecret();
    const key = digestOf(name);
    const { clock, sessionMs } = this.#options;
    this.#sweep();
    const own = [...this.#sessions.values()].filter((other) => isSamePerson(other.member.identity, member.identity));
    if (own.length >= MAX_SESSIONS_OF_ONE && own[0] !== undefined) this.#end(own[0]);
    const [oldest] = this.#sessions.values();
    if (this.#sessions.size >= MAX_SESSIONS && oldest !== undefined) this.#end(oldest);
    const expiresAt = clock.now() + sessionMs;
    this.#sessions.set(key, { key, expiresAt, member, tickets: new Map(), asked: undefined });
    return name;
  }

  /** Ends the session of that name, with every connection that it has opened. Returns who it was. */
  close(name: string): Member | undefined {
    const kept = this.#sessions.get(digestOf(name));
    if (kept !== undefined) this.#end(kept);
    return kept?.member;
  }

  /** A ticket for the session of that name; `undefined` if it is over. */
  async ticket(name: string): Promise<Ticket | undefined> {
    const kept = this.#sessions.get(digestOf(name));
    if (kept === undefined || !(await this.#stands(kept))) return undefined;
    const token = `${TICKET_PREFIX}${newSecret()}`;
    const digest = digestOf(token);
    const now = this.#options.clock.now();
    for (const [old, endsAt] of kept.tickets) {
      if (endsAt > now && kept.tickets.size < MAX_TICKETS) break;
      kept.tickets.delete(old);
      this.#byTicket.delete(old);
    }
    kept.tickets.set(digest, now + TICKET_MS);
    this.#byTicket.set(digest, kept);
    return { token, principal: kept.member.identity.principal };
  }

  /**
   * Whom a ticket was handed to. The identity is withdrawn when the session ends, and when the provider says something else
   * of the person: then the page comes back with a ticket of that.
   */
  async verify(token: string): Promise<Identity> {
    if (!token.startsWith(TICKET_PREFIX)) throw new UnauthenticatedError("the bearer token is not valid");
    const digest = digestOf(token);
    const kept = this.#byTicket.get(digest);
    const endsAt = kept?.tickets.get(digest) ?? 0;
    if (kept === undefined || endsAt <= this.#options.clock.now() || !(await this.#stands(kept))) {
      throw new UnauthenticatedError("the bearer token is not valid");
    }
    const { identity } = kept.member;
    return {
      ...identity,
      expiresAt: Math.min(kept.expiresAt, identity.expiresAt ?? Number.POSITIVE_INFINITY),
      revalidateAfterMs: RECHECK_MS,
      isRevoked: async () => !(await this.#stands(kept)) || !isSameIdentity(kept.member.identity, identity),
    };
  }

  /** Is the session not over, and does its provider still know the person? */
  #stands(kept: Kept): Promise<boolean> {
    kept.asked ??= this.#ask(kept).finally(() => {
      kept.asked = undefined;
    });
    return kept.asked;
  }

  async #ask(kept: Kept): Promise<boolean> {
    const { clock, provider, logger } = this.#options;
    if (this.#isOver(kept)) return false;
    const { member } = kept;
    if (member.staleAt === undefined || member.staleAt > clock.now()) return true;
    try {
      const renewed = await provider.renew(member);
      if (renewed === undefined || renewed.subject !== member.subject) this.#end(kept);
      else kept.member = renewed;
    } catch (error) {
      // A provider that is down signs nobody out; the session has an end of its own.
      logger.warn({ err: error }, "the identity provider could not be asked again");
      kept.member = { ...member, staleAt: clock.now() + RETRY_MS };
    }
    return !this.#isOver(kept);
  }

  #isOver(kept: Kept): boolean {
    if (this.#sessions.get(kept.key) !== kept) return true;
    if (kept.expiresAt > this.#options.clock.now()) return false;
    this.#end(kept);
    return true;
  }

  #sweep(): void {
    const now = this.#options.clock.now();
    for (const kept of this.#sessions.values()) {
      if (kept.expiresAt > now) return;
      this.#end(kept);
    }
  }

  #end(kept: Kept): void {
    this.#sessions.delete(kept.key);
    for (const digest of kept.tickets.keys()) this.#byTicket.delete(digest);
    kept.tickets.clear();
  }
}

const newSecret = (): string => randomBytes(32).toString("base64url");

/** By digests, how long a look-up takes says nothing of how much was right. */
const digestOf = (secret: string): string => createHash("sha256").update(secret).digest("base64url");

const isSamePerson = (one: Identity, other: Identity): boolean =>
  one.principal === other.principal && one.tenant === other.tenant;

const isSameIdentity = (one: Identity, other: Identity): boolean =>
  isSamePerson(one, other) && String(one.permissions) === String(other.permissions);
