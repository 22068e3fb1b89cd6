/** §6.1 and §6.2: who is let in, and what is agreed on. */
import {
  anInteger,
  aPositiveNumber,
  aString,
  is,
  listOf,
  nothing,
  shape,
  shown,
  someText,
  such,
} from "../../matcher.ts";
import { FEATURES, jobOf, QUIET_FEATURES } from "../context.ts";
import { v11 } from "./case.ts";

const CORE = new Set(FEATURES);
const without = (...names: readonly string[]): readonly string[] =>
  QUIET_FEATURES.filter((name) => !names.includes(name));

export const handshakeCases = [
  v11(
    "handshake/welcome",
    "a hello is answered with a welcome that has everything",
    ["4-04", "6.2-02", "5.1-06", "6.2-13", "5.2-01", "6.2-16"],
    [],
    async (context) => {
      const { judge } = context;
      const peer = await context.connect();
      const welcome = await context.greet(peer, { features: FEATURES }, "V11-4-04");
      const payload = welcome.payload;
      judge.expect("V11-5.1-06", "session.welcome.session_id", welcome.session_id, someText);
      judge.expect("V11-6.2-13", "session.welcome.payload.resume_token", payload?.resume_token, someText);
      judge.expect(
        "V11-5.2-01",
        "capabilities.encodings",
        payload?.capabilities?.encodings,
        such('a list with "json"', (value) => Array.isArray(value) && value.includes("json")),
      );
      if (payload?.capabilities?.features?.includes("heartbeat")) {
        judge.expect("V11-6.2-16", "heartbeat_interval_sec", payload.heartbeat_interval_sec, aPositiveNumber);
      }
      const expected = shape({
        runtime: shape({ name: someText, version: aString }),
        resume_window_sec: anInteger,
        heartbeat_interval_sec: aPositiveNumber,
        capabilities: shape({
          encodings: listOf(aString),
          features: listOf(aString),
          agents: listOf(shape({ name: someText })),
        }),
      });
      judge.expect("V11-6.2-02", "session.welcome.payload", payload, expected);
    },
  ),
  v11(
    "handshake/inventory",
    "the welcome lists what can be submitted, each with its versions",
    ["6.2-03"],
    ["echo"],
    async (context) => {
      const peer = await context.connect();
      const { payload } = await context.greet(peer);
      const { agents } = payload?.capabilities ?? {};
      const entry = shape({ name: someText, versions: listOf(someText) });
      context.judge.expect("V11-6.2-03", "capabilities.agents", agents, listOf(entry));
      const name = context.agent("echo").split("@")[0];
      const echo = agents.find((agent: { name: string }) => agent.name === name);
      context.judge.that("V11-6.2-03", `an entry for ${name}, which can be submitted`, echo !== undefined, agents);
      const answers = echo.versions.map((version: string) =>
        peer.ask("V11-6.2-03", "job.submit", { agent: `${name}@${version}`, input: 1 }),
      );
      for (const answer of await Promise.all(answers)) {
        context.judge.expect("V11-6.2-03", "the answer to a listed version", answer.type, is("job.accepted"));
      }
    },
  ),
  v11(
    "handshake/features",
    "the welcome's features are names of the specification or a vendor's, and of those that were offered",
    ["6.2-05", "6.2-07", "6.2-08", "15-01"],
    [],
    async (context) => {
      const peer = await context.connect();
      const offered = [...without("progress"), "x-suite-unknown", "zzz"];
      const welcome = await context.greet(peer, { features: offered }, "V11-6.2-08");
      const features: readonly string[] = welcome.payload?.capabilities?.features ?? [];
      const unknown = features.filter((name) => name === "x-suite-unknown" || name === "zzz");
      context.judge.expect("V11-6.2-08", "names of the welcome that nobody knows", unknown, is([]));
      context.judge.that("V11-6.2-05", "no feature that was not offered", !features.includes("progress"), features);
      const other = features.filter((name) => !CORE.has(name) && !name.startsWith("x-vendor."));
      context.judge.expect(
        ["V11-6.2-07", "V11-15-01"],
        "features that are neither of the specification nor a vendor's",
        other,
        is([]),
      );
    },
  ),
  v11(
    "handshake/no-capabilities",
    "a hello without capabilities is welcome, and gets the base protocol alone",
    ["6.2-06", "6.2-09", "6.2-10"],
    ["progress", "chunks"],
    async (context) => {
      const peer = await context.connect();
      const auth = { scheme: "bearer", token: context.token };
      const id = peer.send("session.hello", { client: { name: "arcp-conformance", version: "1.0.0" }, auth });
      const welcome = await context.welcomed(peer, id, "V11-6.2-09");
      const features = welcome.payload?.capabilities?.features ?? [];
      context.judge.that("V11-6.2-09", "no features, as none were offered", features.length === 0, features);
      const report = await context.submit(peer, "progress", { reports: [{ current: 1, total: 2 }] });
      const end = await peer.end("V11-6.2-09", jobOf(report));
      context.judge.expect("V11-6.2-09", "the end of the job", end.type, is("job.result"));
      const chunks = await context.submit(peer, "chunks", { pieces: ["a", "b"] });
      await peer.end("V11-6.2-10", jobOf(chunks));
      const kinds = peer.numbered.map((frame) => frame.payload?.kind);
      const unwanted = kinds.filter((kind) => kind === "progress" || kind === "result_chunk");
      context.judge.expect("V11-6.2-10", "events of kinds that were not negotiated", unwanted, is([]));
      const types = peer.frames
        .map((frame) => frame.type)
        .filter((type) => ["session.ping", "session.ack"].includes(type));
      context.judge.expect("V11-6.2-06", "messages of features that were not negotiated", types, is([]));
    },
  ),
  v11(
    "handshake/not-negotiated",
    "requests of features that were not negotiated are not served",
    ["6.2-11"],
    ["echo", "hold"],
    async (context) => {
      const peer = await context.session({ features: [] });
      const job = jobOf(await context.submit(peer, "hold"));
      await context.refused("V11-6.2-11", peer, "session.list_jobs", {}, ["INVALID_REQUEST"]);
      await context.refused("V11-6.2-11", peer, "job.subscribe", { job_id: job }, ["INVALID_REQUEST"]);
      peer.send("job.cancel", {}, { job_id: job });
      await peer.end(undefined, job);
    },
  ),
  v11(
    "handshake/not-negotiated-fields",
    "what a submission asks for by features that were not negotiated is refused, or enforced all the same",
    ["6.2-12"],
    ["operate"],
    async (context) => {
      const peer = await context.session({ features: ["list_jobs"] });
      const far = new Date(Date.now() + 3_600_000).toISOString();
      const agent = context.agent("operate").split("@")[0] ?? "";
      const requests = [
        { lease_request: {}, lease_constraints: { expires_at: far } },
        { lease_request: { "tool.call": ["suite.tool"], "cost.budget": ["USD:1.00"] } },
        { lease_request: { "model.use": ["tier-fast/*"] } },
        { agent: `${agent}@0.0.0-none` },
      ];
      for (const request of requests) {
        const answer = await peer.ask("V11-6.2-12", "job.submit", { agent, input: { operations: [] }, ...request });
        if (answer.type !== "job.accepted") {
          context.isRefusal(
            "V11-6.2-12",
            answer,
            ["INVALID_REQUEST", "AGENT_VERSION_NOT_AVAILABLE"],
            `the answer to ${shown(request)}`,
          );
          continue;
        }
        const { lease, lease_constraints } = answer.payload;
        const echoed = {
          ...request,
          ...("lease_request" in request ? { lease_request: lease } : {}),
          ...("lease_constraints" in request ? { lease_constraints } : {}),
        };
        context.judge.expect("V11-6.2-12", "what was accepted, as what was asked for", echoed, is(request));
        context.judge.that("V11-6.2-12", "no version that does not exist", !("agent" in request), answer);
      }
    },
  ),
  v11("handshake/encodings", "other encodings beside JSON do no harm", ["5.2-04"], [], async (context) => {
    const peer = await context.connect();
    const capabilities = { encodings: ["cbor", "json"], features: [] };
    const welcome = await context.greet(peer, { payload: { capabilities } }, "V11-5.2-04");
    context.judge.that("V11-5.2-04", "JSON, which is the common one", welcome.type === "session.welcome", welcome);
  }),
  ...[
    { name: "no-auth", auth: undefined },
    { name: "empty-token", auth: { scheme: "bearer", token: "" } },
    { name: "wrong-token", auth: { scheme: "bearer", token: "arcp-conformance-wrong-token" } },
    { name: "unknown-scheme", auth: { scheme: "x-suite-nonsense", token: "x" } },
  ].map(({ name, auth }) =>
    v11(
      `authentication/${name}`,
      `a hello with ${name.replace("-", " ")} is refused, and the connection ends`,
      ["6.1-02", "6.1-03"],
      [],
      async (context) => {
        const peer = await context.connect();
        const answer = await peer.ask("V11-6.1-02", "session.hello", { ...context.hello(), auth });
        context.isRefusal("V11-6.1-02", answer, ["UNAUTHENTICATED"], "the answer to the hello");
        context.judge.expect("V11-6.1-02", "the refusal's type", answer.type, is("session.error"));
        await peer.hangUp("V11-6.1-03", "the runtime ends the connection");
        const welcome = peer.frames.find(({ type }) => type === "session.welcome");
        context.judge.expect("V11-6.1-02", "a welcome", welcome, nothing);
      },
    ),
  ),
  v11(
    "authentication/hello-first",
    "nothing takes effect before the welcome",
    ["6.1-04"],
    ["echo", "connections"],
    async (context) => {
      const marker = `early-${Date.now()}-${Math.random()}`;
      for (const [type, payload] of [
        ["job.submit", { agent: context.agent("echo"), input: marker, idempotency_key: marker }],
        ["session.list_jobs", {}],
        ["job.subscribe", { job_id: "job_none" }],
      ] as const) {
        const peer = await context.connect();
        peer.send(type, payload);
        await peer.quiet();
        const served = peer.frames.filter((frame) => frame.type !== "session.error");
        context.judge.expect("V11-6.1-04", `what answers a ${type} before the hello`, served, is([]));
      }
      // Had it been carried out, the key would stand for another input.
      const late = await context.session();
      const answer = await late.ask(undefined, "job.submit", {
        agent: context.agent("echo"),
        input: 1,
        idempotency_key: marker,
      });
      context.judge.expect(
        "V11-6.1-04",
        "the answer to another submission under the same key",
        answer.type,
        is("job.accepted"),
      );
    },
  ),
];
