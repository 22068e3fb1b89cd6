/** Bugs in what stands between an agent and the world. */

import { readFile, realpath } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { PermissionDeniedError } from "@arcp/core";
import type { AgentFileSystem, AgentHandler, JobContext, Operation } from "@arcp/runtime";
import { CHILD_BUDGET_USD, COST_USD, type Work } from "../agents.ts";
import { overlaid } from "../wrappers.ts";
import { later, type SeededBug } from "./mutant.ts";

/** Agents that are given another context than the runtime's. */
const withContext =
  (change: (context: JobContext, work: Work) => JobContext) =>
  (handler: AgentHandler): AgentHandler =>
  (input, context) =>
    handler(input, change(context, input as Work));

const reading = (context: JobContext, read: (path: string) => Promise<string>): JobContext =>
  overlaid(context, { fs: overlaid(context.fs, { read: read as unknown as AgentFileSystem["read"] }) });

const refuse = (): never => {
  throw new PermissionDeniedError("the lease does not cover it");
};

/** Long enough for a path to lead elsewhere. */
const RACE_MS = 3;
const AFTER_END_MS = 1_800;

export const AGENT_BUGS: Readonly<Record<string, SeededBug>> = {
  "budget-after-dispatch": {
    is: "a budget is looked at when an operation is over",
    caughtBy: ["I7"],
    make: () => ({
      handler: withContext((context) =>
        overlaid(context, {
          operation: async (capability, target, act, options) => {
            const signal = context.signal;
            const early = {
              target,
              callId: "early",
              signal,
              authorize: () => target,
              report: async () => {},
            } satisfies Operation;
            const done = await act(early);
            await context.operation(
              capability,
              target,
              (operation) => operation.report({ name: "cost.work", value: COST_USD, unit: "USD" }),
              { ...(options?.cost !== undefined && { cost: options.cost }) },
            );
            return done;
          },
        }),
      ),
    }),
  },
  "no-roll-up": {
    is: "what a child spends is not taken from its parent's budget",
    caughtBy: ["I7"],
    make: () => ({
      handler: withContext((context, work) =>
        overlaid(context, {
          delegate: (delegation) =>
            context.delegate({
              ...delegation,
              lease_request: { "tool.call": ["spend"], "cost.budget": ["USD:0.000001"] },
            }),
          ...(work.root !== undefined && { operation: spendingOf(context) }),
        }),
      ),
    }),
  },
  "retries-blindly": {
    is: "a tool whose answer was lost is called again",
    caughtBy: ["I4"],
    faults: [{ do: "effects", faults: ["reset", "reset", "reset", "reset"] }],
    make: () => ({
      handler: withContext((context) =>
        overlaid(context, {
          callTool: <Result>(tool: string, args: unknown) =>
            context.callTool<Result>(tool, args).catch(() => context.callTool<Result>(tool, args)),
        }),
      ),
    }),
  },
  "works-after-its-end": {
    is: "an operation goes on after the end of its job",
    caughtBy: ["I9"],
    make: ({ effectsUrl }) => ({
      handler: (handler) => async (input, context) => {
        try {
          return await handler(input, context);
        } finally {
          const body = JSON.stringify({ job: context.jobId, name: "late" });
          void later(AFTER_END_MS).then(() => fetch(effectsUrl, { method: "POST", body }).catch(() => {}));
        }
      },
    }),
  },
  "prefix-paths": {
    is: "a path is covered if it begins like one that is",
    caughtBy: ["I6"],
    make: () => ({
      handler: withContext((context, { files = "" }) =>
        reading(context, async (path) => (path.startsWith(`${files}/open`) ? readFile(path, "utf8") : refuse())),
      ),
    }),
  },
  "realpath-then-open": {
    is: "a path is looked at, and then opened by its name",
    caughtBy: ["I6"],
    make: () => ({
      handler: withContext((context, { files = "" }) =>
        reading(context, async (path) => {
          const real = await realpath(path);
          if (!real.startsWith(`${files}/open/`)) refuse();
          await later(RACE_MS);
          return readFile(path, "utf8");
        }),
      ),
    }),
  },
  "follows-redirects": {
    is: "where a redirect leads is not looked at",
    caughtBy: ["I6"],
    make: () => ({
      handler: withContext((context, { pages = "" }) =>
        overlaid(context, {
          fetch: async (url) => (new URL(String(url)).href.startsWith(`${pages}/open/`) ? fetch(url) : refuse()),
        }),
      ),
    }),
  },
  "refuses-what-is-covered": {
    is: "a lease covers nothing",
    caughtBy: ["I6"],
    make: () => ({ handler: withContext((context) => reading(context, async () => refuse())) }),
  },
};

/** Operations of a child that has a counter of its own, of which nobody else knows. */
function spendingOf(context: JobContext): JobContext["operation"] {
  let left = CHILD_BUDGET_USD;
  return async (_capability, target, act) => {
    if (left < COST_USD) refuse();
    left -= COST_USD;
    await nextTurn();
    return act({ target, callId: "unseen", signal: context.signal, authorize: () => target, report: async () => {} });
  };
}
