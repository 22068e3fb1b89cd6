/** The agents of a runtime under test. What they do outside is written down outside. */
import { createHash } from "node:crypto";
import type { AgentHandler, AgentOptions, ARCPServer, JobContext } from "@arcp/runtime";
import type { Recorder } from "./history.ts";
import { OPEN_TEXT } from "./world.ts";

/** What a job is asked for. */
export interface Work {
  /** Stands in what the job says; nobody else may see it. */
  readonly secret: string;
  /** How much of whatever the agent does. */
  readonly count: number;
  /** The job whose budget it spends, for the children of a job. */
  readonly root?: string;
  /** Where the files are, and the pages, of which some are covered by the lease. */
  readonly files?: string;
  readonly pages?: string;
}

export interface AgentTools {
  readonly ledger: Recorder;
  readonly life: number;
  /** Of the service that effects are made at. */
  readonly effectsUrl: string;
  /** What a seeded bug makes of an agent. */
  readonly wrapHandler: (handler: AgentHandler) => AgentHandler;
}

/** What every operation of `spender` costs, in millionths of a dollar. */
export const COST_MICROS = 70_000;
export const BUDGET_USD = 0.5;
export const COST_USD = COST_MICROS / 1_000_000;
export const CHILD_BUDGET_USD = 0.2;

/** What a lease of `open/**` covers comes first; the rest it does not, or not always. */
const PROBED_FILES: readonly string[] = [
  ...["open/file", "open-not/file", "open/../closed/file", "open/link/file"],
  ...["open/door/file", "open/door/file", "open/door/file"],
];
const PROBED_PAGES: readonly string[] = ["open/page", "closed/page", "open/redirect", "open/../closed/page"];
const FLOOD_BYTES = 60_000;

const turn = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** More than there are in any episode. */
const MAX_RESTARTS = 10_000;
/** The agents whose jobs go on after a restart. */
export const DURABLE_AGENTS: readonly string[] = ["durable", "checkpointing"];

type Agent = (work: Work, context: JobContext) => Promise<unknown>;

/** Registers all of them. */
export function registerAgents(server: ARCPServer, tools: AgentTools): void {
  const { ledger, life, effectsUrl } = tools;

  const post = (job: string, name: string, signal: AbortSignal): Promise<Response> =>
    fetch(effectsUrl, { method: "POST", body: JSON.stringify({ life, job, name }), signal });

  server.registerTool<{ readonly name: string }>("effect", {
    handler: async ({ name }, { jobId, signal }) => ({ status: (await post(jobId, name, signal)).status }),
  });

  const flushed = async (context: JobContext, count: number): Promise<void> => {
    await context.flush();
    ledger.write({ kind: "flushed", job: context.jobId, count });
  };

  /** Says `count` things, each with its number. */
  const counter: Agent = async ({ secret, count }, context) => {
    for (let n = 1; n <= count; n += 1) {
      await context.log("info", "counted", { count: n, secret });
      if (n % 16 === 0) await flushed(context, n);
      if (n % 7 === 0) await turn(2);
    }
    await flushed(context, count);
    return { count, secret };
  };

  /** Does things outside, one after another. */
  const worker: Agent = async ({ secret, count }, context) => {
    let failed = 0;
    for (let n = 1; n <= count; n += 1) {
      await context.callTool("effect", { name: `effect-${n}` }).catch((error: unknown) => {
        context.signal.throwIfAborted();
        // The service has failed: perhaps it has done it, so it is not asked again.
        failed += 1;
        return error;
      });
    }
    return { secret, failed };
  };

  /** Spends until nothing is left, in several hands. */
  const spender: Agent = async ({ secret, root }, context) => {
    const owner = root ?? context.jobId;
    const spend = async (): Promise<void> => {
      for (;;) {
        await context.operation(
          "tool.call",
          "spend",
          async (operation) => {
            ledger.write({ kind: "spent", job: context.jobId, root: owner, micros: COST_MICROS });
            await operation.report({ name: "cost.work", value: COST_USD, unit: "USD" });
          },
          { cost: { USD: COST_USD } },
        );
        await turn(3);
      }
    };
    const outcomes = await Promise.allSettled([spend(), spend(), spend()]);
    context.signal.throwIfAborted();
    return { secret, outcomes: outcomes.map((outcome) => outcome.status) };
  };

  /** Has others spend a part of its budget, and spends the rest. */
  const delegator: Agent = async (work, context) => {
    const lease_request = { "tool.call": ["spend"], "cost.budget": [`USD:${CHILD_BUDGET_USD}`] };
    const input = { ...work, root: context.jobId } satisfies Work;
    const children = [1, 2].map((n) =>
      context.delegate({ agent: "spender", delegate_id: `child-${n}`, input, lease_request }),
    );
    const own = spender(work, context).catch((error: unknown) => error);
    await Promise.allSettled(children.map(({ done }) => done));
    await own;
    context.signal.throwIfAborted();
    return { secret: work.secret };
  };

  /** Waits until it is told to stop. */
  const patient: Agent = async ({ secret, count }, context) => {
    await context.log("info", "waiting", { secret });
    for (let n = 0; n < count * 10 && !context.signal.aborted; n += 1) await turn(20);
    context.signal.throwIfAborted();
    return { secret };
  };

  /** Goes on after it was told to stop, as long as it is let. */
  const stubborn: Agent = async ({ secret, count }, context) => {
    for (let n = 1; n <= count * 10; n += 1) {
      await context.callTool("effect", { name: `stubborn-${n}` }).catch(() => undefined);
      await turn(20);
    }
    return { secret };
  };

  /** Says the secret that it was given, which nobody may see. */
  const credentialed: Agent = async (work, context) => {
    for (const credential of context.credentials) await context.log("info", "has", { value: credential.reveal() });
    return counter(work, context);
  };

  const streamer: Agent = async ({ secret, count }, context) => {
    const stream = context.streamResult();
    for (let n = 1; n <= count; n += 1) {
      await stream.write(`${secret} ${n}\n`);
      if (n % 8 === 0) await turn(1);
    }
    await stream.finalize();
    return undefined;
  };

  const keeper: Agent = async ({ secret, count }, context) => {
    const content = `${secret} `.repeat(count * 100);
    const { artifact_id: artifactId } = await context.putArtifact(content);
    const sha256 = createHash("sha256").update(content).digest("hex");
    ledger.write({ kind: "artifact", job: context.jobId, id: artifactId, sha256 });
    return { artifactId };
  };

  const failing: Agent = async ({ secret }, context) => {
    await context.log("warn", "about to fail", { secret });
    throw new Error("it fails");
  };

  /** Reaches for what its lease covers, and for what it does not, by every way that looks like one that it does. */
  const prober: Agent = async ({ secret, files = "", pages = "" }, context) => {
    const reach = async (target: string, look: () => Promise<string>): Promise<void> => {
      const outcome = await look().then(
        (text) => (text === OPEN_TEXT ? "open" : "closed"),
        (error: unknown) => `refused: ${(error as { readonly code?: unknown }).code}`,
      );
      ledger.write({ kind: "reached", job: context.jobId, target, outcome });
    };
    for (const path of PROBED_FILES) await reach(path, () => context.fs.read(`${files}/${path}`, "utf8"));
    for (const path of PROBED_PAGES) {
      await reach(path, async () => (await context.fetch(`${pages}/${path}`)).text());
    }
    return { secret };
  };

  /** Says more at once than a connection takes that nobody reads from. */
  const flooder: Agent = async ({ secret, count }, context) => {
    const text = "x".repeat(FLOOD_BYTES);
    for (let n = 1; n <= count; n += 1) await context.log("info", text, { secret });
    return { secret };
  };

  /** Does `step-<n>` outside until that has worked: an answer that is lost is asked for again. */
  const insist = async (context: JobContext, name: string): Promise<void> => {
    for (;;) {
      const response = await post(context.jobId, name, context.signal).catch(() => undefined);
      if (response?.ok) return;
      context.signal.throwIfAborted();
      await turn(20);
    }
  };

  const step = async (context: JobContext, n: number): Promise<number> => {
    const name = `step-${n}`;
    const value = await context.step(name, async () => {
      await insist(context, name);
      return n;
    });
    ledger.write({ kind: "step", job: context.jobId, name });
    return value;
  };

  /** Does as many steps as it counts, and survives every restart. */
  const durable: Agent = async ({ secret, count }, context) => {
    let sum = 0;
    for (let n = 1; n <= count; n += 1) {
      sum += await step(context, n);
      await context.log("info", "counted", { count: n, secret });
      if (n % 5 === 0) await context.sleep(40);
    }
    return { secret, sum };
  };

  /** The same, beginning at its last checkpoint. */
  const checkpointing: Agent = async ({ secret, count }, context) => {
    let { done, sum } = (context.restored ?? { done: 0, sum: 0 }) as { readonly done: number; readonly sum: number };
    while (done < count) {
      sum += await step(context, done + 1);
      done += 1;
      if (done % 4 === 0) await context.checkpoint({ done, sum });
    }
    return { secret, sum };
  };

  const agents = {
    counter,
    worker,
    spender,
    delegator,
    patient,
    stubborn,
    streamer,
    keeper,
    failing,
    prober,
    flooder,
    credentialed,
  };
  const register = (name: string, agent: Agent, options: AgentOptions): void => {
    const handler: AgentHandler = (input, context) => {
      ledger.write({ kind: "began", life, job: context.jobId, agent: name });
      return agent(input as Work, context);
    };
    server.registerAgent(name, tools.wrapHandler(handler), options);
  };
  for (const [name, agent] of Object.entries(agents)) register(name, agent, {});
  for (const [name, agent] of Object.entries({ durable, checkpointing })) {
    register(name, agent, { durable: { maxRestarts: MAX_RESTARTS } });
  }
}
