/**
 * Wire 1.0 on one connection: its state, and one table of the commands of a client. It holds what belongs to the
 * connection; sessions, jobs and everything of theirs are the engine's.
 *
 *   pre-handshake    -> awaiting-welcome   session.open arrived; also while a challenge is out
 *   awaiting-welcome -> accepted           session.accepted
 *   accepted         -> closed             session.close, session.evicted, lost, displaced by a resume
 *   any              -> closed             refusal, time-out, lost transport
 */
import {
  ARCPError,
  closeCodeOf,
  decodeFrame,
  type FrameLimits,
  InternalError,
  InvalidRequestError,
  isDraftVersion,
  type JsonObject,
  type Logger,
  newMessageId,
  SessionState,
  type Transport,
  UnauthenticatedError,
} from "@arcp/core";
import {
  CanonicalError,
  type Capabilities10,
  type ClientMessage10,
  DEFAULT_HEARTBEAT_SECONDS,
  decodeClientMessage10,
  errorToV10,
  hasCorePrefix,
  isExtensionType,
  type MessageOf10,
  parseTrace10,
  priorityRank,
  WIRE_VERSION_10,
} from "@arcp/core/v1.0";
import type { AuthSchemes, VerifiedIdentity } from "../../auth/auth-schemes.ts";
import { CredentialWatch } from "../../auth/credential-watch.ts";
import { bySession } from "../../engine/audit/audit.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Acceptance, Link, Session } from "../../engine/session.ts";
import { type SessionSpan, startSessionSpan } from "../../engine/telemetry.ts";
import { RequestLane } from "../request-lane.ts";
import { termsOf } from "../terms.ts";
import type { WireConnection } from "../wire-connection.ts";
import type { Caller } from "./commands/command.ts";
import { COMMANDS } from "./commands/commands.ts";
import { Door } from "./door.ts";
import { errorFor } from "./entry-parts.ts";
import { Handshake10, type HandshakeOutcome, type HandshakeSettings10, type Opened } from "./handshake.ts";
import { Heartbeats } from "./heartbeats.ts";
import { Outbox10, type Outlet } from "./outbox.ts";
import { type CommandOrder, Priorities } from "./priorities.ts";
import { type Profile10, profileNamed, profileOf10 } from "./profiles.ts";
import { SeenCommands } from "./seen-commands.ts";
import { Sidecars } from "./sidecars.ts";
import { Subscriptions } from "./subscriptions.ts";

/** Answers a message of an extension (RFC §21). What it returns is not sent: it replies through the session. */
export type MessageHandler = (message: JsonObject) => void | Promise<void>;

export interface ConnectionSettings10 extends HandshakeSettings10 {
  readonly schemes: AuthSchemes;
  /** The principal of clients without credentials, on connections inside this machine. `undefined`: none are let in. */
  readonly anonymousPrincipal: string | undefined;
  readonly frameLimits: FrameLimits;
  readonly handshakeTimeoutMs: number;
  readonly maxBufferedBytes: number;
  readonly maxBufferedEvents: number;
  /** Takes envelopes without a timestamp, which §6.1.1 requires. */
  readonly allowsMissingTimestamp: boolean;
  /** How long a client may take to renew its credentials when asked to (RFC §8.4). */
  readonly refreshDeadlineMs: number;
}

/** What an admitted client has, besides its session. */
interface Admitted {
  readonly caller: Caller;
  readonly heartbeats: Heartbeats;
  readonly span: SessionSpan | undefined;
  readonly seen: SeenCommands;
  /** Looks after the credentials that the client has shown last. */
  watch: { readonly stop: () => void };
}

type ClosedBy = "client" | "runtime" | "transport";

/** Frames in a row that could not be understood, after which the peer is given up. */
const MAX_MALFORMED = 20;
const MAX_ECHO_CHARS = 128;
/** Sessions whose feeds go through one connection. */
const MAX_CARRIED = 16;
const CLOSE_NORMAL = 1000;
const CLOSE_POLICY = 1008;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_RESTART = 1012;

/** The feed of one session through the connection; a resumed one keeps its own id. */
interface Carried {
  readonly session: Session;
  readonly link: Link;
}

export class Connection10 implements WireConnection {
  readonly #engine: Engine;
  readonly #transport: Transport;
  readonly #settings: ConnectionSettings10;
  readonly #handlers: ReadonlyMap<string, MessageHandler>;
  readonly #logger: Logger;
  readonly #state = new SessionState();
  readonly #outbox: Outbox10;
  readonly #priorities: Priorities;
  readonly #lane: RequestLane<CommandOrder>;
  readonly #handshake: Handshake10;
  readonly #carried: Carried[] = [];
  readonly #endTasks: (() => void)[] = [];
  readonly #sidecars = new Sidecars();
  #stopHandshakeTimer: () => void;
  #profile: Profile10 = profileNamed("standard");
  #admitted: Admitted | undefined;
  #malformed = 0;
  #isLeaving = false;
  /** The error that the runtime ends the connection with. */
  #evictedWith: string | undefined;

  constructor(options: {
    readonly engine: Engine;
    readonly transport: Transport;
    readonly settings: ConnectionSettings10;
    readonly handlers: ReadonlyMap<string, MessageHandler>;
    readonly logger: Logger;
  }) {
    const { engine, transport, settings, logger } = options;
    this.#engine = engine;
    this.#transport = transport;
    this.#settings = settings;
    this.#handlers = options.handlers;
    this.#logger = logger;
    const { maxBufferedBytes, maxBufferedEvents } = settings;
    const { store, clock, sessions, ready } = engine;
    this.#outbox = new Outbox10({ transport, clock, logger, store, maxBufferedBytes, maxBufferedEvents });
    this.#priorities = new Priorities(clock);
    this.#lane = new RequestLane<CommandOrder>({
      setReading: (reads) => (reads ? transport.resume() : transport.pause()),
      isCongested: () => this.#outbox.isCongested,
      drained: () => this.#outbox.drained(),
      logger,
      next: (waiting) => this.#priorities.next(waiting),
    });
    const { schemes, anonymousPrincipal } = settings;
    const door = new Door({ schemes, anonymousPrincipal, peer: transport.peer });
    const offered = (): Capabilities10 => offeredOver(transport, settings.offered());
    const { remoteAddress } = transport.peer;
    const isAwaited = (): boolean => this.#state.phase === "awaiting-welcome";
    this.#handshake = new Handshake10({
      settings: { ...settings, offered },
      sessions,
      door,
      remoteAddress,
      ready,
      isAwaited,
    });
    const late = (): void => this.#reject(new InvalidRequestError("no session.open in time"), undefined);
    this.#stopHandshakeTimer = clock.setTimer(late, settings.handshakeTimeoutMs);
    void transport.closed.then(() => this.#close("transport", "the transport is gone"));
  }

  get state(): SessionState {
    return this.#state;
  }

  get session(): Session | undefined {
    return this.#admitted?.caller.session;
  }

  /** Takes one frame from the transport. */
  onFrame(text: string): void {
    if (this.#state.phase === "closed" || this.#isLeaving) return;
    this.#sidecars.onText();
    let frame: JsonObject | undefined;
    try {
      frame = decodeFrame(text, this.#settings.frameLimits);
      this.#route(frame);
      this.#malformed = 0;
    } catch (error) {
      this.#onBadFrame(ARCPError.from(error), frame);
    }
    this.#lane.pace();
  }

  /** Takes one binary frame. */
  #onBinary(bytes: Uint8Array): void {
    if (this.#state.phase === "closed" || this.#isLeaving) return;
    try {
      this.#sidecars.onBinary(bytes);
    } catch (error) {
      this.#onBadFrame(ARCPError.from(error), undefined);
    }
    this.#lane.pace();
  }

  /** Input that is no frame at all. */
  onMalformed(problem: string): void {
    if (this.#state.phase !== "closed" && !this.#isLeaving)
      this.#onBadFrame(new InvalidRequestError(problem), undefined);
  }

  /** Sends a message of the runtime's own. */
  send(type: string, payload: object, members: object = {}): void {
    this.#outbox.send(type, payload, members);
  }

  /** Ends the connection with an error that is not the answer to a request. */
  fail(error: ARCPError): void {
    const { code, message } = errorToV10(error);
    this.evict(code, message);
  }

  /** RFC §8.5. The session's durable jobs go on, and can be resumed. */
  evict(code: string, message: string): void {
    if (this.#state.phase === "accepted") {
      this.#outbox.send("session.evicted", { reason: code, code, message, allow_resume: code !== "UNAUTHENTICATED" });
      this.#evictedWith = code;
    }
    this.#close("runtime", message, CLOSE_POLICY);
  }

  /** Says goodbye, for a shutdown. The session can be resumed. */
  bye(reason: string): void {
    if (this.#state.phase === "accepted") {
      this.#outbox.send("session.evicted", {
        reason: "UNAVAILABLE",
        code: "UNAVAILABLE",
        message: reason,
        allow_resume: true,
      });
    }
    this.#close("runtime", reason, CLOSE_GOING_AWAY);
  }

  // --- Inbound ----------------------------------------------------------------------------------------------------

  #route(frame: JsonObject): void {
    const { type } = frame;
    if (typeof type !== "string") throw new InvalidRequestError("type: expected a string");
    const admitted = this.#admitted;
    if (admitted === undefined || this.#state.phase !== "accepted") {
      this.#onOpening(frame, type);
      return;
    }
    const handler = this.#handlers.get(type);
    if (handler) {
      this.#lane.add(async () => this.#runHandler(handler, frame), {
        rank: priorityRank(undefined),
        subject: undefined,
      });
      return;
    }
    if (!Object.hasOwn(COMMANDS, type) && !isHandshake(type)) {
      this.#onUnknown(frame, type);
      return;
    }
    const message = decodeClientMessage10(frame, { allowMissingTimestamp: this.#settings.allowsMissingTimestamp });
    this.#assertOwnSession(message);
    this.#dispatch(message, admitted);
  }

  /** RFC §21.3. */
  #onUnknown({ extensions }: JsonObject, type: string): void {
    const isOptional = (extensions as JsonObject | undefined)?.["optional"] === true;
    if (isExtensionType(type) && isOptional && !hasCorePrefix(type)) return;
    throw new CanonicalError(
      "UNIMPLEMENTED",
      `the type ${JSON.stringify(type.slice(0, MAX_ECHO_CHARS))} is not known here`,
    );
  }

  /** A command for a session that this connection does not carry is nobody's, but for `resume`. */
  #assertOwnSession({ session_id, type }: ClientMessage10): void {
    if (session_id === undefined || type === "resume" || type === "session.resume") return;
    // A client may be quicker than this connection: it can write before the turn in which it was accepted is over.
    if (session_id === this.session?.id || this.#carried.some(({ session }) => session.id === session_id)) return;
    throw new InvalidRequestError("session_id: not a session of this connection");
  }

  #dispatch(message: ClientMessage10, admitted: Admitted): void {
    const { caller, seen } = admitted;
    if (message.type === "session.open" || message.type === "session.resume")
      throw new InvalidRequestError("the session is open already");
    if (message.type === "session.authenticate") {
      this.#onRefreshed(message, admitted);
      return;
    }
    // A message that arrives twice is carried out once (RFC §6.4).
    if (!seen.add(message.id)) return;
    if (message.type === "artifact.put" && message.payload.encoding === "sidecar" && caller.carriesSidecar) {
      this.#sidecars.expect(message.id);
    }
    const command = COMMANDS[message.type] as (
      message: ClientMessage10,
      caller: Caller,
      reply: (send: () => void) => void,
    ) => unknown;
    this.#lane.add(async () => {
      if (this.#state.phase !== "accepted") return;
      try {
        const terms = termsOf(message.type);
        if (terms !== undefined) this.#engine.access.admit(caller.session, message.type, terms);
        await command(message, caller, (send) => send());
      } catch (error) {
        const failure = ARCPError.from(error);
        if (failure.cause !== undefined) this.#logger.error({ err: failure.cause }, "a command failed");
        // It was not carried out: the same message may be tried again.
        if (failure.retryable) seen.forget(message.id);
        this.#refuse(message, failure);
      }
    }, this.#priorities.orderOf(message));
  }

  #refuse(message: ClientMessage10, error: ARCPError): void {
    const isAwaited = message.type === "tool.invoke" || message.type === "workflow.start";
    if (!this.#profile.failsRefused || !isAwaited) this.#nack(message, error);
    else this.#outbox.reply(message, "job.failed", { ...errorFor(this.#profile, error), ack_for: message.id });
  }

  #nack(command: { readonly id?: string; readonly trace_id?: unknown }, error: ARCPError): void {
    const { id } = command;
    this.#outbox.reply(command, "nack", {
      ...errorFor(this.#profile, error),
      ...(id !== undefined && { ack_for: id }),
    });
  }

  async #runHandler(handler: MessageHandler, frame: JsonObject): Promise<void> {
    try {
      if (this.#state.phase === "accepted") await handler(frame);
    } catch (error) {
      this.#logger.error({ err: error }, "a handler of an extension's message failed");
    }
  }

  #onBadFrame(error: ARCPError, frame: JsonObject | undefined): void {
    if (this.#state.phase !== "accepted") {
      // Nothing but the handshake is heard before it is over (RFC §8.1).
      if (isHandshake(frame?.["type"])) this.#reject(error, frame);
      else this.#onNoise(error);
      return;
    }
    this.#malformed += 1;
    this.#nack(referenceOf(frame), error);
    if (this.#malformed >= MAX_MALFORMED) this.evict("INVALID_ARGUMENT", "too many malformed frames");
  }

  #onNoise(error: ARCPError): void {
    this.#logger.info({ reason: error.message }, "a message before session.accepted was dropped");
    this.#malformed += 1;
    if (this.#malformed >= MAX_MALFORMED) this.#close("runtime", error.message, closeCodeOf(error));
  }

  // --- Opening ----------------------------------------------------------------------------------------------------

  #onOpening(frame: JsonObject, type: string): void {
    if (!isHandshake(type)) throw new InvalidRequestError("expected session.open first");
    const { phase } = this.#state;
    if (type !== "session.authenticate" && phase === "pre-handshake") {
      this.#profile = profileOf10(frame);
      const { arcp } = frame;
      const version = typeof arcp === "string" && isDraftVersion(arcp) ? arcp : WIRE_VERSION_10;
      this.#outbox.address(version, this.#profile);
    }
    const message = decodeClientMessage10(frame, { allowMissingTimestamp: this.#settings.allowsMissingTimestamp });
    if (message.type === "session.open") {
      if (phase !== "pre-handshake") throw new InvalidRequestError("the session was opened already");
      this.#state.enter({ phase: "awaiting-welcome" });
      this.#settle(message, frame, this.#handshake.open(message, this.#profile));
    } else if (message.type === "session.resume") {
      if (phase !== "pre-handshake") throw new InvalidRequestError("the session was opened already");
      this.#state.enter({ phase: "awaiting-welcome" });
      this.#settle(message, frame, this.#handshake.resume(message));
    } else if (message.type === "session.authenticate") {
      this.#settle(message, frame, this.#handshake.authenticate(message, this.#profile));
    }
  }

  #settle(message: ClientMessage10, frame: JsonObject, outcome: Promise<HandshakeOutcome>): void {
    outcome.then(
      (settled) => {
        if (settled.outcome === "opened") this.#accept(message, settled);
        else this.#challenge(message, settled);
      },
      (error) => this.#reject(ARCPError.from(error), frame),
    );
  }

  #challenge(
    message: ClientMessage10,
    { challenge, isAgain }: Extract<HandshakeOutcome, { outcome: "challenged" }>,
  ): void {
    if (this.#state.phase !== "awaiting-welcome") return;
    const { type, params, expiresAt } = challenge;
    if (isAgain) {
      const why = "the answer was wrong";
      this.#outbox.reply(message, "session.unauthenticated", { code: "UNAUTHENTICATED", message: why, reason: why });
    }
    this.#outbox.reply(message, "session.challenge", {
      ...{ challenge_id: newMessageId(), type, params, expires_at: new Date(expiresAt).toISOString() },
      // Some clients read the question there.
      ...(typeof params["nonce"] === "string" && { challenge: params["nonce"], nonce: params["nonce"] }),
    });
  }

  #accept(message: ClientMessage10, opened: Opened): void {
    const { clock, journal, sessions } = this.#engine;
    this.#stopHandshakeTimer();
    if (this.#state.phase === "awaiting-welcome") {
      // The client was in time: from now on it is told if the runtime is not.
      const late = (): void => this.#reject(new InternalError("the session could not be stored in time"), undefined);
      this.#stopHandshakeTimer = clock.setTimer(late, this.#settings.handshakeTimeoutMs);
    }
    journal.afterCommit(() => {
      sessions.settle(opened.session);
      if (this.#state.phase !== "awaiting-welcome") {
        if (!opened.isResumed) sessions.discard(opened.session);
        return;
      }
      // Another node has it by now, and nobody knows the token that was made here.
      if (opened.session.isLost) return this.#close("runtime", "the session is to be resumed", CLOSE_RESTART);
      this.#stopHandshakeTimer();
      this.#admit(message, opened);
    });
  }

  #admit(message: ClientMessage10, opened: Opened): void {
    const { session, identity, capabilities } = opened;
    if (carriesSidecar(capabilities, this.#transport)) this.#outbox.useSidecars();
    const outlet = this.#outbox.outlet(session, { isOwn: true, after: opened.after });
    this.#state.enter({ phase: "accepted", sessionId: session.id, features: session.features });
    const caller: Caller = {
      ...{ engine: this.#engine, session, outbox: this.#outbox, outlet, profile: this.#profile, capabilities },
      ...{ principal: identity.principal, trustLevel: identity.trustLevel, runtime: this.#settings.runtime },
      subscriptions: new Subscriptions({
        ...{ engine: this.#engine, outbox: this.#outbox, principal: identity.principal, logger: this.#logger },
        session,
        maxQueued: this.#settings.maxBufferedEvents,
      }),
      carriesSidecar: carriesSidecar(capabilities, this.#transport),
      binaryOf: (messageId) => this.#sidecars.take(messageId),
      carry: (other, after) => this.#carry(other, after),
      carried: () => this.#carried.map((one) => one.session),
      evict: (code, why) => this.evict(code, why),
      leave: (reason) => this.#leave(reason),
      whenClosed: (task) => void this.#endTasks.push(task),
    };
    this.#admitted = {
      caller,
      heartbeats: new Heartbeats({
        ...{ clock: this.#engine.clock, jobs: this.#engine.jobs, outbox: this.#outbox },
        intervalSeconds: capabilities.heartbeat_interval_seconds ?? DEFAULT_HEARTBEAT_SECONDS,
        sessions: () => caller.carried(),
      }),
      span: startSessionSpan(session.id, "1.0", parseTrace10(message)),
      seen: new SeenCommands(),
      watch: this.#watch(identity),
    };
    if (caller.carriesSidecar) this.#transport.onBinary((bytes) => this.#onBinary(bytes));
    if (opened.isResumed) this.#tellResumed(message, opened);
    else {
      const accepted = this.#handshake.accepted(opened);
      this.#outbox.reply(message, "session.accepted", accepted, { session_id: session.id });
    }
    this.#attach(session, outlet, opened.afterSeq);
  }

  #tellResumed(message: ClientMessage10, { session, resumeToken, afterSeq }: Opened): void {
    this.#outbox.reply(message, "session.resumed", {
      ...{ session_id: session.id, resume_token: resumeToken, replayed_from: afterSeq },
      replayed: session.feed.committedHead - afterSeq,
    });
  }

  #attach(session: Session, outlet: Outlet, afterSeq: number): void {
    const link: Link = {
      sink: outlet,
      // The child's first entry tells of it.
      announce: (_acceptance: Acceptance) => {},
      beat: (job, deadlineMs) => this.#admitted?.heartbeats.beat(job, session.id, deadlineMs),
      fail: (error) => this.fail(error),
      displaced: () => this.#displaced(session, "resumed on another connection", CLOSE_POLICY),
      dropped: () => this.#displaced(session, "the session is to be resumed", CLOSE_RESTART),
    };
    this.#carried.push({ session, link });
    session.attach(link, afterSeq);
  }

  /** Throws `RESOURCE_EXHAUSTED` for one session too many. */
  #carry(session: Session, after: { readonly seq: number; readonly index: number }): Outlet {
    const outlet = this.#outbox.outlet(session, { after });
    const afterSeq = Math.max(0, after.seq - 1);
    const before = this.#carried.findIndex((one) => one.session === session);
    if (before < 0 && this.#carried.length >= MAX_CARRIED) {
      const details = { limit: "maxCarriedSessions", max: MAX_CARRIED };
      throw new CanonicalError("RESOURCE_EXHAUSTED", "too many sessions on one connection", { details });
    }
    if (before >= 0) {
      const [own] = this.#carried.splice(before, 1);
      if (own !== undefined) session.detach(own.link);
    }
    this.#attach(session, outlet, afterSeq);
    return outlet;
  }

  /** A session is not carried here any more. If it is the connection's own there is nothing left to serve. */
  #displaced(session: Session, reason: string, code: number): void {
    const at = this.#carried.findIndex((one) => one.session === session);
    if (at >= 0) this.#carried.splice(at, 1);
    if (session === this.session) this.#close("runtime", reason, code);
  }

  /** Asks for fresh credentials in time, and evicts who has none when they have ended (RFC §8.4, §8.5). */
  #watch(identity: VerifiedIdentity): { readonly stop: () => void } {
    const { clock } = this.#engine;
    const { refreshDeadlineMs } = this.#settings;
    const watch = new CredentialWatch({
      ...{ identity, clock, logger: this.#logger },
      onEnd: (error) => this.evict("UNAUTHENTICATED", error.message),
      onStale: () => {
        stop();
        stop = this.#demandRefresh();
      },
    });
    const leadMs = (identity.expiresAt ?? Number.POSITIVE_INFINITY) - clock.now() - refreshDeadlineMs;
    let stop = Number.isFinite(leadMs)
      ? clock.setTimer(() => void this.#askForCredentials(refreshDeadlineMs), Math.max(0, leadMs))
      : () => {};
    return {
      stop: () => {
        stop();
        watch.stop();
      },
    };
  }

  /** Evicts who does not renew in time. */
  #demandRefresh(): () => void {
    const { refreshDeadlineMs } = this.#settings;
    this.#askForCredentials(refreshDeadlineMs);
    const evict = (): void => this.evict("UNAUTHENTICATED", "the credentials were not renewed");
    return this.#engine.clock.setTimer(evict, refreshDeadlineMs);
  }

  #askForCredentials(deadlineMs: number): void {
    const deadline = new Date(this.#engine.clock.now() + deadlineMs).toISOString();
    this.#outbox.send("session.refresh", { reason: "the credentials end", deadline_ms: deadlineMs, deadline });
  }

  #onRefreshed(message: MessageOf10<"session.authenticate">, admitted: Admitted): void {
    const renewed = this.#handshake.renew(message).then((identity) => {
      if (identity.principal !== admitted.caller.principal)
        throw new UnauthenticatedError("not the credentials of the session");
      admitted.watch.stop();
      if (this.#state.phase !== "accepted") return;
      admitted.watch = this.#watch(identity);
      for (const session of admitted.caller.carried()) this.#engine.sessions.renew(session, identity);
      this.#engine.audit.record("session.renewed", bySession(admitted.caller.session), { wire: "1.0" });
      const received_at = new Date(this.#engine.clock.now()).toISOString();
      this.#outbox.reply(message, "ack", { ack_for: message.id, received_at });
    });
    renewed.catch((error) => {
      this.#nack(message, ARCPError.from(error));
      this.evict("UNAUTHENTICATED", "the credentials were not renewed");
    });
  }

  #reject(error: ARCPError, frame: JsonObject | undefined): void {
    if (this.#state.phase === "closed") return;
    if (error.cause !== undefined) this.#logger.warn({ err: error.cause }, "a handshake failed");
    const payload = errorToV10(error);
    const { remoteAddress } = this.#transport.peer;
    this.#engine.audit.record("session.refused", { principal: "", remoteAddress }, { wire: "1.0", code: payload.code });
    this.#outbox.reply({ id: referenceOf(frame).id }, "session.rejected", { ...payload, reason: payload.message });
    this.#close("runtime", error.message, closeCodeOf(error));
  }

  #recordEnd(session: Session, by: ClosedBy, reason: string): void {
    const { audit } = this.#engine;
    const code = this.#evictedWith;
    if (code === undefined) audit.record("session.closed", bySession(session), { wire: "1.0", by, reason });
    else audit.record("session.evicted", bySession(session), { wire: "1.0", code, reason });
  }

  #leave(reason: string): void {
    this.#isLeaving = true;
    this.#close("client", reason);
  }

  #close(by: ClosedBy, reason: string, code = CLOSE_NORMAL): void {
    if (this.#state.phase === "closed") return;
    this.#state.enter({ phase: "closed", reason });
    this.#stopHandshakeTimer();
    this.#outbox.close();
    this.#admitted?.heartbeats.stop();
    this.#admitted?.caller.subscriptions.closeAll();
    this.#admitted?.watch.stop();
    this.#sidecars.close();
    for (const task of this.#endTasks.splice(0)) task();
    for (const { session, link } of this.#carried.splice(0)) {
      if (session.isAttachedTo(link)) this.#recordEnd(session, by, reason);
      session.detach(link);
    }
    this.#admitted?.span?.end(reason);
    if (by !== "transport") this.#transport.close(code, reason);
  }
}

const HANDSHAKE: ReadonlySet<unknown> = new Set(["session.open", "session.authenticate", "session.resume"]);
const isHandshake = (type: unknown): boolean => HANDSHAKE.has(type);

/** What can be offered on a carrier that may have no binary frames (RFC §11.3). */
const offeredOver = (transport: Transport, capabilities: Capabilities10): Capabilities10 =>
  transport.carriesBinary ? capabilities : { ...capabilities, binary_encoding: ["base64"] };

const carriesSidecar = ({ binary_encoding }: Capabilities10, transport: Transport): boolean =>
  transport.carriesBinary && (binary_encoding ?? []).includes("sidecar");

function referenceOf(frame: JsonObject | undefined): { readonly id?: string; readonly trace_id?: unknown } {
  const id = frame?.["id"];
  return { ...(typeof id === "string" && { id: id.slice(0, MAX_ECHO_CHARS) }), trace_id: frame?.["trace_id"] };
}
