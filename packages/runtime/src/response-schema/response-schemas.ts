/**
 * The schemas that answers must keep (RFC §12.1). They come from agents and from clients, so they are taken for hostile:
 * bounded before anything is compiled, compiled and applied in threads that are ended when they take too long.
 */
import { createHash } from "node:crypto";
import { type Clock, systemClock } from "@arcp/core";
import { jsonText } from "./json-text.ts";
import { DEFAULT_RESPONSE_SCHEMA_LIMITS, type ResponseSchemaLimits } from "./limits.ts";
import { standaloneSchema } from "./schema-shape.ts";
import { SchemaThreads } from "./schema-threads.ts";

export interface ResponseSchemasOptions {
  readonly limits?: Partial<ResponseSchemaLimits>;
  /** Threads. Default: 2. */
  readonly size?: number;
  readonly clock?: Clock;
  /** Milliseconds that threads other than this one have spent computing. Default: as the system says. */
  readonly cpuTimeMs?: () => number;
  /** What the threads run. */
  readonly script?: URL;
}

/** A schema that is known to compile. */
export interface ResponseSchema {
  /**
   * `undefined` for a value that keeps the schema, otherwise its first problem, after a JSON Pointer to where it is:
   * `/branch: must NOT have fewer than 1 characters`; without a pointer for the value as a whole.
   *
   * Rejects with `InvalidRequestError` and `details.reason` when the value is not JSON, larger or deeper than values may
   * be, or not decided in time; with `InternalError` (`details.retry: "after_capacity"`) when too many checks wait.
   */
  check(value: unknown): Promise<string | undefined>;
}

/** A thread that runs out of memory while it parses takes the process along: what it is given must be far from that. */
const MAX_BYTES = 1024 * 1024;

/** Digests of schemas that compile. */
const MAX_KNOWN = 1024;

export class ResponseSchemas {
  readonly #limits: ResponseSchemaLimits;
  readonly #threads: SchemaThreads;
  /** The most recently used last. */
  readonly #known = new Set<string>();

  /** Throws `RangeError` for `maxSchemaBytes` or `maxValueBytes` above 1 MiB. */
  constructor({
    limits,
    size = 2,
    clock = systemClock,
    cpuTimeMs = systemCpuTimeMs,
    script,
  }: ResponseSchemasOptions = {}) {
    this.#limits = { ...DEFAULT_RESPONSE_SCHEMA_LIMITS, ...limits };
    if (Math.max(this.#limits.maxSchemaBytes, this.#limits.maxValueBytes) > MAX_BYTES) {
      throw new RangeError(`schemas and values are at most ${MAX_BYTES} bytes`);
    }
    this.#threads = new SchemaThreads({ limits: this.#limits, clock, cpuTimeMs, size, ...(script && { script }) });
  }

  /**
   * `schema`, JSON Schema 2020-12 with references within itself alone. `owner` is whoever asks, a principal: owners
   * take turns. `maxValueBytes` is of the values that will be checked, 1 MiB at most.
   *
   * Rejects with `InvalidRequestError` and `details.reason` for what is no schema or exceeds a limit; with
   * `InternalError` when too many calls wait.
   */
  async compile(
    schema: unknown,
    owner = "",
    { maxValueBytes = this.#limits.maxValueBytes }: Partial<Pick<ResponseSchemaLimits, "maxValueBytes">> = {},
  ): Promise<ResponseSchema> {
    const { maxSchemaBytes } = this.#limits;
    const { value } = jsonText("the schema", schema, maxSchemaBytes, this.#limits);
    const text = JSON.stringify(standaloneSchema(value, this.#limits));
    const request = { digest: createHash("sha256").update(text).digest("hex"), schema: text };
    if (!this.#known.delete(request.digest)) await this.#threads.call(owner, request);
    this.#remember(request.digest);
    return {
      check: async (answer) => {
        const { text: answerText } = jsonText("the value", answer, Math.min(maxValueBytes, MAX_BYTES), this.#limits);
        return this.#threads.call(owner, { ...request, value: answerText });
      },
    };
  }

  /** Ends the threads. Calls that wait or are under way are rejected. Idempotent. */
  close(): Promise<void> {
    return this.#threads.close();
  }

  #remember(digest: string): void {
    this.#known.add(digest);
    const [oldest] = this.#known;
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }
}

function systemCpuTimeMs(): number {
  const { user, system } = process.cpuUsage();
  // Older versions of Node cannot tell this thread's share, which then counts.
  const own = process.threadCpuUsage?.() ?? { user: 0, system: 0 };
  return (user + system - own.user - own.system) / 1000;
}
