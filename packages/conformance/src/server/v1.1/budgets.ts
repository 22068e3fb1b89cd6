/** §9.6: budgets. */
import { is } from "../../matcher.ts";
import { v11 } from "./case.ts";
import { aCall, spent, usd } from "./operations.ts";

export const budgetCases = [
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
