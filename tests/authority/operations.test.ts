/** What an agent does passes through its lease: the order of the checks, what is written, and what is not done. */
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lease } from "@arcp/core";
import OpenAI from "openai";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebServer } from "../operations/web-server.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { type AuthorizedJob, authorizedJob, eventsOf, Puppet, refusalOf } from "./authorized-job.ts";

let directory: string;

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-authority-")));
  await mkdir(join(directory, "a"));
  await writeFile(join(directory, "a", "x"), "inside");
  await writeFile(join(directory, "b"), "outside");
});

afterEach(() => rm(directory, { recursive: true, force: true }));

const calls = (job: AuthorizedJob) => eventsOf(job, "tool_call", "tool_result");

describe.each(CARRIERS)("an operation over %s", (carrier) => {
  test("is announced, durable, done and answered, in this order", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const job = await authorizedJob(harness, puppet, { "tool.call": ["search"] });
    const act = vi.fn(async ({ target, callId }: { target: string; callId: string }) => {
      const entries = await harness.server.eventLog.readJournal(job.jobId as never, 1, 10);
      expect(entries.map(({ payload }) => JSON.parse(payload).kind)).toEqual(["tool_call"]);
      expect(JSON.parse(entries[0]?.payload ?? "").body.call_id).toBe(callId);
      return target.toUpperCase();
    });
    const options = { tool: "finder", args: { q: 1 }, describe: (result: string) => ({ shown: result }) };
    await expect(job.run.context.operation("tool.call", "search", act, options)).resolves.toBe("SEARCH");
    const [call, result, ...more] = await calls(job);
    expect(call).toMatchObject({ kind: "tool_call", tool: "finder", args: { q: 1 } });
    expect(result).toEqual({ kind: "tool_result", call_id: call.call_id, result: { shown: "SEARCH" } });
    expect(more).toEqual([]);
    job.run.finish("done");
    expect((await job.client.end(job.jobId)).payload).toMatchObject({ final_status: "success", result: "done" });
  });

  test("that is refused is not done, is told with the pattern it needs, and the job goes on", async () => {
    covers("V11-9.3-01", "V11-9.3-02", "V11-9.3-05");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const job = await authorizedJob(harness, puppet, { "tool.call": ["search"] });
    const act = vi.fn();
    const error = await refusalOf(job.run.context.operation("tool.call", "deploy", act));
    expect(error).toMatchObject({ code: "PERMISSION_DENIED", retryable: false });
    expect(act).not.toHaveBeenCalled();
    const [call, result] = await calls(job);
    expect(result).toMatchObject({
      call_id: call.call_id,
      error: {
        code: "PERMISSION_DENIED",
        retryable: false,
        details: { capability: "tool.call", target: "deploy", patterns: ["search"], needed: "deploy" },
      },
    });
    await expect(job.run.context.operation("tool.call", "search", () => 1)).resolves.toBe(1);
    await job.run.context.log("info", "still here");
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload.final_status).toBe("success");
    expect(job.client.frames.some(({ type }) => type === "session.error")).toBe(false);
    expect(job.client.transport.isClosed).toBe(false);
  });
});

describe("without a grant", () => {
  test("nothing is done at all", async () => {
    covers("V11-9.1-01", "V11-9.3-04");
    const puppet = new Puppet();
    const handler = vi.fn();
    const child = vi.fn();
    await using web = await WebServer.start();
    await using harness = startHarness({ agents: { puppet: puppet.handler, child } });
    harness.server.registerTool("search", { handler });
    const job = await authorizedJob(harness, puppet, {});
    const { context } = job.run;
    const use = vi.fn();
    const delegation = context.delegate({ delegate_id: "d1", agent: "child", input: null, lease_request: {} });
    const attempts: Promise<unknown>[] = [
      context.fs.read(join(directory, "a", "x")),
      context.fs.write(join(directory, "a", "y"), "new"),
      context.fs.list(directory),
      context.fs.remove(join(directory, "b")),
      context.fetch(web.at("/")),
      context.callTool("search"),
      context.useModel("vendor/model", use),
      delegation.accepted,
    ];
    for (const attempt of attempts) expect(await refusalOf(attempt)).toMatchObject({ code: "PERMISSION_DENIED" });
    for (const mock of [handler, child, use]) expect(mock).not.toHaveBeenCalled();
    expect(web.connections).toBe(0);
    expect(await readdir(join(directory, "a"))).toEqual(["x"]);
    expect(await readFile(join(directory, "b"), "utf8")).toBe("outside");
    const results = await eventsOf(job, "tool_result");
    expect(results.map(({ error }) => error.code)).toEqual(attempts.map(() => "PERMISSION_DENIED"));
    job.run.finish();
  });
});

describe("files, network and tools", () => {
  test("pass where a pattern of their own capability covers them, and nowhere else", async () => {
    covers("V11-9.1-02", "V11-9.2-04");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await authorizedJob(harness, puppet, { "fs.read": [`${directory}/a/**`] });
    const { fs } = job.run.context;
    await expect(fs.read(`${directory}/a/x`, "utf8")).resolves.toBe("inside");
    for (const attempt of [fs.read(`${directory}/b`), fs.write(`${directory}/a/x`, "changed")]) {
      expect(await refusalOf(attempt)).toMatchObject({ code: "PERMISSION_DENIED" });
    }
    expect(await readFile(`${directory}/a/x`, "utf8")).toBe("inside");
    job.run.finish();
  });

  test("a fetch goes where the lease says, and a redirect that leads elsewhere is refused before it is followed", async () => {
    covers("V11-9.3-03");
    await using elsewhere = await WebServer.start();
    await using web = await WebServer.start((request, response) => {
      if (request.url === "/away") response.writeHead(302, { location: elsewhere.at("/secret") });
      response.end("here");
    });
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await authorizedJob(harness, puppet, { "net.fetch": [web.at("/**")] });
    const { context } = job.run;
    await expect(context.fetch(web.at("/")).then((response) => response.text())).resolves.toBe("here");
    expect(await refusalOf(context.fetch(web.at("/away")))).toMatchObject({ code: "PERMISSION_DENIED" });
    expect(elsewhere.connections).toBe(0);
    job.run.finish();
  });

  test("a tool is called by name with input that its schema allows", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const handler = vi.fn((input: { readonly n: number }) => ({ twice: input.n * 2 }));
    harness.server.registerTool<{ readonly n: number }, { twice: number }>("double", {
      inputSchema: { type: "object", properties: { n: { type: "number" } }, required: ["n"] },
      handler,
    });
    const job = await authorizedJob(harness, puppet, { "tool.call": ["double", "gone"] });
    await expect(job.run.context.callTool("double", { n: 4 })).resolves.toEqual({ twice: 8 });
    expect(await refusalOf(job.run.context.callTool("double", { n: "4" }))).toMatchObject({ code: "INVALID_REQUEST" });
    expect(await refusalOf(job.run.context.callTool("gone"))).toMatchObject({ code: "INVALID_REQUEST" });
    expect(handler).toHaveBeenCalledOnce();
    const [call, result] = await calls(job);
    expect(call).toMatchObject({ tool: "double", args: { n: 4 } });
    expect(result).toMatchObject({ call_id: call.call_id, result: { twice: 8 } });
    job.run.finish();
  });

  test("what a tool throws is its result, and the agent's to handle", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    harness.server.registerTool("broken", {
      handler: () => {
        throw new Error("out of order");
      },
    });
    const job = await authorizedJob(harness, puppet, { "tool.call": ["broken"] });
    await expect(job.run.context.callTool("broken")).rejects.toThrow("out of order");
    expect(await eventsOf(job, "tool_result")).toMatchObject([{ error: { code: "INTERNAL_ERROR" } }]);
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload.final_status).toBe("success");
  });
});

/** Which of `targets` pass under `patterns` of `capability`. */
async function allowed(capability: string, patterns: readonly string[], targets: readonly string[]): Promise<string[]> {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const job = await authorizedJob(harness, puppet, { [capability]: patterns });
  const passed: string[] = [];
  for (const target of targets) {
    const act = () => void passed.push(target);
    await job.run.context.operation(capability, target, act).catch((error) => {
      if (error.code !== "PERMISSION_DENIED") throw error;
    });
  }
  job.run.finish();
  return passed;
}

describe("patterns", () => {
  test("one star is one segment", async () => {
    covers("V11-9.2-03");
    expect(await allowed("fs.read", ["/a/*"], ["/a/x", "/a", "/a/", "/a/x/y"])).toEqual(["/a/x"]);
  });

  test("two stars are any number of segments", async () => {
    covers("V11-9.2-04");
    const targets = ["/a/x", "/a/x/y", "/ab"];
    expect(await allowed("fs.read", ["/a/**"], targets)).toEqual(["/a/x", "/a/x/y"]);
    expect(await allowed("fs.read", ["/a/**/z"], ["/a/z", "/a/b/c/z", "/a/b"])).toEqual(["/a/z", "/a/b/c/z"]);
  });

  test("are anchored at both ends", async () => {
    covers("V11-9.2-05");
    const targets = ["search", "research", "search2", "x/search"];
    expect(await allowed("tool.call", ["search"], targets)).toEqual(["search"]);
  });

  test("are no regular expressions", async () => {
    covers("V11-9.2-06");
    const targets = ["/a.b/(c)+", "/aXb/c", "/a.b/c", "/a.b/cc"];
    expect(await allowed("fs.read", ["/a.b/(c)+"], targets)).toEqual(["/a.b/(c)+"]);
  });
});

describe("a lease", () => {
  test("holds the reserved capabilities, each with patterns of its kind", async () => {
    covers("V11-9.2-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const lease: Lease = {
      "fs.read": ["/a/**"],
      "fs.write": ["/a/*"],
      "net.fetch": ["https://example.com/**"],
      "tool.call": ["search"],
      "agent.delegate": ["child"],
      "cost.budget": ["USD:1.00"],
      "model.use": ["tier-fast/*"],
    };
    const job = await authorizedJob(harness, puppet, lease);
    expect(job.accepted.payload.lease).toEqual(lease);
    const nothing = await refusalOf(job.run.context.operation("toolbox.call", "search", () => 1));
    expect(nothing).toMatchObject({ code: "PERMISSION_DENIED" });
    job.run.finish();
  });

  test.each([[[]], [{ "tool.call": "search" }], [{ "tool.call": [1] }], [{ "": ["search"] }], ["all"]])(
    "of another shape is refused: %j",
    async (lease_request) => {
      covers("V11-9.1-03");
      await using harness = startHarness({ agents: { puppet: vi.fn() } });
      const client = await harness.rawSession();
      const answer = await client.submit("puppet", null, { lease_request });
      expect(answer).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
      expect(await client.listJobs()).toEqual([]);
    },
  );

  test.each(["FS.Read", "fs read", "fs..read"])("has no capability named %j", async (name) => {
    covers("V11-9.2-02");
    await using harness = startHarness({ agents: { puppet: vi.fn() } });
    const client = await harness.rawSession();
    const answer = await client.submit("puppet", null, { lease_request: { [name]: ["/a"] } });
    expect(answer).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
    expect(await client.listJobs()).toEqual([]);
  });

  test("does not change after acceptance, whatever the agent does with it", async () => {
    covers("V11-9.1-04");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await authorizedJob(harness, puppet, { "tool.call": ["search"] });
    const { context } = job.run;
    const lease = context.lease as Record<string, string[]>;
    expect(() => lease["tool.call"]?.push("**")).toThrow(TypeError);
    expect(() => {
      lease["fs.read"] = ["/**"];
    }).toThrow(TypeError);
    await context.metric({ name: "lease.tool.call", value: 1 });
    expect(await refusalOf(context.operation("tool.call", "deploy", () => 1))).toMatchObject({
      code: "PERMISSION_DENIED",
    });
    expect(await job.client.listJobs()).toMatchObject([{ lease: { "tool.call": ["search"] } }]);
    job.run.finish();
  });
});

describe("the checks", () => {
  test("have an order: cancelled, expired, budget, pattern", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, leaseUnwindMs: 60_000 },
    });
    const expires_at = new Date(clock.now() + 1000).toISOString();
    const job = await authorizedJob(harness, puppet, { "cost.budget": ["USD:0"] }, { expires_at });
    const exhausted = await authorizedJob(harness, puppet, { "cost.budget": ["USD:0"] }, { expires_at });
    const covered = await authorizedJob(harness, puppet, {}, { expires_at });
    const attempt = ({ run }: AuthorizedJob) => refusalOf(run.context.operation("tool.call", "search", () => 1));
    expect(await attempt(covered)).toMatchObject({ code: "PERMISSION_DENIED" });
    expect(await attempt(exhausted)).toMatchObject({ code: "BUDGET_EXHAUSTED" });
    clock.advance(1000);
    expect(await attempt(exhausted)).toMatchObject({ code: "LEASE_EXPIRED" });
    job.client.send("job.cancel", { job_id: job.jobId }, { job_id: job.jobId });
    await job.client.fence();
    expect(job.run.context.signal.aborted).toBe(true);
    expect(await attempt(job)).toMatchObject({ code: "CANCELLED" });
    for (const { run } of [job, exhausted, covered]) run.finish();
  });

  test("come again after the wait for the disk: a job that has ended meanwhile does nothing more", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await authorizedJob(harness, puppet, { "tool.call": ["search"] });
    const act = vi.fn();
    const attempt = job.run.context.operation("tool.call", "search", act);
    job.run.fail(new Error("ended"));
    expect(await refusalOf(attempt)).toBeInstanceOf(Error);
    expect(act).not.toHaveBeenCalled();
  });

  test.each(["cancelled", "ended"])(
    "find an operation that waits for another's cost when its job is %s",
    async (how) => {
      const puppet = new Puppet();
      await using harness = startHarness({ agents: { puppet: puppet.handler } });
      const job = await authorizedJob(harness, puppet, { "model.use": ["*"], "cost.budget": ["USD:1"] });
      const { context } = job.run;
      const begun = Promise.withResolvers<void>();
      const hanging = Promise.withResolvers<void>();
      const first = context.useModel("model", () => {
        begun.resolve();
        return hanging.promise;
      });
      await begun.promise;
      const use = vi.fn();
      const waiting = [context.useModel("model", use), context.useModel("model", use)];
      if (how === "cancelled") job.client.send("job.cancel", { job_id: job.jobId }, { job_id: job.jobId });
      else job.run.fail(new Error("broken"));
      const code = how === "cancelled" ? "CANCELLED" : "INTERNAL_ERROR";
      for (const attempt of waiting) expect(await refusalOf(attempt)).toMatchObject({ code });
      expect(use).not.toHaveBeenCalled();
      hanging.resolve();
      await first;
      job.run.finish();
    },
  );

  test("wait for the acceptance: nothing is done for a job that the journal does not hold", async () => {
    let isStored: unknown;
    await using harness = startHarness({
      agents: {
        eager: async (_input, context) => {
          await context.operation("tool.call", "search", async () => {
            isStored = await harness.server.eventLog.findJob(context.jobId);
          });
        },
      },
    });
    const client = await harness.rawSession();
    const accepted = await client.submit("eager", null, { lease_request: { "tool.call": ["search"] } });
    await client.end(accepted.payload.job_id);
    expect(isStored).toMatchObject({ id: accepted.payload.job_id });
  });
});

describe("models", () => {
  const MODELS = ["tier-fast/a", "tier-slow/a", "tier-fast", "tier-fast/a:2025-01.b"];

  /** Which of the models pass. */
  async function usable(lease: Lease, modelsWithoutLease?: "none" | readonly string[]): Promise<string[]> {
    const puppet = new Puppet();
    const server = modelsWithoutLease === undefined ? {} : { modelsWithoutLease };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const job = await authorizedJob(harness, puppet, lease);
    const passed: string[] = [];
    for (const name of MODELS) {
      const use = ({ model }: { model: string }) => void passed.push(model);
      await job.run.context.useModel(name, use).catch((error) => expect(error.code).toBe("PERMISSION_DENIED"));
    }
    job.run.finish();
    return passed;
  }

  test("are those that the lease's patterns match, by glob only", async () => {
    covers("V11-9.7-01", "V11-9.7-02");
    expect(await usable({ "model.use": ["tier-fast/*"] })).toEqual(["tier-fast/a", "tier-fast/a:2025-01.b"]);
    expect(await usable({ "model.use": ["tier-fast/a:2025-01.b"] })).toEqual(["tier-fast/a:2025-01.b"]);
  });

  test("are none under a lease that does not speak of them, unless the runtime names some", async () => {
    covers("V11-9.7-05", "V11-9.7-06");
    expect(await usable({})).toEqual([]);
    expect(await usable({}, "none")).toEqual([]);
    expect(await usable({}, ["tier-slow/*"])).toEqual(["tier-slow/a"]);
    expect(await usable({ "model.use": [] }, ["tier-slow/*"])).toEqual([]);
    expect(await usable({ "model.use": ["tier-fast/a"] }, ["tier-slow/*"])).toEqual(["tier-fast/a"]);
  });

  test("are asked by a vendor's client through the job's fetch, and what the lease refuses is no connection error", async () => {
    const content = "hello";
    await using web = await WebServer.start((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ choices: [{ index: 0, message: { role: "assistant", content } }] }));
    });
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const lease = { "model.use": ["small"], "net.fetch": [web.at("/v1/**")] };
    const { run } = await authorizedJob(harness, puppet, lease);
    const ask = (baseURL: string) =>
      run.context.useModel("small", async ({ model }) => {
        const openai = new OpenAI({ baseURL, apiKey: "key", fetch: run.context.fetch, maxRetries: 0 });
        const messages = [{ role: "user" as const, content: "hi" }];
        return (await openai.chat.completions.create({ model, messages })).choices[0]?.message.content;
      });
    await expect(ask(web.at("/v1"))).resolves.toBe("hello");
    expect(web.requests[0]).toMatchObject({ url: "/v1/chat/completions", headers: { authorization: "Bearer key" } });
    expect(JSON.parse(web.requests[0]?.body ?? "")).toMatchObject({ model: "small" });
    expect(await refusalOf(ask(web.at("/v2")))).toMatchObject({
      ...{ code: "PERMISSION_DENIED", details: { capability: "net.fetch" } },
    });
    expect(web.requests).toHaveLength(1);
    run.finish();
  });
});
