/** A small disk that can be full: a file system in memory of its own, where this machine lets one be mounted. */
import { execFileSync } from "node:child_process";
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const MIB = 1024 * 1024;
const SIZE_MIB = 96;
const MIN_PIECE = 4096;

/** Every disk that is mounted. */
const mounted = new Set<string>();
process.on("exit", () => {
  for (const directory of mounted) unmount(directory);
});

function unmount(directory: string): void {
  try {
    execFileSync("umount", ["--lazy", directory], { stdio: "ignore" });
  } catch {
    // It was never there, or is gone already.
  }
  mounted.delete(directory);
}

/** May disks be mounted here? */
export const canMount: boolean = (() => {
  const probe = join("/tmp", `arcp-chaos-probe-${process.pid}`);
  try {
    mkdirSync(probe, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
})();

export class SmallDisk implements Disposable {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE_MIB}m,mode=700`, "tmpfs", directory]);
    mounted.add(directory);
  }

  /** Takes all the room that is left. */
  fill(): void {
    const descriptor = openSync(this.#ballast, "a");
    try {
      for (let piece = MIB; piece >= MIN_PIECE; ) {
        try {
          writeSync(descriptor, Buffer.alloc(piece));
        } catch {
          piece /= 2;
        }
      }
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Gives it back. Idempotent. */
  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  [Symbol.dispose](): void {
    unmount(this.directory);
    rmSync(this.directory, { recursive: true, force: true });
  }

  get #ballast(): string {
    return join(this.directory, "ballast");
  }
}
