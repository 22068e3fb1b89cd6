/** What jobs may spend, and have left: read out of leases and events, and shown as gauges (§9.6). */
import type { JobEvent } from "@arcp/client";
import type { Lease } from "@arcp/core";
import { initialBudgetFromLease } from "@arcp/runtime/lease";
import { escapeLine } from "./escape.ts";
import { amount } from "./event-line.ts";
import { bar } from "./gauge.ts";
import type { Terminal } from "./terminal.ts";

const REMAINING = "cost.budget.remaining";
const COST_PREFIX = "cost.";

/** By currency. What cannot be read is left out: what another runtime granted may look otherwise. */
export function budgetCaps(lease: Lease): ReadonlyMap<string, number> {
  const amounts = (lease["cost.budget"] ?? []).filter((text) => /^[A-Za-z][\w-]*:\d{1,15}(\.\d{1,9})?$/.test(text));
  return initialBudgetFromLease(amounts.length === 0 ? {} : { "cost.budget": amounts });
}

/** Does the event say what was spent, or is left, and in what? */
export function costIn(event: JobEvent): { readonly currency: string; readonly left: number | undefined } | undefined {
  if (event.kind !== "metric" || !event.body.name.startsWith(COST_PREFIX)) return undefined;
  const { name, value, unit = "" } = event.body;
  return { currency: unit, left: name === REMAINING ? value : undefined };
}

/** A bar of what is left, green, yellow, then red. */
export function budgetBar(left: number, cap: number, columns: number, terminal: Pick<Terminal, "style">): string {
  const share = cap === 0 ? 0 : left / cap;
  return terminal.style(share > 0.5 ? "green" : share > 0.2 ? "yellow" : "red", bar(share, columns));
}

/** `3.75 of 5 USD`, or `? of 5 USD` where nobody has told what is left. Escaped. */
export const budgetText = (left: number | undefined, cap: number, currency: string): string =>
  `${left === undefined ? "?" : amount(left)} of ${amount(cap)} ${escapeLine(currency)}`;
