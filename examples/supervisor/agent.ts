/** Moves a table from one database to another, batch by batch, and asks when it does not know. */
import { type AgentOptions, type JobContext, PermissionDeniedError } from "@arcp/sdk";
import { z } from "zod";

export const version = "1.0.0";

const Input = z.object({
  table: z.string(),
  batches: z.int().positive(),
  dropOld: z.boolean().default(false).describe("Is the old table dropped when everything is moved?"),
});

export const options: AgentOptions = { description: "Moves a table", inputSchema: Input };

/** What the tool `database.copy` says of a batch. */
export type Copied =
  | { readonly outcome: "copied" }
  | { readonly outcome: "busy" }
  | { readonly outcome: "misfits"; readonly misfits: number; readonly rows: number };

export default async function migrate(input: unknown, ctx: JobContext): Promise<string> {
  const { table, batches, dropOld } = Input.parse(input);
  for (let batch = 1; batch <= batches; batch += 1) {
    await copy(ctx, table, batch);
    await ctx.progress(batch, { total: batches, units: "batches" });
  }
  if (!dropOld) return `${table} is moved`;
  return (await drop(ctx, `${table}_old`)) ? `${table} is moved, the old one is gone` : `${table} is moved`;
}

async function copy(ctx: JobContext, table: string, batch: number): Promise<void> {
  for (;;) {
    const copied = await ctx.callTool<Copied>("database.copy", { table, batch });
    if (copied.outcome === "copied") return;
    const { choiceId } = await ctx.requestHumanChoice(
      copied.outcome === "busy"
        ? { prompt: `${table} is busy.`, options: [RETRY, STOP] }
        : { prompt: `${copied.misfits} of ${copied.rows} rows do not fit.`, options: [SKIP, STOP] },
    );
    if (choiceId === SKIP.id) return;
    if (choiceId === STOP.id) throw new Error(`stopped at batch ${batch}`);
  }
}

const RETRY = { id: "retry", label: "Try the batch again" };
const SKIP = { id: "skip", label: "Go on without them" };
const STOP = { id: "stop", label: "Give the table up" };

/** Drops a table, if somebody lets it. */
async function drop(ctx: JobContext, table: string): Promise<boolean> {
  try {
    const grant = await ctx.requestPermission({ permission: "table.drop", resource: table, operation: "drop" });
    await grant.perform(() => ctx.callTool("database.drop", { table }));
    return true;
  } catch (error) {
    if (error instanceof PermissionDeniedError) return false;
    throw error;
  }
}
