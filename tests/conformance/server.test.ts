/** The suite for runtimes: its data, its reports, and what it does with runtimes that say nothing. Its cases: npm run conformance-suite. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import {
  BEHAVIOURS,
  badgeReport,
  exitCodeOf,
  junitReport,
  manifestSchema,
  parseManifest,
  REFERENCE_MANIFEST,
  type Report,
  requirementsOf,
  runServerSuite,
  serverCases,
  shieldsReport,
  type Target,
  textReport,
  unseenByServerSuite,
} from "@arcp/conformance";
import { startWebSocketServer } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { memoryTarget } from "../../conformance/suite/memory-target.ts";
import { PAGE, page } from "../../conformance/suite/page.ts";
import { startRuntime, TOKEN } from "../../conformance/suite/runtime.ts";
import { clientCases } from "../../packages/conformance/src/client/cases.ts";
import { UNSEEN as CLIENT_UNSEEN } from "../../packages/conformance/src/client/unseen.ts";
import { UNSEEN as SERVER_UNSEEN } from "../../packages/conformance/src/server/unseen.ts";
import { Workspace } from "../cli/arcp.ts";

const WIRES = ["1.1", "1.0"] as const;
const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

describe.each(WIRES)("wire %s", (wire) => {
  test("every requirement of a runtime has a case, or a reason why not, and none has both", () => {
    const judged = new Set(serverCases(wire).flatMap(({ requirements }) => requirements));
    const unseen = new Set(unseenByServerSuite(wire).map(({ id }) => id));
    const binding = [...requirementsOf(wire).values()].filter(({ actor }) => actor !== "client");
    expect(binding.filter(({ id }) => judged.has(id) === unseen.has(id)).map(({ id }) => id)).toEqual([]);
  });

  test("what is left to the other suite is judged there", () => {
    const judgedBy = (cases: readonly { readonly requirements: readonly string[] }[]) =>
      new Set(cases.flatMap(({ requirements }) => requirements));
    const left = (list: Readonly<Record<string, string>>, suite: string) =>
      Object.keys(list).filter(
        (id) => requirementsOf(wire).has(id) && list[id]?.includes(`judged by the ${suite} suite`),
      );
    const byClients = left(SERVER_UNSEEN, "client");
    const byServers = left(CLIENT_UNSEEN, "server");
    expect(byClients.filter((id) => !judgedBy(clientCases(wire)).has(id))).toEqual([]);
    expect(byServers.filter((id) => !judgedBy(serverCases(wire)).has(id))).toEqual([]);
    if (wire === "1.0") expect([byClients.length > 0, byServers.length > 0]).toEqual([true, true]);
  });

  test("cases have names of their own and judge requirements that exist", () => {
    const cases = serverCases(wire);
    expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
    const unknown = cases.flatMap(({ requirements }) => requirements.filter((id) => !requirementsOf(wire).has(id)));
    expect(unknown).toEqual([]);
  });

  test("the package's requirements are the project's", () => {
    expect(read(`packages/conformance/data/requirements-v${wire}.json`)).toBe(
      read(`conformance/requirements-v${wire}.json`),
    );
  });
});

test("the page says what the data says", () => {
  expect(readFileSync(PAGE, "utf8")).toBe(page());
});

describe("manifests", () => {
  test("have a schema, and the one of the fixture, of all behaviours", () => {
    const { properties } = manifestSchema() as { properties: { agents: { properties: Record<string, object> } } };
    const described = Object.entries(properties.agents.properties).map(
      ([name, { description }]: [string, { description?: string }]) => [name, description],
    );
    expect(described).toEqual(Object.entries(BEHAVIOURS));
    const { agents } = parseManifest(read("packages/conformance/data/reference.manifest.json"));
    expect(agents).toEqual(REFERENCE_MANIFEST.agents);
  });

  test.each([
    ["[]", /"agents"/],
    ['{"agents":{"fly":"x"}}', /"fly" is none of echo, count/],
    ['{"agents":{"echo":7}}', /agents\.echo/],
    ['{"agents":{},"limits":{"memory":1}}', /"memory" is none of jobs_per_session/],
    ['{"agents":{},"limits":{"chunk_bytes":0}}', /limits\.chunk_bytes/],
    ['{"agents":{},"lacks":{"V11-4-01":""}}', /say why/],
  ])("%s is refused", (text, problem) => {
    expect(() => parseManifest(text)).toThrow(problem);
  });
});

/** A runtime that takes connections and says nothing. */
const mute: Target = {
  kind: "memory",
  isShared: true,
  name: "mute",
  dial: async () => ({ send: () => undefined, cut: () => undefined }),
};

describe("a runtime", () => {
  test("that says nothing fails, and holds nobody up", async () => {
    const report = await runServerSuite({
      ...{ target: mute, token: "x", manifest: REFERENCE_MANIFEST, only: ["handshake/welcome", "cancel/grace"] },
      ...{ patienceMs: 20, deadlineMs: 60_000 },
    });
    expect(report.verdicts.map(({ outcome }) => outcome)).toEqual(["failed", "failed"]);
    expect(report.verdicts[0]).toMatchObject({
      violated: "V11-4-04",
      level: "MUST",
      seen: expect.stringContaining("nothing like it"),
    });
  });

  test("that talks for ever fails at the deadline", async () => {
    const babbling: Target = {
      ...mute,
      dial: async (reader) => {
        const timer = setInterval(() => reader.onText('{"type":"noise","payload":{}}'), 1);
        return { send: () => undefined, cut: () => clearInterval(timer) };
      },
    };
    const report = await runServerSuite({
      ...{ target: babbling, token: "x", manifest: REFERENCE_MANIFEST, only: ["handshake/welcome"] },
      ...{ patienceMs: 10_000, deadlineMs: 60 },
    });
    expect(report.verdicts[0]).toMatchObject({
      outcome: "failed",
      expected: expect.stringContaining("over within 60 ms"),
    });
  });

  test("that is not there is no runtime", async () => {
    const gone: Target = { ...mute, name: "ws://gone", dial: () => Promise.reject(new Error("refused")) };
    await expect(runServerSuite({ target: gone, token: "x" })).rejects.toThrow(
      "no connection to ws://gone: Error: refused",
    );
  });

  test("that lacks an agent, or says what it lacks, has those cases skipped with the reason", async () => {
    const server = startRuntime();
    try {
      const manifest = { agents: { echo: "suite.echo" }, lacks: { "V11-5.1-03": "ids are numbers here" } };
      const report = await runServerSuite({
        target: memoryTarget(server),
        token: TOKEN,
        manifest,
        only: ["envelope/ids", "envelope/text", "listing/entry", "events/kinds"],
      });
      expect(report.verdicts.map(({ case: id, outcome, reason }) => [id, outcome, reason])).toEqual([
        ["envelope/ids", "skipped", "ids are numbers here"],
        ["envelope/text", "passed", undefined],
        ["listing/entry", "passed", undefined],
        ["events/kinds", "skipped", 'the manifest names no agent that does "kinds"'],
      ]);
    } finally {
      await server.close();
    }
  });
});

describe("reports", () => {
  const frames = [
    { at: "2026-01-01T00:00:00.000Z", direction: "received", connection: 1, text: '{"a":"<&\u0007>"}' },
  ] as const;
  const base = { wire: "1.1", title: "a title", requirements: ["V11-6.2-02"], judged: [], ms: 5, frames: [] } as const;
  const more = { alsoViolated: ["V11-6.2-03"], expected: "x", seen: "y", frames };
  const report = (level: "MUST" | "SHOULD"): Report => ({
    ...{ role: "server", wire: "1.1", target: "ws://x", startedAt: "2026-01-01T00:00:00.000Z", ms: 1234, unseen: [] },
    counts: { passed: 1, failed: 1, skipped: 1, failedBy: { MUST: 0, SHOULD: 0, MAY: 0, [level]: 1 } },
    verdicts: [
      { ...base, case: "a/passed", level: "MUST", outcome: "passed" },
      { ...base, case: "a/failed", level, outcome: "failed", violated: "V11-6.2-02", ...more },
      { ...base, case: "a/skipped", level: "MUST", outcome: "skipped", reason: "no such agent" },
    ],
  });

  test("for people name the requirement, what was expected and seen, and the frames", () => {
    const text = textReport(report("MUST"));
    expect(text).toContain("FAILED   a/failed: a title\n  MUST     V11-6.2-02: A successful session.hello");
    expect(text).toContain("\n  and      V11-6.2-03: ");
    expect(text).toContain('expected x\n  seen     y\n    1 ← {"a"');
    expect(text).toContain("no such agent: a/skipped");
    expect(text).toContain("1 passed, 1 failed (1 MUST, 0 SHOULD, 0 MAY), 1 skipped");
  });

  test("as XML are well-formed, whatever was said", () => {
    const xml = junitReport(report("MUST"));
    expect(xml).toContain('tests="3" failures="1" skipped="1"');
    expect(xml).toContain("{&quot;a&quot;:&quot;&lt;&amp;\ufffd&gt;&quot;}");
    expect(xml).toContain('<skipped message="no such agent"/>');
    expect(xml).toContain('<failure type="MUST V11-6.2-02 V11-6.2-03" message="expected x">expected x\nseen y\n');
  });

  test("as badges say how it went", () => {
    expect(badgeReport(report("MUST"))).toContain("1 of 2 fail");
    expect(JSON.parse(shieldsReport(report("SHOULD")))).toMatchObject({
      schemaVersion: 1,
      message: "conforms, 1 SHOULD",
    });
  });

  test("end with a code by level", () => {
    expect([exitCodeOf(report("MUST")), exitCodeOf(report("SHOULD")), exitCodeOf(report("SHOULD"), true)]).toEqual([
      1, 0, 1,
    ]);
  });
});

test("arcp conformance server asks, writes reports, and ends with the code", async () => {
  const runtime = startRuntime();
  const sockets = await startWebSocketServer({ onTransport: (transport) => void runtime.accept(transport) });
  await using workspace = await Workspace.create();
  try {
    const args = ["conformance", "server", "--url", sockets.url, "--token", TOKEN, "--only", "handshake/welcome"];
    const asked = await workspace.run([...args, "--json", "r.json", "--junit", "r.xml", "--badge", "r.svg", "-v"]);
    expect(asked).toMatchObject({ code: 0 });
    expect(asked.stdout).toContain("passed   handshake/welcome");
    const files = await Promise.all(["r.json", "r.xml", "r.svg"].map((name) => readFile(workspace.path(name), "utf8")));
    expect(JSON.parse(files[0] ?? "")).toMatchObject({
      counts: { passed: 1, failed: 0 },
      verdicts: [{ outcome: "passed" }],
    });
    expect(files[1]).toContain("<testsuite");
    expect(files[2]).toContain("<svg");
  } finally {
    await sockets.close();
    await runtime.close();
  }
});
