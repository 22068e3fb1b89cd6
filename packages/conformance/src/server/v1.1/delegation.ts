/** §9.4 and §10: what agents may hand on to others. */
import { is, shape, shown, someText, such } from "../../matcher.ts";
import type { ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

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

export const delegationCases = [
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
