import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { createLogger, DESCRIBE_FEATURE, EXTENSION_FEATURE, InvalidRequestError, V1_1_FEATURES } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { connected, settle } from "../client/fake-runtime.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, type HarnessOptions, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import type { RawClient } from "../support/raw-client.ts";

const agents: NonNullable<HarnessOptions["agents"]> = {
  echo: (input, context) => {
    context.logger.debug({ input }, "the agent's word");
    return input;
  },
  reporter: async (_input, context) => {
    await context.progress(1, { total: 2 });
    await context.log("info", "halfway");
    const stream = context.streamResult();
    await stream.write("one ");
    await stream.write("two");
    return undefined;
  },
};

const MESSAGE_OF_FEATURE: Readonly<Record<string, readonly [type: string, payload: object]>> = {
  list_jobs: ["session.list_jobs", {}],
  subscribe: ["job.subscribe", { job_id: "job_1" }],
  ack: ["session.ack", { last_processed_seq: 0 }],
};

/** What a submit needs a feature for. */
const FIELD_OF_FEATURE: Readonly<Record<string, object>> = {
  lease_expires_at: { lease_constraints: { expires_at: "2099-01-01T00:00:00Z" } },
  "cost.budget": { lease_request: { "cost.budget": ["USD:1.00"] } },
  "model.use": { lease_request: { "model.use": ["tier-fast/*"] } },
  agent_versions: { agent: "echo@0.0.0" },
};

/** Which of the features that a single request shows work in this session. */
async function workingFeatures(client: RawClient): Promise<readonly string[]> {
  const working: string[] = [];
  for (const [feature, [type, payload]] of Object.entries(MESSAGE_OF_FEATURE)) {
    const id = client.send(type, payload);
    await client.fence();
    const answer = client.frames.find((frame) => frame.correlation_id === id);
    if (answer?.payload.details?.feature !== feature) working.push(feature);
  }
  for (const [feature, fields] of Object.entries(FIELD_OF_FEATURE)) {
    const answer = await client.submit("echo", 1, fields);
    if (answer.type === "job.accepted") working.push(feature);
  }
  const { job_id } = await client.submit("reporter");
  await client.ended(job_id as string);
  const kinds = client.ofJob(job_id as string).map(({ payload }) => payload.kind);
  for (const kind of ["progress", "result_chunk"]) if (kinds.includes(kind)) working.push(kind);
  return working.sort();
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a welcome has everything that a client needs to know", async () => {
    covers("V11-6.2-02", "V11-6.2-13", "V11-6.2-16");
    await using harness = startHarness({ carrier, agents });
    const client = await harness.raw();
    const welcome = await client.hello();
    expect(welcome.type).toBe("session.welcome");
    expect(welcome.session_id).toMatch(/^sess_/);
    expect(welcome.payload).toMatchObject({
      runtime: { name: "test-runtime", version: "1.2.3" },
      resume_token: expect.any(String),
      resume_window_sec: 600,
      heartbeat_interval_sec: 30,
      capabilities: {
        encodings: ["json"],
        features: expect.arrayContaining(["heartbeat", "ack"]),
        agents: [
          { name: "echo", versions: ["0.0.0"], default: "0.0.0" },
          { name: "reporter", versions: ["0.0.0"], default: "0.0.0" },
        ],
      },
    });
  });

  test("a hello that offers nothing gives a session with everything that needs no feature", async () => {
    covers("V11-6.2-09");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const hello = { client: { name: "bare", version: "0" }, auth: { scheme: "bearer", token: "alice" } };
    const client = await harness.raw();
    client.send("session.hello", hello);
    const welcome = await client.welcomed();
    expect(welcome.payload.capabilities.features).toEqual([]);
    expect(welcome.payload).not.toHaveProperty("heartbeat_interval_sec");
    const { job_id } = await client.submit("puppet", 1);
    const run = await puppet.next();
    await emitLogs(run, 2);
    await client.sees(({ event_seq }) => event_seq === 2);
    await harness.disconnect(client);
    await emitLogs(run, 2, 3);

    const resumed = await harness.raw();
    const resume = { session_id: client.sessionId, resume_token: client.resumeToken, last_event_seq: 2 };
    resumed.send("session.hello", { ...hello, resume });
    expect((await resumed.welcomed()).session_id).toBe(client.sessionId);
    await resumed.sees(({ event_seq }) => event_seq === 4);
    resumed.send("job.cancel", {}, { job_id });
    await resumed.next("job.cancelled");
    run.finish();
    expect((await resumed.ended(job_id as string)).payload.code).toBe("CANCELLED");
    expect(resumed.numbered.map(({ event_seq }) => event_seq)).toEqual([3, 4, 5]);
  });
});

describe("the inventory of agents", () => {
  test("lists every version, each of which can be submitted", async () => {
    covers("V11-6.2-03");
    await using harness = startHarness();
    for (const reference of ["writer@1.0.0", "writer@2.0.0-rc.1", "writer@2.0.0", "reader@0.9"]) {
      harness.server.registerAgent(reference, () => reference);
    }
    const client = await harness.raw();
    const { agents: inventory } = (await client.hello()).payload.capabilities;
    expect(inventory).toEqual([
      { name: "writer", versions: ["1.0.0", "2.0.0-rc.1", "2.0.0"], default: "2.0.0" },
      { name: "reader", versions: ["0.9"], default: "0.9" },
    ]);
    for (const { name, versions, default: version } of inventory) {
      for (const each of versions) {
        const accepted = await client.submit(`${name}@${each}`);
        expect((await client.ended(accepted.job_id as string)).payload.result).toBe(`${name}@${each}`);
      }
      expect((await client.submit(name)).payload.agent).toBe(`${name}@${version}`);
    }
  });

  test("is read by the client in either shape", async () => {
    covers("V11-6.2-04");
    for (const [listed, read] of [
      [
        ["a", "b"],
        [
          { name: "a", versions: [] },
          { name: "b", versions: [] },
        ],
      ],
      [
        [{ name: "a", versions: ["1", "2"], default: "2" }, { name: "b" }],
        [
          { name: "a", versions: ["1", "2"], default: "2" },
          { name: "b", versions: [] },
        ],
      ],
    ]) {
      const { client, runtime } = await connected({}, { capabilities: { features: [], agents: listed } });
      expect(client.session?.agents).toEqual(read);
      const submitting = client.submit({ agent: "a" });
      expect((await runtime.accept("job_1")).payload.agent).toBe("a");
      expect((await submitting).jobId).toBe("job_1");
      await client.close();
    }
  });
});

describe("the client's hello", () => {
  test("says who it is and what it can do", async () => {
    covers("V11-6.2-01", "V11-6.2-07");
    const { client, runtime } = await connected({ client: { name: "examplectl", version: "0.4.1" } });
    expect(runtime.received[0]?.payload).toEqual({
      client: { name: "examplectl", version: "0.4.1" },
      auth: { scheme: "bearer", token: "secret-token" },
      capabilities: { encodings: ["json"], features: [...V1_1_FEATURES, EXTENSION_FEATURE, DESCRIBE_FEATURE] },
    });
    await client.close();
  });
});

describe("the effective features", () => {
  test("are known by eleven names, of which the runtime offers those that it has", async () => {
    covers("V11-6.2-07");
    const names = [
      ...["heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "model.use"],
      ...["provisioned_credentials", "progress", "result_chunk", "agent_versions"],
    ];
    expect([...V1_1_FEATURES]).toEqual(names);
    await using harness = startHarness();
    const welcome = await (await harness.raw()).hello(names);
    const { features } = welcome.payload.capabilities;
    expect(names).toEqual(expect.arrayContaining(features));
    expect(features).toEqual(names.filter((name) => name !== "provisioned_credentials"));
  });

  test("leave out what nobody knows, and a vendor's that the runtime has not got", async () => {
    covers("V11-6.2-08");
    await using harness = startHarness();
    const offered = ["heartbeat", "x-foo", "zzz", "Heartbeat", "x-vendor.acme.dream", "__proto__", ""];
    const welcome = await (await harness.raw()).hello(offered);
    expect(welcome.payload.capabilities.features).toEqual(["heartbeat"]);
  });

  test("leave out what only the runtime names, as the client sees it", async () => {
    covers("V11-6.2-05", "V11-6.2-08");
    const welcome = { capabilities: { encodings: ["json"], features: ["ack", "x-foo", "list_jobs", "subscribe"] } };
    const { client } = await connected({ features: ["ack", "list_jobs", "progress"] }, welcome);
    expect([...(client.session?.features ?? [])].sort()).toEqual(["ack", "list_jobs"]);
    await client.close();
  });

  test.each([
    { ours: ["ack", "list_jobs", "cost.budget", "progress"], theirs: ["list_jobs", "subscribe", "progress"] },
    { ours: [...V1_1_FEATURES], theirs: ["agent_versions", "model.use", "result_chunk"] },
    { ours: ["subscribe", "lease_expires_at"], theirs: [...V1_1_FEATURES] },
    { ours: [], theirs: [...V1_1_FEATURES] },
    { ours: [...V1_1_FEATURES], theirs: [] },
  ])("are exactly what both sides offer: $ours and $theirs", async ({ ours, theirs }) => {
    covers("V11-6.2-05", "V11-6.2-10", "V11-6.2-11", "V11-6.2-12");
    await using harness = startHarness({ agents, server: { features: ours } });
    const client = await harness.raw();
    const welcome = await client.hello(theirs);
    const common = ours.filter((name) => (theirs as string[]).includes(name)).sort();
    expect([...welcome.payload.capabilities.features].sort()).toEqual(common);
    expect(await workingFeatures(client)).toEqual(common);
  });

  test("decide whether a job that streams its result sends chunks, or one result", async () => {
    covers("V11-6.2-10");
    await using harness = startHarness({ agents });
    const plain = await harness.rawSession([]);
    const accepted = await plain.submit("reporter");
    const end = await plain.ended(accepted.job_id as string);
    expect(end.payload).toMatchObject({ final_status: "success", result: "one two" });
    expect(end.payload).not.toHaveProperty("result_id");
    expect(plain.numbered.map(({ event_seq, payload }) => [event_seq, payload.kind])).toEqual([
      [1, "log"],
      [2, undefined],
    ]);
  });

  test("bind the runtime: without any it sends no ping, however long nothing is said", async () => {
    covers("V11-6.2-06");
    const clock = new ManualClock();
    await using harness = startHarness({ agents, server: { clock } });
    const client = await harness.rawSession([]);
    for (let n = 0; n < 10; n += 1) {
      clock.advance(30_000);
      await settle();
    }
    expect(client.frames.map(({ type }) => type)).toEqual(["session.welcome"]);
    expect(client.transport.isClosed).toBe(false);
    const accepted = await client.submit("reporter");
    expect(accepted.payload).not.toHaveProperty("credentials");
    await client.ended(accepted.job_id as string);
    const kinds = client.frames.map(({ payload }) => payload.kind);
    expect(kinds).not.toContain("progress");
    expect(kinds).not.toContain("result_chunk");
  });

  test("bind the client: without any it sends no ping, acknowledgement, list or subscription", async () => {
    covers("V11-6.2-06");
    const clock = new ManualClock();
    const welcome = { capabilities: { encodings: ["json"], features: [] } };
    const { client, runtime } = await connected({ clock }, welcome);
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    await submitting;
    for (let seq = 1; seq <= 20; seq += 1) {
      runtime.log("job_1", seq);
      await settle();
      clock.advance(10_000);
    }
    await settle();
    await expect(client.listJobs()).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(client.subscribe("job_1")).rejects.toBeInstanceOf(InvalidRequestError);
    expect(() => client.ack(1)).toThrow(InvalidRequestError);
    await expect(client.submit({ agent: "echo@1.0.0" })).rejects.toBeInstanceOf(InvalidRequestError);
    await settle();
    expect(runtime.received.map(({ type }) => type)).toEqual(["session.hello", "job.submit"]);
    client.abort();
  });

  test("keep a list, a subscription and an acknowledgement from being served", async () => {
    covers("V11-6.2-11");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const { job_id } = await owner.submit("puppet");
    const run = await puppet.next();
    await emitLogs(run, 5);
    const client = await harness.rawSession([]);
    for (const [type, payload] of [
      ["session.list_jobs", {}],
      ["job.subscribe", { job_id, history: true }],
    ] as const) {
      const answer = await client.reply(client.send(type, payload));
      expect([answer.type, answer.payload.code]).toEqual(["session.error", "INVALID_REQUEST"]);
    }
    await emitLogs(run, 1, 6);
    await client.fence();
    expect(client.numbered).toEqual([]);
    // An acknowledgement that had effect would free what it names.
    const quiet = await harness.rawSession([]);
    await quiet.submit("puppet");
    const second = await puppet.next();
    await emitLogs(second, 5);
    await quiet.sees(({ event_seq }) => event_seq === 5);
    quiet.send("session.ack", { last_processed_seq: 5 });
    await quiet.fence();
    await harness.disconnect(quiet);
    const resumed = await harness.raw();
    expect((await resumed.resume(quiet, 0, "alice", [])).type).toBe("session.welcome");
    await resumed.sees(({ event_seq }) => event_seq === 5);
    expect(resumed.numbered).toHaveLength(5);
  });

  test.each(Object.entries(FIELD_OF_FEATURE))("refuse a submit that needs %s without it", async (feature, fields) => {
    covers("V11-6.2-12");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { echo: puppet.handler } });
    const client = await harness.rawSession(V1_1_FEATURES.filter((name) => name !== feature));
    const answer = await client.submit("echo", 1, fields);
    expect(answer.type).toBe("session.error");
    expect(answer.payload).toMatchObject({ code: "INVALID_REQUEST", details: { feature } });
    const listed = await client.reply(client.send("session.list_jobs"));
    expect(listed.payload.jobs).toEqual([]);
    expect(puppet.runs).toEqual([]);
  });

  test("are agreed on anew by a hello that resumes, and kept by session.resume", async () => {
    covers("V11-6.2-05");
    await using harness = startHarness({ agents });
    const first = await harness.rawSession(["ack", "list_jobs"]);
    await harness.disconnect(first);
    const second = await harness.raw();
    const again = await second.resume(first, 0, "alice", ["list_jobs", "subscribe"]);
    expect(again.payload.capabilities.features).toEqual(["list_jobs", "subscribe"]);
    expect(await workingFeatures(second)).toEqual(["list_jobs", "subscribe"]);
    await harness.disconnect(second);
    const third = await harness.raw();
    const lastEventSeq = second.numbered.length;
    third.send("session.resume", { resume_token: second.resumeToken, last_event_seq: lastEventSeq });
    expect((await third.welcomed()).payload.capabilities.features).toEqual(["list_jobs", "subscribe"]);
  });
});

describe("the resume token", () => {
  test("tells nothing, and is another one in every welcome", async () => {
    covers("V11-6.2-13");
    await using harness = startHarness();
    const tokens = new Set<string>();
    for (let n = 0; n < 20; n += 1) {
      const client = await harness.rawSession();
      const token = client.resumeToken as string;
      tokens.add(token);
      // 128 bits at least.
      expect(token).toMatch(/^rt_[0-9a-f]{32,}$/);
      for (const encoding of ["base64", "base64url", "hex"] as const) {
        const decoded = Buffer.from(token.slice(3), encoding).toString("latin1");
        expect(decoded).not.toContain("alice");
        expect(decoded).not.toContain(client.sessionId?.slice(5));
      }
    }
    expect(tokens.size).toBe(20);
  });

  test("is in no log, error or public member of the client, and in no log or file of the runtime", async () => {
    covers("V11-6.2-14");
    const lines: string[] = [];
    const logger = createLogger((line) => lines.push(line), "debug");
    const directory = await mkdtemp(join(tmpdir(), "arcp-"));
    const store = sqliteStore({ path: join(directory, "journal.db") });
    const tokens: string[] = [];
    const shown: string[] = [];
    {
      await using harness = startHarness({
        agents,
        server: { logger, eventLog: store },
        faults: () => ({
          right: {
            onSend: (frame) => {
              const { type, payload } = JSON.parse(frame);
              if (type === "session.welcome") tokens.push(payload.resume_token);
              return "deliver";
            },
          },
        }),
      });
      const client = await harness.persistentClient({ logger });
      client.on("state", (state) => shown.push(inspect(state, { depth: 10, showHidden: true })));
      client.on("error", (error) => shown.push(inspect(error, { depth: 10 }), JSON.stringify(error)));
      for (let n = 0; n < 2; n += 1) {
        const resumed = new Promise<void>((resolve) => {
          const stop = client.on("state", ({ phase }) => {
            if (phase !== "connected") return;
            stop();
            resolve();
          });
        });
        harness.cutAll();
        await resumed;
        await (await client.submit({ agent: "echo", input: n })).done;
      }
      shown.push(inspect(client, { depth: 10, showHidden: true }), JSON.stringify(client) ?? "");
      const other = await harness.raw();
      await other.resume({ sessionId: client.session?.sessionId, resumeToken: tokens[0] }, 0);
      shown.push(JSON.stringify(other.frames));
    }
    await store.close();
    expect(tokens.length).toBe(3);
    for (const name of await readdir(directory)) shown.push(await readFile(join(directory, name), "latin1"));
    await rm(directory, { recursive: true });
    const everything = [...lines, ...shown].join("\n");
    expect(everything.includes("the agent's word")).toBe(true);
    for (const token of tokens) expect(everything.includes(token.slice(3, 15))).toBe(false);
  });

  test("is sent by the client to nobody but the runtime that it resumes at", async () => {
    covers("V11-6.2-14");
    const { client, runtime } = await connected({}, { resume_token: "rt_protected" });
    const info = client.resumeInfo;
    expect(info?.resumeToken).toBe("rt_protected");
    await client.close();
    expect(JSON.stringify(runtime.received)).not.toContain("rt_protected");
  });
});

describe("the resume window", () => {
  test("runs from the end of the connection, however old the session is", async () => {
    covers("V11-6.2-15");
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock, resumeWindowSeconds: 60 } });
    const client = await harness.rawSession([]);
    clock.advance(3_600_000);
    await client.fence();
    await harness.disconnect(client);
    clock.advance(59_000);
    const resumed = await harness.raw();
    expect((await resumed.resume(client, 0, "alice", [])).type).toBe("session.welcome");
    // And once more from the end of that connection.
    await resumed.fence();
    await harness.disconnect(resumed);
    clock.advance(59_000);
    expect((await (await harness.raw()).resume(resumed, 0)).type).toBe("session.welcome");
  });
});
