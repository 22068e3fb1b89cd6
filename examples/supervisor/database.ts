/** Stands for the two databases: the tool that copies a batch, and what is wrong with some of the tables. */
import type { Tool } from "@arcp/sdk";
import type { Copied } from "./agent.ts";

/** Tables that were dropped. */
export const dropped: string[] = [];

const asked = new Set<string>();

/** True the first time. */
function isFirst(what: string): boolean {
  const isNew = !asked.has(what);
  asked.add(what);
  return isNew;
}

export const copy: Tool<{ readonly table: string; readonly batch: number }, Copied> = {
  async handler({ table, batch }, { report, signal }) {
    if (table === "orders" && batch === 2 && isFirst("orders 2")) return { outcome: "busy" };
    if (table === "orders" && batch === 3 && isFirst("orders 3"))
      return { outcome: "misfits", misfits: 3, rows: 12000 };
    // Somebody holds a lock; a batch of many rows takes its time.
    if ((table === "sessions" && batch === 2) || (table === "events" && batch === 4)) await aborted(signal);
    await report({ name: "cost.database", value: table === "events" ? 2.5 : 0.1, unit: "USD" });
    return { outcome: "copied" };
  },
};

export const drop: Tool<{ readonly table: string }> = {
  handler: ({ table }) => void dropped.push(table),
};

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
