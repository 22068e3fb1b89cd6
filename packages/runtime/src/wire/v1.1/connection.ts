/**
 * Wire 1.1 on one connection: the handshake, then one switch over the messages of a client. It holds what belongs to
 * the connection; sessions and jobs are the engine's.
 *
 *   opening   -> verifying   session.hello or session.resume arrived
 *   verifying -> open        session.welcome
 *   open      -> closed      session.close, session.bye, HEARTBEAT_LOST, lost transport, displaced by a resume
 *   any       -> closed      refusal, time-out, lost transport
 */
import {
  ARCPError,
  type BearerVerifier,
  CLIENT_MESSAGE_TYPES,
  type ClientMessage,
  closeCodeOf,
  decodeClientMessage,
  decodeFrame,
  type FrameLimits,
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
  negotiateCapabilities,
  newMessageId,
  newSessionId,
  parseTrace,
  parseTraceId,
  SessionState,
  type Transport,
  UnauthenticatedError,
  WIRE_VERSION,
} from "@arcp/core";
import type { Engine } from "../../engine/engine.ts";
import type { LiveItem } from "../../engine/feed.ts";
import type { ListedJob, Subscribed } from "../../engine/observation.ts";
import type { Acceptance, Link, Session } from "../../engine/session.ts";
import type { SubmitRequest } from "../../engine/submission.ts";
import { type SessionSpan, startSessionSpan } from "../../engine/telemetry.ts";
import { ENTRY, type FeedItem, messageTypeOf } from "../../store/store.ts";
import { Heartbeat } from "./heartbeat.ts";
import { asSpecified, type Profile, profileOf } from "./profiles.ts";
import { ReplyOrder } from "./reply-order.ts";
import { Spelling } from "./spelling.ts";
import { inlineTerminal } from "./streamed-result.ts";

/** Answers a vendor's message (§15). What it returns is not sent: it replies through the session. */
export type MessageHandler = (message: JsonObject) => void | Promise<void>;

export interface ConnectionSettings {
  readonly runtime: { readonly name: string; readonly version: string };
  readonly bearer: BearerVerifier | undefined;
  /** The principal of clients without credentials, on connections inside this machine. `undefined`: none are let in. */
  readonly anonymousPrincipal: string | undefined;
  readonly features: readonly string[];
  readonly extensions: readonly string[] | undefined;
  readonly heartbeatIntervalSeconds: number;
  readonly resumeWindowSeconds: number;
  readonly requireAuthOnResume: boolean;
  readonly frameLimits: FrameLimits;
  readonly handshakeTimeoutMs: number;
  readonly maxBufferedBytes: number;
  readonly maxBufferedEvents: number;
  readonly maxInlineResultBytes: number;
}

type ClosedBy = "client" | "runtime" | "transport";

const MS_PER_SECOND = 1000;
const VERIFY_TIMEOUT_MS = 5_000;
/** Frames in a row that could not be understood, after which the peer is given up. */
const MAX_MALFORMED = 20;
/** Bytes on their way to the peer at which nothing more is written, whatever the cap says. */
const CONGESTED_BYTES = 2 * 1024 * 1024;
/** How long a peer may read nothing before it is given up. Its session stays. */
const SLOW_CONSUMER_MS = 60_000;
/** Requests that wait for the store at which no more are read from the peer. */
const MAX_WAITING_REQUESTS = 256;
const CLOSE_NORMAL = 1000;
const CLOSE_POLICY = 1008;
const CLOSE_GOING_AWAY = 1001;

export class Connection implements Link {
  readonly #engine: Engine;
  readonly #transport: Transport;
  readonly #settings: ConnectionSettings;
  readonly #handlers: ReadonlyMap<string, MessageHandler>;
  readonly #state = new SessionState();
  readonly #replies = new ReplyOrder();
  #logger: Logger;
  #arcp = WIRE_VERSION;
  #profile: Profile | undefined;
  /** What the client called its session before it had one; some go on to do so. */
  #alias: string | undefined;
  #session: Session | undefined;
  #spelling: Spelling | undefined;
  #heartbeat: Heartbeat | undefined;
  #span: SessionSpan | undefined;
  #stopHandshakeTimer: () => void = () => {};
  #lane: Promise<void> = Promise.resolve();
  #waitingRequests = 0;
  #isReading = true;
  #isDraining = false;
  #malformed = 0;
  #isConfirmed = false;
  /** Has the client sent session.close? */
  #isLeaving = false;
  #queuedFrames = 0;

  constructor(options: {
    readonly engine: Engine;
    readonly transport: Transport;
    readonly settings: ConnectionSettings;
    readonly handlers: ReadonlyMap<string, MessageHandler>;
    readonly logger: Logger;
  }) {
    this.#engine = options.engine;
    this.#transport = options.transport;
    this.#settings = options.settings;
    this.#handlers = options.handlers;
    this.#logger = options.logger;
    this.#stopHandshakeTimer = options.engine.clock.setTimer(
      () => this.#refuse(new InvalidRequestError("no session.hello in time"), undefined),
      options.settings.handshakeTimeoutMs,
    );
    void options.transport.closed.then(() => this.#close("transport", "the transport is gone"));
  }

  get state(): SessionState {
    return this.#state;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** Takes one frame from the transport. */
  onFrame(text: string): void {
    if (this.#state.phase === "closed" || this.#isLeaving) return;
    this.#heartbeat?.received();
    let frame: JsonObject | undefined;
    try {
      frame = decodeFrame(text, this.#settings.frameLimits);
      this.#checkEnvelope(frame);
      this.#route(frame);
      this.#malformed = 0;
    } catch (error) {
      this.#onBadFrame(ARCPError.from(error), frame);
    }
  }

  /** Input that is no frame at all. */
  onMalformed(problem: string): void {
    if (this.#state.phase !== "closed" && !this.#isLeaving) this.#onBadFrame(new InvalidRequestError(problem), undefined);
  }

  /** Sends a message of the runtime's own. Before the welcome nothing but errors makes sense. */
  send(type: string, payload: object, members: object = {}): void {
    const reshape = this.#profile?.reshape[type];
    const shaped = reshape?.({ ...payload }, { sessionId: this.#session?.id, timestamp: this.#timestamp() });
    this.#write(JSON.stringify({ ...this.#envelope(type, members), payload: shaped ?? payload }));
  }

  #envelope(type: string, members: object): object {
    const session = this.#session && { session_id: this.#session.id };
    return { arcp: this.#arcp, id: newMessageId(), type, ...session, ...members };
  }

  /** Ends the connection with an error that is not the answer to a request. */
  fail(error: ARCPError): void {
    this.send("session.error", error.toWire(), { session_id: this.#session?.id ?? newSessionId() });
    this.#close("runtime", error.message, closeCodeOf(error));
  }

  /** Says goodbye, for a shutdown. The session can be resumed. */
  bye(reason: string): void {
    if (this.#state.phase === "accepted") this.send("session.bye", { reason });
    this.#close("runtime", reason, CLOSE_GOING_AWAY);
  }

  // --- Link -------------------------------------------------------------------------------------------------------

  writeLive(items: readonly LiveItem[]): boolean {
    if (items.some(({ entry }) => this.#needsInlining(entry.code, entry.payload))) return false;
    for (const { seq, job, entry } of items) this.#writeItem(seq, job, entry);
    return true;
  }

  async writeStored(items: readonly FeedItem[]): Promise<void> {
    for (const { seq, jobId, traceId, entry } of items) {
      const job = { id: jobId, traceId };
      if (!this.#needsInlining(entry.code, entry.payload)) this.#writeItem(seq, job, entry);
      else {
        const chunks = await this.#engine.store.readJournal(jobId, 1, entry.n - 1);
        const { type, payload } = inlineTerminal(entry, chunks, this.#settings.maxInlineResultBytes);
        this.#write(this.#spellingOrThrow().frameOf(type, seq, job, entry.ts, this.#reshaped(type, entry.ts, payload)));
      }
    }
  }

  get isCongested(): boolean {
    const { bufferedBytes } = this.#transport;
    if (bufferedBytes === 0) this.#queuedFrames = 0;
    return (
      bufferedBytes > Math.min(this.#settings.maxBufferedBytes, CONGESTED_BYTES) ||
      this.#queuedFrames > this.#settings.maxBufferedEvents
    );
  }

  async drained(): Promise<void> {
    const stopTimer = this.#engine.clock.setTimer(() => {
      this.#logger.warn({}, "a client that does not read is disconnected");
      this.#transport.abort("slow consumer");
    }, SLOW_CONSUMER_MS);
    try {
      while (this.isCongested && !this.#transport.isClosed) {
        await this.#transport.drained();
        // The transport counts as drained before it is empty.
        this.#queuedFrames = 0;
      }
    } finally {
      stopTimer();
    }
  }

  displaced(): void {
    this.#close("runtime", "resumed on another connection", CLOSE_POLICY);
  }

  // --- Inbound ----------------------------------------------------------------------------------------------------

  #checkEnvelope(frame: JsonObject): void {
    const { arcp, type, payload, session_id } = frame;
    if (typeof arcp !== "string" || !isDraftVersion(arcp)) {
      throw new InvalidRequestError(`arcp: expected "1.1"`, { details: { supported: ["1", "1.0", "1.1"] } });
    }
    if (typeof type !== "string") throw new InvalidRequestError("type: expected a string");
    if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
      throw new InvalidRequestError("payload: expected an object", { details: { type: type.slice(0, 128) } });
    }
    const session = this.#session;
    if (session && session_id !== undefined && session_id !== session.id && session_id !== this.#alias) {
      throw new InvalidRequestError("session_id: not the session of this connection");
    }
  }

  #route(frame: JsonObject): void {
    const type = frame["type"] as string;
    if (this.#state.phase !== "accepted") {
      this.#handshake(frame, type);
      return;
    }
    this.#confirm();
    const handler = this.#handlers.get(type);
    if (handler) this.#enqueue(async () => handler(frame));
    else if (CLIENT_MESSAGE_TYPES.has(type)) this.#dispatch(decodeClientMessage(asSpecified(this.#profile, frame)));
    else if (isVendorName(type) && (frame["extensions"] as JsonObject | undefined)?.["optional"] === true) return;
    else
      throw new InvalidRequestError(`unknown message type ${JSON.stringify(type.slice(0, 128))}`, {
        details: { type: type.slice(0, 128) },
      });
  }

  /** The client is there: the resume token before this connection's is void. */
  #confirm(): void {
    if (this.#isConfirmed || !this.#session) return;
    this.#isConfirmed = true;
    this.#engine.sessions.confirm(this.#session);
  }

  #dispatch(message: ClientMessage): void {
    switch (message.type) {
      case "session.ping":
        this.#pong(message);
        return;
      case "session.pong":
        return;
      case "session.ack":
        this.#onAck(message);
        return;
      case "session.list_jobs":
        this.#request(message, (reply) => this.#listJobs(message, reply));
        return;
      case "session.close":
        this.#onClose(message);
        return;
      case "session.bye":
        this.#session?.persistAck();
        this.#close("client", "bye");
        return;
      case "job.submit":
        this.#request(message, (reply) => this.#submit(message, reply));
        return;
      case "job.cancel":
        this.#request(message, (reply) => this.#cancel(message, reply));
        return;
      case "job.subscribe":
        this.#request(message, (reply) => this.#subscribe(message, reply));
        return;
      case "job.unsubscribe":
        this.#unsubscribe(message);
        return;
      case "session.hello":
      case "session.resume":
        throw new InvalidRequestError("the session is open already");
      default:
        message satisfies never;
    }
  }

  /** One request: a place among the replies, and a turn in the lane. An error is a reply like any other. */
  #request(message: ClientMessage, run: (reply: (send: () => void) => void) => Promise<void> | void): void {
    const reply = this.#replies.open();
    this.#enqueue(async () => {
      try {
        await run(reply);
      } catch (error) {
        const failure = ARCPError.from(error);
        if (failure.cause !== undefined) this.#logger.error({ err: failure.cause }, "a request failed");
        reply(() => this.#reply(message, "session.error", failure.toWire()));
      }
    });
  }

  /** Requests run one after another; what is read from the peer waits when they pile up. */
  #enqueue(task: () => Promise<void>): void {
    this.#waitingRequests += 1;
    this.#updateReading();
    this.#lane = this.#lane
      .then(() => (this.#state.phase === "accepted" ? task() : undefined))
      .catch((error) => this.#logger.error({ err: error }, "a handler failed"))
      .then(() => {
        this.#waitingRequests -= 1;
        return this.isCongested ? this.#drainBeforeMore() : this.#updateReading();
      });
  }

  /** A peer that asks and does not read what it is told is not read from either. */
  async #drainBeforeMore(): Promise<void> {
    this.#isDraining = true;
    this.#updateReading();
    await this.drained();
    this.#isDraining = false;
    this.#updateReading();
  }

  #updateReading(): void {
    const limit = this.#isReading ? MAX_WAITING_REQUESTS : MAX_WAITING_REQUESTS / 2;
    const reads = !this.#isDraining && this.#waitingRequests < limit;
    if (reads === this.#isReading) return;
    this.#isReading = reads;
    if (reads) this.#transport.resume();
    else this.#transport.pause();
  }

  #onBadFrame(error: ARCPError, frame: JsonObject | undefined): void {
    if (this.#state.phase !== "accepted") {
      this.#refuse(error, frame);
      return;
    }
    this.#malformed += 1;
    const id = typeof frame?.["id"] === "string" ? frame["id"].slice(0, 128) : undefined;
    const reply = this.#replies.open();
    reply(() => this.#replyTo(id, parseTraceId(frame?.["trace_id"])?.traceId, "session.error", error.toWire()));
    if (this.#malformed >= MAX_MALFORMED) this.#close("runtime", "too many malformed frames", closeCodeOf(error));
  }

  // --- Handshake --------------------------------------------------------------------------------------------------

  #handshake(frame: JsonObject, type: string): void {
    if (this.#state.phase !== "pre-handshake" || (type !== "session.hello" && type !== "session.resume")) {
      throw new InvalidRequestError("expected session.hello or session.resume first", { details: { type } });
    }
    this.#arcp = frame["arcp"] as string;
    this.#profile = profileOf(frame);
    if (this.#profile.namesSession) this.#alias = frame["session_id"] as string | undefined;
    const message = decodeClientMessage(frame) as MessageOf<"session.hello" | "session.resume">;
    this.#state.enter({ phase: "awaiting-welcome" });
    const opening =
      message.type === "session.hello" && message.payload.resume === undefined
        ? this.#openSession(message)
        : this.#resumeSession(message);
    opening.catch((error) => this.#refuse(ARCPError.from(error), frame));
  }

  async #openSession(message: MessageOf<"session.hello">): Promise<void> {
    const { principal } = await this.#authenticate(message.payload.auth);
    await this.#engine.ready;
    const { session, resumeToken } = this.#engine.sessions.open(principal, "1.1", this.#effectiveFeatures(message));
    this.#welcomeWhenDurable(session, resumeToken, message, 0);
  }

  async #resumeSession(message: MessageOf<"session.hello" | "session.resume">): Promise<void> {
    const resume = message.type === "session.resume" ? message.payload : message.payload.resume;
    if (resume === undefined) throw new InvalidRequestError("payload.resume: expected an object");
    const { auth } = message.payload;
    const mustAuthenticate =
      auth !== undefined || message.type === "session.hello" || this.#settings.requireAuthOnResume;
    const identity = mustAuthenticate ? await this.#authenticate(auth) : undefined;
    await this.#engine.ready;
    const { session, resumeToken } = await this.#engine.sessions.claim({
      sessionId: resume.session_id ?? (this.#alias === undefined ? message.session_id : undefined),
      token: resume.resume_token,
      lastEventSeq: resume.last_event_seq,
      principal: identity?.principal,
    });
    if (message.type === "session.hello") session.update({ features: this.#effectiveFeatures(message) });
    this.#welcomeWhenDurable(session, resumeToken, message, resume.last_event_seq);
  }

  #effectiveFeatures(hello: MessageOf<"session.hello">): readonly string[] {
    return negotiateCapabilities(this.#settings.features, hello.payload.capabilities?.features);
  }

  async #authenticate(auth: MessageOf<"session.hello">["payload"]["auth"]): Promise<Identity> {
    const { bearer, anonymousPrincipal } = this.#settings;
    const scheme = auth?.scheme ?? (auth?.token === undefined ? "none" : "bearer");
    if (scheme === "none" && anonymousPrincipal !== undefined && this.#transport.peer.isConfidential) {
      return { principal: anonymousPrincipal };
    }
    if (scheme !== "bearer" || !bearer || !auth?.token) throw new UnauthenticatedError("a bearer token is required");
    try {
      return await bearer.verify(auth.token, AbortSignal.timeout(VERIFY_TIMEOUT_MS));
    } catch (cause) {
      if (cause instanceof UnauthenticatedError) throw cause;
      this.#logger.error({ err: cause }, "a token could not be verified");
      throw new UnauthenticatedError("the bearer token could not be verified");
    }
  }

  #welcomeWhenDurable(
    session: Session,
    resumeToken: string,
    message: MessageOf<"session.hello" | "session.resume">,
    afterSeq: number,
  ): void {
    this.#engine.journal.afterCommit(() => {
      this.#engine.sessions.settle(session);
      if (this.#state.phase !== "awaiting-welcome") {
        // The client went away meanwhile. The session waits for it like any other.
        if (!session.isAttached) session.update({ detachedAt: this.#engine.clock.now() });
        return;
      }
      this.#stopHandshakeTimer();
      this.#session = session;
      this.#logger = this.#logger.child({ sessionId: session.id, principal: session.principal });
      this.#spelling = new Spelling({ arcp: this.#arcp, sessionId: session.id, salt: session.salt });
      this.#state.enter({ phase: "accepted", sessionId: session.id, features: session.features });
      this.#span = startSessionSpan(session.id, this.#arcp);
      const isPlain = message.type === "session.hello" && message.payload.capabilities?.features === undefined;
      this.#reply(message, "session.welcome", this.#welcomePayload(session, resumeToken, isPlain));
      if (session.features.has("heartbeat")) this.#heartbeat = this.#startHeartbeat();
      session.attach(this, afterSeq);
    });
  }

  #welcomePayload(session: Session, resumeToken: string, isPlain: boolean): object {
    const { runtime, heartbeatIntervalSeconds, resumeWindowSeconds, extensions } = this.#settings;
    const agents = this.#engine.agents.inventory();
    return {
      runtime,
      ...(this.#profile?.isFlat && { runtime_name: runtime.name, runtime_version: runtime.version }),
      resume_token: resumeToken,
      resume_window_sec: resumeWindowSeconds,
      ...(session.features.has("heartbeat") && { heartbeat_interval_sec: heartbeatIntervalSeconds }),
      capabilities: {
        encodings: ["json"],
        features: [...session.features],
        agents: isPlain ? agents.map(({ name }) => name) : agents,
        ...(extensions && { extensions }),
      },
    };
  }

  #startHeartbeat(): Heartbeat {
    return new Heartbeat({
      clock: this.#engine.clock,
      intervalMs: this.#settings.heartbeatIntervalSeconds * MS_PER_SECOND,
      ping: () => this.send("session.ping", { nonce: newMessageId(), sent_at: this.#timestamp() }),
      lost: () => this.fail(new HeartbeatLostError("nothing was heard from the client for two intervals")),
    });
  }

  #refuse(error: ARCPError, frame: JsonObject | undefined): void {
    if (this.#state.phase === "closed") return;
    if (error.cause !== undefined) this.#logger.warn({ err: error.cause }, "a handshake failed");
    const payload = frame?.["payload"] as JsonObject | undefined;
    const resume = payload?.["resume"] as JsonObject | undefined;
    const named = resume?.["session_id"] ?? payload?.["session_id"] ?? frame?.["session_id"];
    const session_id = typeof named === "string" && /^[\x21-\x7e]{1,128}$/.test(named) ? named : newSessionId();
    const id = typeof frame?.["id"] === "string" ? frame["id"].slice(0, 128) : undefined;
    this.#replyTo(id, undefined, "session.error", error.toWire(), { session_id });
    this.#close("runtime", error.message, closeCodeOf(error));
  }

  // --- Requests ---------------------------------------------------------------------------------------------------

  #pong(message: MessageOf<"session.ping">): void {
    this.#reply(message, "session.pong", { ping_nonce: message.payload.nonce ?? "", received_at: this.#timestamp() });
  }

  #onAck(message: MessageOf<"session.ack">): void {
    const session = this.#sessionOrThrow();
    if (!session.features.has("ack")) throw notNegotiated("ack");
    if (message.payload.last_processed_seq > session.feed.head) {
      throw new InvalidRequestError("last_processed_seq is higher than any number of this session", {
        details: { highest: session.feed.head },
      });
    }
    session.ack(message.payload.last_processed_seq);
  }

  #onClose(message: MessageOf<"session.close">): void {
    // After the replies that are due: nothing follows session.closed, and what the client says meanwhile is not heard.
    this.#isLeaving = true;
    this.#replies.open()(() => {
      this.#session?.persistAck();
      this.#reply(
        message,
        "session.closed",
        message.payload.reason === undefined ? {} : { reason: message.payload.reason },
      );
      this.#close("client", "closed");
    });
  }

  async #submit(message: MessageOf<"job.submit">, reply: (send: () => void) => void): Promise<void> {
    const session = this.#sessionOrThrow();
    const { payload } = message;
    const accepted = (acceptance: Acceptance): void => this.#replyAccepted(message, acceptance);
    const repeated = session.seen.get(message.id);
    if (repeated !== undefined) {
      const acceptance = await repeated;
      reply(() => accepted(acceptance));
      return;
    }
    assertNegotiated(session, payload);
    const outcome = Promise.withResolvers<Acceptance>();
    session.seen.add(message.id, outcome.promise);
    const request = submitRequest(message);
    try {
      await this.#engine.submission.submit(session, request, (acceptance) => {
        outcome.resolve(acceptance);
        reply(() => accepted(acceptance));
      });
    } catch (error) {
      outcome.reject(error);
      throw error;
    }
  }

  #replyAccepted(message: MessageOf<"job.submit">, { jobId, traceId, payload }: Acceptance): void {
    const members = { job_id: jobId, trace_id: traceId };
    const isFlat = this.#profile?.isFlat ?? false;
    const hasVersions = this.#session?.features.has("agent_versions") ?? false;
    if (hasVersions && !isFlat && this.#profile?.reshape["job.accepted"] === undefined) {
      const head = JSON.stringify(this.#envelope("job.accepted", this.#replyMembers(message.id, traceId, members)));
      // The payload is JSON already: its closing brace makes room for the request it answers.
      this.#write(
        `${head.slice(0, -1)},"payload":${payload.slice(0, -1)},"request_id":${JSON.stringify(message.id)}}}`,
      );
      return;
    }
    const facts = JSON.parse(payload) as { agent: string; lease: Record<string, readonly string[]> };
    const agent = hasVersions ? facts.agent : (facts.agent.split("@")[0] as string);
    const flatLease = { id: `lse_${jobId}`, capabilities: Object.keys(facts.lease), ...facts.lease };
    this.#reply(message, "job.accepted", { ...facts, agent, ...(isFlat && { lease: flatLease }) }, members);
  }

  async #cancel(message: MessageOf<"job.cancel">, reply: (send: () => void) => void): Promise<void> {
    const { payload } = message;
    if (message.job_id && payload.job_id && message.job_id !== payload.job_id) {
      throw new InvalidRequestError("job_id differs between the envelope and the payload");
    }
    const jobId = message.job_id ?? payload.job_id;
    if (jobId === undefined) throw new InvalidRequestError("job_id: expected the job to cancel");
    const cancel = await this.#engine.cancellation.prepare(this.#sessionOrThrow(), jobId);
    reply(() => {
      const reason = payload.reason === undefined ? {} : { reason: payload.reason };
      this.#reply(message, "job.cancelled", { job_id: jobId, ...reason }, { job_id: jobId });
      cancel(payload.reason);
    });
  }

  async #subscribe(message: MessageOf<"job.subscribe">, reply: (send: () => void) => void): Promise<void> {
    const session = this.#sessionOrThrow();
    if (!session.features.has("subscribe")) throw notNegotiated("subscribe");
    const { job_id, history, from_event_seq } = message.payload;
    await this.#engine.observation.subscribe(
      session,
      { jobId: job_id, history: history ?? false, fromEventSeq: from_event_seq },
      (subscribed) =>
        reply(() =>
          this.#reply(message, "job.subscribed", subscribedPayload(subscribed), {
            job_id,
            trace_id: subscribed.traceId,
          }),
        ),
    );
  }

  #unsubscribe(message: MessageOf<"job.unsubscribe">): void {
    const session = this.#sessionOrThrow();
    if (!session.features.has("subscribe")) throw notNegotiated("subscribe");
    const jobId = message.payload.job_id ?? message.job_id;
    if (jobId === undefined) throw new InvalidRequestError("payload.job_id: expected the job to leave");
    this.#enqueue(async () => this.#engine.observation.unsubscribe(session, jobId));
  }

  async #listJobs(message: MessageOf<"session.list_jobs">, reply: (send: () => void) => void): Promise<void> {
    const session = this.#sessionOrThrow();
    if (!session.features.has("list_jobs")) throw notNegotiated("list_jobs");
    const { filter, limit, cursor } = message.payload;
    const { jobs, nextCursor } = await this.#engine.observation.list(session, {
      status: filter?.status,
      agent: filter?.agent,
      createdAfter: filter?.created_after,
      createdBefore: filter?.created_before,
      limit,
      cursor,
    });
    reply(() => this.#reply(message, "session.jobs", { jobs: jobs.map(listedPayload), next_cursor: nextCursor }));
  }

  // --- Outbound ---------------------------------------------------------------------------------------------------

  #reply(message: ClientMessage, type: string, payload: object, members: object = {}): void {
    this.#replyTo(message.id, parseTraceId(message.trace_id)?.traceId, type, payload, members);
  }

  /** A reply names its request in every way that some client looks for (PROTOCOL.md, Envelope). */
  #replyTo(
    requestId: string | undefined,
    traceId: string | undefined,
    type: string,
    payload: object,
    members: object = {},
  ): void {
    if (requestId === undefined) {
      this.send(type, payload, members);
      return;
    }
    const replyTo = this.#profile?.isFlat && { reply_to: requestId };
    this.send(type, { ...payload, request_id: requestId, ...replyTo }, this.#replyMembers(requestId, traceId, members));
  }

  #replyMembers(requestId: string, traceId: string | undefined, members: object): object {
    return {
      ...(this.#profile?.repliesReuseId && { id: requestId }),
      correlation_id: requestId,
      ...(traceId !== undefined && { trace_id: traceId }),
      ...members,
    };
  }

  #writeItem(seq: number, job: { readonly id: JobId; readonly traceId: string }, entry: LiveItem["entry"]): void {
    const spelling = this.#spellingOrThrow();
    const type = messageTypeOf(entry.code);
    if (this.#profile?.reshape[type] === undefined) this.#write(spelling.frame(seq, job, entry));
    else this.#write(spelling.frameOf(type, seq, job, entry.ts, this.#reshaped(type, entry.ts, entry.payload)));
    this.#queuedFrames += 1;
  }

  /** The stored payload as this client wants it. */
  #reshaped(type: string, ts: number, payload: string): string {
    const reshape = this.#profile?.reshape[type];
    if (reshape === undefined) return payload;
    const facts = { sessionId: this.#session?.id, timestamp: new Date(ts).toISOString() };
    return JSON.stringify(reshape(JSON.parse(payload) as JsonObject, facts));
  }

  #write(frame: string): void {
    if (this.#state.phase === "closed") return;
    this.#transport.send(frame);
    this.#heartbeat?.sent();
  }

  /** Is this the end of a streamed result, for a client that does not read chunks? */
  #needsInlining(code: number, payload: string): boolean {
    return code === ENTRY.result && !this.#session?.features.has("result_chunk") && payload.includes('"result_id":');
  }

  #close(by: ClosedBy, reason: string, code = CLOSE_NORMAL): void {
    if (this.#state.phase === "closed") return;
    this.#state.enter({ phase: "closed", reason });
    this.#stopHandshakeTimer();
    this.#heartbeat?.stop();
    this.#session?.detach(this);
    this.#span?.end(reason);
    if (by !== "transport") this.#transport.close(code, reason);
  }

  #sessionOrThrow(): Session {
    if (!this.#session) throw new InternalError("there is no session");
    return this.#session;
  }

  #spellingOrThrow(): Spelling {
    if (!this.#spelling) throw new InternalError("there is no session");
    return this.#spelling;
  }

  #timestamp(): string {
    return new Date(this.#engine.clock.now()).toISOString();
  }
}

const notNegotiated = (feature: string): InvalidRequestError =>
  new InvalidRequestError(`the feature ${feature} was not negotiated`, { details: { feature } });

/** Members that bind a job only if their feature is in use: never accepted and ignored (§6.2). */
function assertNegotiated(session: Session, payload: MessageOf<"job.submit">["payload"]): void {
  const needs: readonly (readonly [isUsed: boolean, feature: string])[] = [
    [payload.lease_constraints?.expires_at !== undefined, "lease_expires_at"],
    [payload.lease_request?.["cost.budget"] !== undefined, "cost.budget"],
    [payload.lease_request?.["model.use"] !== undefined, "model.use"],
    [payload.agent.includes("@"), "agent_versions"],
  ];
  for (const [isUsed, feature] of needs) if (isUsed && !session.features.has(feature)) throw notNegotiated(feature);
}

const submitRequest = ({ payload, ...envelope }: MessageOf<"job.submit">): SubmitRequest => ({
  agent: payload.agent,
  input: payload.input,
  leaseRequest: payload.lease_request,
  leaseConstraints:
    payload.lease_constraints?.expires_at === undefined
      ? undefined
      : { expires_at: payload.lease_constraints.expires_at },
  idempotencyKey: payload.idempotency_key,
  maxRuntimeSec: payload.max_runtime_sec,
  trace: parseTrace(envelope),
});

const listedPayload = (job: ListedJob): object => ({
  job_id: job.jobId,
  agent: job.agentRef,
  status: job.status,
  lease: job.lease,
  parent_job_id: job.parentJobId,
  created_at: job.createdAt,
  trace_id: job.traceId,
  last_event_seq: job.lastEventSeq,
});

const subscribedPayload = (job: Subscribed): object => ({
  job_id: job.jobId,
  current_status: job.status,
  agent: job.agentRef,
  lease: job.lease,
  ...(job.leaseConstraints && { lease_constraints: job.leaseConstraints }),
  ...(job.budget && { budget: job.budget }),
  parent_job_id: job.parentJobId,
  trace_id: job.traceId,
  subscribed_from: job.subscribedFrom,
  replayed: job.isReplayed,
  job_last_event_seq: job.lastEventSeq,
  ...(job.isTruncated && { history_truncated: true }),
});
