/**
 * Commands that wait for their answer (RFC §6.3). An answer names its command by `correlation_id`, or by `ack_for` in its
 * payload. A command whose answer was lost with the connection is sent again under the same id (RFC §6.4).
 */
import { type ARCPError, type Clock, PendingRegistry, TimeoutError, TransportError } from "@arcp/core";
import { errorFromV10, type RuntimeMessage10 } from "@arcp/core/v1.0";
import type { Outgoing } from "./connection.ts";

/** A command on its way. */
export interface Command extends Outgoing {
  readonly id: string;
  /** Follows the message as a frame of bytes. */
  readonly bytes?: Uint8Array;
}

/** A command whose id may be left to its sender. */
export type Unsent = Omit<Command, "id"> & { readonly id?: string };

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Has carrying it out twice the effect of once? Otherwise it fails when the connection is lost. Default: true. */
  readonly isRepeatable?: boolean;
  /** Some runtimes say nothing: how long that takes to be taken for a yes. Default: silence is a failure. */
  readonly silenceMs?: number;
  /** Does an error of the command's work refuse it? Not for what has an ending of its own. Default: true. */
  readonly endsWithError?: boolean;
  /** Settled when the connection is lost, whatever `isRepeatable` says: what it asks for is asked anew. */
  readonly isBoundToConnection?: boolean;
}

/** What answers a command, and the bytes that came beside it. */
export interface Answer {
  readonly message: RuntimeMessage10;
  readonly bytes: Uint8Array | undefined;
}

interface Open {
  readonly command: Command;
  readonly options: AskOptions;
  /** The session in which it was sent last; `undefined` before. */
  sessionId: string | undefined;
  sent: number;
  isHeld: boolean;
  cancelTimer: () => void;
}

export interface RequestsOwner {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly isConnected: () => boolean;
  /** Id of the open session. */
  readonly sessionId: () => string | undefined;
  readonly send: (command: Command) => void;
  /** The number of waiting callers changed. */
  readonly onChange: () => void;
}

/** How often one command is sent at most: one that costs the connection each time is not worth another. */
const MAX_SENDS = 8;

export class Requests {
  readonly #owner: RequestsOwner;
  readonly #waiting = new PendingRegistry<Answer | undefined>();
  readonly #open = new Map<string, Open>();
  /** Those for which silence is a yes, and that were sent. */
  readonly #indulgent = new Set<Open>();

  constructor(owner: RequestsOwner) {
    this.#owner = owner;
  }

  /** How many callers wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** The commands of that type that wait, oldest first. */
  waiting(type: string): readonly Command[] {
    return [...this.#open.values()].flatMap(({ command }) => (command.type === type ? [command] : []));
  }

  /** `message` answers the oldest command of that type that `matches`, without naming it. Returns whether there is one. */
  answerOf(type: string, matches: (command: Command) => boolean, message: RuntimeMessage10): boolean {
    const command = this.waiting(type).find(matches);
    if (command !== undefined) this.resolve(command.id, { message, bytes: undefined });
    return command !== undefined;
  }

  /** The sessions in which something was asked that has no answer. */
  get sessions(): ReadonlySet<string> {
    return new Set([...this.#open.values()].flatMap(({ sessionId }) => sessionId ?? []));
  }

  /**
   * Sends a command, now or when there is a connection, and waits for the first answer. `undefined`: there was none, which
   * is fine by `silenceMs`. Rejects with the typed refusal, {@link TimeoutError}, or the signal's reason.
   */
  async ask(command: Command, options: AskOptions = {}): Promise<Answer | undefined> {
    options.signal?.throwIfAborted();
    const open: Open = { command, options, sessionId: undefined, sent: 0, isHeld: false, cancelTimer: () => {} };
    this.#open.set(command.id, open);
    const answer = this.#waiting.wait(command.id, options.signal);
    this.#owner.onChange();
    try {
      if (this.#owner.isConnected()) this.#send(open);
      return await answer;
    } finally {
      this.#remove(command.id);
      this.#owner.onChange();
    }
  }

  /** The runtime says something: it is not silent. */
  heard(): void {
    for (const open of this.#indulgent) this.#arm(open);
  }

  /** Gives `message` to the command that it answers. Returns whether it does. */
  answer(message: RuntimeMessage10, bytes: Uint8Array | undefined): boolean {
    const id = message.correlation_id;
    const open = id === undefined ? undefined : this.#open.get(id);
    if (open === undefined) return false;
    const isError = message.type === "tool.error" || message.type === "job.failed";
    if (message.type === "nack" || (isError && open.options.endsWithError !== false)) {
      this.reject(open.command.id, errorFromV10(message.payload));
    } else this.resolve(open.command.id, { message, bytes });
    return true;
  }

  resolve(id: string, answer: Answer | undefined): void {
    this.#remove(id);
    this.#waiting.resolve(id, answer);
  }

  reject(id: string, error: unknown): boolean {
    this.#remove(id);
    return this.#waiting.reject(id, error);
  }

  rejectAll(error: unknown): void {
    for (const id of [...this.#open.keys()]) this.reject(id, error);
  }

  /** The connection is gone. What was sent waits until it is known whether it was heard. */
  disconnect(): void {
    this.#indulgent.clear();
    for (const [id, open] of [...this.#open]) {
      open.cancelTimer();
      const { isRepeatable = true, isBoundToConnection = false } = open.options;
      open.isHeld = open.sent > 0;
      if (isBoundToConnection) this.resolve(id, undefined);
      else if (open.sent > 0 && !isRepeatable) {
        this.reject(id, new TransportError("the connection was lost before the answer", { retryable: true }));
      }
    }
  }

  /** There is a connection: sends what was never sent. */
  sendWaiting(): void {
    for (const open of [...this.#open.values()]) if (open.sent === 0) this.#send(open);
  }

  /** Sends again what was sent before the connection was lost, and has no answer by now. */
  resend(): void {
    for (const open of [...this.#open.values()]) if (open.isHeld) this.#send(open);
  }

  /** Fails work that was asked for in a session that the runtime no longer knows: it may have been done. */
  lose(sessionId: string, error: ARCPError): void {
    for (const [id, { command, isHeld, sessionId: sentIn }] of [...this.#open]) {
      if (isHeld && sentIn === sessionId && command.idempotency_key !== undefined) this.reject(id, error);
    }
  }

  #send(open: Open): void {
    const { command } = open;
    const { sessionId, send } = this.#owner;
    if (open.sent >= MAX_SENDS) {
      this.reject(command.id, new TransportError(`${command.type} was lost with the connection again and again`));
      return;
    }
    try {
      open.sessionId = sessionId();
      open.isHeld = false;
      open.sent += 1;
      send(command);
    } catch (thrown) {
      this.reject(command.id, thrown);
      return;
    }
    if (!this.#open.has(command.id)) return;
    const { silenceMs } = open.options;
    if (silenceMs !== undefined) this.#indulgent.add(open);
    if (silenceMs === 0) this.resolve(command.id, undefined);
    else this.#arm(open);
  }

  #arm(open: Open): void {
    const { command, options } = open;
    const { clock, timeoutMs } = this.#owner;
    open.cancelTimer();
    open.cancelTimer = clock.setTimer(() => {
      if (options.silenceMs === undefined) {
        this.reject(command.id, new TimeoutError(`the runtime did not answer ${command.type}`));
      } else this.resolve(command.id, undefined);
    }, options.silenceMs ?? timeoutMs);
  }

  #remove(id: string): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    open.cancelTimer();
    this.#indulgent.delete(open);
    this.#open.delete(id);
  }
}
