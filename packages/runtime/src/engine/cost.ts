/** Reports of cost (§9.6): what they do to the counters, and what is told of those. */
import { InvalidRequestError, type MetricPayload } from "@arcp/core";
import { ENTRY } from "../store/store.ts";
import type { Job } from "./job.ts";
import type { Hold } from "./lease/budget.ts";
import { rejected } from "./result-stream.ts";

/** Counters' own names: what an agent reports under them is refused, the runtime alone writes them. */
const COUNTER_PREFIX = "cost.budget.";
const COST_PREFIX = "cost.";

/**
 * Writes a metric, and lowers the job's counter if it is a cost in a budgeted currency: exactly, and by what `hold` has
 * set aside first. Returns what an emitter returns; rejects with {@link InvalidRequestError}, and changes nothing, for a
 * negative cost and for the counters' own names.
 */
export function reportCost(job: Job, metric: MetricPayload, hold?: Hold): Promise<void> {
  const { name, value, unit } = metric;
  if (name.startsWith(COUNTER_PREFIX)) return refuse(`${COUNTER_PREFIX}* are the runtime's own metrics`);
  if (!name.startsWith(COST_PREFIX)) return job.emit(ENTRY.metric, "metric", metric);
  if (!Number.isFinite(value) || value < 0) return refuse("a cost is a finite number, not below zero");
  // Its agent is called again: it has been paid.
  if (job.hasTold(ENTRY.metric, metric)) return Promise.resolve();
  const reported = job.announce(ENTRY.metric, "metric", metric);
  const told = unit === undefined ? undefined : job.spend(unit, value, hold);
  return told === undefined ? reported : reported.then(() => told);
}

const refuse = (problem: string): Promise<void> => rejected(new InvalidRequestError(problem));
