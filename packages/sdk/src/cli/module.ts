import { relative } from "node:path";
import { pathToFileURL } from "node:url";
import { UsageError } from "./exit-code.ts";

/** Imports a module of the user's. Throws an error that names the file, with what was thrown as its cause. */
export async function importModule(file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(file).href);
  } catch (cause) {
    const name = relative(process.cwd(), file);
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_UNKNOWN_FILE_EXTENSION" && /\.[cm]?tsx?$/.test(file)) {
      throw new UsageError(`${name}: this Node (${process.version}) does not run TypeScript; 22.18 and later do`);
    }
    throw new Error(`${name} could not be loaded: ${message ?? String(cause)}`, { cause });
  }
}
