/**
 * I5: a job is run by at most one runtime at a time whose effects count, and a session is numbered by one.
 *
 * What is on disk is decided by epochs: whoever has a job under a higher one has taken it from all that had it before. What is
 * done outside cannot be refused by a database. A runtime that loses a job may finish the operation that it is at, and no more.
 */
import type { HistoryLine, Written } from "../history.ts";
import { NODE_TTL_MS } from "../runtime-settings.ts";
import { grouped, type Story } from "./story.ts";
import type { Report } from "./violation.ts";

type Line<Kind extends HistoryLine["kind"]> = Extract<HistoryLine, { readonly kind: Kind }>;

interface Holding {
  readonly at: number;
  readonly life: number;
  readonly epoch: number;
}

interface Write {
  readonly at: number;
  readonly since: number;
  readonly life: number;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
}

const isLine =
  <Kind extends HistoryLine["kind"]>(kind: Kind) =>
  (line: HistoryLine): line is Line<Kind> =>
    line.kind === kind;

/** Who had which job when: as runtimes have written down what their store told them. */
export class Ownership {
  readonly commits: readonly Line<"committed">[];
  readonly takings: readonly Line<"taken">[];
  readonly writes = new Map<string, Write[]>();
  readonly #holdings = new Map<string, Holding[]>();

  constructor(lines: readonly HistoryLine[]) {
    this.commits = lines.filter(isLine("committed"));
    this.takings = lines.filter(isLine("taken"));
    for (const { at, life, jobs } of lines.filter(isLine("claimed"))) {
      for (const [job, epoch] of jobs) this.#hold(job, { at, life, epoch });
    }
    for (const { at, since, life, jobs } of this.commits) {
      for (const [job, epoch, from, to] of jobs satisfies readonly Written[]) {
        this.#hold(job, { at, life, epoch });
        const own = this.writes.get(job) ?? [];
        own.push({ at, since, life, epoch, from, to });
        this.writes.set(job, own);
      }
    }
  }

  #hold(job: string, holding: Holding): void {
    const own = this.#holdings.get(job) ?? [];
    if (own.some(({ life, epoch }) => life === holding.life && epoch === holding.epoch)) return;
    own.push(holding);
    this.#holdings.set(job, own);
  }

  /** Under which epochs a job was held, and by whom. */
  get holdings(): ReadonlyMap<string, readonly Holding[]> {
    return this.#holdings;
  }

  /** When the runtime that has had this done had lost the job, if it had by then. */
  lossBefore({ job, life, at }: Line<"effect">): number | undefined {
    const all = this.#holdings.get(job) ?? [];
    const own = Math.max(-1, ...all.filter((held) => held.life === life && held.at <= at).map(({ epoch }) => epoch));
    const later = all.filter((held) => held.life !== life && held.epoch > own && held.at <= at);
    return later.length === 0 ? undefined : Math.min(...later.map((held) => held.at));
  }
}

export function checkOwnership(ownership: Ownership, report: Report): void {
  for (const [job, all] of ownership.holdings) {
    for (const [epoch, held] of grouped(all, (one) => one.epoch)) {
      const lives = new Set(held.map(({ life }) => life));
      if (lives.size > 1) report("I5", `job ${job} is of lives ${[...lives].join(" and ")} under epoch ${epoch}`);
    }
  }
  for (const [job, writes] of ownership.writes) checkWrites(job, writes, report);
  checkNumbers(ownership, report);
}

/** Nothing is written under an old epoch once something was under a new one, wherever it stands in the journal. */
function checkWrites(job: string, writes: readonly Write[], report: Report): void {
  const byEpoch = [...grouped(writes, ({ epoch }) => epoch)].sort(([a], [b]) => a - b);
  for (const [index, [epoch, all]] of byEpoch.entries()) {
    for (const [later, others] of byEpoch.slice(index + 1)) {
      const first = Math.min(...others.map(({ at }) => at));
      const late = all.find(({ since }) => since > first);
      if (late) report("I5", `job ${job}: life ${late.life} got something in under epoch ${epoch}, after ${later} was`);
      const start = Math.min(...others.filter(({ from, to }) => to >= from).map(({ from }) => from));
      const beyond = all.find(({ from, to }) => to >= from && to >= start);
      if (beyond)
        report("I5", `job ${job}: life ${beyond.life} wrote entry ${beyond.to} under epoch ${epoch}, after ${later}`);
    }
  }
}

/** A session that another runtime has taken is numbered by that one: until who had it takes it back. */
function checkNumbers({ commits, takings }: Ownership, report: Report): void {
  const taken = grouped(takings, ({ session }) => session);
  for (const { life, since, sessions } of commits) {
    for (const session of sessions) {
      const before = (taken.get(session) ?? []).filter((taking) => taking.since < since);
      // Answers may overtake one another: what counts was asked for after the last one of its own had been answered.
      const ownAt = Math.max(0, ...before.filter((taking) => taking.life === life).map(({ at }) => at));
      const other = before.find((taking) => taking.life !== life && taking.since > ownAt && taking.at < since);
      if (other !== undefined) {
        report("I5", `session ${session}: life ${life} has numbered something after life ${other.life} had taken it`);
      }
    }
  }
}

/** What an operation may take that was begun in time, on a machine that others use. */
const LENIENCE_MS = 10_000;

/** Of a job that it has lost, a runtime finishes what it is at, and that soon after it could have heard of its loss. */
export function checkStaleEffects({ lines }: Story, ownership: Ownership, report: Report): void {
  const nodes = new Map(lines.filter(isLine("born")).map(({ life, node }) => [life, node]));
  const reliefs = lines.filter(isLine("relief"));
  const stale = lines.filter(isLine("effect")).flatMap((effect) => {
    const lostAt = ownership.lossBefore(effect);
    return lostAt === undefined ? [] : [{ effect, lostAt }];
  });
  for (const [key, all] of grouped(stale, ({ effect }) => `job ${effect.job}: life ${effect.life}`)) {
    const names = new Set(all.map(({ effect }) => effect.name));
    if (names.size > 1) report("I5", `${key} has lost it, and did ${[...names].join(", ")} all the same`);
    for (const { effect, lostAt } of all) {
      const relief =
        reliefs.findLast(({ at, node }) => at < effect.at && node === nodes.get(effect.life))?.at ?? lostAt;
      const lateMs = effect.at - Math.max(lostAt, relief);
      if (lateMs > NODE_TTL_MS + LENIENCE_MS) {
        report("I5", `${key} has lost it, and did ${effect.name} ${Math.round(lateMs)} ms after it could know`);
      }
    }
  }
}
