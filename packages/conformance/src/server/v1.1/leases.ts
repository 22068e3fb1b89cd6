/** §9.1 to §9.5: leases, and how they expire. */
import { is, nothing } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { v11 } from "./case.ts";
import { at, decides, type Outcome, tried } from "./operations.ts";

export const leaseCases = [
  v11(
    "leases/covered",
    "what the lease covers is done, and nothing else",
    ["9.1-01", "9.1-02", "9.3-01", "9.3-02", "9.3-03", "9.3-05"],
    ["operate"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const attempts = [
        { capability: "fs.read", target: "/a/x" },
        { capability: "fs.write", target: "/a/x" },
        { capability: "net.fetch", target: "https://api.example.com/v1/x" },
        { capability: "tool.call", target: "suite.tool" },
      ];
      for (const [place, outcome] of (await tried(context, peer, {}, attempts)).entries()) {
        judge.expect(
          "V11-9.1-01",
          `${attempts[place]?.capability} without a lease`,
          outcome,
          is({ performed: false, code: "PERMISSION_DENIED" }),
        );
      }
      const operations = [
        { capability: "fs.read", target: "/a/x" },
        { capability: "fs.read", target: "/b" },
        { capability: "fs.write", target: "/a/x" },
        { capability: "fs.read", target: "/a/y" },
      ];
      const { result, jobId, end } = await context.perform(
        peer,
        "operate",
        { operations },
        { lease_request: { "fs.read": ["/a/**"] } },
        "V11-9.3-05",
      );
      const outcomes: readonly Outcome[] = result?.outcomes ?? [];
      judge.expect(
        ["V11-9.1-02", "V11-9.3-01"],
        "what was performed",
        outcomes.map(({ performed }) => performed),
        is([true, false, false, true]),
      );
      judge.expect(
        "V11-9.3-02",
        "the codes",
        outcomes.map(({ code }) => code),
        is([null, "PERMISSION_DENIED", "PERMISSION_DENIED", null]),
      );
      const told = peer
        .events(jobId, "tool_result")
        .map(({ payload }) => payload.body?.error?.code)
        .filter((code) => code !== undefined);
      judge.that(
        "V11-9.3-03",
        "every refusal told by a tool_result, if operations are told at all",
        told.length === 2 || peer.events(jobId, "tool_result").length === 0,
        told,
      );
      judge.expect("V11-9.3-05", "the end of a job that was refused something", end.type, is("job.result"));
      judge.expect("V11-9.3-05", "the end of the connection", peer.ended, nothing);
    },
  ),
  v11("leases/shape", "what is no lease is refused", ["9.1-03", "9.2-01", "9.2-02"], ["echo"], async (context) => {
    const peer = await context.session();
    const agent = context.agent("echo");
    for (const lease_request of [[], "fs.read", { "fs.read": "/a" }, { "fs.read": [1] }, { "": ["a"] }]) {
      await context.refused("V11-9.1-03", peer, "job.submit", { agent, lease_request }, ["INVALID_REQUEST"]);
    }
    for (const name of ["FS.Read", "fs read"]) {
      await context.refused("V11-9.2-02", peer, "job.submit", { agent, lease_request: { [name]: ["/a"] } }, [
        "INVALID_REQUEST",
      ]);
    }
    const reserved = {
      "fs.read": ["/a/*"],
      "fs.write": ["/a/*"],
      "net.fetch": ["https://api.example.com/**"],
      "tool.call": ["a"],
      "agent.delegate": ["a"],
      "cost.budget": ["USD:1"],
      "model.use": ["a/*"],
    };
    const answer = await peer.ask("V11-9.2-01", "job.submit", { agent, lease_request: reserved });
    context.judge.expect(
      "V11-9.2-01",
      "the answer to a lease of every reserved capability",
      answer.type,
      is("job.accepted"),
    );
  }),
  v11(
    "leases/globs",
    "patterns match whole segments, from end to end",
    ["9.2-03", "9.2-04", "9.2-05", "9.2-06"],
    ["operate"],
    async (context) => {
      const peer = await context.session();
      await decides(context, peer, "V11-9.2-03", "fs.read", "/a/*", ["/a/x"], ["/a/x/y", "/b/x"]);
      await decides(context, peer, "V11-9.2-04", "fs.read", "/a/**", ["/a/x", "/a/x/y"], ["/ab", "/b"]);
      await decides(context, peer, "V11-9.2-04", "fs.read", "/a/**/z", ["/a/z", "/a/b/c/z"], ["/a/b/c"]);
      await decides(context, peer, "V11-9.2-05", "tool.call", "search", ["search"], ["research", "search2"]);
      await decides(
        context,
        peer,
        "V11-9.2-06",
        "fs.read",
        "/a.b/(c)+",
        ["/a.b/(c)+"],
        ["/axb/(c)+", "/a.b/c", "/a.b/cc"],
      );
    },
  ),
  v11(
    "leases/canonical",
    "targets are made canonical before they are compared",
    ["14-03"],
    ["operate"],
    async (context) => {
      const peer = await context.session();
      await decides(
        context,
        peer,
        "V11-14-03",
        "fs.read",
        "/site/**",
        ["/site/./a"],
        ["/site/../etc/passwd", "/site/a/../../etc/passwd"],
      );
      await decides(
        context,
        peer,
        "V11-14-03",
        "net.fetch",
        "https://api.example.com/v1/**",
        ["https://api.example.com/v1/x"],
        [
          "https://api.example.com/v1/../admin",
          "https://api.example.com@evil.example/v1/x",
          "https://evil.example/v1/x",
          "https://api.example.com/v1/%2e%2e/admin",
          "http://api.example.com/v1/x",
        ],
      );
    },
  ),
  v11("leases/unchanged", "a lease stays what it was", ["9.1-04"], ["hold"], async (context) => {
    const peer = await context.session();
    const idempotency_key = `suite-${Math.random()}`;
    const agent = context.agent("hold");
    const accepted = await peer.ask(undefined, "job.submit", {
      agent,
      lease_request: { "fs.read": ["/a/*"] },
      idempotency_key,
    });
    await peer.ask("V11-9.1-04", "job.submit", { agent, lease_request: { "fs.read": ["/a/**"] }, idempotency_key });
    const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobOf(accepted));
    context.judge.expect("V11-9.1-04", "the lease in session.jobs", listed?.["lease"], is(accepted.payload.lease));
    peer.send("job.cancel", { job_id: jobOf(accepted) }, { job_id: jobOf(accepted) });
  }),
];

export const expiryCases = [
  v11(
    "expiry/form",
    "an expiry is an instant of UTC that is yet to come",
    ["9.5-02", "9.5-03"],
    ["echo"],
    async (context) => {
      const peer = await context.session();
      const soon = at(3_600_000);
      for (const expires_at of [
        soon.replace("Z", "+00:00"),
        soon.replace("Z", "+02:00"),
        soon.replace("Z", ""),
        soon.slice(0, 10),
        1893456000,
        "tomorrow",
      ]) {
        await context.refused(
          "V11-9.5-02",
          peer,
          "job.submit",
          { agent: context.agent("echo"), lease_constraints: { expires_at } },
          ["INVALID_REQUEST"],
        );
      }
      for (const past of [-1000, -3_600_000]) {
        await context.refused(
          "V11-9.5-03",
          peer,
          "job.submit",
          { agent: context.agent("echo"), lease_constraints: { expires_at: at(past) } },
          ["INVALID_REQUEST"],
        );
      }
    },
  ),
  v11(
    "expiry/operations",
    "after the lease's end nothing is done any more, and the job ends",
    ["9.5-04", "9.5-05", "9.5-06", "7.3-06", "12-05"],
    ["operate"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const operation = { capability: "tool.call", target: "suite.tool" };
      const operations = [
        operation,
        { ...operation, wait_ms: 2600 },
        { ...operation, wait_ms: 50 },
        { ...operation, wait_ms: 50 },
      ];
      const accepted = await context.submit(
        peer,
        "operate",
        { operations },
        { lease_request: { "tool.call": ["suite.tool"] }, lease_constraints: { expires_at: at(2500) } },
      );
      const jobId = jobOf(accepted);
      const end = await peer.end("V11-9.5-06", jobId, 12_000);
      const results = peer.events(jobId, "tool_result").map(({ payload }) => payload.body);
      judge.that(
        "V11-9.5-04",
        "a first operation that is performed",
        results.length > 0 && results[0]?.error === undefined,
        results[0],
      );
      const errors = results.map(({ error }) => error).filter((error) => error !== undefined);
      const codes = [...errors, ...(end.type === "job.error" ? [end.payload] : [])];
      judge.that(
        "V11-9.5-05",
        "LEASE_EXPIRED for an operation after the lease's end",
        codes.some(({ code }) => code === "LEASE_EXPIRED"),
        codes,
      );
      for (const error of codes)
        judge.expect(
          "V11-12-05",
          "retryable of LEASE_EXPIRED",
          error.code === "LEASE_EXPIRED" ? error.retryable : false,
          is(false),
        );
      judge.expect(
        "V11-9.5-06",
        "the end of a job that goes on trying",
        { type: end.type, code: end.payload?.code },
        is({ type: "job.error", code: "LEASE_EXPIRED" }),
      );
      judge.expect("V11-7.3-06", "its final_status", end.payload?.final_status, is("error"));
    },
    15_000,
  ),
];
