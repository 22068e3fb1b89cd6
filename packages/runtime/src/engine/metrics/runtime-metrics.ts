/** The measurements of one runtime: what its parts tell of, and what is looked at when somebody asks. */
import {
  type Counter,
  ERROR_CODES,
  type Histogram,
  type Instruments,
  type MetricFacts,
  noInstruments,
  type Observation,
} from "@arcp/core";
import { ENTRY, type EntryCode } from "../../store/store.ts";
import type { AuditAction } from "../audit/catalogue.ts";
import type { Job } from "../job.ts";
import type { Outcome } from "../job-facts.ts";
import { isReservedCapabilityName } from "../lease/capability.ts";
import { METRICS } from "./catalogue.ts";

const MS_PER_SECOND = 1000;
/** What stands for names that nobody chose with care. */
const OTHER = "other";

const KINDS: Readonly<Record<number, { readonly kind: string }>> = Object.fromEntries(
  Object.entries(ENTRY).map(([kind, code]) => [code, Object.freeze({ kind })]),
);
const CODES: ReadonlySet<string> = new Set(ERROR_CODES);

/** What is looked at. */
export interface Observed {
  readonly jobs: () => Iterable<Pick<Job, "state" | "isBlocked">>;
  readonly queue: () => { readonly waiting: number; readonly working: number };
  /** Of each session: whether a client is connected, and how many events it has not been sent. */
  readonly sessions: () => Iterable<{ readonly isAttached: boolean; readonly backlog: number }>;
  readonly uncommittedBytes: () => number;
  /** Credentials that ought to be dead. */
  readonly credentials: () => { readonly revoking: number; readonly orphaned: number };
}

export interface MetricsOptions {
  /** Default: none. */
  readonly instruments?: Instruments | undefined;
  /** Tells of principals too, in jobs that ended and in what was spent. Default: false. */
  readonly byPrincipal?: boolean | undefined;
}

export class RuntimeMetrics {
  /** Does somebody measure? What would cost something is not done otherwise. */
  readonly isOn: boolean;
  readonly #instruments: Instruments;
  readonly #byPrincipal: boolean;
  readonly #accepted: Counter;
  readonly #ended: Counter;
  readonly #duration: Histogram;
  readonly #wait: Histogram;
  readonly #events: Counter;
  readonly #delivered: Counter;
  readonly #lag: Histogram;
  readonly #spent: Counter;
  readonly #denials: Counter;
  readonly #opened: Counter;
  readonly #resumes: Counter;
  readonly #commit: Histogram;
  readonly #commitEntries: Histogram;
  readonly #operations: Histogram;
  readonly #io: Counter;
  readonly #webhooks: Counter;
  #connections = 0;

  constructor({ instruments = noInstruments, byPrincipal = false }: MetricsOptions = {}) {
    this.isOn = instruments !== noInstruments;
    this.#instruments = instruments;
    this.#byPrincipal = byPrincipal;
    const named = (facts: MetricFacts): MetricFacts =>
      byPrincipal ? { ...facts, labels: [...facts.labels, "principal"] } : facts;
    this.#accepted = instruments.counter(METRICS.jobsAccepted);
    this.#ended = instruments.counter(named(METRICS.jobsEnded));
    this.#duration = instruments.histogram(METRICS.jobDuration);
    this.#wait = instruments.histogram(METRICS.jobWait);
    this.#events = instruments.counter(METRICS.events);
    this.#delivered = instruments.counter(METRICS.eventsDelivered);
    this.#lag = instruments.histogram(METRICS.deliveryLag);
    this.#spent = instruments.counter(named(METRICS.budgetSpent));
    this.#denials = instruments.counter(METRICS.denials);
    this.#opened = instruments.counter(METRICS.sessionsOpened);
    this.#resumes = instruments.counter(METRICS.resumes);
    this.#commit = instruments.histogram(METRICS.commitDuration);
    this.#commitEntries = instruments.histogram(METRICS.commitEntries);
    this.#operations = instruments.histogram(METRICS.operations);
    this.#io = instruments.counter(METRICS.io);
    this.#webhooks = instruments.counter(METRICS.webhooks);
    instruments.gauge(METRICS.connections, () => [{ value: this.#connections }]);
  }

  /** From now on these are looked at whenever somebody asks. Called once. */
  observe({ jobs, queue, sessions, uncommittedBytes, credentials }: Observed): void {
    const { gauge } = this.#instruments;
    const add = (facts: MetricFacts, observe: () => Iterable<Observation>): void =>
      gauge.call(this.#instruments, facts, observe);
    add(METRICS.jobs, () => {
      const counts = { pending: 0, running: 0, blocked: 0 };
      for (const job of jobs())
        counts[job.isBlocked ? "blocked" : job.state === "pending" ? "pending" : "running"] += 1;
      return labelled("state", counts);
    });
    add(METRICS.queueDepth, () => [{ value: queue().waiting }]);
    add(METRICS.queueWorking, () => [{ value: queue().working }]);
    add(METRICS.sessions, () => {
      const counts = { attached: 0, detached: 0 };
      for (const { isAttached } of sessions()) counts[isAttached ? "attached" : "detached"] += 1;
      return labelled("state", counts);
    });
    add(METRICS.deliveryBacklog, () => {
      const counts = { slowest: 0, all: 0 };
      for (const { backlog } of sessions()) {
        counts.slowest = Math.max(counts.slowest, backlog);
        counts.all += backlog;
      }
      return labelled("of", counts);
    });
    add(METRICS.uncommitted, () => [{ value: uncommittedBytes() }]);
    add(METRICS.credentials, () => labelled("state", credentials()));
  }

  jobAccepted({ agent, parentJobId }: Pick<Job, "agent" | "parentJobId">): void {
    this.#accepted.add(1, { agent, origin: parentJobId === undefined ? "client" : "agent" });
  }

  /** The agent of a job is called for the first time, after it has waited so long. */
  jobBegan(agent: string, waitedMs: number): void {
    this.#wait.record(seconds(waitedMs), { agent });
  }

  jobEnded({ agent, submitterPrincipal }: Job, outcome: Outcome, tookMs: number): void {
    const { status } = outcome;
    const code = outcome.status === "success" ? "" : codeOf(outcome.error.code);
    this.#ended.add(1, this.#named({ agent, status, code }, submitterPrincipal));
    this.#duration.record(seconds(tookMs), { agent, status });
  }

  event(code: EntryCode): void {
    this.#events.add(1, KINDS[code]);
  }

  /** `lagMs` is that of the oldest event, if they went out as they came. */
  delivered(count: number, lagMs: number | undefined): void {
    this.#delivered.add(count);
    if (lagMs !== undefined) this.#lag.record(seconds(lagMs));
  }

  spent(currency: string, amount: number, principal: string): void {
    this.#spent.add(amount, this.#named({ currency }, principal));
  }

  operation(capability: string, outcome: string | undefined, tookMs: number): void {
    const labels = { capability: capabilityOf(capability), outcome: outcome === undefined ? "ok" : codeOf(outcome) };
    this.#operations.record(seconds(tookMs), labels);
  }

  resumed(refusal: string | undefined): void {
    this.#resumes.add(1, { outcome: refusal === undefined ? "resumed" : codeOf(refusal) });
  }

  committed(outcome: "stored" | "failed", entries: number, tookMs: number): void {
    this.#commit.record(seconds(tookMs), { outcome });
    if (outcome === "stored") this.#commitEntries.record(entries);
  }

  webhook(event: string, outcome: "delivered" | "failed" | "dead"): void {
    this.#webhooks.add(1, { event, outcome });
  }

  /** What the audit is told of is counted, whether it has a row for it or not. */
  audited(action: AuditAction, facts: Readonly<Record<string, unknown>>): void {
    if (action === "session.opened") this.#opened.add(1, { wire: String(facts["wire"]) });
    if (!action.endsWith(".refused") && action !== "permission.denied") return;
    const { code, capability } = facts;
    this.#denials.add(1, {
      action,
      code: typeof code === "string" ? codeOf(code) : "",
      capability: typeof capability === "string" ? capabilityOf(capability) : "",
    });
  }

  connected(): () => void {
    this.#connections += 1;
    return () => {
      this.#connections -= 1;
    };
  }

  /** What counts the bytes of frames in one direction. */
  frames(direction: "received" | "sent", transport: string): (bytes: number) => void {
    const labels = Object.freeze({ direction, transport });
    return (bytes) => this.#io.add(bytes, labels);
  }

  #named(labels: Readonly<Record<string, string>>, principal: string): Readonly<Record<string, string>> {
    return this.#byPrincipal ? { ...labels, principal } : labels;
  }
}

/** For parts that are tested by themselves. */
export const noMetrics = new RuntimeMetrics();

const seconds = (ms: number): number => Math.max(0, ms) / MS_PER_SECOND;

const labelled = (label: string, counts: Readonly<Record<string, number>>): Observation[] =>
  Object.entries(counts).map(([name, value]) => ({ value, labels: { [label]: name } }));

/** Agents make codes of their own. */
const codeOf = (code: string): string => (CODES.has(code) ? code : OTHER);

/** Anybody can name a capability. */
const capabilityOf = (capability: string): string => (isReservedCapabilityName(capability) ? capability : OTHER);
