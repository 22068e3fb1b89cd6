/** The guard of one job: what its agent's operations pass through (§9.3). */
import { CancelledError, InvalidRequestError, type Lease, LeaseExpiredError, type MetricPayload } from "@arcp/core";
import { ENTRY } from "../store/store.ts";
import { agentError } from "./agent-failure.ts";
import { reportCost } from "./cost.ts";
import { isLonger, jsonOf } from "./entry-text.ts";
import type { Job } from "./job.ts";
import type { Hold } from "./lease/budget.ts";
import { shownTarget } from "./lease/operation.ts";
import type { Amounts, Guard, Operation, OperationCost, OperationOptions } from "./operation.ts";
import type { WorkSpan } from "./telemetry.ts";
import { startOperationSpan, usageOf } from "./work-spans.ts";

/** An operation as it is told of: its name, its arguments, and the id that call and result share. */
interface Announcement {
  readonly callId: string;
  readonly tool: string;
  readonly args: unknown;
}

const NOTHING_DESCRIBED = (): null => null;

export class JobGuard implements Guard {
  readonly #job: Job;
  /** The operations of unknown cost, one after the other: each must see what the one before it has cost. */
  #costly: Promise<void> = Promise.resolve();

  constructor(job: Job) {
    this.#job = job;
  }

  get lease(): Lease {
    return this.#job.lease;
  }

  get signal(): AbortSignal {
    return this.#job.signal;
  }

  async operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    options: OperationOptions<Result> = {},
  ): Promise<Result> {
    const leave = await this.#enter(options.cost);
    try {
      return await this.#guarded(capability, target, act, options);
    } finally {
      leave();
    }
  }

  async #guarded<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    { tool = capability, args, cost, describe = NOTHING_DESCRIBED }: OperationOptions<Result>,
  ): Promise<Result> {
    this.#job.assertLive();
    const call: Announcement = {
      callId: this.#job.newCallId(),
      tool,
      args: args ?? { target: typeof target === "string" ? shownTarget(capability, target) : null },
    };
    const estimate = estimateOf(cost);
    let hold: Hold | undefined;
    const span = startOperationSpan(this.#job, { capability, target, tool, callId: call.callId });
    let failure: string | undefined;
    const startedAt = this.#job.moment;
    const announced = this.#emitCall(call);
    try {
      const canonical = this.#authorize(capability, target, estimate);
      hold = this.#job.authority.hold(estimate);
      await announced;
      // What the journal does not hold has not happened: neither the job nor this call.
      await this.#job.flush();
      if (this.#job.isDoubtful) await this.#job.mayAct();
      this.#authorizeStill(capability, canonical);
      const operation = this.#operation(capability, canonical, call.callId, hold, span);
      const result = await (span === undefined ? act(operation) : span.run(() => act(operation)));
      await this.#emitResult(call, { result: this.#shown(describe(result)) });
      return result;
    } catch (error) {
      if (error instanceof LeaseExpiredError) this.#job.leaseExpired(error);
      const told = agentError(error);
      failure = told.code;
      await this.#emitResult(call, { error: told.toWire() });
      throw error;
    } finally {
      hold?.release();
      span?.end(failure);
      this.#job.measured(capability, failure, startedAt);
    }
  }

  #operation(
    capability: string,
    target: string,
    callId: string,
    hold: Hold | undefined,
    span: WorkSpan | undefined,
  ): Operation {
    const job = this.#job;
    return {
      target,
      callId,
      signal: job.signal,
      authorize: (another) => this.#authorize(capability, another, {}),
      report: (metric: MetricPayload) => {
        span?.tell(usageOf(metric));
        return reportCost(job, metric, hold);
      },
    };
  }

  /** The checks, in the order that they have: cancelled, expired, budget, pattern. */
  #authorize(capability: string, target: string, estimate: Amounts): string {
    this.#assertNotCancelled();
    return this.#audited(capability, target, () => this.#job.authority.authorize(capability, target, estimate));
  }

  /** The same for an operation that has waited: what does not change is not looked at again. */
  #authorizeStill(capability: string, canonical: string): void {
    this.#job.assertLive();
    this.#assertNotCancelled();
    this.#audited(capability, canonical, () => this.#job.authority.assertStill(capability, canonical));
  }

  #audited<Result>(capability: string, target: string, check: () => Result): Result {
    try {
      return check();
    } catch (error) {
      const { code } = agentError(error);
      const shown = typeof target === "string" ? shownTarget(capability, target) : "";
      this.#job.audit("operation.refused", { capability: String(capability).slice(0, MAX_NAME), target: shown, code });
      throw error;
    }
  }

  #assertNotCancelled(): void {
    if (this.#job.isCancelling) throw this.#job.stopReason ?? new CancelledError("cancelled");
  }

  /** Waits for the turn of an operation of unknown cost, while its job may act. Returns what ends the turn. */
  async #enter(cost: OperationCost | undefined): Promise<() => void> {
    if (cost !== "unknown" || this.#job.authority.budget === undefined) return () => {};
    const before = this.#costly;
    const turn = Promise.withResolvers<void>();
    this.#costly = turn.promise;
    await turnOrEnd(before, this.#job.signal);
    return turn.resolve;
  }

  #emitCall({ callId, tool, args }: Announcement): Promise<void> {
    return this.#job.emit(ENTRY.tool_call, "tool_call", { tool, args: this.#shown(args), call_id: callId });
  }

  /** The job may have ended meanwhile: then there is nobody left to tell. */
  async #emitResult({ callId }: Announcement, outcome: object): Promise<void> {
    await this.#job.emit(ENTRY.tool_result, "tool_result", { call_id: callId, ...outcome }).catch(() => {});
  }

  /** `value` if an event can hold it. */
  #shown(value: unknown): unknown {
    if (value === undefined) return null;
    try {
      if (!isLonger(jsonOf(value), this.#job.caps.maxEventBytes - EVENT_MARGIN)) return value;
    } catch {
      // Not JSON: it is said below.
    }
    return { omitted: "too large to show, or not JSON" };
  }
}

/** Resolves with `turn`, or when `signal` aborts: the checks then refuse whoever has waited. */
function turnOrEnd(turn: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done, { once: true });
    void turn.then(done);
  });
}

/** Characters of a capability's name, as far as they are recorded. */
const MAX_NAME = 256;
/** Room for what stands around arguments or a result in an event. */
const EVENT_MARGIN = 4096;

function estimateOf(cost: OperationCost | undefined): Amounts {
  if (cost === undefined || cost === "unknown") return {};
  for (const [currency, amount] of Object.entries(cost)) {
    if (typeof amount === "number" && Number.isFinite(amount) && amount >= 0) continue;
    throw new InvalidRequestError(`the cost of an operation in ${currency} is a finite amount, not below zero`);
  }
  return cost;
}
