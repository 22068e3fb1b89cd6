/** Watches the jobs that it may see, answers what it may answer, stops what goes wrong, and says why. */
import {
  type ARCPClient,
  type Clock,
  initialBudgetFromLease,
  type JobEvent,
  type JobSubscription,
  type Question,
  type QuestionAnswer,
  systemClock,
} from "@arcp/sdk";

/** What is known of a job. */
export interface Watched {
  readonly jobId: string;
  readonly agent: string;
  /** What it was asked for. */
  readonly input: unknown;
  /** From 0 to 1, as it says itself. */
  done: number;
  /** The part of its budget that is spent, from 0 to 1: of the currency of which that is most. */
  spent: number;
  /** For people: then it is not its fault that nothing happens. */
  isWaiting: boolean;
  isStopped: boolean;
  /** When something was heard of it, by the supervisor's clock. */
  heardAt: number;
}

/** Without an answer it is a person's to give. */
export interface Verdict {
  readonly answer?: QuestionAnswer;
  readonly because: string;
}

export interface Policy {
  /** How often it looks for new jobs, and for silent ones. */
  readonly lookEveryMs: number;
  /** Why a job that was just heard of should be stopped; `undefined`: it should not. */
  readonly whenHeard: (job: Watched) => string | undefined;
  /** The same of one that was not, and waits for nobody. */
  readonly whenSilent: (job: Watched, silentMs: number) => string | undefined;
  readonly decide: (question: Question, job: Watched) => Verdict | Promise<Verdict>;
  /** Brings a question to a person, who can answer it with this token, and do nothing else. */
  readonly escalate: (question: Question, token: string) => Promise<void>;
}

export type Deed =
  | {
      readonly kind: "answered";
      readonly question: Question;
      readonly answer: QuestionAnswer;
      readonly because: string;
    }
  | { readonly kind: "escalated"; readonly question: Question; readonly because: string }
  | { readonly kind: "cancelled" | "failed"; readonly because: string };

export class Supervisor implements AsyncDisposable {
  readonly #client: ARCPClient;
  readonly #policy: Policy;
  readonly #tell: (jobId: string, deed: Deed) => void;
  readonly #clock: Clock;
  readonly #watched = new Map<string, Promise<Watched>>();
  readonly #stopListening: () => void;
  #stopTimer: () => void = () => {};
  #isOver = false;
  readonly #underWay = new Set<Promise<void>>();

  /**
   * The client's token says which jobs it sees (`observe:all`: of everybody), answers (`answer`: of its principal alone) and
   * stops (`admin`). `tell` hears of everything that is done.
   */
  constructor(
    client: ARCPClient,
    policy: Policy,
    tell: (jobId: string, deed: Deed) => void,
    clock: Clock = systemClock,
  ) {
    this.#client = client;
    this.#policy = policy;
    this.#tell = tell;
    this.#clock = clock;
    const decide = (question: Question): void => this.#try(question.jobId, () => this.#decide(question));
    this.#stopListening = client.on("question", decide);
    // Those that came before anybody listened.
    client.questions.forEach(decide);
  }

  /** Begins to watch what runs, and looks again later. Rejects when the client is closed. */
  async look(): Promise<void> {
    for await (const { jobId } of this.#client.jobs({ status: "running" })) {
      this.#try(jobId, async () => {
        const job = await this.#watch(jobId);
        const why = job.isWaiting ? undefined : this.#policy.whenSilent(job, this.#clock.now() - job.heardAt);
        if (why !== undefined) await this.#cancel(job, why);
      });
    }
    if (this.#isOver) return;
    // While the client reconnects it waits: there is an error when it is closed, and then it is over.
    const again = (): void => void this.look().catch(() => this.close());
    this.#stopTimer = this.#clock.setTimer(again, this.#policy.lookEveryMs);
  }

  /** Begins nothing more; resolves when what it was doing is done. The client is its owner's to close. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#stopTimer();
    this.#stopListening();
    await Promise.all(this.#underWay);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #watch(jobId: string): Promise<Watched> {
    const known = this.#watched.get(jobId);
    if (known !== undefined) return known;
    const job = this.#begin(jobId);
    this.#watched.set(jobId, job);
    job.catch(() => this.#watched.delete(jobId));
    return job;
  }

  async #begin(jobId: string): Promise<Watched> {
    // From its beginning: what it has spent and done before counts too.
    const subscription = await this.#client.subscribe(jobId, { history: true });
    const { agent, input } = await this.#client.describeJob(jobId);
    const heardAt = this.#clock.now();
    const job = { jobId, agent, input, done: 0, spent: 0, isWaiting: false, isStopped: false, heardAt };
    this.#follow(job, subscription).catch((error: unknown) => this.#fail(jobId, error));
    return job;
  }

  async #follow(job: Watched, subscription: JobSubscription): Promise<void> {
    const budget = initialBudgetFromLease(subscription.subscribed.lease);
    for await (const event of subscription) {
      job.heardAt = this.#clock.now();
      learn(job, event, budget);
      const why = this.#policy.whenHeard(job);
      if (why !== undefined) this.#try(job.jobId, () => this.#cancel(job, why));
    }
    this.#watched.delete(job.jobId);
  }

  async #decide(question: Question): Promise<void> {
    const { answer, because } = await this.#policy.decide(question, await this.#watch(question.jobId));
    if (answer !== undefined) {
      // Somebody else may have been faster.
      if ((await this.#client.respond(question.id, answer)) === "ignored") return;
      this.#tell(question.jobId, { kind: "answered", question, answer, because });
      return;
    }
    const { token } = await this.#client.createAnswerLink(question.id);
    this.#tell(question.jobId, { kind: "escalated", question, because });
    await this.#policy.escalate(question, token);
  }

  async #cancel(job: Watched, because: string): Promise<void> {
    // It may take a while to stop, and goes on speaking.
    if (job.isStopped) return;
    job.isStopped = true;
    await this.#client.cancelJob(job.jobId, { reason: because });
    this.#tell(job.jobId, { kind: "cancelled", because });
  }

  /** What goes wrong with one job is told, and is nothing to the others. */
  #try(jobId: string, act: () => Promise<void>): void {
    if (this.#isOver) return;
    const acting = act()
      .catch((error: unknown) => this.#fail(jobId, error))
      .finally(() => this.#underWay.delete(acting));
    this.#underWay.add(acting);
  }

  #fail(jobId: string, error: unknown): void {
    if (!this.#isOver) this.#tell(jobId, { kind: "failed", because: String(error) });
  }
}

function learn(job: Watched, event: JobEvent, budget: ReadonlyMap<string, number>): void {
  const { kind, body } = event;
  if (kind === "progress" && body.total !== undefined) job.done = body.current / body.total;
  if (kind === "metric" && body.name === "cost.budget.remaining") {
    const initial = budget.get(body.unit ?? "") ?? 0;
    if (initial > 0) job.spent = Math.max(job.spent, 1 - body.value / initial);
  }
  if (kind === "vendor" && event.name === "x-vendor.arcp.state") {
    job.isWaiting = (body as { readonly state?: unknown }).state === "blocked";
  }
}
