import { UsageError } from "./exit-code.ts";

/** The value of JSON that was typed. Throws {@link UsageError}, which says where it was. */
export function parseJson(text: string, origin: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const example = origin.startsWith("--") ? `; a plain text needs quotes of its own: ${origin} '"text"'` : "";
    throw new UsageError(`${origin} is not JSON: ${(error as Error).message}${example}`);
  }
}

/** The same where it must be an object. */
export function parseJsonObject(text: string, origin: string): Readonly<Record<string, unknown>> {
  const value = parseJson(text, origin);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new UsageError(`${origin}: expected a JSON object`);
}
