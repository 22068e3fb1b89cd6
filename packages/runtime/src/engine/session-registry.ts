/** Sessions by id: opened, claimed back with a resume token, forgotten when their window is over (§6.2, §6.3). */
import { createHash, timingSafeEqual } from "node:crypto";
import {
  ARCPError,
  type Clock,
  crockford,
  type Identity,
  InternalError,
  newResumeToken,
  newSessionId,
  ResumeWindowExpiredError,
  type SessionId,
  UnauthenticatedError,
} from "@arcp/core";
import type { Followed, SharedStore } from "../store/shared.ts";
import type { Store } from "../store/store.ts";
import { withPermissions } from "./access.ts";
import { type Audit, bySession } from "./audit/audit.ts";
import type { PrincipalCaps } from "./caps.ts";
import type { Others } from "./cluster/others.ts";
import type { Feed } from "./feed.ts";
import type { Journal } from "./journal.ts";
import type { Rates } from "./rates.ts";
import { Session, type SessionTools } from "./session.ts";

/** What a client presents to have its session back. */
export interface ResumeClaim {
  /** Not needed: the token names the session too. */
  readonly sessionId: string | undefined;
  readonly token: string;
  readonly lastEventSeq: number;
  /** Who the client is, if it has shown credentials as well. */
  readonly identity: Identity | undefined;
  readonly remoteAddress: string | undefined;
  /** Is the client still there? Whoever is gone is given no token: it would void the one that the client has. */
  readonly isAwaited: () => boolean;
}

const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");
const isSameHash = (left: string, right: string): boolean =>
  left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));

/** Can the credentials expire, or be withdrawn? */
const canEnd = ({ expiresAt, revalidateAfterMs }: Identity): boolean =>
  expiresAt !== undefined || revalidateAfterMs !== undefined;

/** One answer to every claim that does not hold, so that it tells nothing about what exists. */
const expired = (): ResumeWindowExpiredError =>
  new ResumeWindowExpiredError("the session cannot be resumed: its window is over, or it was never yours");

/** How long after a welcome the token before it is refused while the connection that got the welcome is open. */
const CLAIM_SETTLE_MS = 250;

export class SessionRegistry {
  readonly #tools: SessionTools;
  readonly #store: Store;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #rates: Pick<Rates, "take">;
  readonly #onPermitted: (session: Session) => void;
  readonly #caps: PrincipalCaps;
  readonly #resumeWindowMs: number;
  readonly #audit: Audit;
  readonly #onForgotten: (feeds: ReadonlySet<Feed>) => void;
  readonly #onOpened: (session: Session) => void;
  readonly #shared: SharedStore | undefined;
  readonly #others: Others | undefined;
  readonly #onTaken: (session: Session, follows: readonly Followed[]) => Promise<void>;
  readonly #sessions = new Map<SessionId, Session>();
  /** In the order of their making. */
  readonly #ofPrincipal = new Map<string, Set<Session>>();
  /** Sessions that are being loaded, so that two claims share one object. */
  readonly #loading = new Map<SessionId, Promise<Session | undefined>>();
  /** Sessions whose claim is on its way to the store. */
  readonly #claiming = new Set<SessionId>();
  /** Claims that bring a session here from another node, one after another: the last one of each session. */
  readonly #turns = new Map<SessionId, Promise<void>>();
  /** When the last claim of a session succeeded; one at a time does. */
  readonly #claimedAt = new Map<SessionId, number>();

  constructor(
    tools: SessionTools,
    options: {
      readonly caps: PrincipalCaps;
      readonly rates: Pick<Rates, "take">;
      /** Called with a session whose client's credentials permit something else than before. */
      readonly onPermitted: (session: Session) => void;
      readonly resumeWindowMs: number;
      readonly audit: Audit;
      /** Called with the feeds of sessions that are forgotten: nothing may be numbered in them any more. */
      readonly onForgotten: (feeds: ReadonlySet<Feed>) => void;
      /** What other runtimes over the same store may have; `undefined`: there are none. */
      readonly shared?: SharedStore | undefined;
      /** What they have of a principal's sessions. */
      readonly others?: Others | undefined;
      /** Called with a session that was another node's, and with the jobs that it shows, before its client hears of anything. */
      readonly onTaken?: (session: Session, follows: readonly Followed[]) => Promise<void>;
      /** Called with a new session in the turn of its making: what is numbered in its feed comes after its welcome. */
      readonly onOpened: (session: Session) => void;
    },
  ) {
    this.#tools = tools;
    this.#store = tools.store;
    this.#journal = tools.journal;
    this.#clock = tools.clock;
    this.#caps = options.caps;
    this.#rates = options.rates;
    this.#onPermitted = options.onPermitted;
    this.#resumeWindowMs = options.resumeWindowMs;
    this.#audit = options.audit;
    this.#onForgotten = options.onForgotten;
    this.#onOpened = options.onOpened;
    this.#shared = options.shared;
    this.#others = options.others;
    this.#onTaken = options.onTaken ?? (async () => {});
  }

  get size(): number {
    return this.#sessions.size;
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  ids(): IterableIterator<SessionId> {
    return this.#sessions.keys();
  }

  /** Those that a client is connected to. */
  attached(): SessionId[] {
    return [...this.#sessions.values()].filter(({ isAttached }) => isAttached).map(({ id }) => id);
  }

  get(id: SessionId): Session | undefined {
    return this.#sessions.get(id);
  }

  /**
   * A new session and its first token, in the open batch. Throws {@link InternalError} beyond the principal's cap, and
   * while nothing can be stored.
   */
  open(
    identity: Identity,
    wire: string,
    features: readonly string[],
    remoteAddress: string | undefined,
  ): { readonly session: Session; readonly resumeToken: string } {
    const { principal } = identity;
    this.#rates.take(principal, "sessionsPerMinute");
    this.#journal.room.assertForSession();
    this.#assertRoom(principal, this.#caps.maxSessions);
    const resumeToken = newResumeToken();
    const session = new Session(
      {
        ...{
          id: newSessionId(),
          principal,
          wire,
          features: withPermissions(features, identity),
          tokenHash: hashOf(resumeToken),
          previousTokenHash: null,
        },
        ...{
          mustAuthenticate: canEnd(identity),
          salt: newSalt(),
          ackedSeq: 0,
          detachedAt: null,
          sentSeq: null,
          createdAt: this.#clock.now(),
        },
      },
      null,
      this.#tools,
    );
    this.#add(session);
    session.remoteAddress = remoteAddress;
    this.#journal.putSession(session.record);
    this.#audit.record("session.opened", bySession(session), { wire });
    this.#onOpened(session);
    return { session, resumeToken };
  }

  /**
   * Looks at what the principal has at other nodes, too: to be called before {@link open}. Rejects as that throws, and when the
   * store does.
   */
  async assertRoom({ principal }: Pick<Identity, "principal">): Promise<void> {
    const { maxSessions } = this.#caps;
    const max = (await this.#others?.leave(principal, maxSessions)) ?? maxSessions;
    if (max < maxSessions) this.#assertRoom(principal, max);
  }

  #assertRoom(principal: string, max: number): void {
    if ((this.#ofPrincipal.get(principal)?.size ?? 0) < max) return;
    throw new InternalError("this principal has too many sessions", {
      details: { limit: "maxSessions", max: this.#caps.maxSessions, retry: "after_capacity" },
    });
  }

  /**
   * The session that `claim` proves to own, with a fresh token in the open batch. The token presented stays valid
   * until {@link confirm}. Throws {@link ResumeWindowExpiredError} for everything that does not hold, and for numbers
   * that are no longer held; {@link UnauthenticatedError} if the credentials shown are somebody else's; InternalError, to be
   * tried again, while nothing can be stored.
   */
  async claim(claim: ResumeClaim): Promise<{ readonly session: Session; readonly resumeToken: string }> {
    const { metrics } = this.#tools;
    try {
      const claimed = await this.#claim(claim);
      metrics.resumed(undefined);
      return claimed;
    } catch (error) {
      metrics.resumed(ARCPError.from(error).code);
      throw error;
    }
  }

  async #claim(claim: ResumeClaim): Promise<{ readonly session: Session; readonly resumeToken: string }> {
    this.#journal.room.assertForSession();
    const hash = hashOf(claim.token);
    const session = await this.#owned(claim, hash);
    if (session !== undefined) return this.#renewed(session, claim, hash);
    const id = await this.#claimable(claim, hash);
    if (id === undefined) throw expired();
    const turn = await this.#turn(id);
    try {
      // Who had the turn before may have brought it here.
      const found = (await this.#owned(claim, hash)) ?? (await this.#takeOver(id, hash));
      if (found === undefined) throw expired();
      if (found.isLost) throw resuming();
      return this.#renewed(found, claim, hash);
    } finally {
      turn.end();
    }
  }

  /** The claim is looked at, and the session has a new token if it holds. */
  #renewed(
    session: Session,
    claim: ResumeClaim,
    hash: string,
  ): { readonly session: Session; readonly resumeToken: string } {
    const { record } = session;
    const isCurrent = isSameHash(hash, record.tokenHash);
    const isPrevious = record.previousTokenHash !== null && isSameHash(hash, record.previousTokenHash);
    if (!isCurrent && !isPrevious) throw expired();
    const { identity } = claim;
    if (identity === undefined && record.mustAuthenticate) {
      throw new UnauthenticatedError("the session is resumed with credentials");
    }
    if (identity !== undefined && identity.principal !== record.principal) {
      throw new UnauthenticatedError("the credentials are not those of the session");
    }
    if (this.#isOver(session)) throw expired();
    if (claim.lastEventSeq > session.sentHead || claim.lastEventSeq < session.ackedSeq) throw expired();
    if (isPrevious) this.#assertSettled(session);
    if (!claim.isAwaited()) throw new InternalError("the client has not waited for its session");
    this.#claiming.add(session.id);
    this.#claimedAt.set(session.id, this.#clock.monotonic());
    const resumeToken = newResumeToken();
    const mustAuthenticate = identity === undefined ? record.mustAuthenticate : canEnd(identity);
    // What was numbered while nobody was there is sent as soon as this is stored: the limit of before must go with it.
    session.update({ tokenHash: hashOf(resumeToken), previousTokenHash: hash, mustAuthenticate, sentSeq: null });
    if (identity !== undefined) this.renew(session, identity);
    session.remoteAddress = claim.remoteAddress;
    const facts = { wire: record.wire, after_seq: claim.lastEventSeq };
    this.#audit.record("session.resumed", bySession(session), facts);
    return { session, resumeToken };
  }

  /**
   * The session of that id, for `principal` who owns it (RFC §19). `undefined` if there is none, it is another's, or its
   * window is over.
   */
  async reclaim(id: SessionId, principal: string): Promise<Session | undefined> {
    const session = await this.load(id);
    return session === undefined || session.principal !== principal || this.#isOver(session) ? undefined : session;
  }

  /** The sessions of `principal` that this process knows, in the order of their making. */
  of(principal: string): readonly Session[] {
    return [...(this.#ofPrincipal.get(principal) ?? [])];
  }

  /** The client of the session has shown these credentials: what they permit counts from now on. */
  renew(session: Session, identity: Identity): void {
    const features = withPermissions(session.features, identity);
    if (features.join() === [...session.features].join()) return;
    session.update({ features });
    this.#onPermitted(session);
  }

  /** Forgets a session that nobody has the token of. It is swept as one whose window is over. */
  discard(session: Session): void {
    session.update({ detachedAt: 0 });
    this.#remove(session);
  }

  /** The connection that claimed the session has it, or is gone: the claim is over. */
  settle(session: Session): void {
    this.#claiming.delete(session.id);
  }

  /**
   * The client has used the connection to which `resumeToken` was sent: the one before it is void from now on. Nothing happens if
   * the session was claimed again since: what was on its way says nothing about what came after it.
   */
  confirm(session: Session, resumeToken: string): void {
    if (!isSameHash(hashOf(resumeToken), session.record.tokenHash)) return;
    this.#claimedAt.delete(session.id);
    if (session.record.previousTokenHash !== null) session.update({ previousTokenHash: null });
  }

  /** Whose session it is, wherever it is; `undefined` if there is none of that id. */
  async ownerOf(id: SessionId): Promise<string | undefined> {
    const known = this.#sessions.get(id);
    return known === undefined ? (await this.#store.findSession(id))?.record.principal : known.principal;
  }

  /** A stored session, made part of this process without a claim: its jobs are being recovered. Those of other nodes are theirs. */
  async load(id: SessionId): Promise<Session | undefined> {
    const known = this.#sessions.get(id);
    if (known !== undefined || this.#shared !== undefined) return known;
    let loading = this.#loading.get(id);
    if (loading === undefined) {
      loading = this.#read(id).finally(() => this.#loading.delete(id));
      this.#loading.set(id, loading);
    }
    return loading;
  }

  /** Forgets the sessions whose window is over, and everything stored that nobody can ask for any more. */
  async sweep({ jobMs, eventMs }: { readonly jobMs: number; readonly eventMs: number }): Promise<void> {
    const now = this.#clock.now();
    const forgotten = [...this.#sessions.values()].filter((session) => this.#isOver(session));
    for (const session of forgotten) this.#remove(session);
    if (forgotten.length > 0) {
      this.#onForgotten(new Set(forgotten.map(({ feed }) => feed)));
      // What was numbered before must not arrive in the store after its session has gone.
      await this.#journal.flush();
    }
    await this.#store.sweep({
      detachedBefore: now - this.#resumeWindowMs,
      endedBefore: now - jobMs,
      ...(eventMs < jobMs && { eventsBefore: now - eventMs }),
      now,
    });
  }

  /** The session that the claim is about, if this process has it: with a store that others use, only if the token is known. */
  async #owned(claim: ResumeClaim, hash: string): Promise<Session | undefined> {
    if (this.#shared !== undefined) {
      const known = [...this.#sessions.values()].find(({ id, record }) =>
        claim.sessionId ? id === claim.sessionId : [record.tokenHash, record.previousTokenHash].includes(hash),
      );
      return known !== undefined && [known.record.tokenHash, known.record.previousTokenHash].includes(hash)
        ? known
        : undefined;
    }
    if (claim.sessionId) return this.load(claim.sessionId as SessionId);
    await this.#journal.flush();
    const id = await this.#store.findSessionByToken(hash);
    return id === undefined ? undefined : this.load(id);
  }

  /** The session that the claim is about, which another node has had, or this one in another life; `undefined` if it cannot hold. */
  async #claimable(claim: ResumeClaim, hash: string): Promise<SessionId | undefined> {
    const shared = this.#shared;
    if (shared === undefined) return undefined;
    await this.#journal.flush();
    const id = (claim.sessionId as SessionId | undefined) ?? (await shared.findSessionByToken(hash));
    const stored = id === undefined ? undefined : await shared.findSession(id);
    return stored !== undefined && this.#isClaimable(stored, claim, hash) ? stored.record.id : undefined;
  }

  /** Resolves when nobody else brings the session here: two of them would make two of it. */
  async #turn(id: SessionId): Promise<{ readonly end: () => void }> {
    const before = this.#turns.get(id);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turns.set(id, promise);
    await before;
    return {
      end: () => {
        resolve();
        if (this.#turns.get(id) === promise) this.#turns.delete(id);
      },
    };
  }

  /** The session is this node's then, if the token is still good. */
  async #takeOver(id: SessionId, hash: string): Promise<Session | undefined> {
    await this.#journal.flush();
    const taken = await this.#shared?.takeSession(id, hash);
    if (taken === undefined) return undefined;
    const ids = new Set([taken.record.id]);
    this.lose(ids);
    // It was read without that: numbers that were given here since are given anew.
    this.#journal.disown(ids);
    const session = new Session(taken.record, taken.lastRun, this.#tools);
    this.#add(session);
    await this.#onTaken(session, taken.follows);
    return session;
  }

  /** Is it worth taking? What a claim has to show for it is looked at once more when it is here. */
  #isClaimable(
    { record, lastRun }: NonNullable<Awaited<ReturnType<Store["findSession"]>>>,
    claim: ResumeClaim,
    hash: string,
  ): boolean {
    const { identity } = claim;
    const isKnown = [record.tokenHash, record.previousTokenHash].some((one) => one !== null && isSameHash(hash, one));
    const head = lastRun === null ? 0 : lastRun.seq + lastRun.count - 1;
    const isOver = record.detachedAt !== null && this.#clock.now() - record.detachedAt > this.#resumeWindowMs;
    const mayBe = identity === undefined ? !record.mustAuthenticate : identity.principal === record.principal;
    return isKnown && !isOver && mayBe && claim.lastEventSeq <= head && claim.lastEventSeq >= record.ackedSeq;
  }

  /** Others have these, or they have to be read anew: nothing is written for them here any more. */
  lose(ids: ReadonlySet<SessionId>, reason: "taken" | "stale" = "taken"): void {
    const lost = [...ids].flatMap((id) => this.#sessions.get(id) ?? []);
    if (lost.length === 0) return;
    for (const session of lost) this.#remove(session);
    this.#onForgotten(new Set(lost.map(({ feed }) => feed)));
    for (const session of lost) session.lose(reason);
  }

  async #read(id: SessionId): Promise<Session | undefined> {
    const stored = await this.#store.findSession(id);
    if (stored === undefined) return undefined;
    const session = new Session(stored.record, stored.lastRun, this.#tools);
    this.#add(session);
    return session;
  }

  #isOver(session: Session): boolean {
    const { detachedAt } = session;
    return detachedAt !== undefined && this.#clock.now() - detachedAt > this.#resumeWindowMs;
  }

  /** Two connections may present one token at the same moment; the second is told to come back. */
  #assertSettled(session: Session): void {
    const claimedAt = this.#claimedAt.get(session.id);
    const isRecent = claimedAt !== undefined && this.#clock.monotonic() - claimedAt <= CLAIM_SETTLE_MS;
    if (this.#claiming.has(session.id) || (isRecent && session.isAttached)) throw resuming();
  }

  #add(session: Session): void {
    this.#sessions.set(session.id, session);
    const ofPrincipal = this.#ofPrincipal.get(session.principal) ?? new Set();
    this.#ofPrincipal.set(session.principal, ofPrincipal.add(session));
  }

  #remove(session: Session): void {
    if (!this.#sessions.delete(session.id)) return;
    this.#claimedAt.delete(session.id);
    const ofPrincipal = this.#ofPrincipal.get(session.principal);
    ofPrincipal?.delete(session);
    if (ofPrincipal?.size === 0) this.#ofPrincipal.delete(session.principal);
  }
}

const resuming = (): InternalError =>
  new InternalError("another connection is resuming this session", {
    details: { reason: "resume_in_progress", retry: "after_capacity" },
  });

/** 40 random bits in base 32: the part of a session's message ids that no other session has. */
function newSalt(): string {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(5));
  return crockford(
    bytes.reduce((sum, byte) => sum * 256 + byte, 0),
    8,
  );
}
