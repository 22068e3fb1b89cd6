/** The tools that the recordings of wire 1.0 ask for. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentHandler, ARCPServer, JobContext } from "@arcp/runtime";

interface Input {
  readonly ms?: number;
  readonly n?: number;
  readonly kind?: "text" | "binary" | "thought";
  readonly delay_ms?: number;
  readonly redacted?: boolean;
  readonly schema?: object;
  readonly default?: unknown;
  readonly expires_ms?: number;
  readonly permission?: string;
  readonly resource?: string;
  readonly operation?: string;
  readonly lease_seconds?: number;
  readonly hold_ms?: number;
  readonly revoke_after_ms?: number;
}

type Tool = (input: Input, context: JobContext, server: ARCPServer) => unknown;

/** Waits, unless the job is ended before. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return;
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}

const slow: Tool = async ({ ms = 0 }, { signal }) => {
  await pause(ms, signal);
  return { slept: ms };
};

const chatter: Tool = async ({ n = 1 }, context) => {
  for (let line = 0; line < n; line += 1) await context.log("info", `line ${line}`);
  return { lines: n };
};

const progress: Tool = async ({ n = 1 }, context) => {
  for (let step = 1; step <= n; step += 1) await context.progress(step, { total: n, message: `step ${step}` });
  return { steps: n };
};

const combo: Tool = async (_input, context) => {
  const stream = context.openStream({ kind: "text" });
  for (let step = 1; step <= 3; step += 1) {
    await context.progress(step, { total: 3, message: `step ${step}` });
    await stream.write(`line ${step}\n`);
  }
  await stream.close("done");
  return { steps: 3 };
};

const streamer: Tool = async ({ kind = "text", n = 1, delay_ms = 0, redacted = false }, context) => {
  if (kind === "thought") {
    const thoughts = context.openStream({ kind });
    for (let index = 0; index < n; index += 1) {
      await thoughts.write({ content: redacted ? "" : `thought ${index}`, redacted });
    }
    await thoughts.close("done");
    return { stream_id: thoughts.id, n };
  }
  const stream = context.openStream({ kind });
  for (let index = 0; index < n; index += 1) {
    if (index > 0) await pause(delay_ms, context.signal);
    await stream.write(kind === "binary" ? Buffer.alloc(16, index) : `chunk ${index}`);
  }
  await stream.close("done");
  return { stream_id: stream.id, n };
};

const ask: Tool = async ({ schema, default: fallback, expires_ms = 3000 }, context) => {
  const { value } = await context.requestHumanInput({
    ...{ prompt: "interop: ask", expiresInMs: expires_ms },
    ...(schema !== undefined && { responseSchema: schema }),
    ...(fallback !== undefined && { default: fallback }),
  });
  return { answer: value };
};

const choose: Tool = async ({ expires_ms = 3000 }, context) => {
  const options = [
    { id: "fix", label: "Fix" },
    { id: "skip", label: "Skip" },
    { id: "abort", label: "Abort" },
  ];
  const { choiceId } = await context.requestHumanChoice({
    prompt: "interop: choose",
    options,
    expiresInMs: expires_ms,
  });
  return { choice: choiceId };
};

const guarded: Tool = async (input, context, server) => {
  const { permission = "", resource = "", operation = "", lease_seconds = 60, hold_ms = 0, revoke_after_ms } = input;
  const request = { permission, resource, operation, reason: "interop", requestedLeaseSeconds: lease_seconds };
  const grant = await context.requestPermission(request);
  if (revoke_after_ms !== undefined) {
    await pause(revoke_after_ms, context.signal);
    await server.revokeGrant(grant.leaseId, "interop revoke");
  }
  await pause(hold_ms, context.signal);
  grant.assertActive();
  return { ok: true, lease_id: grant.leaseId };
};

const kinds: Tool = async (_input, context) => {
  await context.log("warn", "kinds: log", { attempt: 2 });
  await context.metric({
    name: "tokens.used",
    value: 1432,
    unit: "tokens",
    dimensions: { model: "fake", kind: "input" },
  });
  await context.metric({ name: "cost.usd", value: 0.0123, unit: "USD" });
  await context.span("interop.span", {}, () => {});
  await context.progress(1, { total: 2, message: "kinds: progress" });
  await context.heartbeat();
  return { ok: true };
};

const TOOLS: Readonly<Record<string, Tool>> = {
  echo: (input) => input,
  fail: () => {
    throw new Error("interop: deliberate failure");
  },
  ...{ slow, chatter, progress, combo, streamer, ask, choose, guarded, kinds },
};

/** Registers every tool, for clients that send any input. */
export function registerTools10(server: ARCPServer): void {
  for (const [name, tool] of Object.entries(TOOLS)) {
    const handler: AgentHandler = (input, context) => tool(input as Input, context, server);
    const heartbeat = { intervalMs: 1_000, recovery: "fail" } as const;
    // The recorded runtime watched this one with so short an interval.
    if (name === "slow") server.registerAgent("slow-watched", handler, { heartbeat });
    server.registerAgent(name, handler);
  }
}
