import { AgentNotAvailableError, AgentVersionNotAvailableError } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Harness, startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";
import { Recorder } from "../support/recorder.ts";

/** Registers an agent whose result is the version that ran. */
function register(harness: Harness, ...references: readonly string[]): void {
  for (const reference of references) {
    harness.server.registerAgent(reference, (_input, { agentVersion }) => agentVersion);
  }
}

const submit = (client: RawClient, agent: string): Promise<Frame> => client.ask("job.submit", { agent, input: null });

async function versionThatRuns(client: RawClient, agent: string): Promise<string> {
  const accepted = await submit(client, agent);
  return (await client.end(accepted.payload.job_id)).payload.result;
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a bare name runs the version that the welcome calls the default", async () => {
    covers("V11-7.5-01", "V11-7.5-03", "V11-7.5-06");
    await using harness = startHarness({
      carrier,
      server: {
        capabilities: {
          encodings: ["json"],
          agents: [{ name: "review", versions: ["1.0.0", "2.0.0"], default: "1.0.0" }],
        },
      },
    });
    register(harness, "review@1.0.0", "review@2.0.0");
    const client = await harness.raw();
    const welcome = await client.hello();
    expect(welcome.payload.capabilities.agents).toEqual([
      { name: "review", versions: ["1.0.0", "2.0.0"], default: "1.0.0" },
    ]);
    expect((await submit(client, "review")).payload.agent).toBe("review@1.0.0");
    expect(await versionThatRuns(client, "review")).toBe("1.0.0");
    expect(await versionThatRuns(client, "review@2.0.0")).toBe("2.0.0");
    expect(await versionThatRuns(client, "review@1.0.0")).toBe("1.0.0");
  });
});

describe("names", () => {
  const bad = ["Foo", "-a", ".a", "_a", "a@", "@1", "a@b@c", "a b", "a@1 0", "a@1/0", "é", "a\n", "", "a".repeat(513)];

  test.each(bad)("are refused unless they follow the grammar: %j", async (agent) => {
    covers("V11-7.5-02");
    await using harness = startHarness();
    register(harness, "a@1.0.0");
    const client = await harness.rawSession();
    expect((await submit(client, agent)).payload).toMatchObject({ code: "INVALID_REQUEST", retryable: false });
    expect(await client.listJobs()).toEqual([]);
  });

  test.each(["a.b_c-1@2.0.0+build.1", "0", "a..b@-", "a@A+._-"])("are accepted if they do: %s", async (reference) => {
    covers("V11-7.5-02");
    await using harness = startHarness();
    register(harness, reference);
    const client = await harness.rawSession();
    expect((await submit(client, reference)).payload.agent).toBe(
      reference.includes("@") ? reference : `${reference}@0.0.0`,
    );
  });

  test("are read as the grammar says, whatever they are made of", async () => {
    covers("V11-7.5-02");
    const grammar = /^[a-z0-9][a-z0-9._-]*(@[a-zA-Z0-9.+_-]+)?$/;
    await using harness = startHarness();
    const client = await harness.rawSession();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: fc.constantFrom(..."aB0.-_+@ é"), maxLength: 8 }), async (agent) => {
        const { code } = (await submit(client, agent)).payload;
        // Too many refusals in a row would end the connection.
        await client.fence();
        // Nothing is registered: what can be read is looked for in vain.
        expect(code).toBe(grammar.test(agent) ? "AGENT_NOT_AVAILABLE" : "INVALID_REQUEST");
      }),
      { numRuns: 200 },
    );
  });

  test("that cannot be submitted cannot be registered either", () => {
    const harness = startHarness();
    for (const reference of bad.filter((name) => name.length < 500)) {
      expect(() => harness.server.registerAgent(reference, () => null)).toThrow("an agent is named");
    }
    return harness[Symbol.asyncDispose]();
  });
});

describe("what is not there", () => {
  test("a version of a known agent is refused, and no other takes its place", async () => {
    covers("V11-7.5-06");
    await using harness = startHarness();
    register(harness, "review@1.0.0", "review@2.0.0");
    const client = await harness.rawSession();
    const reply = await submit(client, "review@3.0.0");
    expect(reply).toMatchObject({
      type: "session.error",
      payload: { code: "AGENT_VERSION_NOT_AVAILABLE", retryable: false, details: { available: ["1.0.0", "2.0.0"] } },
    });
    expect(await client.listJobs()).toEqual([]);
    const real = await harness.client();
    await expect(real.submit({ agent: "review@3.0.0" })).rejects.toThrow(AgentVersionNotAvailableError);
  });

  test("an unknown name is refused, with or without a version", async () => {
    covers("V11-7.5-07");
    await using harness = startHarness();
    register(harness, "review@1.0.0");
    const client = await harness.rawSession();
    for (const agent of ["nope", "nope@1.0.0"]) {
      expect((await submit(client, agent)).payload).toMatchObject({ code: "AGENT_NOT_AVAILABLE", retryable: false });
    }
    const real = await harness.client();
    await expect(real.submit({ agent: "nope" })).rejects.toThrow(AgentNotAvailableError);
  });
});

describe("versions", () => {
  test("are opaque: what is written otherwise is another version", async () => {
    covers("V11-7.5-08");
    await using harness = startHarness();
    register(harness, "review@banana", "review@1.0.0");
    const client = await harness.rawSession();
    expect(await versionThatRuns(client, "review@banana")).toBe("banana");
    for (const version of ["1.0", "1", "01.0.0", "v1.0.0", "Banana", "1.0.0+1", "latest"]) {
      expect((await submit(client, `review@${version}`)).payload.code).toBe("AGENT_VERSION_NOT_AVAILABLE");
    }
  });

  test("have the order of their registration: the last one is the default, unless one was chosen", async () => {
    covers("V11-7.5-09");
    await using harness = startHarness();
    register(harness, "review@2.0.0", "review@1.0.0");
    expect(await versionThatRuns(await harness.rawSession(), "review")).toBe("1.0.0");
    harness.server.registerAgent("review@0.9.0", () => "0.9.0", { isDefault: true });
    register(harness, "review@3.0.0");
    const client = await harness.raw();
    const welcome = await client.hello();
    expect(welcome.payload.capabilities.agents).toEqual([
      { name: "review", versions: ["2.0.0", "1.0.0", "0.9.0", "3.0.0"], default: "0.9.0" },
    ]);
    expect(await versionThatRuns(client, "review")).toBe("0.9.0");
  });

  test("are picked for a client that was told of no default", async () => {
    covers("V11-7.5-04");
    await using harness = startHarness();
    register(harness, "review@1.0.0", "review@2.0.0");
    const client = await harness.raw();
    client.send("session.hello", {
      client: { name: "plain", version: "1.0.0" },
      auth: { scheme: "bearer", token: "alice" },
      capabilities: { encodings: ["json"] },
    });
    const welcome = await client.welcomed();
    expect(welcome.payload.capabilities.agents).toEqual(["review"]);
    const { payload } = await submit(client, "review");
    expect(payload.agent).toBe("review");
    expect(["1.0.0", "2.0.0"]).toContain((await client.end(payload.job_id)).payload.result);
  });

  test("are shown wherever the job is", async () => {
    covers("V11-7.5-10");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { "review@1.2.3": puppet.handler } });
    const client = await harness.rawSession();
    const { payload } = await submit(client, "review");
    const subscribed = await client.ask("job.subscribe", { job_id: payload.job_id });
    const [listed] = await client.listJobs();
    expect([payload.agent, subscribed.payload.agent, listed.agent]).toEqual(Array(3).fill("review@1.2.3"));
    const { context } = await puppet.next();
    expect([context.agent, context.agentVersion, context.agentRef]).toEqual(["review", "1.2.3", "review@1.2.3"]);
  });

  test("that were not negotiated are not shown at acceptance, and cannot be asked for", async () => {
    await using harness = startHarness();
    register(harness, "review@1.2.3");
    const client = await harness.rawSession(QUIET_FEATURES.filter((name) => name !== "agent_versions"));
    expect((await submit(client, "review")).payload.agent).toBe("review");
    expect((await submit(client, "review@1.2.3")).payload.code).toBe("INVALID_REQUEST");
  });

  test("stay what they are for a running job", async () => {
    covers("V11-7.5-11");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { "review@1.0.0": puppet.handler } });
    const client = await harness.rawSession();
    const { payload } = await submit(client, "review");
    const run = await puppet.next();
    await run.context.log("info", "before");
    // The default changes, and the very version that runs is replaced.
    harness.server.registerAgent("review@2.0.0", () => "new", { isDefault: true });
    harness.server.registerAgent("review@1.0.0", () => "replaced");
    expect(await client.listJobs()).toMatchObject([{ agent: "review@1.0.0", status: "running" }]);
    expect(run.context.agentRef).toBe("review@1.0.0");
    run.finish("old");
    expect((await client.end(payload.job_id)).payload.result).toBe("old");
    expect(await client.listJobs()).toMatchObject([{ agent: "review@1.0.0", status: "success" }]);
    expect((await client.ask("job.subscribe", { job_id: payload.job_id })).payload.agent).toBe("review@1.0.0");
    const next = [await submit(client, "review"), await submit(client, "review@1.0.0")];
    const results = await Promise.all(next.map(async (job) => (await client.end(job.payload.job_id)).payload.result));
    expect(results).toEqual(["new", "replaced"]);
  });

  test("that the caller pinned reach the runtime as they were written", async () => {
    covers("V11-7.5-05");
    const recorder = new Recorder();
    await using harness = startHarness({ faults: recorder.faults });
    register(harness, "review@1.0.0", "review@2.0.0");
    const client = await harness.client();
    const job = await client.submit({ agent: "review@1.0.0" });
    expect((await job.done).result).toBe("1.0.0");
    expect(job.accepted.agent).toBe("review@1.0.0");
    const sent = recorder.sent.filter(({ type }) => type === "job.submit").map(({ payload }) => payload.agent);
    expect(sent).toEqual(["review@1.0.0"]);
  });
});
