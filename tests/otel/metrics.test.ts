import { readFileSync } from "node:fs";
import { joinedInstruments, noInstruments, silentLogger } from "@arcp/core";
import { ARCPServer, METRICS, MetricsRegistry, type Store, sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { parsePrometheus, valueIn } from "./prometheus.ts";

const CANARIES = ["canary", "alice", "mallory", "job_0", "sess_0"];

describe("a runtime", () => {
  test("tells how its jobs fare, without a name of anybody", async () => {
    const metrics = new MetricsRegistry();
    await using harness = startHarness({
      server: { metrics, concurrency: { jobs: 1 } },
      agents: {
        spender: async (_input, agent) => {
          await agent.log("info", "canary-log");
          await agent.metric({ name: "cost.inference", value: 1.25, unit: "USD" });
          await agent.operation("fs.read", "/data/canary", () => "canary");
          await agent.operation("net.fetch", "https://canary.example/", () => "").catch(() => {});
          await agent.operation("x-vendor.acme.canary", "canary", () => "").catch(() => {});
        },
        fail: () => Promise.reject(Object.assign(new Error("canary"), { code: "CANARY" })),
      },
    });
    const client = await harness.client();
    const leaseRequest = { "fs.read": ["/data/**"], "cost.budget": ["USD:5"] };
    await (await client.submit({ agent: "spender", input: "canary", leaseRequest })).done;
    await (await client.submit({ agent: "fail" })).done.catch(() => {});
    await client.submit({ agent: "canary-agent" }).catch(() => {});

    const text = metrics.text();
    const read = (name: string, labels = {}): number | undefined => valueIn(text, name, labels);
    expect(read("arcp_jobs_accepted_total", { agent: "spender", origin: "client" })).toBe(1);
    expect(read("arcp_jobs_ended_total", { agent: "spender", status: "success", code: "" })).toBe(1);
    expect(read("arcp_jobs_ended_total", { agent: "fail", status: "error" })).toBe(1);
    expect(read("arcp_jobs", { state: "running" })).toBe(0);
    expect(read("arcp_queue_depth")).toBe(0);
    expect(read("arcp_budget_spent_total", { currency: "USD" })).toBe(1.25);
    expect(read("arcp_events_total", { kind: "log" })).toBe(1);
    expect(read("arcp_events_delivered_total")).toBeGreaterThan(5);
    expect(read("arcp_delivery_lag_seconds_count")).toBeGreaterThan(0);
    expect(read("arcp_sessions", { state: "attached" })).toBe(1);
    expect(read("arcp_sessions_opened_total", { wire: "1.1" })).toBe(1);
    expect(read("arcp_connections")).toBe(1);
    expect(read("arcp_transport_io_bytes_total", { direction: "received", transport: "memory" })).toBeGreaterThan(500);
    expect(read("arcp_store_commit_duration_seconds_count", { outcome: "stored" })).toBeGreaterThan(2);
    expect(read("arcp_operation_duration_seconds_count", { capability: "fs.read", outcome: "ok" })).toBe(1);
    const denied = { action: "operation.refused", code: "PERMISSION_DENIED" };
    expect(read("arcp_denials_total", { ...denied, capability: "net.fetch" })).toBe(1);
    expect(read("arcp_denials_total", { ...denied, capability: "other" })).toBe(1);
    expect(read("arcp_denials_total", { action: "job.refused", code: "AGENT_NOT_AVAILABLE" })).toBe(1);
    for (const canary of CANARIES) expect(text).not.toContain(canary);
  });

  test("tells of jobs that wait, of resumes and of clients that lag", async () => {
    const metrics = new MetricsRegistry();
    const gate = Promise.withResolvers<void>();
    await using harness = startHarness({
      server: { metrics, concurrency: { jobs: 1 } },
      agents: { wait: () => gate.promise },
    });
    const client = await harness.client();
    const first = await client.submit({ agent: "wait" });
    const second = await client.submit({ agent: "wait" });
    expect(valueIn(metrics.text(), "arcp_queue_depth")).toBe(1);
    expect(valueIn(metrics.text(), "arcp_queue_working")).toBe(1);
    expect(valueIn(metrics.text(), "arcp_jobs", { state: "pending" })).toBe(1);
    expect(valueIn(metrics.text(), "arcp_jobs", { state: "running" })).toBe(1);
    gate.resolve();
    await Promise.all([first.done, second.done]);
    const raw = await harness.raw();
    raw.send("session.resume", {
      ...{ session_id: "sess_unknown", resume_token: "rt_canary", last_event_seq: 0 },
      auth: { scheme: "bearer", token: "mallory" },
    });
    await raw.transport.closed;
    expect(valueIn(metrics.text(), "arcp_resumes_total", { outcome: "RESUME_WINDOW_EXPIRED" })).toBe(1);
    expect(valueIn(metrics.text(), "arcp_denials_total", { action: "session.refused" })).toBe(1);
  });

  test("names principals when the operator asks for that", async () => {
    const metrics = new MetricsRegistry();
    await using harness = startHarness({
      server: { metrics, metricsByPrincipal: true },
      agents: { echo: (input) => input as object },
    });
    const client = await harness.client();
    await (await client.submit({ agent: "echo" })).done;
    expect(valueIn(metrics.text(), "arcp_jobs_ended_total", { agent: "echo", principal: "alice" })).toBe(1);
  });

  test("is ready until its store is silent, it stops, or its store has failed", async () => {
    const clock = new ManualClock();
    const store = sqliteStore();
    let head: Store["auditHead"] = () => store.auditHead();
    const eventLog = new Proxy(store, {
      get(target, name) {
        if (name === "auditHead") return () => head();
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const server = new ARCPServer({
      ...{ runtime: { name: "r", version: "1" }, capabilities: { encodings: ["json"], agents: [] } },
      ...{ eventLog, clock, logger: silentLogger },
    });
    expect(await server.unreadiness()).toBeUndefined();
    head = () => new Promise(() => {});
    const asked = server.unreadiness({ timeoutMs: 100 });
    clock.advance(100);
    expect(await asked).toBe("store_silent");
    head = () => Promise.reject(new Error("canary"));
    expect(await server.unreadiness()).toBe("store_failed");
    head = () => store.auditHead();
    await server.close();
    await store.close();
    expect(await server.unreadiness()).toBe("draining");
  });
});

describe("the registry", () => {
  const facts = { name: "a.b", unit: "{thing}", help: "line\nwith \\", labels: ["x"] };

  test("writes what Prometheus reads, whatever labels hold", () => {
    const registry = new MetricsRegistry();
    const hostile = 'a"b\\c\nd} 1\n# HELP x y';
    registry.counter(facts).add(2, { x: hostile });
    const histogram = registry.histogram({ ...facts, name: "h", unit: "s", labels: [], buckets: [0.5, 1] });
    for (const value of [0.1, 0.5, 0.7, 3, Number.NaN]) histogram.record(value);
    registry.gauge({ ...facts, name: "g" }, () => [{ value: Number.POSITIVE_INFINITY, labels: { x: "1" } }]);
    const families = parsePrometheus(registry.text());
    expect(families.get("a_b_total")?.samples).toEqual([{ name: "a_b_total", labels: { x: hostile }, value: 2 }]);
    expect(valueIn(registry.text(), "h_seconds_bucket", { le: "0.5" })).toBe(2);
    expect(valueIn(registry.text(), "h_seconds_bucket", { le: "+Inf" })).toBe(4);
    expect(valueIn(registry.text(), "g", { x: "1" })).toBe(Number.POSITIVE_INFINITY);
  });

  test("has a bounded number of series, whoever chooses the labels", () => {
    const registry = new MetricsRegistry({ maxSeries: 10 });
    const counter = registry.counter(facts);
    for (let index = 0; index < 1000; index += 1) counter.add(1, { x: `${index}`, y: "not a label" });
    const samples = parsePrometheus(registry.text()).get("a_b_total")?.samples ?? [];
    expect(samples).toHaveLength(11);
    expect(samples.at(-1)).toMatchObject({ labels: { x: "other" }, value: 990 });
  });

  test("refuses a metric that is there already, and takes nothing away from a counter", () => {
    const registry = new MetricsRegistry();
    const counter = registry.counter(facts);
    counter.add(3, { x: "" });
    counter.add(-1, { x: "" });
    expect(valueIn(registry.text(), "a_b_total")).toBe(3);
    expect(() => registry.counter(facts)).toThrow("there already");
  });

  test("can be one of several", () => {
    const [left, right] = [new MetricsRegistry(), new MetricsRegistry()];
    const both = joinedInstruments(left, right, noInstruments);
    both.counter(facts).add(1, { x: "1" });
    both.histogram({ ...facts, name: "h" }).record(1, { x: "1" });
    both.gauge({ ...facts, name: "g" }, () => [{ value: 1 }]);
    expect(left.text()).toBe(right.text());
    expect(parsePrometheus(left.text()).size).toBe(3);
  });
});

test("the guide has a row for every metric", async () => {
  const guide = readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8");
  const metrics = new MetricsRegistry();
  await using _server = new ARCPServer({
    ...{ metrics, runtime: { name: "r", version: "1" }, capabilities: { encodings: ["json"], agents: [] } },
  });
  for (const [name, { type }] of parsePrometheus(metrics.text())) expect(guide).toContain(`| \`${name}\` | ${type} |`);
  for (const { name } of Object.values(METRICS)) expect(guide).toContain(`| \`${name}\` |`);
});

test("the catalogue names every metric once, with units that are known", () => {
  const all = Object.values(METRICS);
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  for (const { name, unit, help } of all) {
    expect(name).toMatch(/^arcp(\.[a-z]+)+$/);
    expect(unit).toMatch(/^(s|By|\{[a-z]+\})$/);
    expect(help).toMatch(/\.$/);
  }
});
