/** A job context that remembers what an agent emits, for tests of an agent without a runtime. */
import type { JobContext } from "@arcp/sdk";

export interface Emitted {
  readonly kind: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export class RecordingContext {
  readonly emitted: Emitted[] = [];
  readonly chunks: string[] = [];
  readonly finalized: Readonly<Record<string, unknown>>[] = [];
  readonly #controller = new AbortController();
  readonly #onEmit: (event: Emitted, cancel: (reason: unknown) => void) => void;

  /** `onEmit` sees every event, and may cancel the job at any of them. */
  constructor(onEmit: (event: Emitted, cancel: (reason: unknown) => void) => void = () => {}) {
    this.#onEmit = onEmit;
  }

  /** What the agents under test use of a job context. */
  get context(): JobContext {
    const used: Partial<JobContext> = {
      signal: this.#controller.signal,
      log: (level, message, attributes) => this.#emit("log", { level, message, attributes }),
      thought: (text) => this.#emit("thought", { text }),
      status: (phase, message) => this.#emit("status", { phase, message }),
      metric: (metric) => this.#emit("metric", metric),
      progress: (current, options) => this.#emit("progress", { current, ...options }),
      streamResult: () => this.#stream() as ReturnType<JobContext["streamResult"]>,
    };
    return used as JobContext;
  }

  get report(): string {
    return this.chunks.join("");
  }

  of(kind: string): readonly Emitted["body"][] {
    return this.emitted.filter((event) => event.kind === kind).map((event) => event.body);
  }

  metric(name: string): unknown {
    return this.of("metric").find((metric) => metric["name"] === name)?.["value"];
  }

  async #emit(kind: string, body: Emitted["body"]): Promise<void> {
    this.emitted.push({ kind, body });
    this.#onEmit({ kind, body }, (reason) => this.#controller.abort(reason));
  }

  #stream(): unknown {
    return {
      write: async (chunk: string) => {
        this.chunks.push(chunk);
        await this.#emit("chunk", { chunk });
      },
      finalize: async (_last: unknown, options: Readonly<Record<string, unknown>>) => {
        this.finalized.push(options);
      },
    };
  }
}
