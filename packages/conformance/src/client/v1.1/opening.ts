/** How a client opens a session (§5, §6.1, §6.2). */
import { anObject, aString, is, listOf, shape, someText } from "../../matcher.ts";
import type { ClientCase } from "../stage.ts";
import { ALL_FEATURES, openSession, openWith } from "./session.ts";

const KNOWN: ReadonlySet<string> = new Set(ALL_FEATURES);

export const opening: readonly ClientCase[] = [
  {
    id: "opening/credentials",
    wire: "1.1",
    requirements: ["V11-6.1-01"],
    title: "the hello carries the bearer token",
    async run(stage) {
      const { hello } = await openSession(stage);
      const auth = shape({ scheme: is("bearer"), token: is(stage.options.token) });
      stage.judge.expect("V11-6.1-01", "session.hello.payload.auth", hello.payload?.auth, auth);
    },
  },
  {
    id: "opening/members",
    wire: "1.1",
    requirements: ["V11-6.2-01", "V11-5.2-01"],
    title: "the hello says who the client is and what it can do",
    async run(stage) {
      const { hello } = await openSession(stage);
      const client = shape({ name: someText, version: someText });
      const capabilities = shape({ encodings: listOf(aString), features: listOf(aString) });
      stage.judge.expect(
        "V11-6.2-01",
        "session.hello.payload",
        hello.payload,
        shape({ client, auth: anObject, capabilities }),
      );
      const { encodings } = hello.payload.capabilities;
      stage.judge.that("V11-5.2-01", "encodings to name json", encodings.includes("json"), encodings);
    },
  },
  {
    id: "opening/feature-names",
    wire: "1.1",
    requirements: ["V11-6.2-07", "V11-15-01"],
    title: "features have the names of the specification, and others a vendor's prefix",
    async run(stage) {
      const { hello } = await openSession(stage);
      const features: readonly string[] = hello.payload?.capabilities?.features ?? [];
      const odd = features.filter((name) => !KNOWN.has(name) && !/^x-vendor\..+/.test(name));
      stage.judge.that(["V11-6.2-07", "V11-15-01"], "no name but the eleven, and x-vendor.*", odd.length === 0, odd);
    },
  },
  {
    id: "opening/unknown-features",
    wire: "1.1",
    requirements: ["V11-6.2-08"],
    title: "features that the client does not know are ignored",
    async run(stage) {
      const session = await openWith(stage, [...ALL_FEATURES, "zzz", "x-foo", "x-vendor.acme.teleport"]);
      const job = await session.job();
      job.result({ result: "done" });
      const { result } = await job.wait("V11-6.2-08");
      stage.judge.that("V11-6.2-08", "the job to end as ever", result === "done", result);
    },
  },
  {
    id: "opening/features-not-agreed",
    wire: "1.1",
    requirements: ["V11-6.2-05", "V11-6.2-06"],
    title: "what the runtime has not offered is not used",
    async run(stage) {
      const welcome = { heartbeat_interval_sec: 0.2 };
      const session = await openWith(stage, [], welcome);
      const { client, caller } = session;
      const job = await session.job();
      for (let count = 0; count < 20; count += 1) job.log(`event ${count}`);
      await client.fails("V11-6.2-05", "list");
      await client.fails("V11-6.2-05", "subscribe", { job_id: "job_elsewhere" });
      await caller.until(1_000, () => undefined);
      job.result();
      await job.wait();
      const used = caller.ofType("session.ping", "session.ack", "session.list_jobs", "job.subscribe");
      stage.judge.that("V11-6.2-06", "no ping, ack, list_jobs or subscribe", used.length === 0, used);
      stage.judge.that("V11-6.2-05", "no message of what was not agreed on", used.length === 0, used);
    },
  },
  {
    id: "opening/features-agreed",
    wire: "1.1",
    requirements: ["V11-6.2-05"],
    title: "what both have offered can be used, and nothing else",
    async run(stage) {
      const session = await openWith(stage, ["list_jobs"]);
      const { client, caller } = session;
      const listing = client.starts("list", {}, "V11-6.2-05");
      const asked = await caller.next("V11-6.2-05", "session.list_jobs");
      caller.send("session.jobs", { request_id: asked.id, jobs: [], next_cursor: null });
      await listing;
      await client.fails("V11-6.2-05", "subscribe", { job_id: "job_elsewhere" });
      const job = await session.job();
      job.result();
      await job.wait();
      const used = caller.ofType("session.ping", "session.ack", "job.subscribe");
      stage.judge.that("V11-6.2-05", "no ping, ack or subscribe", used.length === 0, used);
    },
  },
  {
    id: "opening/welcome-without-features",
    wire: "1.1",
    requirements: ["V11-6.2-05"],
    title: "a welcome without features is one that agrees on none",
    async run(stage) {
      const session = await openSession(stage, { welcome: { capabilities: { encodings: ["json"] } } });
      const job = await session.job();
      job.log("one");
      job.result({ result: 1 });
      const { result } = await job.wait("V11-6.2-05");
      stage.judge.that("V11-6.2-05", "the job to end as ever", result === 1, result);
      const used = session.caller.ofType("session.ping", "session.ack", "session.list_jobs", "job.subscribe");
      stage.judge.that("V11-6.2-05", "no ping, ack, list_jobs or subscribe", used.length === 0, used);
    },
  },
  {
    id: "opening/agents-as-names",
    wire: "1.1",
    requirements: ["V11-6.2-04"],
    title: "the flat list of agents of the base draft is understood",
    async run(stage) {
      const capabilities = { encodings: ["json"], features: ["heartbeat"], agents: ["echo", "other"] };
      const session = await openSession(stage, { welcome: { capabilities } });
      const { agents } = session.connected;
      const names = Array.isArray(agents) ? agents : [];
      stage.judge.that("V11-6.2-04", "the agents echo and other", names.join() === "echo,other", session.connected);
      const job = await session.job({ agent: "other" });
      job.result();
      await job.wait("V11-6.2-04");
    },
  },
  {
    id: "opening/agents-as-objects",
    wire: "1.1",
    requirements: ["V11-6.2-04"],
    title: "agents with their versions are understood, also one that has none",
    async run(stage) {
      const agents = [
        { name: "echo", versions: ["1.0.0"], default: "1.0.0" },
        { name: "bare", versions: [] },
      ];
      const capabilities = { encodings: ["json"], features: ALL_FEATURES, agents };
      const { connected } = await openSession(stage, { welcome: { capabilities } });
      const names = Array.isArray(connected["agents"]) ? connected["agents"] : [];
      stage.judge.that("V11-6.2-04", "the agents echo and bare", names.join() === "echo,bare", connected);
    },
  },
  {
    id: "opening/refused",
    wire: "1.1",
    requirements: ["V11-12-08"],
    title: "a token that is refused is reported, and not tried again and again",
    async run(stage) {
      const client = stage.client();
      const connecting = client.fails("V11-12-08", "connect", client.terms);
      const caller = await client.caller(undefined);
      const hello = await caller.next(undefined, "session.hello");
      const payload = { code: "UNAUTHENTICATED", message: "who are you?", retryable: false, request_id: hello.id };
      caller.send("session.error", payload, { session_id: "sess_refused", correlation_id: hello.id });
      caller.close(1008, "UNAUTHENTICATED");
      const { code } = await connecting;
      stage.judge.that("V11-12-08", "the code UNAUTHENTICATED", code === "UNAUTHENTICATED", code);
      await caller.until(300, () => undefined);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const tries = client.callers.length;
      stage.judge.that("V11-12-08", "one connection", tries === 1, `${tries} connections`);
    },
  },
  {
    id: "opening/cut-before-welcome",
    wire: "1.1",
    requirements: ["V11-4-04"],
    title: "a connection that is lost before the welcome fails, or is made again; nothing hangs",
    async run(stage) {
      const client = stage.client();
      const connecting = client.tell("connect", client.terms);
      const caller = await client.caller(undefined);
      await caller.next(undefined, "session.hello");
      caller.cut();
      const again = client.caller(undefined).then(async (next) => {
        await next.next(undefined, "session.hello");
        next.cut();
      });
      again.catch(() => {
        // It need not try again.
      });
      const answer = await client.within("V11-4-04", "connect to fail", connecting);
      stage.judge.that("V11-4-04", "connect to fail", "error" in answer, answer);
    },
  },
  {
    id: "opening/hears-nothing-early",
    wire: "1.1",
    requirements: ["V11-5.1-05"],
    title: "nothing but the hello is sent before the welcome",
    async run(stage) {
      const client = stage.client();
      const connecting = client.starts("connect", client.terms);
      const caller = await client.caller(undefined);
      const hello = await caller.next(undefined, "session.hello");
      caller.send("session.ping", { nonce: "early", sent_at: new Date().toISOString() }, { session_id: "sess_early" });
      caller.send(
        "job.event",
        { kind: "log", ts: new Date().toISOString(), body: { level: "info", message: "early" } },
        { job_id: "job_early", event_seq: 1, session_id: "sess_early" },
      );
      await caller.until(100, () => undefined);
      const early = caller.frames.filter((frame) => frame !== hello && frame.type !== "session.pong");
      stage.judge.that("V11-5.1-05", "nothing between hello and welcome", early.length === 0, early);
      caller.sessionId = "sess_late";
      caller.send("session.welcome", {
        runtime: { name: "conformance", version: "1.0.0" },
        resume_token: "resume_late",
        resume_window_sec: 600,
        heartbeat_interval_sec: 30,
        capabilities: { encodings: ["json"], features: ALL_FEATURES, agents: [] },
      });
      await connecting;
    },
  },
];
