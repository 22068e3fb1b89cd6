/** What the tests have the client do, in a page or in a worker. Everything that goes in and out can be cloned. */
import { ARCPClient, type JobEvent, type JobHandle, type QuestionAnswer, type ResumeInfo } from "@arcp/client";

export interface ConnectCommand {
  readonly url: string;
  readonly token: string;
  readonly resume?: ResumeInfo;
  /** How long it waits before it connects again. Default: next to nothing. */
  readonly reconnectDelayMs?: number;
}

/** How a job ended, and how its events came. */
export interface Outcome {
  /** The texts of its log events. */
  readonly logged: readonly string[];
  readonly numbers: readonly number[];
  readonly result?: unknown;
  readonly error?: string;
}

/** Survives a reload of the page. */
export interface Kept {
  readonly resume: ResumeInfo;
  readonly jobId: string;
  readonly logged: readonly string[];
}

interface Watched {
  readonly handle: JobHandle;
  readonly logged: string[];
  readonly numbers: number[];
  over: Promise<Outcome>;
}

export class Commands {
  readonly #keep: (kept: Kept) => void;
  #client: ARCPClient | undefined;
  #jobs = new Map<string, Watched>();
  #phases: string[] = [];
  #wakers = new Set<() => void>();

  /** @param keep Is told what a reload needs, after each event. */
  constructor(keep: (kept: Kept) => void = () => {}) {
    this.#keep = keep;
  }

  /** Returns the id of the session. */
  async connect({ url, token, resume, reconnectDelayMs = 1 }: ConnectCommand): Promise<string> {
    const client = await ARCPClient.connect(url, {
      token,
      ...(resume && { resume }),
      reconnect: { initialDelayMs: reconnectDelayMs, maxDelayMs: reconnectDelayMs, random: () => 1 },
    });
    this.#client = client;
    this.#phases = [client.state.phase];
    client.on("state", ({ phase }) => {
      this.#phases.push(phase);
      this.#wake();
    });
    client.on("question", () => this.#wake());
    return client.session?.sessionId ?? "";
  }

  /** Returns the id of the job. */
  async submit(agent: string, input: unknown): Promise<string> {
    const handle = await this.#open().submit({ agent, input });
    this.#watch(handle, []);
    return handle.jobId;
  }

  /** Goes on with a job of a session that was taken up. */
  take(jobId: string, logged: readonly string[]): void {
    this.#watch(this.#open().job(jobId), logged);
  }

  /** Resolves when so many log events have come. */
  async logged(jobId: string, count: number): Promise<readonly string[]> {
    const watched = this.#watched(jobId);
    await this.#until(() => watched.logged.length >= count);
    return watched.logged;
  }

  ended(jobId: string): Promise<Outcome> {
    return this.#watched(jobId).over;
  }

  /** Resolves when the connection has come to that, since the last time that this was asked. */
  async phase(phase: string): Promise<void> {
    await this.#until(() => this.#phases.includes(phase));
    this.#phases.splice(0, this.#phases.indexOf(phase) + 1);
  }

  cancel(jobId: string, reason: string): Promise<void> {
    return this.#watched(jobId).handle.cancel(reason);
  }

  /** Answers the next question. Returns what it asked and what became of the answer. */
  async answer(answer: QuestionAnswer): Promise<readonly [string, string]> {
    const client = this.#open();
    await this.#until(() => client.questions.length > 0);
    const [question] = client.questions;
    if (question === undefined || question.kind === "permission") throw new Error("no question of this kind");
    return [question.prompt, await client.respond(question.id, answer)];
  }

  async close(reason: string): Promise<void> {
    await this.#open().close(reason);
  }

  #watch(handle: JobHandle, before: readonly string[]): void {
    const logged = [...before];
    const numbers: number[] = [];
    const over = this.#follow(handle, logged, numbers);
    this.#jobs.set(handle.jobId, { handle, logged, numbers, over });
  }

  async #follow(handle: JobHandle, logged: string[], numbers: number[]): Promise<Outcome> {
    try {
      for await (const event of handle) this.#take(handle.jobId, event, logged, numbers);
      const { result } = await handle.done;
      return { logged, numbers, result: result instanceof Uint8Array ? result.length : result };
    } catch (thrown) {
      return { logged, numbers, error: (thrown as { readonly code?: string }).code ?? String(thrown) };
    }
  }

  #take(jobId: string, event: JobEvent, logged: string[], numbers: number[]): void {
    if (event.seq !== undefined) numbers.push(event.seq);
    if (event.kind === "log") logged.push(event.body.message);
    const resume = this.#client?.resumeInfo;
    if (resume) this.#keep({ resume, jobId, logged });
    this.#wake();
  }

  #open(): ARCPClient {
    if (this.#client === undefined) throw new Error("there is no client yet");
    return this.#client;
  }

  #watched(jobId: string): Watched {
    const watched = this.#jobs.get(jobId);
    if (watched === undefined) throw new Error(`nobody watches ${jobId}`);
    return watched;
  }

  #wake(): void {
    for (const wake of this.#wakers) wake();
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#wakers.delete(wake);
          resolve();
        };
        this.#wakers.add(wake);
      });
    }
  }
}

/** A command by its name. */
export interface Order {
  readonly id: number;
  readonly name: keyof Commands;
  readonly args: readonly unknown[];
}

export type Report = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

/** Carries an order out. Errors become texts: `CODE: message`. */
export async function carryOut(commands: Commands, { id, name, args }: Order): Promise<Report> {
  try {
    const act = commands[name] as (...given: unknown[]) => unknown;
    return { id, value: await act.apply(commands, [...args]) };
  } catch (thrown) {
    const { code = "thrown", message } = thrown as { readonly code?: string; readonly message: string };
    return { id, error: `${code}: ${message}` };
  }
}
