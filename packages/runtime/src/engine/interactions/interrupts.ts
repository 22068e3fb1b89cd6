/**
 * Interrupts (RFC §10.5): a job pauses at what it does next, its people are asked what it should do, and it goes on when
 * they have said so, or nobody has in time.
 *
 * The pause holds back the promise of every emitter, and with it every operation, which waits for its announcement: what an
 * agent does on its own between two calls cannot be stopped.
 */
import { InvalidRequestError, type JobId, type Logger } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { type Audit, bySession } from "../audit/audit.ts";
import { type ActorFacts, actorFacts, actorOf, type Elsewhere } from "../cluster/elsewhere.ts";
import type { Job } from "../job.ts";
import type { Actor } from "../session.ts";
import type { Answered } from "./answer.ts";
import type { Interactions } from "./interactions.ts";
import { type QuestionDraft, textOf } from "./request.ts";

/** What people said to a job that they interrupted. */
export interface Interruption {
  /** What the interrupt itself said. */
  readonly prompt: string | undefined;
  /** What the job should do; `undefined` if nobody said in time. */
  readonly guidance: string | undefined;
  /** Who said it; `undefined` if nobody did. */
  readonly respondedBy: string | undefined;
  /** RFC 3339; `undefined` if nobody answered. */
  readonly respondedAt: string | undefined;
}

/** Called when the job may go on, before it does. */
export type InterruptHandler = (interruption: Interruption) => void;

export interface InterruptsOptions {
  readonly interactions: Pick<Interactions, "ask">;
  /** The live job, if this session may stop it; throws as for a cancellation (§7.4). */
  readonly controlled: (session: Actor, jobId: JobId) => Promise<Job>;
  /** Does another node run the job? Throws in the same way. */
  readonly isElsewhere: (session: Actor, jobId: JobId) => Promise<boolean>;
  /** The other nodes; `undefined`: there are none. */
  readonly elsewhere?: Elsewhere | undefined;
  readonly logger: Logger;
  readonly audit: Pick<Audit, "record">;
}

/** Of one job. */
interface Interrupted {
  /** The interrupts that are not over. */
  open: number;
  /** Resolves when there are none. */
  gate: PromiseWithResolvers<void> | undefined;
  readonly said: Interruption[];
  readonly handlers: Set<InterruptHandler>;
}

const WAIT_MS = 5 * 60_000;
const MAX_TEXT = 65_536;
const MAX_SAID = 64;
const DEFAULT_PROMPT = "The job was interrupted. What should it do?";

/** What the answer to an interrupt must keep. */
const GUIDANCE_SCHEMA = {
  type: "object",
  properties: { guidance: { type: "string", maxLength: MAX_TEXT } },
};

export class Interrupts {
  readonly #options: InterruptsOptions;
  readonly #jobs = new WeakMap<Job, Interrupted>();

  constructor(options: InterruptsOptions) {
    this.#options = options;
  }

  /**
   * Pauses the job and asks its people. Resolves when they are asked.
   *
   * @throws JobNotFoundError, PermissionDeniedError as for a cancellation (§7.4).
   * @throws CanonicalError `FAILED_PRECONDITION` for a job that has ended, and when nobody can be asked.
   */
  async interrupt(
    session: Actor,
    jobId: JobId,
    { prompt, commandId }: { readonly prompt: string | undefined; readonly commandId: string },
  ): Promise<void> {
    if (prompt !== undefined) textOf("the prompt of an interrupt", prompt, MAX_TEXT);
    const { elsewhere } = this.#options;
    if (elsewhere !== undefined && (await this.#options.isElsewhere(session, jobId))) {
      await elsewhere.call(jobId, "job.interrupt", { session: actorFacts(session), jobId, prompt, commandId });
      return;
    }
    const job = await this.#controlled(session, jobId);
    const asked = this.#options.interactions.ask(job, draftOf(prompt, commandId), ({ answer, ...answered }) =>
      this.#say(job, interruptionOf(prompt, answer, answered)),
    );
    const subject = bySession(session, { jobId, traceId: job.traceId });
    this.#options.audit.record("job.interrupted", subject, { command: commandId });
    const interrupted = this.#of(job);
    interrupted.open += 1;
    interrupted.gate ??= Promise.withResolvers();
    asked.settled
      // Nobody has said anything, or there is no job any more that could be told.
      .catch(() => {
        if (!job.isTerminal && !job.isCancelling) this.#say(job, interruptionOf(prompt));
      })
      .finally(() => {
        interrupted.open -= 1;
        if (interrupted.open > 0) return;
        interrupted.gate?.resolve();
        interrupted.gate = undefined;
      });
  }

  /** The same as another node asks for it. */
  readonly interruptFor = (asked: {
    readonly session: ActorFacts;
    readonly jobId: JobId;
    readonly prompt?: string;
    readonly commandId: string;
  }): Promise<void> => {
    const { jobId, prompt, commandId } = asked;
    return this.interrupt(actorOf(asked.session), jobId, { prompt, commandId });
  };

  /** What an emitter of `job` waits for; `undefined` unless the job is paused. */
  pauseOf(job: Job): Promise<void> | undefined {
    return this.#jobs.get(job)?.gate?.promise;
  }

  /** What people have said to the job so far, oldest first. */
  saidTo(job: Job): readonly Interruption[] {
    return [...(this.#jobs.get(job)?.said ?? [])];
  }

  /** Calls `handler` for what people say from now on. Returns what stops it. */
  listen(job: Job, handler: InterruptHandler): () => void {
    const { handlers } = this.#of(job);
    // The same function may be added twice, and taken away once.
    const own: InterruptHandler = (interruption) => handler(interruption);
    handlers.add(own);
    return () => void handlers.delete(own);
  }

  async #controlled(session: Actor, jobId: JobId): Promise<Job> {
    try {
      return await this.#options.controlled(session, jobId);
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error;
      throw new CanonicalError("FAILED_PRECONDITION", error.message, {
        ...(error.details && { details: error.details }),
      });
    }
  }

  #say(job: Job, interruption: Interruption): void {
    const { said, handlers } = this.#of(job);
    said.push(interruption);
    if (said.length > MAX_SAID) said.shift();
    for (const handler of [...handlers]) {
      try {
        handler(interruption);
      } catch (error) {
        this.#options.logger.warn({ jobId: job.id, err: error }, "an agent's handler of interrupts threw");
      }
    }
  }

  #of(job: Job): Interrupted {
    let interrupted = this.#jobs.get(job);
    if (interrupted === undefined) {
      interrupted = { open: 0, gate: undefined, said: [], handlers: new Set() };
      this.#jobs.set(job, interrupted);
    }
    return interrupted;
  }
}

const draftOf = (prompt: string | undefined, commandId: string): QuestionDraft => ({
  kind: "input",
  cause: commandId,
  members: { prompt: prompt ?? DEFAULT_PROMPT, response_schema: GUIDANCE_SCHEMA },
  ...{ expiresInMs: WAIT_MS, quorum: 1, fallback: undefined, signal: undefined },
  check: (answer) => {
    if (answer.kind !== "input" || !isObject(answer.value)) return "must be object";
    const { guidance } = answer.value;
    if (guidance === undefined) return undefined;
    if (typeof guidance !== "string") return "/guidance: must be string";
    return guidance.length > MAX_TEXT ? `/guidance: must NOT have more than ${MAX_TEXT} characters` : undefined;
  },
});

function interruptionOf(
  prompt: string | undefined,
  answer?: Answered["answer"],
  answered?: Pick<Answered, "respondedBy" | "respondedAt">,
): Interruption {
  const value = answer?.kind === "input" && isObject(answer.value) ? answer.value : {};
  const { guidance } = value;
  return {
    prompt,
    guidance: typeof guidance === "string" ? guidance : undefined,
    respondedBy: answered?.respondedBy,
    respondedAt: answered?.respondedAt,
  };
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
