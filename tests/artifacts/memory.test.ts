/** A large content goes through in pieces: how many of them are alive is counted, not guessed. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { openShelf } from "./directory.ts";

const PIECE = 256 * 1024;
const PIECES = 256;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Counts the buffers that somebody still holds. */
class LiveBuffers {
  readonly #all: WeakRef<Uint8Array>[] = [];
  most = 0;

  add(buffer: Uint8Array): void {
    this.#all.push(new WeakRef(buffer));
  }

  /** In a turn of its own: what was looked at in this one counts as alive. */
  async count(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    this.most = Math.max(this.most, this.#all.filter((reference) => reference.deref() !== undefined).length);
  }
}

describe("64 MiB", () => {
  test("come in through one buffer, over and over: no piece of it is kept", async () => {
    await using shelf = openShelf();
    const buffer = new Uint8Array(PIECE);
    async function* source() {
      for (let piece = 0; piece < PIECES; piece += 1) {
        buffer.fill(piece);
        yield buffer;
      }
      buffer.fill(0);
    }
    const { artifact_id, size } = await shelf.put(source());
    expect(size).toBe(64 * 1024 * 1024);
    let at = 0;
    for await (const piece of (await shelf.artifacts.fetch("alice", artifact_id)).data) {
      expect(piece.every((byte, index) => byte === Math.floor((at + index) / PIECE) % 256)).toBe(true);
      at += piece.length;
    }
    expect(at).toBe(size);
  });

  test("come in and go out with a handful of pieces alive", async () => {
    covers("V10-16.3-04");
    await using shelf = openShelf();
    const coming = new LiveBuffers();
    async function* source() {
      for (let piece = 0; piece < PIECES; piece += 1) {
        const buffer = new Uint8Array(PIECE).fill(piece);
        coming.add(buffer);
        yield buffer;
        if (piece % 32 === 0) await coming.count();
      }
    }
    const { artifact_id } = await shelf.put(source());
    expect(coming.most).toBeLessThanOrEqual(3);

    const going = new LiveBuffers();
    let pieces = 0;
    for await (const piece of (await shelf.artifacts.fetch("alice", artifact_id)).data) {
      going.add(piece);
      pieces += 1;
      if (pieces % 128 === 0) await going.count();
    }
    expect(pieces).toBeGreaterThan(PIECES);
    expect(going.most).toBeLessThanOrEqual(3);
  });

  test("are asked for a piece at a time, and no further than they are wanted", async () => {
    await using shelf = openShelf();
    let asked = 0;
    let writing = 0;
    let most = 0;
    async function* source() {
      for (asked = 0; asked < PIECES; asked += 1) {
        writing += 1;
        most = Math.max(most, writing);
        yield new Uint8Array(PIECE);
        writing -= 1;
      }
    }
    const { artifact_id } = await shelf.put(source());
    expect([asked, most]).toEqual([PIECES, 1]);
    const { data } = await shelf.artifacts.fetch("alice", artifact_id, { offset: 10 * PIECE, length: PIECE });
    let bytes = 0;
    for await (const piece of data) bytes += piece.length;
    expect(bytes).toBe(PIECE);
  });
});
