import { Console } from "node:console";
import { syncBuiltinESMExports } from "node:module";
import type { Writable } from "node:stream";

/**
 * Takes standard output away from everything else in this process and returns it. From then on `console`, and whatever
 * writes to `process.stdout`, reaches standard error (§4.2: nothing but messages on stdout).
 */
export function takeStandardOutput(): Writable {
  const { stdout, stderr } = process;
  Object.defineProperty(process, "stdout", { configurable: true, enumerable: true, get: () => stderr });
  syncBuiltinESMExports();
  globalThis.console = new Console({ stdout: stderr, stderr });
  return stdout;
}
