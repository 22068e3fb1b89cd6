/**
 * Wire 1.1 on one connection: its state, and one switch over the messages of a client. It holds what belongs to the
 * connection; sessions and jobs are the engine's.
 *
 *   pre-handshake    -> awaiting-welcome   session.hello or session.resume arrived
 *   awaiting-welcome -> accepted           session.welcome
 *   accepted         -> closed             session.close, session.bye, HEARTBEAT_LOST, lost, displaced by a resume
 *   any              -> closed             refusal, time-out, lost transport
 */
import {
  ARCPError,
  CLIENT_MESSAGE_TYPES,
  type ClientMessage,
  closeCodeOf,
  decodeClientMessage,
  decodeFrame,
  type FrameLimits,
  Heartbeat,
  HeartbeatLostError,
  type Identity,
  InternalError,
  InvalidRequestError,
  isDraftVersion,
  isVendorName,
  type JobId,
  type JsonObject,
  type Logger,
  type MessageOf,
  newMessageId,
  newSessionId,
  parseTrace,
  SessionState,
  type Transport,
} from "@arcp/core";
import { CredentialWatch } from "../../auth/credential-watch.ts";
import { bySession } from "../../engine/audit/audit.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Acceptance, Link, Session } from "../../engine/session.ts";
import { type SessionSpan, startSessionSpan } from "../../engine/telemetry.ts";
import { ReplyOrder } from "../reply-order.ts";
import { RequestLane } from "../request-lane.ts";
import { termsOf } from "../terms.ts";
import type { WireConnection } from "../wire-connection.ts";
import {
  type Admission,
  CREDENTIALS_FEATURE,
  Handshake,
  type HandshakeSettings,
  type OpeningMessage,
} from "./handshake.ts";
import { IdleLimit } from "./idle-limit.ts";
import { Outbox, type RequestReference } from "./outbox.ts";
import { asSpecified, type Profile, profileOf, STANDARD } from "./profiles.ts";
import { type Reply, Requests } from "./requests.ts";

/** Answers a vendor's message (§15). What it returns is not sent: it replies through the session. */
export type MessageHandler = (message: JsonObject) => void | Promise<void>;

export interface ConnectionSettings extends HandshakeSettings {
  readonly frameLimits: FrameLimits;
  readonly handshakeTimeoutMs: number;
  /** `undefined`: a session may be idle for ever. */
  readonly idleSessionSeconds: number | undefined;
  readonly maxBufferedBytes: number;
  readonly maxBufferedEvents: number;
  readonly maxInlineResultBytes: number;
}

/** What an admitted client has, besides its session. */
interface Admitted {
  readonly session: Session;
  /** That its client was sent over this connection. */
  readonly resumeToken: string;
  readonly requests: Requests;
  readonly span: SessionSpan | undefined;
  readonly heartbeat: Heartbeat | undefined;
  readonly idleLimit: IdleLimit | undefined;
  /** Of the credentials that were shown. */
  readonly watch: CredentialWatch | undefined;
}

/** `resume`: the session goes on elsewhere. */
type ClosedBy = "client" | "runtime" | "transport" | "resume";

const MS_PER_SECOND = 1000;
/** Frames in a row that could not be understood, after which the peer is given up. */
const MAX_MALFORMED = 20;
const HEARTBEATS: ReadonlySet<string> = new Set(["session.ping", "session.pong"]);
const MAX_ECHO_CHARS = 128;
const CLOSE_NORMAL = 1000;
const CLOSE_POLICY = 1008;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_RESTART = 1012;

export class Connection implements Link, WireConnection {
  readonly sink: Outbox;
  readonly #engine: Engine;
  readonly #transport: Transport;
  readonly #settings: ConnectionSettings;
  readonly #handlers: ReadonlyMap<string, MessageHandler>;
  readonly #logger: Logger;
  readonly #state = new SessionState();
  readonly #replies = new ReplyOrder();
  readonly #lane: RequestLane;
  #stopHandshakeTimer: () => void;
  #profile: Profile = STANDARD;
  /** What the client called its session before it had one; some go on to do so. */
  #alias: string | undefined;
  #admitted: Admitted | undefined;
  #malformed = 0;
  #isConfirmed = false;
  /** Has the client sent session.close? */
  #isLeaving = false;
  /** The error that the runtime ends the connection with. */
  #evictedWith: string | undefined;

  constructor(options: {
    readonly engine: Engine;
    readonly transport: Transport;
    readonly settings: ConnectionSettings;
    readonly handlers: ReadonlyMap<string, MessageHandler>;
    readonly logger: Logger;
  }) {
    const { engine, transport, settings, logger } = options;
    this.#engine = engine;
    this.#transport = transport;
    this.#settings = settings;
    this.#handlers = options.handlers;
    this.#logger = logger;
    this.sink = new Outbox({
      ...{ transport, clock: engine.clock, logger },
      readJournal: (jobId, fromN, toN) => engine.store.readJournal(jobId, fromN, toN),
      secretOf: (jobId, credentialId) => this.#secretOf(jobId, credentialId),
      maxBufferedBytes: settings.maxBufferedBytes,
      maxBufferedEvents: settings.maxBufferedEvents,
      maxInlineResultBytes: settings.maxInlineResultBytes,
      onWritten: () => this.#admitted?.heartbeat?.sent(),
    });
    this.#lane = new RequestLane({
      setReading: (reads) => {
        if (reads) transport.resume();
        else transport.pause();
        this.#admitted?.heartbeat?.setListening(reads);
      },
      isCongested: () => this.sink.isCongested,
      drained: () => this.sink.drained(),
      logger,
    });
    this.#stopHandshakeTimer = engine.clock.setTimer(
      () => this.#refuse(new InvalidRequestError("no session.hello in time"), undefined),
      settings.handshakeTimeoutMs,
    );
    void transport.closed.then(() => this.#close("transport", "the transport is gone"));
  }

  /** The client speaks another wire: this connection has nothing more to do, and the transport goes on. */
  yield(): void {
    this.#close("transport", "the client speaks another wire");
  }

  get state(): SessionState {
    return this.#state;
  }

  get session(): Session | undefined {
    return this.#admitted?.session;
  }

  /** Takes one frame from the transport. */
  onFrame(text: string): void {
    if (this.#state.phase === "closed" || this.#isLeaving) return;
    this.#admitted?.heartbeat?.heard();
    let frame: JsonObject | undefined;
    try {
      frame = decodeFrame(text, this.#settings.frameLimits);
      this.#checkEnvelope(frame);
      this.#route(frame);
      this.#malformed = 0;
    } catch (error) {
      this.#onBadFrame(ARCPError.from(error), frame);
    }
    this.#lane.pace();
  }

  /** Input that is no frame at all. */
  onMalformed(problem: string): void {
    if (this.#state.phase !== "closed" && !this.#isLeaving)
      this.#onBadFrame(new InvalidRequestError(problem), undefined);
  }

  /** Sends a message of the runtime's own. Before the welcome nothing but errors makes sense. */
  send(type: string, payload: object, members: object = {}): void {
    this.sink.send(type, payload, members);
  }

  /** Ends the connection with an error that is not the answer to a request. */
  fail(error: ARCPError): void {
    this.send("session.error", error.toWire(), { session_id: this.session?.id ?? newSessionId() });
    this.#evictedWith = error.code;
    this.#close("runtime", error.message, closeCodeOf(error));
  }

  /** Says goodbye, for a shutdown. The session can be resumed. */
  bye(reason: string): void {
    if (this.#state.phase === "accepted") this.send("session.bye", { reason });
    this.#close("runtime", reason, CLOSE_GOING_AWAY);
  }

  announce(acceptance: Acceptance): void {
    this.#admitted?.requests.announce(acceptance);
  }

  /** The session was resumed elsewhere. */
  displaced(): void {
    this.#close("resume", "resumed on another connection", CLOSE_POLICY);
  }

  dropped(): void {
    this.#close("runtime", "the session is to be resumed", CLOSE_RESTART);
  }

  // --- Inbound ----------------------------------------------------------------------------------------------------

  #checkEnvelope({ arcp, type, payload, session_id }: JsonObject): void {
    if (typeof arcp !== "string" || !isDraftVersion(arcp)) {
      throw new InvalidRequestError(`arcp: expected "1.1"`, { details: { supported: ["1", "1.0", "1.1"] } });
    }
    if (typeof type !== "string") throw new InvalidRequestError("type: expected a string");
    if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
      throw new InvalidRequestError("payload: expected an object", { details: { type: echo(type) } });
    }
    const own = this.session?.id;
    if (own !== undefined && session_id !== undefined && session_id !== own && session_id !== this.#alias) {
      throw new InvalidRequestError("session_id: not the session of this connection");
    }
  }

  #route(frame: JsonObject): void {
    const type = frame["type"] as string;
    if (this.#admitted === undefined || this.#state.phase !== "accepted") {
      this.#onOpening(frame, type);
      return;
    }
    this.#confirm(this.#admitted);
    if (!HEARTBEATS.has(type)) this.#admitted.idleLimit?.used();
    const handler = this.#handlers.get(type);
    if (handler) this.#lane.add(async () => this.#runHandler(handler, frame));
    else if (CLIENT_MESSAGE_TYPES.has(type)) {
      this.#dispatch(decodeClientMessage(asSpecified(this.#profile, frame)), this.#admitted);
    } else if (isVendorName(type) && (frame["extensions"] as JsonObject | undefined)?.["optional"] === true) return;
    else {
      const details = { type: echo(type) };
      throw new InvalidRequestError(`unknown message type ${JSON.stringify(details.type)}`, { details });
    }
  }

  /** The client is there: the resume token before this connection's is void. */
  #confirm({ session, resumeToken }: Admitted): void {
    if (this.#isConfirmed) return;
    this.#isConfirmed = true;
    this.#engine.sessions.confirm(session, resumeToken);
  }

  #dispatch(message: ClientMessage, { session, requests }: Admitted): void {
    switch (message.type) {
      case "session.ping":
        this.#onPing(message);
        return;
      case "session.pong":
        return;
      case "session.ack":
        requests.ack(message);
        return;
      case "session.list_jobs":
        this.#request(message, (reply) => requests.listJobs(message, reply));
        return;
      case "session.close":
        this.#onClose(message, session);
        return;
      case "session.bye":
        session.persistAck();
        this.#close("client", "bye");
        return;
      case "job.submit":
        this.#request(message, (reply) => requests.submit(message, reply));
        return;
      case "job.cancel":
        this.#request(message, (reply) => requests.cancel(message, reply));
        return;
      case "job.subscribe":
        this.#request(message, (reply) => requests.subscribe(message, reply));
        return;
      case "job.unsubscribe": {
        const leave = requests.unsubscribe(message);
        this.#lane.add(async () => leave());
        return;
      }
      case "x-vendor.arcp.agent.describe":
        this.#request(message, (reply) => requests.describe(message, reply));
        return;
      case "x-vendor.arcp.job.check":
        this.#request(message, (reply) => requests.check(message, reply));
        return;
      case "x-vendor.arcp.job.describe":
        this.#request(message, (reply) => requests.describeJob(message, reply));
        return;
      case "x-vendor.arcp.human.input.response":
      case "x-vendor.arcp.human.choice.response":
      case "x-vendor.arcp.permission.grant":
      case "x-vendor.arcp.permission.deny":
        this.#request(message, (reply) => requests.answer(message, reply));
        return;
      case "x-vendor.arcp.answer_link":
        this.#request(message, (reply) => requests.link(message, reply));
        return;
      case "session.hello":
      case "session.resume":
        throw new InvalidRequestError("the session is open already");
      default:
        message satisfies never;
    }
  }

  /** One request: a place among the replies, and a turn in the lane. An error is a reply like any other. */
  #request(message: ClientMessage, run: (reply: Reply) => Promise<void>): void {
    const reply = this.#replies.open();
    this.#lane.add(async () => {
      if (this.#state.phase !== "accepted" || this.session === undefined) return;
      try {
        const terms = termsOf(message.type);
        if (terms !== undefined) this.#engine.access.admit(this.session, message.type, terms);
        await run(reply);
      } catch (error) {
        const failure = ARCPError.from(error);
        if (failure.cause !== undefined) this.#logger.error({ err: failure.cause }, "a request failed");
        reply(() => this.sink.reply(message, "session.error", failure.toWire()));
      }
    });
  }

  async #runHandler(handler: MessageHandler, frame: JsonObject): Promise<void> {
    try {
      if (this.#state.phase === "accepted") await handler(frame);
    } catch (error) {
      this.#logger.error({ err: error }, "a handler of a vendor's message failed");
    }
  }

  #onPing(message: MessageOf<"session.ping">): void {
    const received_at = new Date(this.#engine.clock.now()).toISOString();
    this.sink.reply(message, "session.pong", { ping_nonce: message.payload.nonce ?? "", received_at });
  }

  #onClose(message: MessageOf<"session.close">, session: Session): void {
    const { reason } = message.payload;
    // After the replies that are due: nothing follows session.closed, and what the client says meanwhile is not heard.
    this.#isLeaving = true;
    this.#replies.open()(() => {
      session.persistAck();
      this.sink.reply(message, "session.closed", reason === undefined ? {} : { reason });
      this.#close("client", "closed");
    });
  }

  #onBadFrame(error: ARCPError, frame: JsonObject | undefined): void {
    if (this.#state.phase !== "accepted") {
      this.#refuse(error, frame);
      return;
    }
    this.#malformed += 1;
    this.#replies.open()(() => this.sink.reply(referenceOf(frame), "session.error", error.toWire()));
    if (this.#malformed >= MAX_MALFORMED) this.#close("runtime", "too many malformed frames", closeCodeOf(error));
  }

  // --- Opening ----------------------------------------------------------------------------------------------------

  #onOpening(frame: JsonObject, type: string): void {
    if (this.#state.phase !== "pre-handshake" || (type !== "session.hello" && type !== "session.resume")) {
      throw new InvalidRequestError("expected session.hello or session.resume first", {
        details: { type: echo(type) },
      });
    }
    this.#profile = profileOf(frame);
    this.sink.address(frame["arcp"] as string, this.#profile);
    if (this.#profile.namesSession) this.#alias = frame["session_id"] as string | undefined;
    const message = decodeClientMessage(frame) as OpeningMessage;
    this.#state.enter({ phase: "awaiting-welcome" });
    const handshake = new Handshake({
      ...{ settings: this.#settings, sessions: this.#engine.sessions, ready: this.#engine.ready },
      inventory: () => this.#engine.inventory(),
      peer: this.#transport.peer,
      isAwaited: () => this.#state.phase === "awaiting-welcome",
    });
    handshake.admit(message, this.#alias === undefined ? message.session_id : undefined).then(
      (admission) => {
        this.#limitStoring();
        this.#engine.journal.afterCommit(() =>
          this.#welcome(message, admission, handshake.welcome(message, admission)),
        );
      },
      (error) => this.#refuse(ARCPError.from(error), frame),
    );
  }

  /** The client was in time: from now on it is told if the runtime is not. */
  #limitStoring(): void {
    this.#stopHandshakeTimer();
    if (this.#state.phase !== "awaiting-welcome") return;
    this.#stopHandshakeTimer = this.#engine.clock.setTimer(
      () => this.#refuse(new InternalError("the session could not be stored in time"), undefined),
      this.#settings.handshakeTimeoutMs,
    );
  }

  /** The admission is durable. */
  #welcome(message: OpeningMessage, admission: Admission, payload: object): void {
    const { session, resumeToken, afterSeq, identity } = admission;
    this.#engine.sessions.settle(session);
    if (this.#state.phase !== "awaiting-welcome") {
      // The client went away meanwhile. A session that it has waits for it; one that it never heard of does not.
      if (admission.isNew) this.#engine.sessions.discard(session);
      else if (!session.isAttached) session.update({ detachedAt: this.#engine.clock.now() });
      return;
    }
    // Another node has it by now, and nobody knows the token that was made here.
    if (session.isLost) {
      this.dropped();
      return;
    }
    this.#stopHandshakeTimer();
    this.sink.bind(session);
    this.#state.enter({ phase: "accepted", sessionId: session.id, features: session.features });
    const { submission, observation, cancellation, credentials, people } = this.#engine;
    this.#admitted = {
      ...{ session, resumeToken },
      requests: new Requests({
        ...{ session, outbox: this.sink, submission, observation, cancellation, interactions: people.interactions },
        credentialsOf: (jobId) => credentials.liveFor(jobId),
        mayHaveSecrets: () => this.#mayHaveSecrets(session),
      }),
      span: startSessionSpan(session.id, "1.1", parseTrace(message)),
      heartbeat: session.features.has("heartbeat") ? this.#startHeartbeat() : undefined,
      idleLimit: this.#startIdleLimit(session),
      watch: identity && this.#watchCredentials(identity),
    };
    this.sink.reply(message, "session.welcome", payload);
    session.attach(this, afterSeq);
  }

  /** Was it agreed that secrets may come, and can nobody else read them? */
  #mayHaveSecrets(session: Session): boolean {
    return session.features.has(CREDENTIALS_FEATURE) && this.#transport.peer.isConfidential;
  }

  /** The current secret of a credential, if the job lives and this session submitted it (§9.8.2). */
  #secretOf(jobId: JobId, credentialId: string): string | undefined {
    const { session } = this;
    if (session === undefined || !this.#mayHaveSecrets(session)) return undefined;
    if (this.#engine.jobs.get(jobId)?.sessionId !== session.id) return undefined;
    return this.#engine.credentials.valueOf(jobId, credentialId)?.reveal();
  }

  #startHeartbeat(): Heartbeat {
    const { clock } = this.#engine;
    return new Heartbeat({
      clock,
      intervalMs: this.#settings.heartbeatIntervalSeconds * MS_PER_SECOND,
      ping: () => this.send("session.ping", { nonce: newMessageId(), sent_at: new Date(clock.now()).toISOString() }),
      onLost: () => this.fail(new HeartbeatLostError("nothing was heard from the client for two intervals")),
    });
  }

  #startIdleLimit(session: Session): IdleLimit | undefined {
    const { clock, jobs } = this.#engine;
    const { idleSessionSeconds } = this.#settings;
    if (idleSessionSeconds === undefined) return undefined;
    let { head } = session.feed;
    // A job that is watched may take its time.
    const isBusy = (): boolean => {
      const hadEvents = session.feed.head > head;
      head = session.feed.head;
      return hadEvents || [...jobs.all()].some((job) => job.isFollowedBy(session.feed));
    };
    const limitMs = idleSessionSeconds * MS_PER_SECOND;
    return new IdleLimit({ clock, limitMs, isBusy, onIdle: () => this.bye("idle") });
  }

  /** Ends the connection when the client's credentials do. The session waits for fresh ones. */
  #watchCredentials(identity: Identity): CredentialWatch {
    const { clock } = this.#engine;
    return new CredentialWatch({ identity, clock, logger: this.#logger, onEnd: (error) => this.fail(error) });
  }

  #refuse(error: ARCPError, frame: JsonObject | undefined): void {
    if (this.#state.phase === "closed") return;
    if (error.cause !== undefined) this.#logger.warn({ err: error.cause }, "a handshake failed");
    // Some clients read an error only if it names a session: theirs, or one that never was.
    const payload = frame?.["payload"] as JsonObject | undefined;
    const resume = payload?.["resume"] as JsonObject | undefined;
    const named = resume?.["session_id"] ?? payload?.["session_id"] ?? frame?.["session_id"];
    const session_id = typeof named === "string" && /^[\x21-\x7e]{1,128}$/.test(named) ? named : newSessionId();
    this.sink.reply({ id: referenceOf(frame).id }, "session.error", error.toWire(), { session_id });
    const { remoteAddress } = this.#transport.peer;
    this.#engine.audit.record("session.refused", { principal: "", remoteAddress }, { wire: "1.1", code: error.code });
    this.#close("runtime", error.message, closeCodeOf(error));
  }

  #recordEnd(by: ClosedBy, reason: string): void {
    const { session } = this;
    if (session === undefined || by === "resume") return;
    const { audit } = this.#engine;
    const code = this.#evictedWith;
    if (code === undefined) audit.record("session.closed", bySession(session), { wire: "1.1", by, reason });
    else audit.record("session.evicted", bySession(session), { wire: "1.1", code, reason });
  }

  #close(by: ClosedBy, reason: string, code = CLOSE_NORMAL): void {
    if (this.#state.phase === "closed") return;
    this.#state.enter({ phase: "closed", reason });
    this.#stopHandshakeTimer();
    this.sink.close();
    this.#admitted?.heartbeat?.stop();
    this.#admitted?.idleLimit?.stop();
    this.#admitted?.watch?.stop();
    this.#recordEnd(by, reason);
    this.#admitted?.session.detach(this);
    this.#admitted?.span?.end(reason);
    if (by !== "transport") this.#transport.close(code, reason);
  }
}

const echo = (text: string): string => text.slice(0, MAX_ECHO_CHARS);

function referenceOf(frame: JsonObject | undefined): RequestReference {
  const id = frame?.["id"];
  return { id: typeof id === "string" ? echo(id) : undefined, trace_id: frame?.["trace_id"] };
}
