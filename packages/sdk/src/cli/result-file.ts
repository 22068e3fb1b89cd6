/** The file that a result is saved to: complete or not there at all. */
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { JobResult, ResultPiece } from "@arcp/client";
import { UsageError } from "./exit-code.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_WRONLY } = constants;

/** Is written beside its final place and moved there by {@link ResultFile.commit}, over what was there. */
export class ResultFile {
  readonly path: string;
  readonly #partPath: string;
  readonly #part: FileHandle;
  #hasPieces = false;

  private constructor(path: string, partPath: string, part: FileHandle) {
    this.path = path;
    this.#partPath = partPath;
    this.#part = part;
  }

  /** Throws {@link UsageError} where no file can be written: better before the job runs than after. */
  static async open(path: string): Promise<ResultFile> {
    const facts = await stat(path).catch(() => undefined);
    if (facts !== undefined && !facts.isFile()) throw new UsageError(`--output ${path}: not a plain file`);
    const partPath = `${path}.${process.pid}.part`;
    try {
      return new ResultFile(path, partPath, await open(partPath, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o666));
    } catch (error) {
      throw new UsageError(`--output ${path}: ${(error as NodeJS.ErrnoException).code}`);
    }
  }

  /** Writes the pieces of a streamed result as they come. */
  async writePieces(pieces: AsyncIterable<ResultPiece, void>): Promise<void> {
    for await (const piece of pieces) {
      this.#hasPieces = true;
      await this.#part.writeFile(piece);
    }
  }

  /** Puts the file in its place. A result that came in no pieces is written first: text as it is, anything else as JSON. */
  async commit({ result }: Pick<JobResult, "result">): Promise<void> {
    if (!this.#hasPieces && result !== undefined) {
      const isRaw = typeof result === "string" || result instanceof Uint8Array;
      await this.#part.writeFile(isRaw ? result : `${JSON.stringify(result, null, 2)}\n`);
    }
    await this.#part.sync();
    await this.#part.close();
    await rename(this.#partPath, this.path);
  }

  /** Leaves no trace. Does nothing after {@link commit}. */
  async discard(): Promise<void> {
    await this.#part.close().catch(() => {});
    await rm(this.#partPath, { force: true });
  }
}
