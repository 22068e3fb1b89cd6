/** How a client of wire 1.0 is let in, and what its messages look like (RFC §6, §7, §8, §17). */
import type { Frame } from "../../frame.ts";
import {
  aBoolean,
  aNumber,
  anObject,
  aTimestamp,
  aTraceId,
  is,
  listOf,
  oneOf,
  perhaps,
  shape,
  someText,
  text,
} from "../../matcher.ts";
import { CODES_10, isCoreType, isNamespaced } from "../../names-10.ts";
import { type Conversation, casesOf, type Rule } from "../rule.ts";
import type { ClientCase, Stage } from "../stage.ts";
import { CAPABILITIES, openSession10, Session10 } from "./session.ts";

const SPAN = text(/^[0-9a-f]{16}$/, "a span id of 16 hexadecimal characters");

/** A bit of everything that a client says. */
async function converse(stage: Stage): Promise<Conversation> {
  const session = await openSession10(stage, { terms: { answers: { input: { branch: "main" } } } });
  const { caller, client } = session;
  const job = await session.job({ input: { text: "one\ntwo 😀" }, idempotency_key: "key-1" });
  job.log("one");
  const schema = { response_schema: { type: "object" }, expires_at: new Date(Date.now() + 60_000).toISOString() };
  job.send("human.input.request", { prompt: "Which branch?", ...schema }, { correlation_id: undefined });
  const response = await caller.next(undefined, "human.input.response");
  caller.send("ack", { ack_for: response.id }, { correlation_id: response.id });
  caller.send("job.zzz", {});
  await caller.next(undefined, "nack");
  const pinging = client.starts("ping");
  await caller.next(undefined, "ping");
  await pinging;
  await caller.fence();
  const cancelling = client.starts("cancel", { job_id: job.id, reason: "enough" });
  const cancel = await caller.next(undefined, "cancel");
  caller.send("cancel.accepted", { target: "job", target_id: job.id }, { correlation_id: cancel.id });
  await cancelling;
  job.send("job.cancelled", { reason: "enough" });
  await job.wait();
  await client.does("close");
  return { frames: caller.frames, garbage: caller.garbage, later: caller.frames.slice(1) };
}

const every =
  (
    requirement: string,
    path: keyof Frame & string,
    matcher: Parameters<Stage["judge"]["expect"]>[3],
  ): Rule<Conversation>["judge"] =>
  ({ judge }, frames) => {
    for (const frame of frames) judge.expect(requirement, `${frame.type}.${path}`, frame[path], matcher);
  };

const rules: readonly Rule<Conversation>[] = [
  {
    id: "objects",
    requirement: "V10-6.1-01",
    title: "every message is one JSON object",
    judge: ({ judge }, _frames, { garbage }) =>
      judge.that("V10-6.1-01", "JSON objects in frames of text", garbage.length === 0, garbage),
  },
  {
    id: "version",
    requirement: "V10-4.4-02",
    title: "every message names the version",
    judge: every("V10-4.4-02", "arcp", text(/^1\.\d+$/, "a version of 1")),
  },
  {
    id: "members",
    requirement: "V10-6.1.1-01",
    title: "every message has its five members",
    judge: ({ judge }, frames) => {
      const envelope = shape({ arcp: someText, id: someText, type: someText, timestamp: someText, payload: anObject });
      for (const frame of frames) judge.expect("V10-6.1.1-01", String(frame.type), frame, envelope);
    },
  },
  {
    id: "ids",
    requirement: "V10-6.1.1-02",
    title: "every message has an id of its own",
    judge: ({ judge }, frames) => {
      const ids = frames.map(({ id }) => id);
      const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
      judge.that("V10-6.1.1-02", "no id twice", twice.length === 0, twice);
    },
  },
  {
    id: "timestamps",
    requirement: "V10-6.1.1-03",
    title: "timestamps are of RFC 3339",
    judge: every("V10-6.1.1-03", "timestamp", aTimestamp),
  },
  {
    id: "session-id",
    requirement: "V10-6.1.1-04",
    title: "once there is a session every message names it",
    judge: ({ judge }, _frames, { later }) => {
      for (const { type, session_id } of later)
        judge.expect("V10-6.1.1-04", `${type}.session_id`, session_id, someText);
    },
  },
  {
    id: "correlation",
    requirement: "V10-6.1.1-09",
    title: "answers name what they answer",
    judge: ({ judge }, frames) => {
      for (const { type, correlation_id } of frames) {
        const isAnswer = ["pong", "nack", "human.input.response"].includes(type);
        if (isAnswer) judge.expect("V10-6.1.1-09", `${type}.correlation_id`, correlation_id, someText);
      }
    },
  },
  {
    id: "traces",
    requirement: "V10-6.1.1-08",
    title: "messages are of a trace, and have a span of their own",
    judge: ({ judge }, frames) => {
      for (const { type, trace_id, span_id } of frames) {
        judge.expect("V10-6.1.1-08", `${type}.trace_id`, trace_id, perhaps(aTraceId));
        judge.expect("V10-6.1.1-08", `${type}.span_id`, span_id, perhaps(SPAN));
      }
      const traced = frames.some(({ type, trace_id }) => type === "tool.invoke" && trace_id !== undefined);
      judge.that("V10-6.1.1-08", "a trace on tool.invoke", traced, "none");
    },
  },
  {
    id: "spans",
    requirement: "V10-17.1-01",
    title: "messages have trace_id and span_id",
    judge: ({ judge }, frames) => {
      for (const { type, trace_id, span_id } of frames) {
        if (type !== "tool.invoke") continue;
        judge.expect("V10-17.1-01", "tool.invoke", { trace_id, span_id }, shape({ trace_id: aTraceId, span_id: SPAN }));
      }
    },
  },
  {
    id: "priorities",
    requirement: "V10-6.1.1-12",
    title: "priorities are those that there are",
    judge: every("V10-6.1.1-12", "priority", perhaps(oneOf("low", "normal", "high", "critical"))),
  },
  {
    id: "extensions",
    requirement: "V10-6.1.1-13",
    title: "extensions are objects whose members are namespaced",
    judge: ({ judge }, frames) => {
      for (const { type, extensions } of frames) {
        if (extensions === undefined) continue;
        judge.expect("V10-6.1.1-13", `${type}.extensions`, extensions, anObject);
        const odd = Object.keys(extensions as object).filter((name) => name !== "optional" && !isNamespaced(name));
        judge.that("V10-6.1.1-13", "namespaced members", odd.length === 0, odd);
      }
    },
  },
  {
    id: "types",
    requirement: "V10-6.2-02",
    title: "types are of the core, or namespaced",
    judge: ({ judge }, frames) => {
      const odd = frames.map(({ type }) => type).filter((type) => !isCoreType(type) && !isNamespaced(type));
      judge.that("V10-6.2-02", "types of the core, or namespaced", odd.length === 0, odd);
    },
  },
  {
    id: "no-bare-x",
    requirement: "V10-21.1-02",
    title: "nothing is called x-",
    judge: ({ judge }, frames) => {
      const odd = frames.filter(
        ({ type, extensions }) => /^x-/.test(type) || /"x-/.test(JSON.stringify(extensions ?? {})),
      );
      judge.that("V10-21.1-02", "no name that begins with x-", odd.length === 0, odd);
    },
  },
  {
    id: "error-form",
    requirement: "V10-18.1-01",
    title: "errors have a code and a message",
    judge: ({ judge }, frames) => {
      const error = shape({ code: someText, message: someText, retryable: perhaps(aBoolean) });
      for (const { type, payload } of frames)
        if (type === "nack") judge.expect("V10-18.1-01", "nack.payload", payload, error);
    },
  },
  {
    id: "error-codes",
    requirement: "V10-18.2-01",
    title: "codes are those that there are",
    judge: ({ judge }, frames) => {
      const codes = frames.filter(({ type }) => type === "nack").map(({ payload }) => String(payload?.code));
      const odd = codes.filter((code) => ![...CODES_10, "OK"].includes(code) && !isNamespaced(code));
      judge.that("V10-18.2-01", "canonical or namespaced codes", odd.length === 0, odd);
    },
  },
  {
    id: "error-not-ok",
    requirement: "V10-18.2-04",
    title: "OK is no error",
    judge: ({ judge }, frames) => {
      const codes = frames.filter(({ type }) => type === "nack").map(({ payload }) => payload?.code);
      judge.that("V10-18.2-04", "another code than OK", !codes.includes("OK"), codes);
    },
  },
];

export const opening10: readonly ClientCase[] = [
  ...casesOf("1.0", rules, converse),
  {
    id: "opening/open",
    wire: "1.0",
    requirements: ["V10-8.1-01", "V10-7-01", "V10-7-05"],
    title: "session.open says who the client is, proves it, and asks for capabilities by their names",
    async run(stage) {
      const { open } = await openSession10(stage);
      const auth = shape({ scheme: is("bearer"), token: is(stage.options.token) });
      const client = shape({
        kind: someText,
        version: someText,
        fingerprint: perhaps(someText),
        principal: perhaps(someText),
      });
      stage.judge.expect("V10-8.1-01", "session.open.payload", open.payload, shape({ auth, client }));
      stage.judge.expect("V10-7-01", "session.open.payload.capabilities", open.payload.capabilities, anObject);
      const flags = Object.entries(CAPABILITIES).flatMap(([name, value]) => (typeof value === "boolean" ? [name] : []));
      const capabilities = shape({
        ...Object.fromEntries(flags.map((name) => [name, perhaps(aBoolean)])),
        ...{ extensions: perhaps(listOf(someText)), binary_encoding: perhaps(listOf(oneOf("base64", "sidecar"))) },
        heartbeat_interval_seconds: perhaps(aNumber),
      });
      stage.judge.expect("V10-7-05", "session.open.payload.capabilities", open.payload.capabilities, capabilities);
    },
  },
  {
    id: "opening/challenge",
    wire: "1.0",
    requirements: ["V10-8.1-03", "V10-4.6-01"],
    title: "a challenge is answered, and nothing else is said before the session is accepted",
    async run(stage) {
      const client = stage.client();
      const connecting = client.starts("connect", { ...client.terms, challenge_response: "forty-two" }, "V10-8.1-03");
      const caller = await client.caller(undefined);
      const session = new Session10(stage, client, caller, await caller.next(undefined, "session.open"));
      const challenge = { challenge_id: "ch_1", type: "arithmetic", params: { of: [6, 7] }, challenge: "6 times 7" };
      const id = caller.send("session.challenge", challenge, { correlation_id: session.open.id });
      const answer = await caller.next("V10-8.1-03", "session.authenticate");
      stage.judge.expect("V10-8.1-03", "session.authenticate.correlation_id", answer.correlation_id, is(id));
      const { response } = answer.payload ?? {};
      stage.judge.that("V10-8.1-03", "the response", response === "forty-two", answer.payload);
      const said = caller.frames.filter(({ type }) => !/^session\.(open|authenticate)$/.test(type));
      stage.judge.that("V10-4.6-01", "nothing but the handshake", said.length === 0, said);
      session.accept();
      await connecting;
    },
  },
  {
    id: "opening/patience",
    wire: "1.0",
    requirements: ["V10-8.1-06", "V10-4.6-01"],
    title: "while the session is not accepted nothing but the handshake is said, whatever the application wants",
    async run(stage) {
      const session = await openSession10(stage);
      const { client } = session;
      session.caller.cut();
      const caller = await client.caller("V10-8.1-06", "the client to connect again");
      const open = await caller.next("V10-8.1-06", "session.open");
      const submitting = client.starts("submit", { agent: "echo", input: {} });
      await caller.until(300, () => (caller.frames.length > 1 ? true : undefined));
      const early = caller.frames.filter((frame) => frame !== open);
      stage.judge.that("V10-8.1-06", "nothing before session.accepted", early.length === 0, early);
      stage.judge.that("V10-4.6-01", "nothing before session.accepted", early.length === 0, early);
      Object.assign(session, { caller, open });
      session.accept();
      const invoke = await caller.next("V10-8.1-06", "tool.invoke");
      const accepted = { job_id: "job_late", accepted_at: new Date().toISOString() };
      caller.send("job.accepted", accepted, { job_id: "job_late", correlation_id: invoke.id });
      await submitting;
    },
  },
  {
    id: "opening/rejected",
    wire: "1.0",
    requirements: ["V10-8.1-01"],
    title: "a session that is rejected is reported with its code",
    async run(stage) {
      const client = stage.client();
      const connecting = client.fails("V10-8.1-01", "connect", client.terms);
      const caller = await client.caller(undefined);
      const open = await caller.next(undefined, "session.open");
      caller.send("session.rejected", { code: "UNAUTHENTICATED", message: "no" }, { correlation_id: open.id });
      const { code } = await connecting;
      stage.judge.that("V10-8.1-01", "the code UNAUTHENTICATED", code === "UNAUTHENTICATED", code);
    },
  },
  {
    id: "opening/mtls",
    wire: "1.0",
    requirements: ["V10-8.2-02"],
    title: "mtls comes with a fingerprint and without a token",
    async run(stage) {
      const { open } = await openSession10(stage, { terms: { scheme: "mtls", fingerprint: "sha256:c1" } });
      const { auth, client } = open.payload ?? {};
      stage.judge.that(
        "V10-8.2-02",
        "scheme mtls and no token",
        auth?.scheme === "mtls" && auth?.token === undefined,
        auth,
      );
      stage.judge.expect("V10-8.2-02", "session.open.payload.client.fingerprint", client?.fingerprint, is("sha256:c1"));
    },
  },
  {
    id: "opening/pinned",
    wire: "1.0",
    requirements: ["V10-8.3-02"],
    title: "a runtime with another fingerprint than the pinned one is told nothing more",
    async run(stage) {
      const client = stage.client();
      const connecting = client.fails("V10-8.3-02", "connect", { ...client.terms, pinned: "sha256:another" });
      const caller = await client.caller(undefined);
      const session = new Session10(stage, client, caller, await caller.next(undefined, "session.open"));
      session.accept();
      await connecting;
      await caller.hangUp("V10-8.3-02", "the connection to be closed");
      const said = caller.frames.filter(({ type }) => !type.startsWith("session."));
      stage.judge.that("V10-8.3-02", "no command", said.length === 0, said);
    },
  },
  {
    id: "opening/refresh",
    wire: "1.0",
    requirements: ["V10-8.4-02"],
    title: "a session that is to be refreshed is, in time",
    async run(stage) {
      const { caller } = await openSession10(stage);
      const deadline = new Date(Date.now() + 30_000).toISOString();
      const id = caller.send("session.refresh", { deadline, deadline_ms: 30_000 });
      const answer = await caller.next("V10-8.4-02", "session.authenticate");
      stage.judge.expect("V10-8.4-02", "session.authenticate.correlation_id", answer.correlation_id, is(id));
      const { auth } = answer.payload ?? {};
      stage.judge.expect("V10-8.4-02", "session.authenticate.payload.auth.token", auth?.token, is(stage.options.token));
    },
  },
  {
    id: "opening/capabilities-absent",
    wire: "1.0",
    requirements: ["V10-7-02"],
    title: "an interrupt that the runtime does not say it can do is a cancellation, if the application lets it be",
    async run(stage) {
      const session = await openSession10(stage, { accepted: { capabilities: { streaming: true } } });
      const job = await session.job();
      const doing = session.client.starts("interrupt", { job_id: job.id, prompt: "wait", or_cancel: true });
      const cancel = await session.caller.next("V10-7-02", "cancel");
      session.caller.send("cancel.accepted", { target: "job", target_id: job.id }, { correlation_id: cancel.id });
      await doing;
      const asked = session.caller.ofType("interrupt");
      stage.judge.that("V10-7-02", "no interrupt", asked.length === 0, asked);
      job.result("done");
      await job.wait();
    },
  },
  {
    id: "opening/extensions-advertised",
    wire: "1.0",
    requirements: ["V10-21.2-01", "V10-21.1-01"],
    title: "extensions that the client speaks are named when the session is opened",
    async run(stage) {
      const { open } = await openSession10(stage, { terms: { extensions: ["arcpx.acme.note.v1"] } });
      const { extensions } = open.payload?.capabilities ?? {};
      stage.judge.expect(
        "V10-21.2-01",
        "session.open.payload.capabilities.extensions",
        extensions,
        is(["arcpx.acme.note.v1"]),
      );
      const odd = (extensions as readonly string[]).filter((name) => !isNamespaced(name));
      stage.judge.that("V10-21.1-01", "namespaced names", odd.length === 0, odd);
    },
  },
];
