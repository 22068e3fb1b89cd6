/** A TCP proxy in front of a runtime, or of its database, that does to connections what networks do. */
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import type { Random } from "../fuzz/random.ts";

/** What happens to one connection. */
export type LineFault =
  | { readonly kind: "none" }
  /** It ends after that many frames of one side have passed. */
  | { readonly kind: "cut"; readonly side: Side; readonly frames: number; readonly way: Ending }
  /** It ends inside the frame after that many. */
  | {
      readonly kind: "tear";
      readonly side: Side;
      readonly frames: number;
      readonly bytes: number;
      readonly way: Ending;
    }
  /** Every piece of up to so many bytes comes by itself. */
  | { readonly kind: "shred"; readonly bytes: number }
  | { readonly kind: "delay"; readonly ms: number }
  /** Now and then nothing moves. */
  | { readonly kind: "stall"; readonly everyBytes: number; readonly ms: number };

/** Who says something: who has connected, or whom it has reached. */
export type Side = "client" | "runtime";
/** `half-open`: nobody is told, and nothing arrives any more, until the connection breaks much later. */
export type Ending = "end" | "reset" | "half-open";

/** A connection that is half-open breaks after this. */
const HALF_OPEN_MS = 1_500;

const ENDINGS: readonly Ending[] = ["end", "reset", "half-open"];

/** A fault for the next connection: most have one while the weather is bad. */
export function anyLineFault(random: Random): LineFault {
  const side: Side = random.oneIn(2) ? "client" : "runtime";
  // Often within the handshake: that is where a session begins, or goes on.
  const frames = random.oneIn(2) ? random.below(4) : random.below(60);
  const way = random.pick(ENDINGS);
  switch (random.below(8)) {
    case 0:
    case 1:
      return { kind: "cut", side, frames, way };
    case 2:
      return { kind: "tear", side, frames, bytes: 1 + random.below(200), way };
    case 3:
      return { kind: "shred", bytes: 1 + random.below(3) };
    case 4:
      return { kind: "delay", ms: random.below(120) };
    case 5:
      return { kind: "stall", everyBytes: 500 + random.below(20_000), ms: 50 + random.below(500) };
    default:
      return { kind: "none" };
  }
}

/** What holds for every connection of a proxy. */
interface Conditions {
  /** What these sides say waits, and so does the news that they are gone: as of packets that are sent again and again. */
  readonly held: Map<Side, PromiseWithResolvers<void>>;
  /** Texts: who is asked something with one of them does it, and the connection ends before the answer. */
  readonly unanswered: string[];
  /** Is what servers say of their own accord lost? */
  isDeaf: boolean;
}

/** By which a client of PostgreSQL asks to be told. */
const LISTEN = "LISTEN ";

export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  readonly #nextFault: () => LineFault;
  readonly #conditions: Conditions = { held: new Map(), unanswered: [], isDeaf: false };
  #isRefusing = false;
  #target: number | undefined;
  /** How many connections were ended on purpose, torn or disturbed. */
  faults = 0;

  private constructor(server: Server, nextFault: () => LineFault) {
    this.#server = server;
    this.#nextFault = nextFault;
    server.on("connection", (near) => this.#join(near));
  }

  /** @param nextFault Says what happens to the next connection. */
  static async start(nextFault: () => LineFault): Promise<FaultProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FaultProxy(server, nextFault);
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port;
  }

  /** Where connections lead from now on. Those that exist stay. */
  set target(port: number | undefined) {
    this.#target = port;
  }

  /** Ends every connection. */
  cutAll(way: Ending): void {
    for (const line of this.#lines) {
      this.faults += 1;
      line.end(way);
    }
  }

  /** Nothing that these sides say comes through until {@link release}; then all of it does. */
  hold(...sides: readonly Side[]): void {
    this.faults += 1;
    for (const side of sides) {
      if (!this.#conditions.held.has(side)) this.#conditions.held.set(side, Promise.withResolvers());
    }
  }

  release(): void {
    for (const held of this.#conditions.held.values()) held.resolve();
    this.#conditions.held.clear();
  }

  /** Ends every connection, and takes none until it is called with `false`. */
  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing;
    if (isRefusing) this.cutAll("reset");
  }

  /** The next request that holds `text` is carried out, and its connection ends before the answer. */
  loseAnswer(text: string): void {
    this.#conditions.unanswered.push(text);
  }

  /** Connections that listen hear nothing until it is called with `false`; then they end. */
  deafen(isDeaf: boolean): void {
    const wasDeaf = this.#conditions.isDeaf;
    this.#conditions.isDeaf = isDeaf;
    if (isDeaf === wasDeaf) return;
    for (const line of this.#lines) {
      if (!line.isListening) continue;
      if (isDeaf) this.faults += 1;
      else line.end("reset");
    }
  }

  /** Breaks what is half-open, and stalls, holds and loses nothing any more. */
  heal(): void {
    this.#isRefusing = false;
    this.#conditions.unanswered.length = 0;
    this.release();
    this.deafen(false);
    for (const line of this.#lines) line.heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of this.#lines) line.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket): void {
    const fault = this.#nextFault();
    near.on("error", () => near.destroy());
    if (this.#target === undefined || this.#isRefusing) {
      near.destroy();
      return;
    }
    if (fault.kind !== "none") this.faults += 1;
    const onLost = (): void => {
      this.faults += 1;
    };
    const line = new Line(near, dial(this.#target, "127.0.0.1"), fault, this.#conditions, onLost);
    this.#lines.add(line);
    void line.closed.then(() => this.#lines.delete(line));
  }
}

/** Counts the frames of one direction of a WebSocket connection, after its HTTP head. */
class FrameCounter {
  #head = Buffer.alloc(0);
  #isHead = true;
  /** Bytes of the frame that is passing that have not come. */
  #rest = 0;
  frames = 0;

  /** Where in `chunk` the frames end that it completes. */
  push(chunk: Buffer): readonly number[] {
    const ends: number[] = [];
    let buffer = Buffer.concat([this.#head, chunk]);
    // Positions are in `buffer`; those of `chunk` are less.
    const shift = this.#head.length;
    let at = 0;
    this.#head = Buffer.alloc(0);
    if (this.#isHead) {
      const end = buffer.indexOf("\r\n\r\n");
      if (end === -1) {
        this.#head = buffer;
        return ends;
      }
      this.#isHead = false;
      at = end + 4;
    }
    while (at < buffer.length) {
      if (this.#rest === 0) {
        const size = frameSize(buffer.subarray(at));
        if (size === undefined) {
          this.#head = buffer.subarray(at);
          return ends;
        }
        this.#rest = size;
      }
      const step = Math.min(this.#rest, buffer.length - at);
      this.#rest -= step;
      at += step;
      if (this.#rest === 0) {
        this.frames += 1;
        ends.push(Math.max(at - shift, 0));
      }
    }
    buffer = Buffer.alloc(0);
    return ends;
  }
}

/** Of the whole frame that begins here, in bytes; `undefined` until its head is there. */
function frameSize(bytes: Buffer): number | undefined {
  if (bytes.length < 2) return undefined;
  const second = bytes[1] as number;
  const mask = (second & 0x80) === 0 ? 0 : 4;
  const short = second & 0x7f;
  if (short < 126) return 2 + mask + short;
  if (short === 126) return bytes.length < 4 ? undefined : 4 + mask + bytes.readUInt16BE(2);
  return bytes.length < 10 ? undefined : 10 + mask + Number(bytes.readBigUInt64BE(2));
}

class Line {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #fault: LineFault;
  readonly #conditions: Conditions;
  readonly #onLost: () => void;
  #isSilent = false;
  #isHealed = false;
  /** Is its next answer to be lost? */
  #isUnanswered = false;
  isListening = false;
  readonly closed: Promise<void>;

  constructor(near: Socket, far: Socket, fault: LineFault, conditions: Conditions, onLost: () => void) {
    this.#near = near;
    this.#far = far;
    this.#fault = fault;
    this.#conditions = conditions;
    this.#onLost = onLost;
    near.setNoDelay(true);
    far.setNoDelay(true);
    far.on("error", () => far.destroy());
    this.closed = new Promise((resolve) => {
      near.on("close", () => void this.#ended("client", far).then(resolve));
    });
    far.on("close", () => void this.#ended("runtime", near));
    this.#carry(near, far, "client");
    this.#carry(far, near, "runtime");
  }

  destroy(): void {
    this.#near.destroy();
    this.#far.destroy();
  }

  heal(): void {
    this.#isHealed = true;
    if (this.#isSilent) this.destroy();
  }

  end(way: Ending): void {
    if (way === "half-open") {
      if (this.#isSilent) return;
      this.#isSilent = true;
      setTimeout(() => this.destroy(), HALF_OPEN_MS).unref();
    } else if (way === "reset") {
      this.#near.resetAndDestroy();
      this.#far.resetAndDestroy();
    } else {
      this.#near.end();
      this.#far.end();
      setTimeout(() => this.destroy(), 20).unref();
    }
  }

  /** What it had said before it went comes first. */
  readonly #said: Record<Side, Promise<void>> = { client: Promise.resolve(), runtime: Promise.resolve() };

  async #ended(side: Side, other: Socket): Promise<void> {
    if (this.#isSilent) return;
    if (this.#conditions.held.has(side)) await this.#said[side];
    await this.#conditions.held.get(side)?.promise;
    if (other.writableLength > 0) other.end();
    else other.destroy();
  }

  /** Is it the answer to what must not be answered? Then the connection is over. */
  #isLost(chunk: Buffer, side: Side): boolean {
    const { unanswered, isDeaf } = this.#conditions;
    if (side === "runtime") {
      if (!this.#isUnanswered) return this.isListening && isDeaf;
      this.#onLost();
      this.end("reset");
      return true;
    }
    if (chunk.includes(LISTEN)) this.isListening = true;
    const at = unanswered.findIndex((text) => chunk.includes(text));
    if (at !== -1) {
      unanswered.splice(at, 1);
      this.#isUnanswered = true;
    }
    return false;
  }

  #carry(from: Socket, to: Socket, side: Side): void {
    const fault = this.#fault;
    const counter = new FrameCounter();
    let carried = 0;
    const after = (work: () => void | Promise<void>): Promise<void> => {
      this.#said[side] = this.#said[side].then(() => this.#conditions.held.get(side)?.promise).then(work);
      return this.#said[side];
    };
    let tearAt: number | undefined;
    const isMine = (fault.kind === "cut" || fault.kind === "tear") && fault.side === side;
    const isSlow = fault.kind === "delay" || fault.kind === "stall" || fault.kind === "shred";
    const pass = (chunk: Buffer): void => {
      if (this.#isSilent || to.destroyed || to.write(chunk)) return;
      // Nobody reads there: so nobody is read from here.
      from.pause();
      to.once("drain", () => from.resume());
    };
    from.on("data", (chunk: Buffer) => {
      if (this.#isSilent || this.#isLost(chunk, side)) return;
      if (isMine) {
        const before = counter.frames;
        const ends = counter.push(chunk);
        const last = fault.frames - before;
        if (fault.frames === 0 && tearAt === undefined && ends.length > 0) tearAt = 0;
        else if (last >= 1 && last <= ends.length) tearAt = ends[last - 1];
        if (tearAt !== undefined) {
          const extra = fault.kind === "tear" ? fault.bytes : 0;
          pass(chunk.subarray(0, tearAt + extra));
          this.end(fault.way);
          return;
        }
      }
      if (!isSlow || this.#isHealed) {
        void after(() => pass(chunk));
        return;
      }
      from.pause();
      void after(() => this.#slowly(chunk, pass, carried)).then(() => {
        carried += chunk.length;
        from.resume();
      });
    });
  }

  async #slowly(chunk: Buffer, pass: (chunk: Buffer) => void, carried: number): Promise<void> {
    const fault = this.#fault;
    if (fault.kind === "delay") await pause(fault.ms);
    if (
      fault.kind === "stall" &&
      Math.floor(carried / fault.everyBytes) !== Math.floor((carried + chunk.length) / fault.everyBytes)
    ) {
      await pause(fault.ms);
    }
    if (fault.kind !== "shred") return pass(chunk);
    // The head of a long answer is enough of it.
    const shredded = Math.min(chunk.length, 400);
    for (let at = 0; at < shredded; at += fault.bytes) {
      pass(chunk.subarray(at, Math.min(at + fault.bytes, shredded)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    pass(chunk.subarray(shredded));
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
