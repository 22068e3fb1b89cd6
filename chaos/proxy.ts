/** A TCP proxy between clients and the runtime that does to connections what networks do. */
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

export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  readonly #nextFault: () => LineFault;
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

  /** Breaks what is half-open, and stalls nothing any more. */
  heal(): void {
    for (const line of this.#lines) line.heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of this.#lines) line.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket): void {
    const fault = this.#nextFault();
    near.on("error", () => near.destroy());
    if (this.#target === undefined) {
      near.destroy();
      return;
    }
    if (fault.kind !== "none") this.faults += 1;
    const line = new Line(near, dial(this.#target, "127.0.0.1"), fault);
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
  #isSilent = false;
  #isHealed = false;
  readonly closed: Promise<void>;

  constructor(near: Socket, far: Socket, fault: LineFault) {
    this.#near = near;
    this.#far = far;
    this.#fault = fault;
    near.setNoDelay(true);
    far.setNoDelay(true);
    far.on("error", () => far.destroy());
    this.closed = new Promise((resolve) => {
      near.on("close", () => {
        if (!this.#isSilent) far.destroy();
        resolve();
      });
    });
    far.on("close", () => {
      if (!this.#isSilent) near.destroy();
    });
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

  #carry(from: Socket, to: Socket, side: Side): void {
    const fault = this.#fault;
    const counter = new FrameCounter();
    let waiting: Promise<void> = Promise.resolve();
    let carried = 0;
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
      if (this.#isSilent) return;
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
        waiting = waiting.then(() => pass(chunk));
        return;
      }
      from.pause();
      waiting = waiting
        .then(() => this.#slowly(chunk, pass, carried))
        .then(() => {
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
