/** A client that says what it is told to, and looks closely at what it is told back. */
import { decodeFrame, decodeRuntimeMessage, type MemoryTransport, RUNTIME_FRAME_LIMITS } from "@arcp/core";
import { decodeRuntimeMessage10, type RuntimeMessage10 } from "@arcp/core/v1.0";

type RuntimeMessage11 = ReturnType<typeof decodeRuntimeMessage>;

/** What only the jobs of peers that behave say. */
export const SECRET = "canary-secret";
/** The principal of those peers. */
export const CANARY = "oscar";

/** The ids that a connection was told of last, by what they name: a member of `PLACEHOLDERS`. */
export type Known = Map<string, string>;

export type Wire = "1.0" | "1.1";
export type Received =
  | { readonly wire: "1.0"; readonly message: RuntimeMessage10 }
  | { readonly wire: "1.1"; readonly message: RuntimeMessage11 };

const WELCOMES: ReadonlySet<string> = new Set(["session.welcome", "session.accepted", "session.resumed"]);

export abstract class Peer {
  readonly principal: string;
  readonly known: Known = new Map();
  abstract readonly wire: Wire;
  /** The frame that opens a session in good order. */
  abstract readonly greeting: string;
  /** Is there a session on this connection? */
  isAccepted = false;
  /** The highest number of this session; 0 on a wire without numbers. */
  seq = 0;
  protected errors = 0;
  protected result: unknown;
  /** Nothing may follow: the session is over. */
  protected isOver = false;
  readonly #report: (problem: string) => void;
  #transport: MemoryTransport | undefined;
  /** The wire of this connection's session. */
  #chosen: Wire | undefined;

  constructor(principal: string, report: (problem: string) => void) {
    this.principal = principal;
    this.#report = report;
  }

  get isOpen(): boolean {
    return this.#transport?.isClosed === false;
  }

  connect(transport: MemoryTransport): void {
    this.cut();
    this.#transport = transport;
    this.isAccepted = false;
    this.isOver = false;
    this.#chosen = undefined;
    this.onConnect();
    transport.onFrame((text) => {
      if (this.#transport === transport) this.#take(text);
    });
    transport.onBinary(() => {});
  }

  say(text: string): void {
    this.#transport?.send(text);
  }

  sayBinary(bytes: Uint8Array): void {
    this.#transport?.sendBinary(bytes);
  }

  cut(): void {
    this.#transport?.abort("cut");
  }

  stopReading(): void {
    this.#transport?.pause();
  }

  read(): void {
    this.#transport?.resume();
  }

  /** Reports what a peer that behaves must not see. */
  assertWellServed(): void {
    if (this.errors > 0) this.#report(`canary: it was sent ${this.errors} errors`);
    if (!this.isOpen) this.#report("canary: its connection was closed");
    if (this.result !== SECRET) this.#report(`canary: its result is ${JSON.stringify(this.result)}`);
  }

  /** Has the peer's job come to an end? */
  get isServed(): boolean {
    return this.result !== undefined;
  }

  /** Forgets what belongs to one connection. */
  protected abstract onConnect(): void;
  /** What is wrong with a message of this peer's wire. What is of the other one, which it has asked for, only has to be valid. */
  protected abstract problemWith(message: Received): string | undefined;

  #take(text: string): void {
    const problem = this.#problemWith(text);
    if (problem !== undefined) this.#report(`${problem}\n${text.slice(0, 2_000)}`);
  }

  #problemWith(text: string): string | undefined {
    if (this.isOver) return "late: a frame after the session's end";
    if (this.principal !== CANARY && text.includes(SECRET)) return "leak: of another principal's job";
    // Which wire a connection is on is decided by its first message, which may have been of the other one.
    const wires = this.#chosen === undefined ? (["1.1", "1.0"] as const) : [this.#chosen];
    const problems: string[] = [];
    for (const wire of wires) {
      try {
        const received = decoded(text, wire);
        if (WELCOMES.has(received.message.type)) this.#chosen = wire;
        return wire === this.wire ? this.problemWith(received) : undefined;
      } catch (error) {
        problems.push(String(error));
      }
    }
    return `reply: not a valid envelope: ${problems.join("; ")}`;
  }
}

function decoded(text: string, wire: Wire): Received {
  const frame = decodeFrame(text, RUNTIME_FRAME_LIMITS);
  return wire === "1.0"
    ? { wire, message: decodeRuntimeMessage10(frame) }
    : { wire, message: decodeRuntimeMessage(frame) };
}
