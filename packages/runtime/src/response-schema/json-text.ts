/** Values from outside as JSON text within bounds: what is checked is a copy that nobody else holds. */
import type { ResponseSchemaLimits } from "./limits.ts";
import { refused } from "./refusal.ts";

/** Names that would be taken for what every object inherits, by the library that compares values for one. */
const UNSAFE_NAMES = ["__proto__", "constructor", "toString", "valueOf"];

export interface JsonText {
  readonly text: string;
  /** The text parsed: a tree of plain JSON values. */
  readonly value: unknown;
}

/**
 * `value` as JSON of at most `maxBytes`. `what` names it in messages. Throws `InvalidRequestError` with the reason
 * `not_json`, `too_large`, `too_deep` or `unsafe_name`.
 */
export function jsonText(
  what: string,
  value: unknown,
  maxBytes: number,
  { maxDepth }: Pick<ResponseSchemaLimits, "maxDepth">,
): JsonText {
  const text = stringify(what, value);
  if (text.length > maxBytes || Buffer.byteLength(text) > maxBytes) {
    throw refused("too_large", `${what} is larger than ${maxBytes} bytes of JSON`, { max: maxBytes });
  }
  const copy: unknown = JSON.parse(text);
  inspect(what, copy, maxDepth);
  return { text, value: copy };
}

function stringify(what: string, value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    // A circle, a BigInt, a getter or `toJSON` of the caller's that throws, or nesting beyond the stack.
    throw Object.assign(refused("not_json", `${what} is not JSON`), { cause });
  }
  if (text === undefined) throw refused("not_json", `${what} is not JSON`);
  return text;
}

/** Level by level: what is too deep must not be followed by recursion. */
function inspect(what: string, root: unknown, maxDepth: number): void {
  let level: readonly object[] = isObject(root) ? [root] : [];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > maxDepth) throw refused("too_deep", `${what} is nested deeper than ${maxDepth}`, { max: maxDepth });
    for (const node of level) {
      const name = UNSAFE_NAMES.find((unsafe) => Object.hasOwn(node, unsafe));
      if (name !== undefined) throw refused("unsafe_name", `${what} has a member that is called ${name}`, { name });
    }
    level = level.flatMap((node) => Object.values(node).filter(isObject));
  }
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
