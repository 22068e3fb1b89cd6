/** The agents that the recordings and the flows ask for. */
import { setTimeout as sleep } from "node:timers/promises";
import { type ARCPError, BudgetExhaustedError, LeaseExpiredError, PermissionDeniedError } from "@arcp/core";
import type { AgentHandler, ARCPServer, JobContext } from "@arcp/runtime";

interface Input {
  readonly ms?: number;
  readonly n?: number;
  readonly delay_ms?: number;
  readonly bytes?: number;
  readonly encoding?: "utf8" | "base64";
  readonly costs?: readonly number[];
  readonly path?: string;
  readonly child?: string;
  readonly input?: unknown;
  readonly lease?: Record<string, string[]>;
}

type Agent = (input: Input, context: JobContext) => unknown;

/** Waits, unless the job is ended before. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return;
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}

const slow: Agent = async ({ ms = 0 }, { signal }) => {
  await pause(ms, signal);
  return { slept: ms };
};

const stubborn: Agent = async ({ ms = 0 }) => {
  await sleep(ms, undefined, { ref: false });
  return { slept: ms };
};

const chatter: Agent = async ({ n = 1, delay_ms = 0 }, context) => {
  for (let line = 0; line < n; line += 1) {
    if (line > 0) await pause(delay_ms, context.signal);
    await context.log("info", `line ${line}`);
  }
  return { lines: n };
};

const progress: Agent = async ({ n = 1 }, context) => {
  for (let step = 1; step <= n; step += 1) {
    await context.progress(step, { total: n, units: "steps", message: `step ${step}` });
  }
  return { steps: n };
};

const chunks: Agent = async ({ n = 1, bytes = 1, encoding = "utf8" }, context) => {
  const result = context.streamResult();
  for (let piece = 0; piece < n; piece += 1) {
    const text = String.fromCharCode("a".charCodeAt(0) + piece).repeat(bytes);
    const data = encoding === "utf8" ? text : new TextEncoder().encode(text);
    if (piece < n - 1) await result.write(data);
    else await result.finalize(data, { summary: `${n} chunks` });
  }
};

const kinds: Agent = async (_input, context) => {
  await context.log("info", "kinds: log");
  await context.thought("kinds: thought");
  await context.toolCall({ tool: "interop.tool", args: { a: 1 }, call_id: "call_kinds_1" });
  await context.toolResult({ call_id: "call_kinds_1", result: { ok: true } });
  await context.status("kinds-phase", "kinds: status");
  await context.metric({ name: "interop.metric", value: 1.5, unit: "count" });
  await context.artifactRef({ uri: "arcp-interop://artifact/1", content_type: "text/plain", byte_size: 3 });
  await context.delegate({ delegate_id: "del_kinds_1", agent: "echo", input: { from: "kinds" } });
  await context.progress(1, { total: 2, units: "steps", message: "kinds: progress" });
  await context.emitEvent("x-vendor.interop.note", { note: "vendor event" });
  const result = context.streamResult();
  await result.write("kinds ");
  await result.finalize("result", { summary: "kinds done" });
};

const spender: Agent = async ({ costs = [] }, context) => {
  for (const value of costs) await context.metric({ name: "cost.inference", value, unit: "USD" });
  const call_id = "call_spend_1";
  if ((context.budget.get("USD") ?? 0) <= 0) {
    return { denied: await refuse(context, call_id, new BudgetExhaustedError("the USD budget is used up")) };
  }
  await context.toolCall({ tool: "interop.paid", args: {}, call_id });
  await context.toolResult({ call_id, result: { ok: true } });
  return { denied: null };
};

const reader: Agent = async ({ path = "", delay_ms = 0 }, context) => {
  await pause(delay_ms, context.signal);
  const expiresAt = context.leaseConstraints?.expires_at;
  if (expiresAt !== undefined && Date.parse(expiresAt) <= Date.now()) throw new LeaseExpiredError("the lease is over");
  const call_id = "call_read_1";
  await context.toolCall({ tool: "fs.read", args: { path }, call_id });
  const roots = (context.lease["fs.read"] ?? []).map((pattern) => pattern.replace(/\*\*$/, ""));
  if (!roots.some((root) => path.startsWith(root))) {
    const code = await refuse(context, call_id, new PermissionDeniedError(`the lease does not cover ${path}`));
    return { read: false, code };
  }
  await context.toolResult({ call_id, result: { read: true } });
  return { read: true };
};

const parent: Agent = async ({ child = "echo", input = { from: "parent" }, lease }, context) => {
  await context.delegate({
    delegate_id: "del_1",
    agent: child,
    input,
    ...(lease === undefined ? {} : { lease_request: lease }),
  });
  return { delegated: true };
};

const vendor: Agent = async (_input, context) => {
  await context.emitEvent("x-vendor.interop.note", { note: "FAKE" });
  return { ok: true };
};

/** Reports a refused operation to the client. Returns the code. */
async function refuse(context: JobContext, call_id: string, error: ARCPError): Promise<string> {
  await context.toolResult({ call_id, error: { ...error.toWire(), details: undefined } });
  return error.code;
}

const AGENTS: Readonly<Record<string, Agent>> = {
  "echo@1.0.0": (input) => input,
  "echo@2.0.0": (input) => input,
  "fail@1.0.0": () => {
    throw new Error("interop: deliberate failure");
  },
  "slow@1.0.0": slow,
  "stubborn@1.0.0": stubborn,
  "chatter@1.0.0": chatter,
  "kinds@1.0.0": kinds,
  "progress@1.0.0": progress,
  "chunks@1.0.0": chunks,
  "spender@1.0.0": spender,
  "reader@1.0.0": reader,
  "parent@1.0.0": parent,
  "vendor@1.0.0": vendor,
};

/** Registers every agent, for clients that send any input. */
export function registerAgents(server: ARCPServer): void {
  for (const [reference, agent] of Object.entries(AGENTS)) server.registerAgent(reference, agent as AgentHandler);
}
