/**
 * Named instants in the life of a runtime at which something happens to it. Production code knows nothing of them: every
 * point lies in a wrapper around a part that `ARCPServer` is given.
 */

/**
 * `kill`: the process is gone before the next instruction. `throw`: the operation fails; of one that has been carried out,
 * the reply is lost. `sleep`: it takes long. `block`: so does everything else. `shoot`: another process kills it, so that
 * it is gone somewhere within what follows: in a sync, in a checkpoint of the log, in a slice of a sweep.
 */
export type FailAction = "kill" | "throw" | "sleep" | "block" | "shoot";
const ACTIONS: readonly string[] = ["kill", "throw", "sleep", "block", "shoot"] satisfies readonly FailAction[];

const STORE_POINTS = [
  ...["commit", "commit.accept", "commit.entries", "commit.terminal", "commit.session", "commit.credential"],
  // Within the transaction: after its first statements, and before its last.
  ...["commit.inside", "commit.record", "take-over", "sweep", "read.session", "read.feed", "read.journal", "read.key"],
] as const;

/** Each has a `before` and an `after`. */
export const FAIL_POINTS = [
  ...STORE_POINTS,
  ...["send", "send.welcome", "send.accepted", "send.numbered", "send.terminal", "receive"],
  // A step of the schema: the file is made, or brought up to date.
  "schema",
  ...["mint", "revoke", "blob.create", "blob.write", "blob.finish", "blob.remove", "accept"],
] as const;

/** Only a store that several runtimes share passes these. */
export const SHARED_POINTS = [
  "join",
  "beat",
  "claim",
  "take-session",
  "bind-key",
  "release",
  "leave",
  "heads",
] as const;

export type FailPoint = (typeof FAIL_POINTS)[number] | (typeof SHARED_POINTS)[number];
export type FailMoment = `${FailPoint}.${"before" | "after"}`;

/** An action at the `nth` passage of a point. Written `commit.after:3:kill`. */
export interface FailPlan {
  readonly moment: FailMoment;
  readonly nth: number;
  readonly action: FailAction;
}

/** The failure that a fail-point makes. */
class FailPointError extends Error {
  override readonly name = "FailPointError";
}

/** Reads what `ARCP_FAILPOINTS` holds: plans, with commas between them. Throws for anything else. */
export function parseFailPlans(text: string): readonly FailPlan[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [moment = "", nth = "", action = ""] = part.split(":");
      const [, point] = /^(.+)\.(?:before|after)$/.exec(moment) ?? [];
      const isKnown = [...FAIL_POINTS, ...SHARED_POINTS].some((known) => known === point) && ACTIONS.includes(action);
      if (!isKnown || !(Number(nth) >= 1)) throw new TypeError(`no fail-point: ${part}`);
      return { moment: moment as FailMoment, nth: Number(nth), action: action as FailAction };
    });
}

export const formatFailPlans = (plans: readonly FailPlan[]): string =>
  plans.map(({ moment, nth, action }) => `${moment}:${nth}:${action}`).join(",");

const SLEEP_MS = 700;

/** Counts passages, and carries out what is planned for them. */
export class FailPoints {
  readonly #plans: FailPlan[];
  readonly #passed = new Map<FailMoment, number>();
  readonly #onFire: (plan: FailPlan) => void;
  readonly #shoot: () => void;

  /**
   * @param onFire Called just before the action, for the record.
   * @param shoot Asks another process for the end of this one.
   */
  constructor(plans: readonly FailPlan[], onFire: (plan: FailPlan) => void, shoot: () => void) {
    this.#plans = [...plans];
    this.#onFire = onFire;
    this.#shoot = shoot;
  }

  /** Passes the points that `moments` name. Throws {@link FailPointError} for `throw`. */
  async pass(...moments: readonly FailMoment[]): Promise<void> {
    for (const moment of moments) if (this.#carryOut(moment) === "sleep") await sleep();
  }

  /** The same where nothing can wait: `sleep` is left out. */
  passNow(...moments: readonly FailMoment[]): void {
    for (const moment of moments) this.#carryOut(moment);
  }

  #carryOut(moment: FailMoment): FailAction | undefined {
    if (this.#plans.length === 0) return undefined;
    const count = (this.#passed.get(moment) ?? 0) + 1;
    this.#passed.set(moment, count);
    const at = this.#plans.findIndex((plan) => plan.moment === moment && plan.nth === count);
    const plan = this.#plans[at];
    if (plan === undefined) return undefined;
    this.#plans.splice(at, 1);
    this.#onFire(plan);
    if (plan.action === "kill") process.kill(process.pid, "SIGKILL");
    if (plan.action === "shoot") this.#shoot();
    if (plan.action === "block") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SLEEP_MS);
    if (plan.action === "throw") throw new FailPointError(`fail-point ${moment}`);
    return plan.action;
  }
}

const sleep = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SLEEP_MS));
