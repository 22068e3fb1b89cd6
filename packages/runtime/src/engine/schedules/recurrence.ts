/** When a scheduled job runs (RFC §10.6): once at an instant, once after a delay, or by a rule of RFC 5545. */
import { InvalidRequestError } from "@arcp/core";
import { largestPeriod, Occurrences, tightestGap } from "./occurrences.ts";
import { parseRule, type RecurrenceRule, ruleRefused } from "./rule.ts";

/** What `when` of `job.schedule` says, one of the three. */
export type When = { readonly at: string } | { readonly every: string } | { readonly after: number };

export interface RecurrenceOptions {
  /** Seconds between two runs of a rule, at least. Default: 60. */
  readonly minIntervalSec?: number | undefined;
  /** {@link Recurrence.last}, if it was found out before. */
  readonly last?: number | undefined;
}

/** The instants of a schedule. All are milliseconds since the epoch. */
export interface Recurrence {
  readonly when: When;
  readonly first: number;
  /** The last one of a rule that counts them; `undefined` if it does not. */
  readonly last: number | undefined;
  /** The first one after `instant`; `undefined` when there is none, or none within ten years. */
  after(instant: number): number | undefined;
}

const DEFAULT_MIN_INTERVAL_SEC = 60;
/** Nobody plans further ahead; and so far a rule is searched for its next occurrence. */
const MAX_AHEAD_SEC = 10 * 366 * 86_400;

/** The last one of a rule with `COUNT` is looked for when it is accepted: that must end too. */
const MAX_LAST_AHEAD_SEC = 10 * MAX_AHEAD_SEC;

const INSTANT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

const refused = (member: string, problem: string): InvalidRequestError =>
  new InvalidRequestError(`${member}: ${problem}`, { details: { path: member, problem } });

/**
 * The recurrence that `when` asks for at `acceptedAt` (milliseconds since the epoch). Throws `InvalidRequestError` that
 * names the member: unless it has exactly one of `at`, `every` and `after`; for an instant in the past or more than ten
 * years ahead; for a rule that is none, may run more often than is allowed, or never runs.
 */
export function recurrenceOf(when: unknown, acceptedAt: number, options: RecurrenceOptions = {}): Recurrence {
  if (typeof when !== "object" || when === null) throw refused("when", "expected an object");
  const { at, every, after } = when as Readonly<Record<string, unknown>>;
  const given = [at, every, after].filter((member) => member !== undefined && member !== null);
  if (given.length !== 1) throw refused("when", "expected exactly one of at, every and after");
  if (typeof at === "string") return once({ at }, instantOf(at, acceptedAt));
  if (typeof after === "number") return once({ after }, acceptedAt + delayMs(after));
  if (typeof every === "string") return byRule({ every }, acceptedAt, options);
  throw refused("when", "at and every are text, after is a number");
}

function instantOf(at: string, acceptedAt: number): number {
  const text = at.toUpperCase();
  const [, local = ""] = INSTANT.exec(text) ?? [];
  const asUtc = Date.parse(`${local}Z`);
  // The parser turns 30 February into 2 March: what it read must print as what was written.
  if (Number.isNaN(asUtc) || new Date(asUtc).toISOString().slice(0, 19) !== local) {
    throw refused("when.at", "expected RFC 3339 with a zone");
  }
  const instant = Date.parse(text);
  if (instant < acceptedAt) throw refused("when.at", "it is in the past");
  if (instant > acceptedAt + MAX_AHEAD_SEC * 1000) throw refused("when.at", "it is more than ten years ahead");
  return instant;
}

function delayMs(after: number): number {
  if (after >= 0 && after <= MAX_AHEAD_SEC) return Math.round(after * 1000);
  throw refused("when.after", "expected seconds, from 0 to ten years");
}

const once = (when: When, first: number): Recurrence => ({
  when,
  first,
  last: first,
  after: (instant) => (first > instant ? first : undefined),
});

function byRule(when: { readonly every: string }, acceptedAt: number, options: RecurrenceOptions): Recurrence {
  const rule = parseRule(when.every, acceptedAt);
  const { minIntervalSec = DEFAULT_MIN_INTERVAL_SEC } = options;
  if (tightestGap(rule) < minIntervalSec) throw ruleRefused(`it may run more often than every ${minIntervalSec} s`);
  const size = largestPeriod(rule);
  if (rule.bySetPos?.every((position) => Math.abs(position) > size)) throw ruleRefused("BYSETPOS selects nothing");
  const nextOf = instantsOf(rule);
  const last = options.last ?? lastOf(rule, nextOf, acceptedAt);
  const after = (instant: number): number | undefined => {
    let next = nextOf(instant);
    while (next !== undefined && rule.excluded.has(next)) next = nextOf(next);
    return last !== undefined && next !== undefined && next > last ? undefined : next;
  };
  const first = after(acceptedAt - 1);
  if (first === undefined) throw ruleRefused("it names no instant within ten years from now");
  return { when, first, last, after };
}

type NextInstant = (instant: number) => number | undefined;

/** Gives the first instant of the rule after another one, `COUNT` and `EXDATE` aside. */
function instantsOf(rule: RecurrenceRule): NextInstant {
  const occurrences = new Occurrences(rule);
  return (instant) => {
    let wall: number | undefined = rule.zone.wallAt(instant);
    const limit = wall + MAX_AHEAD_SEC;
    do {
      wall = occurrences.next(wall, limit);
      // Clocks that are put forward leave times out; those that are put back show some twice, and the first time counts.
      const next = wall === undefined ? undefined : rule.zone.instantOf(wall);
      if (next !== undefined && next > instant) return next <= (rule.until ?? next) ? next : undefined;
    } while (wall !== undefined);
    return undefined;
  };
}

/** The `COUNT`-th instant, or the last one if there are fewer; those that `EXDATE` names count. */
function lastOf(rule: RecurrenceRule, nextOf: NextInstant, acceptedAt: number): number | undefined {
  if (rule.count === undefined) return undefined;
  let last = rule.zone.instantNear(rule.start) - 1;
  for (let count = 0; count < rule.count; count += 1) {
    const next = nextOf(last);
    if (next === undefined) break;
    if (next > acceptedAt + MAX_LAST_AHEAD_SEC * 1000) throw ruleRefused("COUNT reaches further than a hundred years");
    last = next;
  }
  return last;
}
