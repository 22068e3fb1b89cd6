/** A process that encrypts a database anew, and is killed after some slices of it. */
import { rekeyDatabase } from "@arcp/runtime";

interface Order {
  readonly path: string;
  /** Hexadecimal. */
  readonly keys: readonly string[];
  readonly blobDirectory: string;
  readonly slices: number;
}

const { path, keys, blobDirectory, slices } = JSON.parse(process.argv[2] ?? "{}") as Order;

let left = slices;
const later = globalThis.setImmediate;
globalThis.setImmediate = ((work: () => void) => {
  if (left === 0) process.kill(process.pid, "SIGKILL");
  left -= 1;
  return later(work);
}) as typeof setImmediate;

const encryptionKeys = keys.map((key) => Buffer.from(key, "hex"));
await rekeyDatabase({ path, encryptionKeys, blobDirectory });
process.stdout.write("done");
