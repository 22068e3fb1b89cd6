/** Clients that break one requirement each: our own, with somebody in between. The case that is named has to notice. */
import { CUT, type Tamper } from "../../packages/conformance/src/client/tamper.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is tampered with may be anything
type Any = any;

export interface Mutant {
  readonly requirement: string;
  readonly case: string;
  readonly what: string;
  readonly tamper: Tamper;
  readonly carrier?: "stdio";
  /** How late it may be with what it does in time. Default: so late that nobody is. */
  readonly slackMs?: number;
  /** What the client has logged. */
  readonly written?: string;
}

const textsOf = (said: Any): string[] =>
  (Array.isArray(said) ? said : [said])
    .filter((one) => one !== undefined)
    .map((one) => (typeof one === "string" ? one : JSON.stringify(one)));

/** What the client says of that type is said otherwise: changed, left out (`undefined`), or more than one. */
const says = (type: string, change: (frame: Any, place: number) => Any): Tamper => ({
  hears: (text, place) => {
    const frame = JSON.parse(text) as Any;
    return frame.type === type ? textsOf(change(frame, place)) : [text];
  },
});

/** Changes members of messages of that type, by path. */
const with_ = (type: string, path: string, value: unknown): Tamper =>
  says(type, (frame) => {
    const names = path.split(".");
    const last = names.pop() as string;
    let part = frame;
    for (const name of names) part = part[name] ??= {};
    if (value === undefined) delete part[last];
    else part[last] = value;
    return frame;
  });

/** The connection ends in place of a message of that type. */
const cuts = (type: string, count = 1): Tamper => {
  let seen = 0;
  return {
    hears: (text) => {
      if ((JSON.parse(text) as Any).type !== type) return [text];
      seen += 1;
      return [seen === count ? CUT : text];
    },
  };
};

/** What the driver says of a step is another thing. */
const reports = (step: string, change: (answer: Any) => Any): Tamper => ({
  reports: (name, answer) => (name === step ? change(structuredClone(answer)) : answer),
});

const waits = (change: (ok: Any) => Any): Tamper =>
  reports("wait", (answer) => ("ok" in answer ? { ok: { ...answer.ok, ...change(answer.ok) } } : answer));
const forgets: Tamper = waits(() => ({ events: [] }));
const loses: Tamper = waits(() => ({ result: "something else" }));
const succeeds = (step: string): Tamper => reports(step, (answer) => ("error" in answer ? { ok: {} } : answer));

const extra = (frame: Any, type: string, payload: object = {}): Any => ({ ...frame, id: "msg_extra", type, payload });
const TOKEN = "token-0123456789abcdef";

/** The client is told of an interval that is so many times as long. */
const slower = (times: number): Tamper => ({
  tells: (frame) => {
    const { type, payload } = frame;
    if (type !== "session.welcome") return frame;
    return { ...frame, payload: { ...payload, heartbeat_interval_sec: payload.heartbeat_interval_sec * times } };
  },
});

export const MUTANTS_11: readonly Mutant[] = [
  {
    requirement: "V11-6.4-01",
    case: "heartbeat/ping",
    what: "pings too seldom",
    tamper: slower(1.6),
    slackMs: 100,
  },
  {
    requirement: "V11-6.4-02",
    case: "heartbeat/own-silence",
    what: "does not ping while it hears something",
    tamper: slower(10),
    slackMs: 100,
  },
  {
    requirement: "V11-9.8.2-13",
    case: "credentials/forgotten",
    what: "has no credentials for its application",
    tamper: reports("credentials", () => ({ ok: { credentials: [] } })),
  },
  {
    requirement: "V11-15-01",
    case: "opening/feature-names",
    what: "offers a feature of its own without a vendor's name",
    tamper: with_("session.hello", "payload.capabilities.features", ["heartbeat", "flying"]),
  },
  {
    requirement: "V11-4-04",
    case: "hostile/no-json",
    what: "forgets a job for a frame that is no JSON",
    tamper: loses,
  },
  {
    requirement: "V11-4.1-01",
    case: "envelopes/one-object",
    what: "says something that is no JSON",
    tamper: says("session.pong", (frame) => [frame, "well"]),
  },
  {
    requirement: "V11-4.1-02",
    case: "envelopes/binary",
    what: "believes a binary frame",
    tamper: waits(() => ({ result: "from a binary frame" })),
  },
  {
    requirement: "V11-4.1-03",
    case: "submit/plain-text",
    what: "connects without TLS, and says it did",
    tamper: succeeds("connect"),
  },
  {
    requirement: "V11-14-01",
    case: "submit/plain-text",
    what: "sends its token without TLS",
    tamper: { asks: (step, terms) => (step === "connect" ? { ...terms, allow_insecure: true } : terms) },
  },
  {
    requirement: "V11-4.2-01",
    case: "envelopes/one-line",
    carrier: "stdio",
    what: "writes to its pipe what is no message",
    tamper: says("session.pong", (frame) => [frame, "log: pong"]),
  },
  {
    requirement: "V11-4.2-02",
    case: "envelopes/no-raw-newline",
    carrier: "stdio",
    what: "breaks a message into lines",
    tamper: says("session.pong", (frame) => [frame, '{"arcp":', '"1.1"}']),
  },
  {
    requirement: "V11-5.1-01",
    case: "envelopes/arcp",
    what: "names another version later",
    tamper: with_("session.pong", "arcp", "1"),
  },
  {
    requirement: "V11-5.1-02",
    case: "envelopes/ids",
    what: "uses an id twice",
    tamper: says("session.pong", (frame) => [frame, frame]),
  },
  {
    requirement: "V11-5.1-04",
    case: "envelopes/types",
    what: "has a type that is a number",
    tamper: with_("job.unsubscribe", "type", 7),
  },
  {
    requirement: "V11-5.1-05",
    case: "envelopes/session-id",
    what: "does not name its session",
    tamper: with_("session.pong", "session_id", undefined),
  },
  {
    requirement: "V11-5.1-08",
    case: "envelopes/trace-ids",
    what: "writes trace ids in capitals",
    tamper: with_("session.pong", "trace_id", "0AF7651916CD43DD8448EB211C80319C"),
  },
  {
    requirement: "V11-5.1-09",
    case: "envelopes/job-ids",
    what: "names the job in the payload alone",
    tamper: with_("job.cancel", "job_id", undefined),
  },
  {
    requirement: "V11-5.1-12",
    case: "envelopes/payloads",
    what: "has a payload that is null",
    tamper: with_("job.unsubscribe", "payload", null),
  },
  {
    requirement: "V11-5.1-13",
    case: "envelopes/unknown-members",
    what: "drops what it does not know",
    tamper: forgets,
  },
  {
    requirement: "V11-5.2-01",
    case: "opening/members",
    what: "does not speak JSON",
    tamper: with_("session.hello", "payload.capabilities.encodings", ["cbor"]),
  },
  {
    requirement: "V11-5.2-02",
    case: "envelopes/unicode",
    what: "sends Latin 1",
    tamper: says("job.submit", (frame) => ({
      ...frame,
      payload: {
        ...frame.payload,
        input: { text: Buffer.from(String(frame.payload.input?.text), "latin1").toString("latin1") },
      },
    })),
  },
  {
    requirement: "V11-5.2-03",
    case: "envelopes/integers",
    what: "has numbers beyond 64 bits",
    tamper: with_("session.pong", "payload.count", 2 ** 70),
  },
  {
    requirement: "V11-6.1-01",
    case: "opening/credentials",
    what: "names no scheme",
    tamper: with_("session.hello", "payload.auth.scheme", undefined),
  },
  {
    requirement: "V11-6.2-01",
    case: "opening/members",
    what: "has no version",
    tamper: with_("session.hello", "payload.client.version", undefined),
  },
  {
    requirement: "V11-6.2-05",
    case: "opening/features-not-agreed",
    what: "lists jobs all the same",
    tamper: succeeds("list"),
  },
  {
    requirement: "V11-6.2-06",
    case: "opening/features-not-agreed",
    what: "pings without heartbeats",
    tamper: says("job.submit", (frame) => [frame, extra(frame, "session.ping", { nonce: "n" })]),
  },
  {
    requirement: "V11-6.2-07",
    case: "opening/feature-names",
    what: "offers a feature without a prefix",
    tamper: with_("session.hello", "payload.capabilities.features", ["ack", "acme"]),
  },
  { requirement: "V11-6.2-08", case: "opening/unknown-features", what: "stumbles over a feature", tamper: loses },
  {
    requirement: "V11-6.2-14",
    case: "resume/token-not-printed",
    what: "logs its token",
    tamper: {},
    written: `connecting with ${TOKEN}`,
  },
  {
    requirement: "V11-14-18",
    case: "resume/token-not-printed",
    what: "logs a credential",
    tamper: {},
    written: "credential-value-77ab31",
  },
  {
    requirement: "V11-6.3-03",
    case: "resume/position",
    what: "resumes from the beginning",
    tamper: says("session.hello", (frame, place) =>
      place === 1
        ? frame
        : { ...frame, payload: { ...frame.payload, resume: { ...frame.payload.resume, last_event_seq: 0 } } },
    ),
  },
  { requirement: "V11-6.3-03", case: "resume/position", what: "shows the first token for ever", tamper: firstToken() },
  {
    requirement: "V11-6.4-03",
    case: "heartbeat/ping",
    what: "does not say when it pinged",
    tamper: with_("session.ping", "payload.sent_at", undefined),
  },
  { requirement: "V11-6.4-05", case: "heartbeat/pong", what: "does not answer pings", tamper: cuts("session.pong") },
  {
    requirement: "V11-6.4-06",
    case: "heartbeat/pong",
    what: "answers with a nonce of its own",
    tamper: with_("session.pong", "payload.ping_nonce", "mine"),
  },
  {
    requirement: "V11-6.4-08",
    case: "heartbeat/patience",
    what: "gives up when a ping is not answered",
    tamper: cuts("session.ping", 2),
  },
  {
    requirement: "V11-6.5-06",
    case: "envelopes/ack-unnumbered",
    what: "numbers what it sends",
    tamper: with_("session.pong", "event_seq", 1),
  },
  { requirement: "V11-6.7-01", case: "close/said", what: "hangs up without a word", tamper: cuts("session.close") },
  {
    requirement: "V11-6.7-06",
    case: "close/no-answer",
    what: "goes on after its own bye",
    tamper: says("session.bye", (frame) => [frame, extra(frame, "session.ping", { nonce: "n" })]),
  },
  {
    requirement: "V11-7.1-01",
    case: "submit/everything",
    what: "calls the key otherwise",
    tamper: says("job.submit", ({ payload: { idempotency_key: key, ...payload }, ...frame }) => ({
      ...frame,
      payload: { ...payload, key },
    })),
  },
  {
    requirement: "V11-7.4-02",
    case: "cancel/request",
    what: "names the job in the payload alone",
    tamper: with_("job.cancel", "job_id", undefined),
  },
  {
    requirement: "V11-7.5-05",
    case: "submit/version",
    what: "takes any version",
    tamper: with_("job.submit", "payload.agent", "echo@1.0.0"),
  },
  {
    requirement: "V11-7.6-02",
    case: "subscribe/request",
    what: "asks for no history",
    tamper: with_("job.subscribe", "payload.history", undefined),
  },
  { requirement: "V11-8.2-11", case: "events/kinds", what: "stops at a kind that it does not know", tamper: forgets },
  {
    requirement: "V11-8.2.1-04",
    case: "events/progress",
    what: "takes a total for the end",
    tamper: waits(() => ({ events: [], result: undefined })),
  },
  { requirement: "V11-8.4-10", case: "results/text-chunks", what: "joins pieces in the wrong order", tamper: loses },
  {
    requirement: "V11-8.4-10",
    case: "results/byte-chunks",
    what: "takes bytes for text",
    tamper: waits(({ result }) => ({ result: Buffer.from(String(result?.base64), "base64").toString("utf8") })),
  },
  {
    requirement: "V11-8.4-11",
    case: "results/inline",
    what: "loses results",
    tamper: waits(() => ({ result: undefined })),
  },
  {
    requirement: "V11-9.2-01",
    case: "submit/everything",
    what: "knows no model.use",
    tamper: with_("job.submit", "payload.lease_request.model.use", undefined),
  },
  {
    requirement: "V11-9.8.1-04",
    case: "credentials/unknown-scheme",
    what: "hands out what it does not know",
    tamper: reports("credentials", ({ ok }) => ({
      ok: { credentials: [{ id: "cred_zzz", scheme: "zzz" }, ...ok.credentials] },
    })),
  },
  {
    requirement: "V11-9.8.2-14",
    case: "credentials/forgotten",
    what: "keeps a credential",
    tamper: reports("credentials", ({ ok }) => ({
      ok: { credentials: ok.credentials.map((one: Any) => ({ ...one, value: one.value ?? "value-after" })) },
    })),
  },
  {
    requirement: "V11-12-09",
    case: "errors/codes",
    what: "knows its own codes alone",
    tamper: waits(({ error }) => (error?.code === "X_UNKNOWN" ? { error: { code: "INTERNAL_ERROR" } } : {})),
  },
  {
    requirement: "V11-14-05",
    case: "envelopes/trace-without-secrets",
    what: "puts its token into the trace",
    tamper: with_("session.pong", "tracestate", `arcp=${TOKEN}`),
  },
  {
    requirement: "V11-5.1-03",
    case: "envelopes/id-form",
    what: "counts its messages",
    tamper: with_("session.pong", "id", "42"),
  },
  {
    requirement: "V11-6.2-04",
    case: "opening/agents-as-names",
    what: "knows no names alone",
    tamper: reports("connect", ({ ok }) => ({ ok: { ...ok, agents: [] } })),
  },
  {
    requirement: "V11-6.5-05",
    case: "ack/throttled",
    what: "acknowledges every event",
    tamper: says("session.pong", (frame) => [
      frame,
      ...Array.from({ length: 2_000 }, () => extra(frame, "session.ack", { last_processed_seq: 1 })),
    ]),
  },
  {
    requirement: "V11-7.2-10",
    case: "events/twice",
    what: "tells everything twice",
    tamper: waits(({ events }) => ({ events: [...events, ...events] })),
  },
  {
    requirement: "V11-8.3-05",
    case: "events/gap",
    what: "goes on after a gap",
    tamper: says("session.hello", (frame, place) =>
      place === 1
        ? frame
        : { ...frame, payload: { ...frame.payload, resume: { ...frame.payload.resume, last_event_seq: 5 } } },
    ),
  },
  {
    requirement: "V11-11-01",
    case: "submit/trace",
    what: "begins a trace of its own",
    tamper: with_("job.submit", "trace_id", "0af7651916cd43dd8448eb211c80319c"),
  },
  {
    requirement: "V11-12-08",
    case: "submit/retry",
    what: "tries again what cannot succeed",
    tamper: says("job.submit", (frame) => [frame, { ...frame, id: `${frame.id}x` }]),
  },
];

function firstToken(): Tamper {
  let first: unknown;
  return {
    tells: (frame) => {
      if (frame.type === "session.welcome") first ??= frame.payload.resume_token;
      return frame;
    },
    hears: (text, place) => {
      const frame = JSON.parse(text) as Any;
      if (place > 1 && frame.type === "session.hello") frame.payload.resume.resume_token = first;
      return [JSON.stringify(frame)];
    },
  };
}

const streams = (change: (streams: Any[]) => Any[]): Tamper => waits((ok) => ({ streams: change(ok.streams) }));

export const MUTANTS_10: readonly Mutant[] = [
  {
    requirement: "V10-6.1.1-14",
    case: "control/twice",
    what: "passes on twice what came twice",
    tamper: waits(({ events }) => ({ events: [...events, ...events] })),
  },
  {
    requirement: "V10-18.3-02",
    case: "work/retry",
    what: "does not try again what may be tried again",
    tamper: { asks: (step, terms) => (step === "submit" ? { ...terms, retry: false } : terms) },
  },
  {
    requirement: "V10-18.3-04",
    case: "work/retry",
    what: "tries again at once",
    tamper: {
      tells: (frame) => (frame.type === "nack" ? { ...frame, payload: { ...frame.payload, details: {} } } : frame),
    },
  },
  {
    requirement: "V10-4.1-01",
    case: "work/endings",
    what: "knows one ending alone",
    tamper: waits(({ status }) => ({ status: status === "cancelled" ? "error" : status })),
  },
  {
    requirement: "V10-4.4-01",
    case: "hostile/wrong-members",
    what: "is confused by wrong members",
    tamper: waits(({ result }) => (result === "next" ? { result: "forged" } : {})),
  },
  {
    requirement: "V10-4.4-02",
    case: "envelopes/version",
    what: "names no version",
    tamper: with_("pong", "arcp", undefined),
  },
  {
    requirement: "V10-4.6-01",
    case: "opening/challenge",
    what: "begins before it is let in",
    tamper: says("session.authenticate", (frame) => [extra(frame, "tool.invoke", { tool: "echo" }), frame]),
  },
  {
    requirement: "V10-4.7-01",
    case: "control/unknown-extension",
    what: "says nothing to what it does not know",
    tamper: says("nack", () => undefined),
  },
  {
    requirement: "V10-6.1-01",
    case: "envelopes/objects",
    what: "says something that is no JSON",
    tamper: says("pong", (frame) => [frame, "[1]"]),
  },
  {
    requirement: "V10-6.1.1-01",
    case: "envelopes/members",
    what: "has no timestamp",
    tamper: with_("pong", "timestamp", undefined),
  },
  {
    requirement: "V10-6.1.1-02",
    case: "envelopes/ids",
    what: "uses an id twice",
    tamper: says("pong", (frame) => [frame, frame]),
  },
  {
    requirement: "V10-6.1.1-03",
    case: "envelopes/timestamps",
    what: "says yesterday",
    tamper: with_("pong", "timestamp", "yesterday"),
  },
  {
    requirement: "V10-6.1.1-04",
    case: "envelopes/session-id",
    what: "does not name its session",
    tamper: with_("pong", "session_id", undefined),
  },
  {
    requirement: "V10-6.1.1-09",
    case: "envelopes/correlation",
    what: "does not say what it answers",
    tamper: with_("nack", "correlation_id", undefined),
  },
  {
    requirement: "V10-6.1.1-13",
    case: "envelopes/extensions",
    what: "has an extension without a name",
    tamper: with_("pong", "extensions", { note: 1 }),
  },
  {
    requirement: "V10-6.1.1-17",
    case: "control/unknown-members",
    what: "drops what it does not know",
    tamper: forgets,
  },
  {
    requirement: "V10-6.2-02",
    case: "envelopes/types",
    what: "has a type of its own",
    tamper: says("pong", (frame) => [frame, extra(frame, "hello")]),
  },
  {
    requirement: "V10-6.2-03",
    case: "control/ping",
    what: "does not say which ping it answers",
    tamper: with_("pong", "correlation_id", undefined),
  },
  {
    requirement: "V10-6.4-02",
    case: "control/twice",
    what: "answers twice",
    tamper: says("human.input.response", (frame) => [frame, { ...frame, id: "msg_again" }]),
  },
  {
    requirement: "V10-7-01",
    case: "opening/open",
    what: "asks for no capabilities",
    tamper: with_("session.open", "payload.capabilities", undefined),
  },
  {
    requirement: "V10-7-02",
    case: "opening/capabilities-absent",
    what: "takes absent for true",
    tamper: says("cancel", (frame) => [extra(frame, "interrupt"), frame]),
  },
  {
    requirement: "V10-7-05",
    case: "opening/open",
    what: "says yes for true",
    tamper: with_("session.open", "payload.capabilities.streaming", "yes"),
  },
  {
    requirement: "V10-8.1-01",
    case: "opening/open",
    what: "does not say what it is",
    tamper: with_("session.open", "payload.client.kind", undefined),
  },
  {
    requirement: "V10-8.1-03",
    case: "opening/challenge",
    what: "answers something else",
    tamper: with_("session.authenticate", "payload.response", "forty-one"),
  },
  {
    requirement: "V10-8.1-06",
    case: "opening/patience",
    what: "begins before it is let in",
    tamper: says("session.open", (frame, place) => (place === 1 ? frame : [frame, extra(frame, "tool.invoke")])),
  },
  {
    requirement: "V10-8.2-02",
    case: "opening/mtls",
    what: "sends a token with mtls",
    tamper: with_("session.open", "payload.auth.token", TOKEN),
  },
  {
    requirement: "V10-8.4-02",
    case: "opening/refresh",
    what: "refreshes with an old token",
    tamper: with_("session.authenticate", "payload.auth.token", "old"),
  },
  {
    requirement: "V10-10.4-01",
    case: "work/cancel",
    what: "names no target",
    tamper: with_("cancel", "payload.target", undefined),
  },
  {
    requirement: "V10-10.6-02",
    case: "work/schedule",
    what: "names two times",
    tamper: with_("job.schedule", "payload.when.after", 1),
  },
  {
    requirement: "V10-11.1-02",
    case: "streams/kinds",
    what: "takes every stream for text",
    tamper: streams((all) => all.map((one) => ({ ...one, kind: "text" }))),
  },
  {
    requirement: "V10-11.1-05",
    case: "streams/kinds",
    what: "takes chunks after the end",
    tamper: streams((all) =>
      all.map((one) => ({ ...one, chunks: [...one.chunks, { sequence: 2, data: "after its end" }] })),
    ),
  },
  {
    requirement: "V10-11.3-01",
    case: "streams/bytes",
    what: "takes bytes for text",
    tamper: streams((all) => all.map((one) => ({ ...one, chunks: [{ data: "text" }] }))),
  },
  {
    requirement: "V10-11.3-04",
    case: "streams/sidecar",
    what: "mixes streams up",
    tamper: streams((all) => all.map((one) => ({ ...one, chunks: all[0].chunks }))),
  },
  {
    requirement: "V10-11.3-05",
    case: "streams/no-sidecar",
    carrier: "stdio",
    what: "asks for frames of bytes on a pipe",
    tamper: with_("session.open", "payload.capabilities.binary_encoding", ["base64", "sidecar"]),
  },
  {
    requirement: "V10-22-05",
    case: "streams/no-sidecar",
    carrier: "stdio",
    what: "puts bytes on a pipe",
    tamper: says("artifact.put", (frame) => [frame, "bytes"]),
  },
  {
    requirement: "V10-12.1-03",
    case: "people/input",
    what: "does not say who answers",
    tamper: with_("human.input.response", "payload.responded_by", undefined),
  },
  {
    requirement: "V10-12.2-02",
    case: "people/choice",
    what: "does not say when",
    tamper: with_("human.choice.response", "payload.responded_at", undefined),
  },
  {
    requirement: "V10-15.4-04",
    case: "people/permission",
    what: "denies what was granted",
    tamper: with_("permission.grant", "type", "permission.deny"),
  },
  {
    requirement: "V10-15.5-04",
    case: "people/lease",
    what: "takes a refusal for an extension",
    tamper: succeeds("refresh"),
  },
  {
    requirement: "V10-17.2-01",
    case: "events/log-and-metric",
    what: "drops logs",
    tamper: waits(({ events }) => ({ events: events.filter(({ body }: Any) => body?.level !== "critical") })),
  },
  {
    requirement: "V10-17.3-01",
    case: "events/log-and-metric",
    what: "drops metrics",
    tamper: waits(({ events }) => ({ events: events.filter(({ kind }: Any) => kind !== "metric") })),
  },
  {
    requirement: "V10-18.1-01",
    case: "envelopes/error-form",
    what: "refuses without a word",
    tamper: with_("nack", "payload.message", undefined),
  },
  {
    requirement: "V10-18.2-01",
    case: "envelopes/error-codes",
    what: "has codes of its own",
    tamper: with_("nack", "payload.code", "NOPE"),
  },
  {
    requirement: "V10-18.2-02",
    case: "work/codes",
    what: "knows canonical codes alone",
    tamper: waits(({ error }) => (error?.code.startsWith("arcpx.") ? { error: { code: "UNKNOWN" } } : {})),
  },
  {
    requirement: "V10-18.2-03",
    case: "work/codes",
    what: "knows no RATE_LIMITED",
    tamper: waits(({ error }) => (error?.code === "RESOURCE_EXHAUSTED" ? { error: { code: "RATE_LIMITED" } } : {})),
  },
  {
    requirement: "V10-18.2-04",
    case: "envelopes/error-not-ok",
    what: "refuses with OK",
    tamper: with_("nack", "payload.code", "OK"),
  },
  {
    requirement: "V10-21.1-01",
    case: "control/extension",
    what: "takes any name for an extension's",
    tamper: succeeds("extension"),
  },
  {
    requirement: "V10-21.1-02",
    case: "envelopes/no-bare-x",
    what: "has a bare x-",
    tamper: with_("pong", "extensions", { "x-note": 1 }),
  },
  {
    requirement: "V10-21.2-01",
    case: "opening/extensions-advertised",
    what: "advertises nothing",
    tamper: with_("session.open", "payload.capabilities.extensions", []),
  },
  {
    requirement: "V10-21.3-01",
    case: "control/unknown-core",
    what: "refuses with another code",
    tamper: with_("nack", "payload.code", "NOT_FOUND"),
  },
  {
    requirement: "V10-21.3-02",
    case: "control/unknown-extension",
    what: "refuses what is optional",
    tamper: says("nack", (frame) => [frame, { ...frame, id: `${frame.id}x` }]),
  },
  {
    requirement: "V10-21.3-03",
    case: "control/unknown-extension",
    what: "refuses with another code",
    tamper: with_("nack", "payload.code", "NOT_FOUND"),
  },
  { requirement: "V10-21.3-04", case: "control/unknown-core", what: "forgets a job for a type", tamper: loses },
  { requirement: "V10-22-03", case: "artifacts/damaged", what: "takes a damaged content", tamper: succeeds("fetch") },
  {
    requirement: "V10-6.1.1-08",
    case: "envelopes/traces",
    what: "has a span that is none",
    tamper: with_("pong", "span_id", "here"),
  },
  {
    requirement: "V10-6.4-04",
    case: "work/retry",
    what: "has a new key for every attempt",
    tamper: says("tool.invoke", (frame) => ({ ...frame, idempotency_key: frame.id })),
  },
  { requirement: "V10-6.4-09", case: "work/mixed", what: "loses what is mixed", tamper: forgets },
  {
    requirement: "V10-9-03",
    case: "resume/position",
    what: "resumes another session",
    tamper: with_("resume", "session_id", "sess_other"),
  },
  {
    requirement: "V10-11.1-03",
    case: "streams/kinds",
    what: "makes no event of an unknown stream",
    tamper: streams((all) => all.map((one) => (one.id === "str_zzz" ? { ...one, kind: "zzz" } : one))),
  },
  {
    requirement: "V10-17.1-01",
    case: "envelopes/spans",
    what: "has no span",
    tamper: with_("tool.invoke", "span_id", undefined),
  },
  {
    requirement: "V10-18.3-03",
    case: "work/no-retry",
    what: "tries again what cannot succeed",
    tamper: says("tool.invoke", (frame) => [frame, { ...frame, id: `${frame.id}x` }]),
  },
  {
    requirement: "V10-19-02",
    case: "resume/position",
    what: "resumes from the beginning",
    tamper: with_("resume", "payload.after_message_id", undefined),
  },
];
