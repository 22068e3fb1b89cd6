/**
 * Room on the disk of a database for what must be stored when there is no other: the ends of jobs. It is a file beside the
 * database that is deleted when the disk is full.
 */
import { randomFillSync } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { type FileHandle, open, stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** Some thousand ends of jobs, or some hundred commits. */
const RESERVE_BYTES = 4 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const BLOCK_BYTES = 512;
const NO_SPACE: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);

export class DiskReserve {
  readonly #path: string;
  #isHeld = false;
  #isFilling: Promise<boolean> | undefined;
  /** Counts the times that it was given up: what was being filled then is not kept. */
  #given = 0;

  /** For the database at `path`. Nothing is written yet. */
  constructor(path: string) {
    this.#path = `${path}-reserve`;
  }

  /** Gives the room up, also that which a process before this one has left. Returns whether there was any. */
  release(): boolean {
    const hadRoom = (statSync(this.#path, { throwIfNoEntry: false })?.blocks ?? 0) > 0;
    this.#given += 1;
    this.#isHeld = false;
    rmSync(this.#path, { force: true });
    return hadRoom;
  }

  /**
   * Takes the room, unless it is taken. Resolves with whether it is, and as much again is free: who had only just enough
   * would be without it in the next moment. Rejects when the file cannot be made for another reason.
   */
  fill(): Promise<boolean> {
    this.#isFilling ??= this.#fill().finally(() => {
      this.#isFilling = undefined;
    });
    return this.#isFilling;
  }

  /** Resolves when nothing of this touches the disk any more. What is reserved stays for the next process. */
  async close(): Promise<void> {
    await this.#isFilling?.catch(() => {}); // Whoever asked for it is told.
  }

  async #fill(): Promise<boolean> {
    const given = this.#given;
    try {
      if (!this.#isHeld) await this.#write(() => this.#given === given);
      if (this.#given !== given) return false;
      this.#isHeld = true;
      const { bavail, bsize } = await statfs(dirname(resolve(this.#path)));
      return this.#given === given && bavail * bsize >= RESERVE_BYTES;
    } catch (error) {
      this.release();
      if (NO_SPACE.has((error as NodeJS.ErrnoException).code)) return false;
      throw error;
    }
  }

  /** Random bytes: file systems that compress would keep no room for zeros. */
  async #write(isWanted: () => boolean): Promise<void> {
    const there = await stat(this.#path).catch(() => undefined);
    if (there !== undefined && there.blocks * BLOCK_BYTES >= RESERVE_BYTES) return;
    const piece = randomFillSync(Buffer.allocUnsafeSlow(PIECE_BYTES));
    const file = await open(this.#path, "w", 0o600);
    try {
      for (let written = 0; written < RESERVE_BYTES && isWanted(); ) written += await writeWhole(file, piece);
    } finally {
      await file.close();
    }
  }
}

async function writeWhole(file: FileHandle, piece: Buffer): Promise<number> {
  for (let written = 0; written < piece.length; ) {
    const { bytesWritten } = await file.write(piece, written);
    written += bytesWritten;
  }
  return piece.length;
}
