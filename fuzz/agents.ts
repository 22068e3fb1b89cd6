/** What hostile peers can ask for. */
import type { ARCPServer, JobContext } from "@arcp/runtime";

const DEMAND = { permission: "fs.read", resource: "/etc/hosts", operation: "read" };

/** Registers every agent but the canaries. */
export function registerAgents(server: ARCPServer): void {
  server.registerAgent("echo", (input) => input);
  server.registerAgent("fail", (input) => {
    throw new Error(String(JSON.stringify(input)));
  });
  server.registerAgent(
    "hold",
    (_input, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
  );
  server.registerAgent("stream", streamAgent);
  server.registerAgent("streams", streamsAgent);
  server.registerAgent("ask", (_input, context) =>
    context.requestHumanInput({ prompt: "Which?", responseSchema: { type: "string", maxLength: 20 } }),
  );
  server.registerAgent("choose", (_input, context) =>
    context.requestHumanChoice({
      prompt: "Which?",
      options: [
        { id: "a", label: "A" },
        { id: "b", label: "B" },
      ],
    }),
  );
  server.registerAgent("grant", async (_input, context) => {
    const grant = await context.requestPermission(DEMAND);
    return grant.leaseId;
  });
}

/** Emits what its input asks for, within reason. */
async function streamAgent(input: unknown, context: JobContext): Promise<unknown> {
  const { events, chunks } = (input ?? {}) as { readonly events?: unknown; readonly chunks?: unknown };
  for (let n = 0; n < countOf(events); n += 1) {
    if (n % 3 === 0) await context.progress(n, { total: countOf(events) });
    else await context.log("info", `event ${n}`);
  }
  if (countOf(chunks) === 0) return "streamed";
  const stream = context.streamResult();
  for (let n = 0; n < countOf(chunks); n += 1) await stream.write(`chunk ${n} `);
  await stream.finalize();
  return undefined;
}

/** Writes to a stream of the kind that its input asks for. */
async function streamsAgent(input: unknown, context: JobContext): Promise<unknown> {
  const { kind, events } = (input ?? {}) as { readonly kind?: unknown; readonly events?: unknown };
  if (kind === "binary") {
    const stream = context.openStream({ kind });
    for (let n = 0; n < countOf(events); n += 1) await stream.write(new Uint8Array([n]));
    await stream.close();
    return "streamed";
  }
  const stream = context.openStream({ kind: "text" });
  for (let n = 0; n < countOf(events); n += 1) {
    await context.checkpoint({ n });
    await stream.write(`chunk ${n}`);
  }
  await stream.close();
  return "streamed";
}

const countOf = (value: unknown): number =>
  typeof value === "number" && value > 0 ? Math.min(Math.floor(value), 200) : 0;

/** Says `secret` in some events, waits, and ends with it. */
export function registerCanary11(server: ARCPServer, secret: string, events: number, gate: Promise<void>): void {
  server.registerAgent("canary", async (_input, context) => {
    for (let n = 0; n < events; n += 1) await context.log("info", secret);
    await gate;
    for (let n = 0; n < events; n += 1) await context.log("info", secret);
    return secret;
  });
}

/** Leaves `secret` wherever a job can, asks for a permission, and ends with what it is answered to its question. */
export function registerCanary10(server: ARCPServer, secret: string): void {
  server.registerAgent("canary-10", async (_input, context) => {
    await context.putArtifact(secret);
    await context.checkpoint({ secret });
    await context.requestPermission({ ...DEMAND, reason: secret });
    const stream = context.openStream({ kind: "text" });
    await stream.write(secret);
    const { value } = await context.requestHumanInput({ prompt: secret });
    await stream.close();
    return value;
  });
}
