/** The agents that `arcp serve` was told of. */
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import { AGENT_REFERENCE } from "@arcp/core";
import type { AgentHandler, AgentOptions } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";
import { importModule } from "./module.ts";

export interface ServedAgent {
  /** `name` or `name@version`. */
  readonly reference: string;
  readonly handler: AgentHandler;
  readonly options: AgentOptions;
}

/** Reads `name=file` as `--agent` has it. */
export function parseAgentOption(text: string): { readonly reference: string; readonly path: string } {
  const at = text.indexOf("=");
  if (at <= 0 || at === text.length - 1) {
    throw new UsageError(`--agent ${text}: expected name=file, e.g. --agent echo=./echo.ts`);
  }
  return { reference: text.slice(0, at), path: text.slice(at + 1) };
}

/**
 * The agent in `source`: a handler, or the path of a module below `directory` whose default export is one. A module may also
 * export its `version`, and its `options`: whether it is durable, how many jobs of its work at once.
 */
export async function loadAgent(
  reference: string,
  source: AgentHandler | string,
  directory: string,
): Promise<ServedAgent> {
  const match = AGENT_REFERENCE.exec(reference);
  if (match === null) {
    throw new UsageError(
      `not an agent's name: "${reference}"; use lower-case letters, digits, dot, dash and underscore, then @version if you like`,
    );
  }
  if (typeof source === "function") return { reference, handler: source, options: {} };
  if (typeof source !== "string")
    throw new UsageError(`agent ${reference}: expected a function or the path of a module`);
  const file = resolve(directory, source);
  if (!existsSync(file)) throw new UsageError(`agent ${reference}: there is no file ${relative(process.cwd(), file)}`);
  const { default: handler, version, options = {} } = await importModule(file);
  if (typeof handler !== "function") {
    throw new UsageError(
      `agent ${reference}: ${source} has no default export that is a function; write: export default async function (input, ctx) { … }`,
    );
  }
  if (typeof options !== "object" || options === null) {
    throw new UsageError(
      `agent ${reference}: ${source} exports options that are none; write: export const options = { … }`,
    );
  }
  const hasVersion = match[2] !== undefined || typeof version !== "string";
  return { reference: hasVersion ? reference : `${reference}@${version}`, handler: handler as AgentHandler, options };
}

/** What is served where nothing is configured: something to try the first commands with. */
export const BUILT_IN: ServedAgent = {
  reference: "echo@1.0.0",
  async handler(input, ctx) {
    await ctx.log("info", "this is the built-in echo agent; serve your own with --agent name=./file.ts");
    return { echoed: input };
  },
  options: {},
};
