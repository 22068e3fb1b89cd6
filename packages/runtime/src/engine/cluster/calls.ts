/** What nodes ask of one another: a method, its parameters, and one answer in time. Over messages of the store. */
import { ARCPError, type Clock, type ErrorPayload, errorFromWire, InternalError, type Logger, ulid } from "@arcp/core";
import type { NodeId, NodeMessage, SharedStore } from "../../store/shared.ts";

/** Answers a call. What it returns is JSON; what it throws is thrown to the caller. */
export type NodeMethod = (params: never) => unknown;

interface CallFrame {
  readonly call: string;
  readonly method: string;
  readonly params: unknown;
}

interface ReplyFrame {
  readonly reply: string;
  readonly result?: unknown;
  readonly error?: ErrorPayload;
}

export interface CallsOptions {
  readonly store: Pick<SharedStore, "send">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly self: () => NodeId;
}

const TIMEOUT_MS = 15_000;

export class Calls {
  readonly #options: CallsOptions;
  readonly #methods = new Map<string, NodeMethod>();
  readonly #waiting = new Map<string, (reply: ReplyFrame) => void>();

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Lets other nodes call `method`. */
  serve<Params>(name: string, method: (params: Params) => unknown): void {
    this.#methods.set(name, method as NodeMethod);
  }

  /**
   * What `method` of another node returns. Rejects with what it throws, and with InternalError, to be tried again, when
   * there is no answer in time: it may have been done.
   */
  async call<Result>(to: NodeId, method: string, params: unknown): Promise<Result> {
    const { clock } = this.#options;
    const id = ulid();
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const stopTimer = clock.setTimer(() => reject(unanswered(to, method)), TIMEOUT_MS);
    this.#waiting.set(id, ({ result, error }) =>
      error === undefined ? resolve(result as Result) : reject(errorFromWire(error)),
    );
    try {
      await this.#send(to, { call: id, method, params });
      return await promise;
    } finally {
      stopTimer();
      this.#waiting.delete(id);
    }
  }

  /** The same of this node. Rejects with what the method throws. */
  async run<Result>(name: string, params: unknown): Promise<Result> {
    const method = this.#methods.get(name);
    if (method === undefined) throw new InternalError(`a node of another version asks for ${name}`);
    return (await method(params as never)) as Result;
  }

  /** A message for this node. Never throws. */
  receive({ from, data }: NodeMessage): void {
    const frame = JSON.parse(data) as CallFrame | ReplyFrame;
    if ("reply" in frame) this.#waiting.get(frame.reply)?.(frame);
    else void this.#answer(from, frame);
  }

  async #answer(to: NodeId, { call, method, params }: CallFrame): Promise<void> {
    const { logger } = this.#options;
    try {
      await this.#send(to, { reply: call, ...(await this.#outcome(method, params)) });
    } catch (err) {
      logger.warn({ err, method, to }, "an answer to another node could not be sent");
    }
  }

  async #outcome(name: string, params: unknown): Promise<{ result: unknown } | { error: ErrorPayload }> {
    try {
      return { result: await this.run(name, params) };
    } catch (error) {
      if (!(error instanceof ARCPError)) this.#options.logger.error({ err: error, method: name }, "a call failed");
      return { error: ARCPError.from(error).toWire() };
    }
  }

  #send(to: NodeId, frame: CallFrame | ReplyFrame): Promise<void> {
    return this.#options.store.send([{ from: this.#options.self(), to, data: JSON.stringify(frame) }]);
  }
}

const unanswered = (to: NodeId, method: string): InternalError =>
  new InternalError("the node that runs the job does not answer", {
    retryable: true,
    details: { reason: "node_unreachable", node: to, method },
  });
