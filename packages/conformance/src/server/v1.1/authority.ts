/** §9 and §10: leases, their expiry, budgets, models, delegation. */
import { NotHere } from "../../judge.ts";
import { is, listOf, nothing, perhaps, shape, shown, someText, such, text } from "../../matcher.ts";
import { jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

interface Operation {
  readonly capability: string;
  readonly target: string;
  readonly wait_ms?: number;
  readonly cost?: { readonly value: number; readonly unit: string };
}

interface Outcome {
  readonly performed: boolean;
  readonly code: string | null;
}

const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

/** Tries operations under a lease, and returns what came of each. */
async function tried(
  context: ServerContext,
  peer: Peer,
  lease_request: object,
  operations: readonly Operation[],
  more: object = {},
): Promise<readonly Outcome[]> {
  const { result } = await context.perform(peer, "operate", { operations }, { lease_request, ...more });
  return result?.outcomes ?? [];
}

/** `allowed` are performed, `denied` are refused with PERMISSION_DENIED (or as no target at all). */
async function decides(
  context: ServerContext,
  peer: Peer,
  requirement: string,
  lease: Readonly<Record<string, readonly string[]>>,
  capability: string,
  allowed: readonly string[],
  denied: readonly string[],
): Promise<void> {
  const outcomes = await tried(
    context,
    peer,
    lease,
    [...allowed, ...denied].map((target) => ({ capability, target })),
  );
  for (const [place, target] of [...allowed, ...denied].entries()) {
    const outcome = outcomes[place];
    const what = `${capability} ${target} under ${shown(lease)}`;
    if (place < allowed.length) context.judge.expect(requirement, what, outcome, is({ performed: true, code: null }));
    else
      context.judge.expect(
        requirement,
        what,
        outcome,
        shape({
          performed: is(false),
          code: such(
            "PERMISSION_DENIED, or INVALID_REQUEST for what is no target",
            (code) => code === "PERMISSION_DENIED" || code === "INVALID_REQUEST",
          ),
        }),
      );
  }
}

const leaseCases = [
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
      const decide = (
        requirement: string,
        capability: string,
        pattern: string,
        allowed: readonly string[],
        denied: readonly string[],
      ) => decides(context, peer, requirement, { [capability]: [pattern] }, capability, allowed, denied);
      await decide("V11-9.2-03", "fs.read", "/a/*", ["/a/x"], ["/a/x/y", "/b/x"]);
      await decide("V11-9.2-04", "fs.read", "/a/**", ["/a/x", "/a/x/y"], ["/ab", "/b"]);
      await decide("V11-9.2-04", "fs.read", "/a/**/z", ["/a/z", "/a/b/c/z"], ["/a/b/c"]);
      await decide("V11-9.2-05", "tool.call", "search", ["search"], ["research", "search2"]);
      await decide("V11-9.2-06", "fs.read", "/a.b/(c)+", ["/a.b/(c)+"], ["/axb/(c)+", "/a.b/c", "/a.b/cc"]);
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
        { "fs.read": ["/site/**"] },
        "fs.read",
        ["/site/./a"],
        ["/site/../etc/passwd", "/site/a/../../etc/passwd"],
      );
      await decides(
        context,
        peer,
        "V11-14-03",
        { "net.fetch": ["https://api.example.com/v1/**"] },
        "net.fetch",
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

const expiryCases = [
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

/** A job that reports costs and then tries to work. */
async function spent(
  context: ServerContext,
  peer: Peer,
  budget: readonly string[],
  costs: readonly object[],
  operations: readonly Operation[] = [],
  requirement?: string,
) {
  const lease_request = {
    "tool.call": ["suite.tool"],
    "fs.read": ["/a/*"],
    "net.fetch": ["https://api.example.com/**"],
    "cost.budget": budget,
  };
  const done = await context.perform(peer, "spend", { costs, operations }, { lease_request }, requirement);
  return { ...done, outcomes: (done.result?.outcomes ?? []) as readonly Outcome[], left: done.result?.left };
}

const usd = (value: number, name = "cost.suite"): object => ({ name, value, unit: "USD" });
const aCall: Operation = { capability: "tool.call", target: "suite.tool" };

const budgetCases = [
  v11("budgets/grammar", "a budget is a currency and an amount", ["9.6-01"], ["echo"], async (context) => {
    const peer = await context.session();
    const agent = context.agent("echo");
    for (const amount of ["USD:5", "USD:5.00", "credits:1000", "acme_units:3"]) {
      const answer = await peer.ask("V11-9.6-01", "job.submit", { agent, lease_request: { "cost.budget": [amount] } });
      context.judge.expect("V11-9.6-01", `the answer to ${amount}`, answer.type, is("job.accepted"));
    }
    for (const amount of ["USD", "USD:", ":5", "USD:-1", "USD:1e3", "USD:5.", "USD: 5"]) {
      await context.refused("V11-9.6-01", peer, "job.submit", { agent, lease_request: { "cost.budget": [amount] } }, [
        "INVALID_REQUEST",
      ]);
    }
  }),
  v11(
    "budgets/counted",
    "costs in budgeted currencies are counted, each in its own",
    ["9.6-02", "9.6-03", "9.6-04", "9.6-05", "9.6-06", "9.6-12"],
    ["spend"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const { accepted, left } = await spent(
        context,
        peer,
        ["USD:5.00", "credits:1000"],
        [usd(0.0234, "cost.inference")],
      );
      judge.expect("V11-9.6-02", "budget in job.accepted", accepted.payload.budget, is({ USD: 5, credits: 1000 }));
      judge.expect("V11-9.6-03", "what is left of USD:5.00 after 0.0234", left?.USD, is(4.9766));
      judge.expect("V11-9.6-02", "what is left of credits", left?.credits, is(1000));
      const irrelevant = [usd(1, "tokens"), usd(1, "costly"), { name: "cost.x", value: 1, unit: "EUR" }];
      judge.expect(
        "V11-9.6-04",
        "what is left after metrics that are no costs",
        (await spent(context, peer, ["USD:5.00"], irrelevant)).left,
        is({ USD: 5 }),
      );
      judge.expect(
        "V11-9.6-05",
        "what is left after a negative cost",
        (await spent(context, peer, ["USD:5.00"], [usd(-1, "cost.refund")])).left,
        is({ USD: 5 }),
      );
      const forged = await spent(context, peer, ["USD:5.00"], [usd(1), usd(4, "cost.budget.remaining")]);
      judge.expect(
        "V11-9.6-06",
        "what is left of 5 after a cost of 1 and what looks like the runtime's own metric",
        forged.left,
        is({ USD: 4 }),
      );
      judge.looksAt("V11-9.6-12");
      for (const { payload } of peer.events(forged.jobId, "metric")) {
        const { name, value } = payload.body;
        if (name === "cost.budget.remaining")
          judge.expect("V11-9.6-12", "cost.budget.remaining after a cost of 1", value, is(4));
      }
    },
  ),
  v11(
    "budgets/exhausted",
    "with a budget that is used up nothing is done, and the job may still end well",
    ["9.6-07", "9.6-08", "9.6-09", "9.6-10", "12-06"],
    ["spend"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const operations = [
        aCall,
        { capability: "fs.read", target: "/a/x" },
        { capability: "net.fetch", target: "https://api.example.com/x" },
      ];
      const costs = Array.from({ length: 10 }, () => usd(0.1));
      const exact = await spent(context, peer, ["USD:1.00"], costs, [aCall]);
      judge.expect(
        "V11-9.6-07",
        "a call after ten times 0.10 of USD:1.00",
        exact.outcomes,
        is([{ performed: false, code: "BUDGET_EXHAUSTED" }]),
      );
      const one = await spent(context, peer, ["USD:1.00", "credits:5"], [usd(1)], operations);
      judge.expect(
        "V11-9.6-08",
        "operations with one of two counters at zero",
        one.outcomes,
        is(operations.map(() => ({ performed: false, code: "BUDGET_EXHAUSTED" }))),
      );
      const over = await spent(context, peer, ["USD:1.00"], [usd(1.5)], [aCall], "V11-9.6-10");
      judge.expect(
        "V11-9.6-09",
        "a call with a counter below zero",
        over.outcomes[0],
        is({ performed: false, code: "BUDGET_EXHAUSTED" }),
      );
      const errors = peer
        .events(over.jobId, "tool_result")
        .map(({ payload }) => payload.body?.error)
        .filter((error) => error !== undefined);
      judge.that(
        "V11-9.6-09",
        "a tool_result with BUDGET_EXHAUSTED",
        errors.some(({ code }) => code === "BUDGET_EXHAUSTED"),
        errors,
      );
      for (const error of errors)
        judge.expect("V11-12-06", "retryable of BUDGET_EXHAUSTED", error.retryable, is(false));
    },
  ),
  v11(
    "budgets/overshoot",
    "an operation that begins with something left may cost more",
    ["9.6-11"],
    ["spend"],
    async (context) => {
      const peer = await context.session();
      const { outcomes, left } = await spent(
        context,
        peer,
        ["USD:1.00"],
        [usd(0.42)],
        [{ ...aCall, cost: { value: 0.7, unit: "USD" } }, aCall],
      );
      context.judge.expect(
        "V11-9.6-11",
        "the first call, with 0.58 left and 0.70 to pay",
        outcomes[0],
        is({ performed: true, code: null }),
      );
      context.judge.expect(
        "V11-9.6-11",
        "the second call",
        outcomes[1],
        is({ performed: false, code: "BUDGET_EXHAUSTED" }),
      );
      context.judge.expect("V11-9.6-11", "what is left", left, is({ USD: -0.12 }));
    },
  ),
  v11("budgets/none", "without a budget nothing is counted", ["7.1-09"], ["spend"], async (context) => {
    const peer = await context.session();
    const lease_request = { "tool.call": ["suite.tool"] };
    const { accepted, result } = await context.perform(
      peer,
      "spend",
      { costs: [usd(1_000_000)], operations: [aCall] },
      { lease_request },
    );
    context.judge.expect("V11-7.1-09", "budget in job.accepted", accepted.payload.budget ?? {}, is({}));
    context.judge.expect(
      "V11-7.1-09",
      "a call after a million",
      result?.outcomes,
      is([{ performed: true, code: null }]),
    );
  }),
];

const modelCases = [
  v11(
    "models/globs",
    "models are matched by the lease's patterns",
    ["9.7-01", "9.7-02"],
    ["operate"],
    async (context) => {
      const peer = await context.session();
      await decides(
        context,
        peer,
        "V11-9.7-01",
        { "model.use": ["tier-fast/*"] },
        "model.use",
        ["tier-fast/a"],
        ["tier-slow/a", "tier-fast"],
      );
      await decides(
        context,
        peer,
        "V11-9.7-02",
        { "model.use": ["vendor/gpt-9.5:latest"] },
        "model.use",
        ["vendor/gpt-9.5:latest"],
        ["vendor/gpt-9x5:latest"],
      );
    },
  ),
];

const credentialCases = [
  v11(
    "credentials/issued",
    "a job's credentials come with its acceptance, whole, and are no other job's",
    ["9.8-01", "9.8.1-01", "9.8.1-03", "9.8.1-06", "9.8.2-01", "9.8.2-03"],
    ["credential"],
    async (context) => {
      const { judge } = context;
      const peer = await credentialled(context);
      const values: unknown[] = [];
      for (let job = 0; job < 3; job += 1) {
        const accepted = await context.submit(peer, "credential", {});
        const { credentials } = accepted.payload;
        const some = such("a list that is not empty", (value) => Array.isArray(value) && value.length > 0);
        judge.expect("V11-9.8.2-01", "credentials of job.accepted", credentials, some);
        const whole = { id: someText, scheme: someText, value: someText, endpoint: someText };
        judge.expect("V11-9.8.1-01", "credentials of job.accepted", credentials, listOf(shape(whole)));
        const hints = { profile: perhaps(someText), constraints: perhaps(shape({})) };
        judge.expect("V11-9.8.1-06", "credentials of job.accepted", credentials, listOf(shape(hints)));
        const scheme = text(/^(bearer|x-vendor\..+)$/, "bearer, or a vendor's");
        judge.expect("V11-9.8.1-03", "credentials of job.accepted", credentials, listOf(shape({ scheme })));
        values.push(...credentials.map(({ value }: { value: unknown }) => value));
        peer.send("job.cancel", { job_id: jobOf(accepted) }, { job_id: jobOf(accepted) });
      }
      judge.that("V11-9.8.2-03", "no value twice", new Set(values).size === values.length, `${values.length} values`);
      judge.looksAt("V11-9.8-01");
    },
  ),
  v11(
    "credentials/rotated",
    "a credential that is rotated is told by its id, with its new value",
    ["9.8.1-02", "9.8.2-07", "9.8.2-08"],
    ["credential"],
    async (context) => {
      const { judge } = context;
      const peer = await credentialled(context);
      const accepted = await context.submit(peer, "credential", { rotate: true });
      const [credential] = accepted.payload?.credentials ?? [];
      const rotated = await peer.sees("V11-9.8.2-08", "a status of phase credential_rotated", ({ payload }) => {
        return payload?.kind === "status" && payload.body?.phase === "credential_rotated";
      });
      const { body } = rotated.payload;
      judge.expect("V11-9.8.1-02", "its id", body.id, is(credential?.id));
      const another = such(
        "another value than before",
        (value) => someText.problem(value) === undefined && value !== credential.value,
      );
      judge.expect("V11-9.8.2-08", "its value", body.value, another);
      judge.looksAt("V11-9.8.2-07");
      peer.send("job.cancel", { job_id: jobOf(accepted) }, { job_id: jobOf(accepted) });
    },
  ),
];

/** A session that is told of credentials. */
async function credentialled(context: ServerContext): Promise<Peer> {
  const peer = await context.connect();
  const welcome = await context.greet(peer);
  if (!welcome.payload?.capabilities?.features?.includes("provisioned_credentials")) {
    throw new NotHere("provisioned_credentials is not offered on this connection");
  }
  return peer;
}

interface Delegated {
  readonly accepted: boolean;
  readonly code: string | null;
}

/** Delegates from a job under `lease`, and returns what came of each. */
async function delegated(
  context: ServerContext,
  peer: Peer,
  lease: object,
  delegations: readonly object[],
  more: object = {},
) {
  const full = delegations.map((delegation) => ({ agent: context.agent("echo").split("@")[0], ...delegation }));
  const done = await context.perform(
    peer,
    "delegate",
    { delegations: full },
    { lease_request: { "agent.delegate": [context.agent("echo").split("@")[0]], ...lease }, ...more },
  );
  return { ...done, outcomes: (done.result?.outcomes ?? []) as readonly Delegated[] };
}

const YES: Delegated = { accepted: true, code: null };
const no = (code: string): Delegated => ({ accepted: false, code });
const SUBSET = no("LEASE_SUBSET_VIOLATION");

const delegationCases = [
  v11(
    "delegation/child",
    "a delegated job is announced, accepted in the same session, and counted in the same row",
    ["8.2-09", "10-01", "10.1-01", "10.1-02", "10.1-03", "10.3-01", "11-04", "9.4-03"],
    ["delegate", "echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const { jobId, accepted, outcomes } = await delegated(context, peer, {}, [{ input: { from: "parent" } }]);
      judge.expect("V11-9.4-03", "what came of a delegation with an empty lease_request", outcomes, is([YES]));
      const body = peer.events(jobId, "delegate")[0]?.payload?.body;
      const expected = shape({
        delegate_id: someText,
        agent: someText,
        input: is({ from: "parent" }),
        lease_request: shape({}),
      });
      judge.expect(["V11-10.1-01", "V11-8.2-09"], "the body of delegate", body, expected);
      const child = peer.frames.find(
        ({ type, payload }) => type === "job.accepted" && payload?.parent_job_id === jobId,
      );
      judge.that("V11-10.1-02", "job.accepted of the child in the same session", child !== undefined, "none");
      judge.expect(
        "V11-10.1-02",
        "job.accepted.payload of the child",
        child?.payload,
        shape({ job_id: someText, parent_job_id: is(jobId), delegate_id: is(body.delegate_id), lease: is({}) }),
      );
      judge.looksAt("V11-10-01");
      const childId = child?.payload.job_id;
      await peer.end("V11-10.1-03", childId);
      const numbers = peer.numbered.map(({ event_seq }) => event_seq as number);
      judge.expect(
        "V11-10.1-03",
        "the numbers of both jobs",
        numbers,
        is(numbers.map((_, place) => (numbers[0] as number) + place)),
      );
      judge.expect(
        ["V11-10.3-01", "V11-11-04"],
        "trace_id of the child",
        child?.payload.trace_id,
        is(accepted.payload.trace_id),
      );
      const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === childId);
      judge.expect("V11-10.1-02", "parent_job_id in session.jobs", listed?.["parent_job_id"], is(jobId));
    },
  ),
  v11(
    "delegation/agents",
    "only agents that the lease covers are delegated to",
    ["10.1-04", "10.2-03"],
    ["delegate", "echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const agent = context.agent("echo").split("@")[0];
      for (const lease_request of [{ "agent.delegate": ["suite.somebody-else"] }, {}]) {
        const { result, end, jobId } = await context.perform(
          peer,
          "delegate",
          { delegations: [{ agent }] },
          { lease_request },
        );
        judge.expect(
          "V11-10.1-04",
          `what came of a delegation under ${shown(lease_request)}`,
          result?.outcomes,
          is([no("PERMISSION_DENIED")]),
        );
        judge.expect("V11-10.2-03", "the end of the parent", end.type, is("job.result"));
        judge.that("V11-10.2-03", "no session.error", !peer.frames.some(({ type }) => type === "session.error"), jobId);
      }
    },
  ),
  v11(
    "delegation/subset",
    "a child's lease is within its parent's, pattern by pattern",
    ["9.4-01", "9.4-02", "9.4-04", "9.4-10", "10.2-01", "10.2-02", "10.2-03"],
    ["delegate", "echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const table = async (
        requirement: string,
        lease: object,
        rows: readonly (readonly [object, Delegated])[],
      ): Promise<string> => {
        const { outcomes, jobId, end } = await delegated(
          context,
          peer,
          lease,
          rows.map(([lease_request]) => ({ lease_request })),
        );
        for (const [place, [request, expected]] of rows.entries()) {
          const what = `a delegation of ${shown(request)} under ${shown(lease)}`;
          if (expected.accepted) judge.expect(requirement, what, outcomes[place], is(expected));
          else
            judge.expect(
              requirement,
              what,
              outcomes[place],
              shape({
                accepted: is(false),
                code: such(
                  "LEASE_SUBSET_VIOLATION, or INVALID_REQUEST for what is no pattern",
                  (code) => code === expected.code || code === "INVALID_REQUEST",
                ),
              }),
            );
        }
        judge.expect("V11-10.2-03", "the end of the parent", end.type, is("job.result"));
        return jobId;
      };
      const jobId = await table("V11-9.4-01", { "fs.read": ["/a/**"] }, [
        [{ "fs.write": ["/a/x"] }, SUBSET],
        [{ "fs.read": ["/b/x"] }, SUBSET],
        [{ "fs.read": ["/a/x"] }, YES],
      ]);
      const codes = peer.events(jobId, "tool_result").map(({ payload }) => payload.body?.error?.code);
      judge.expect(
        "V11-10.2-02",
        "codes of the tool_results on the parent",
        codes.filter((code) => code === "LEASE_SUBSET_VIOLATION").length,
        is(2),
      );
      await table("V11-9.4-02", { "fs.read": ["/a/**"] }, [
        [{ "fs.read": ["/a/b/*"] }, YES],
        [{ "fs.read": ["/a/**"] }, YES],
        [{ "fs.read": ["/a/b"] }, YES],
      ]);
      await table("V11-9.4-02", { "fs.read": ["/a/*/c"] }, [
        [{ "fs.read": ["/a/b/c"] }, YES],
        [{ "fs.read": ["/a/b/d"] }, SUBSET],
      ]);
      await table("V11-9.4-04", { "fs.read": ["/a/*"] }, [
        [{ "fs.read": ["/a/**"] }, SUBSET],
        [{ "fs.read": ["/a/../b/**"] }, SUBSET],
        [{ "fs.read": ["/**/x"] }, SUBSET],
      ]);
      await table("V11-9.4-10", { "model.use": ["tier-fast/*"] }, [
        [{ "model.use": ["tier-fast/a"] }, YES],
        [{ "model.use": ["tier-slow/a"] }, SUBSET],
      ]);
      await table("V11-10.2-01", { "tool.call": ["suite.tool"] }, [
        [{ "tool.call": ["suite.tool"] }, YES],
        [{ "tool.call": ["suite.other"] }, SUBSET],
      ]);
    },
  ),
  v11(
    "delegation/budget",
    "a child's budget is within what its parent has left",
    ["9.4-05", "9.4-06", "10.2-04"],
    ["delegate", "echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const rows: readonly (readonly [string, string, Delegated])[] = [
        ["V11-9.4-05", "USD:5.01", SUBSET],
        ["V11-9.4-06", "EUR:1", SUBSET],
        ["V11-9.4-05", "USD:5.00", YES],
      ];
      const { outcomes, jobId } = await delegated(
        context,
        peer,
        { "cost.budget": ["USD:5.00"] },
        rows.map(([, amount]) => ({ lease_request: { "cost.budget": [amount] } })),
      );
      for (const [place, [requirement, amount, expected]] of rows.entries()) {
        judge.expect(requirement, `a delegation of ${amount} by a job with USD:5.00`, outcomes[place], is(expected));
      }
      const children = peer.frames.filter(
        ({ type, payload }) => type === "job.accepted" && payload?.parent_job_id === jobId,
      );
      for (const { payload } of children)
        judge.that("V11-10.2-04", "a child's budget of at most 5 USD", (payload.budget?.USD ?? 0) <= 5, payload.budget);
      judge.looksAt("V11-10.2-04");
    },
  ),
  v11(
    "delegation/expiry",
    "a child's lease ends no later than its parent's",
    ["9.4-07", "9.4-08", "9.4-09"],
    ["delegate", "echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const end = Date.now() + 3_600_000;
      const constraint = (ms: number): object => ({
        lease_constraints: { expires_at: new Date(end + ms).toISOString() },
      });
      const delegations = [constraint(1000), constraint(0), constraint(-60_000), {}];
      const { outcomes, jobId } = await delegated(context, peer, {}, delegations, constraint(0));
      judge.expect("V11-9.4-07", "a child that would end a second later", outcomes[0], is(SUBSET));
      judge.expect("V11-9.4-07", "a child that ends at the same time", outcomes[1], is(YES));
      judge.expect("V11-9.4-08", "a child that ends before", outcomes[2], is(YES));
      const children = peer.frames.filter(
        ({ type, payload }) => type === "job.accepted" && payload?.parent_job_id === jobId,
      );
      const inherited = children.at(-1)?.payload.lease_constraints?.expires_at;
      judge.that(
        "V11-9.4-09",
        `${new Date(end).toISOString()} for a child that names no end`,
        Date.parse(inherited) === end,
        inherited,
      );
    },
  ),
];

export const authorityCases = [
  ...leaseCases,
  ...expiryCases,
  ...budgetCases,
  ...modelCases,
  ...credentialCases,
  ...delegationCases,
];
