/** What lies around a runtime under test: files, some of which its jobs may read, beside others that they must never reach. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What stands in everything that a lease covers, and in everything that none does. */
export const OPEN_TEXT = "open";
export const CLOSED_TEXT = "closed";

/** How often what a path leads to changes. */
const SWAP_EVERY_MS = 5;

/** In `<directory>/world`: `open/**` may be read. */
export class World implements Disposable {
  readonly directory: string;
  readonly #timer: NodeJS.Timeout;

  constructor(directory: string) {
    this.directory = join(directory, "world");
    for (const name of ["open", "open-not", "closed", "open/door"]) {
      mkdirSync(join(this.directory, name), { recursive: true });
      writeFileSync(
        join(this.directory, name, "file"),
        name.startsWith("open-") || name === "closed" ? CLOSED_TEXT : OPEN_TEXT,
      );
    }
    symlinkSync("../closed", join(this.directory, "open/link"));
    symlinkSync("../closed", join(this.directory, "trap"));
    let isTrap = false;
    this.#timer = setInterval(() => {
      isTrap = !isTrap;
      this.#swap(isTrap);
    }, SWAP_EVERY_MS);
    this.#timer.unref();
  }

  /** `open/door` is a directory, and a link out of the lease, by turns. */
  #swap(isTrap: boolean): void {
    const [door, trap, aside] = ["open/door", "trap", "aside"].map((name) => join(this.directory, name)) as [
      string,
      string,
      string,
    ];
    const [out, back] = isTrap ? [aside, trap] : [trap, aside];
    renameSync(door, out);
    renameSync(back, door);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** What a lease of `world` covers. */
export const leaseOf = (worldDirectory: string, url: string): Readonly<Record<string, readonly string[]>> => ({
  "fs.read": [`${worldDirectory}/open/**`],
  "net.fetch": [`${url}/open/**`],
});
