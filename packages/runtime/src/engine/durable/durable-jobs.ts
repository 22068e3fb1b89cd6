/** The durable jobs that a dead runtime has left: each waits for its agent, and is gone on with. */
import { InternalError, type JobId, type Logger } from "@arcp/core";
import { ENTRY, type JobRecord, type Store } from "../../store/store.ts";
import { type AgentRegistry, DEFAULT_MAX_RESTARTS } from "../agents.ts";
import type { Job } from "../job.ts";
import type { Launch } from "../launch.ts";
import { DurableRun, type DurableRunOptions } from "./durable-run.ts";
import { openFrom, readDurable } from "./records.ts";

export interface DurableJobsOptions {
  readonly store: Pick<Store, "findRecord" | "listRecords" | "readAsked" | "readJournal">;
  readonly agents: AgentRegistry;
  readonly launch: Launch;
  readonly logger: Logger;
  readonly tools: DurableRunOptions;
}

/** A job whose agent is not there yet. */
interface Parked {
  readonly job: Job;
  readonly run: DurableRun;
}

/** Entries of the journal that are looked at for what was told already, the newest ones. */
const MAX_TAIL = 100_000;
const PAGE = 1_000;

export class DurableJobs {
  readonly #options: DurableJobsOptions;
  readonly #parked = new Map<JobId, Parked>();
  #isOpen = false;

  constructor(options: DurableJobsOptions) {
    this.#options = options;
    options.agents.whenRegistered(() => this.#wake());
  }

  /** What is on record of a job that was taken over; `undefined` if it ends with its runtime. */
  async revive(record: JobRecord): Promise<DurableRun | undefined> {
    const stored = await readDurable(this.#options.store, record.id);
    if (stored === undefined) return undefined;
    const tail = await this.#entries(record, Math.max(openFrom(stored), record.lastN - MAX_TAIL));
    return new DurableRun({ ...stored, tail }, this.#options.tools);
  }

  /** Goes on with `job` as soon as its agent is there, and {@link open} was called; not if its time is over. */
  park(job: Job, run: DurableRun): void {
    const { deadlineAt } = run.run;
    if (deadlineAt !== undefined && deadlineAt <= this.#options.tools.clock.now()) job.timeOut();
    if (job.isTerminal) return;
    this.#parked.set(job.id, { job, run });
    job.whenEnded(() => this.#parked.delete(job.id));
    this.#wake();
  }

  /** From now on jobs are gone on with. */
  open(): void {
    this.#isOpen = true;
    this.#wake();
    for (const { job } of this.#parked.values()) {
      const facts = { jobId: job.id, agent: job.agentRef };
      this.#options.logger.warn(facts, "a durable job waits for its agent, which is not registered");
      const message = `the runtime was restarted without ${job.agentRef}: the job goes on when that is there again`;
      void job.announce(ENTRY.status, "status", { phase: "waiting_for_agent", message });
    }
  }

  #wake(): void {
    if (!this.#isOpen) return;
    for (const { job, run } of [...this.#parked.values()]) {
      const agent = this.#options.agents.find(job.agent, job.agentVersion);
      if (agent === undefined) continue;
      this.#parked.delete(job.id);
      const { restarts, isAside } = run.progress;
      const max = agent.durable?.maxRestarts ?? DEFAULT_MAX_RESTARTS;
      if (!isAside && restarts >= max) job.end({ status: "error", error: crashLoop(restarts) });
      else void this.#options.launch.resume(job, agent, run);
    }
  }

  async #entries({ id, lastN }: JobRecord, after: number): Promise<StoredTail> {
    const entries: StoredTail[number][] = [];
    for (let n = after; n < lastN; ) {
      const page = await this.#options.store.readJournal(id, n + 1, Math.min(n + PAGE, lastN));
      if (page.length === 0) break;
      entries.push(...page);
      n = page.at(-1)?.n ?? lastN;
    }
    return entries;
  }
}

type StoredTail = Awaited<ReturnType<DurableJobsOptions["store"]["readJournal"]>>;

const crashLoop = (restarts: number): InternalError =>
  new InternalError(`the runtime was restarted ${restarts} times under this job without its coming on`, {
    details: { reason: "crash_loop", retry: "never", restarts },
  });
