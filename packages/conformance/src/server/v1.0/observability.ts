/** Logs, metrics and traces. */
import { NotHere } from "../../judge.ts";
import { aNumber, anInteger, aTimestamp, is, shape, someText, such } from "../../matcher.ts";
import { isCoreType, isNamespaced } from "../../names-10.ts";
import { CAPABILITIES, jobOf, type Listed } from "../context.ts";
import { ending, ofJob, v10 } from "./case.ts";

export const observabilityCases = [
  v10(
    "metrics/standard",
    "what runtimes measure has its names and units",
    ["17.3.1-03", "17.3.1-04"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "echo", {}));
      await ending(peer, jobId);
      const metrics = ofJob(peer, jobId)
        .filter(({ type }) => type === "metric")
        .map(({ payload }) => payload);
      const invocations = metrics.filter(({ name }) => name === "tool.invocations");
      judge.that(
        "V10-17.3.1-04",
        "one tool.invocations of 1",
        invocations.length === 1 && invocations[0].value === 1,
        metrics,
      );
      judge.that(
        "V10-17.3.1-03",
        "latency.ms with a phase",
        metrics.some(
          ({ name, unit, dims }) =>
            name === "latency.ms" && unit === "ms" && ["queue", "exec", "total"].includes(dims?.phase),
        ),
        metrics,
      );
    },
  ),
  v10("heartbeats", "a job that is at work gives signs of life", ["10.3-01", "10.3-02"], ["hold"], async (context) => {
    const { peer, accepted } = await context.open10({
      capabilities: { ...CAPABILITIES, heartbeat_interval_seconds: 1 },
    });
    const jobId = jobOf(await context.invoke(peer, "hold"));
    const seconds = Number(accepted.payload.capabilities.heartbeat_interval_seconds);
    if (!(seconds <= 3)) throw new NotHere(`heartbeat_interval_seconds is ${seconds}, however short it was asked for`);
    const beat = await peer.sees(
      "V10-10.3-01",
      "job.heartbeat",
      ({ type, job_id }) => type === "job.heartbeat" && job_id === jobId,
      seconds * 3000 + 1000,
    );
    context.judge.expect(
      "V10-10.3-02",
      "job.heartbeat.payload",
      beat.payload,
      shape({ sequence: anInteger, deadline_ms: aNumber, state: someText }),
    );
    peer.send("cancel", { target: "job", target_id: jobId });
  }),
  v10(
    "metrics/names",
    "what agents measure has the names and units of the protocol, or a namespace",
    ["17.3.1-01", "17.3.1-02", "17.3.1-05", "17.3.1-06"],
    ["spend"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const costs = [
        ...["input", "output", "cache_read", "cache_write"].map((kind, place) => ({
          ...{ name: "tokens.used", value: place + 1, unit: "tokens", dimensions: { kind } },
        })),
        { name: "cost.usd", value: 0.1234567, unit: "USD" },
        ...Object.entries(UNITS).map(([name, unit]) => ({ name, value: 2, unit })),
        { name: "suite.own", value: 1, unit: "1" },
      ];
      const jobId = jobOf(await context.invoke(peer, "spend", { costs }));
      await ending(peer, jobId);
      const metrics = ofJob(peer, jobId)
        .filter(({ type }) => type === "metric")
        .map(({ payload }) => payload);
      const called = (name: string): readonly Listed[] => metrics.filter((metric) => metric.name === name);
      for (const [name, unit] of Object.entries({ ...UNITS, "tokens.used": "tokens", "cost.usd": "usd" })) {
        judge.that(
          "V10-17.3.1-01",
          `a metric ${name} in ${unit}`,
          called(name).some((metric) => metric["unit"] === unit),
          metrics,
        );
      }
      const kinds = called("tokens.used").map(({ dims }) => dims?.kind);
      judge.expect(
        "V10-17.3.1-02",
        "dims.kind of tokens.used",
        kinds,
        is(["input", "output", "cache_read", "cache_write"]),
      );
      for (const { value } of called("cost.usd")) {
        judge.that(
          "V10-17.3.1-05",
          "at most six fractional digits",
          Math.abs(value * 1e6 - Math.round(value * 1e6)) < 1e-6,
          value,
        );
      }
      const others = metrics.map(({ name }) => name).filter((name) => !isStandard(name) && !isNamespaced(name));
      judge.expect("V10-17.3.1-06", "names that are neither the protocol's nor have a namespace", others, is([]));
    },
  ),
  v10(
    "names",
    "whatever a runtime says has a type of the protocol, or one with a namespace",
    ["6.2-02", "21.1-01", "21.1-02", "20-02"],
    ["kinds", "stream", "ask"],
    async (context) => {
      const { judge } = context;
      const { peer, accepted } = await context.open10();
      for (const behaviour of ["kinds", "stream"] as const) {
        await ending(peer, jobOf(await context.invoke(peer, behaviour, { pieces: ["x"] })));
      }
      await ending(peer, jobOf(await context.invoke(peer, "ask", { expires_in_ms: 100, default: 1 })));
      await peer.ask(undefined, "artifact.put", { media_type: "text/plain", data: "eA==" });
      const types = [...new Set(peer.frames.map(({ type }) => type))];
      judge.expect(
        "V10-20-02",
        "types of resources",
        types.filter((type) => type.startsWith("resource")),
        is([]),
      );
      const extensions = [
        ...types.filter((type) => !isCoreType(type)),
        ...(accepted.payload.capabilities.extensions ?? []),
        ...peer.frames.flatMap(({ extensions = {} }) =>
          Object.keys(extensions as object).filter((name) => name !== "optional"),
        ),
      ];
      const bare = [...extensions, ...peer.frames.flatMap((frame) => Object.keys(frame))].filter((name) =>
        name.startsWith("x-"),
      );
      judge.expect("V10-21.1-02", "names that begin with x-", bare, is([]));
      const wrong = extensions.filter((name) => !isNamespaced(name));
      judge.expect(
        ["V10-6.2-02", "V10-21.1-01"],
        "types and fields that are neither the protocol's nor have a namespace",
        wrong,
        is([]),
      );
    },
  ),
  v10(
    "trace/ids",
    "messages of traced work carry its trace, and spans of their own",
    ["6.1.1-08", "17.1-01"],
    ["count"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const traced = { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", span_id: "00f067aa0ba902b7" };
      const payload = { tool: context.agent("count"), arguments: { n: 2 } };
      const accepted = await peer.ask("V10-17.1-01", "tool.invoke", payload, traced);
      const jobId = jobOf(accepted);
      await ending(peer, jobId);
      for (const frame of ofJob(peer, jobId)) {
        if (frame.type === "job.heartbeat") continue;
        const claim = ["V10-17.1-01", "V10-6.1.1-08"];
        judge.expect(claim, `trace_id of ${frame.type}`, frame.trace_id, is(traced.trace_id));
        const own = such(
          "a span of the runtime's",
          (value) => typeof value === "string" && value !== "" && value !== traced.span_id,
        );
        judge.expect(claim, `span_id of ${frame.type}`, frame["span_id"], own);
      }
    },
  ),
  v10("trace/spans", "spans are told of, and make a tree", ["17.1-03"], ["spans"], async (context) => {
    const { judge } = context;
    const { peer } = await context.open10();
    const traced = { trace_id: "5bf92f3577b34da6a3ce929d0e0e4736", span_id: "10f067aa0ba902b7" };
    const accepted = await peer.ask(
      "V10-17.1-03",
      "tool.invoke",
      { tool: context.agent("spans"), arguments: {} },
      traced,
    );
    await ending(peer, jobOf(accepted));
    const spans = ofJob(peer, jobOf(accepted)).flatMap(({ type, payload }) => (type === "trace.span" ? [payload] : []));
    const [outer, inner] = ["outer", "inner"].map((name) => spans.find((span) => span.name === name));
    for (const span of spans) {
      judge.expect(
        "V10-17.1-03",
        "trace.span.payload",
        span,
        shape({
          trace_id: is(traced.trace_id),
          span_id: someText,
          name: someText,
          start_time: aTimestamp,
          end_time: aTimestamp,
        }),
      );
    }
    judge.that("V10-17.1-03", "spans outer and inner", outer !== undefined && inner !== undefined, spans);
    judge.expect("V10-17.1-03", "parent_span_id of inner", inner?.parent_span_id, is(outer?.span_id));
    const known = new Set([...spans.map(({ span_id }) => span_id), traced.span_id, undefined, null]);
    const missing = spans.filter(({ parent_span_id }) => !known.has(parent_span_id));
    judge.expect("V10-17.1-03", "spans whose parents are not told of", missing, is([]));
  }),
];

const UNITS = { "gpu.seconds": "seconds", "bytes.in": "bytes", "bytes.out": "bytes" };
const STANDARD = ["tokens.used", "cost.usd", "tool.invocations", "latency.ms", "errors.total", ...Object.keys(UNITS)];
const isStandard = (name: string): boolean => STANDARD.includes(name);
