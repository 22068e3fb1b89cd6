/** Keys of upstreams and administrators: from the environment or a private file, never from a command line. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { SecretSource } from "../config.ts";
import { UsageError } from "./exit-code.ts";
import { requirePrivate } from "./tokens.ts";

/** The secret itself. Throws {@link UsageError}, which never repeats it, if there is none. `what` says which it is. */
export async function readSecret(source: SecretSource | undefined, what: string, directory: string): Promise<string> {
  if (typeof source === "string") return checked(source, what);
  if (source !== undefined && "env" in source)
    return checked(process.env[source.env] ?? "", `${what} ($${source.env})`);
  if (source === undefined || !("file" in source)) {
    throw new UsageError(`${what}: expected text, { env: "NAME" } or { file: "path" }`);
  }
  const path = resolve(directory, source.file);
  await requirePrivate(path);
  return checked((await readFile(path, "utf8")).trim(), `${what} (${source.file})`);
}

function checked(text: string, what: string): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(text)) return text;
  throw new UsageError(
    `${what}: ${text === "" ? "it is empty or not set" : "expected printable ASCII without spaces"}`,
  );
}
