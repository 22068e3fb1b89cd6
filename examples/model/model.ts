/** The model of the examples: the one that the environment names, or a stand-in that follows a script. */
import type { Script } from "./script.ts";
import { startStandIn } from "./stand-in.ts";

export { call, type Script, turns } from "./script.ts";

export interface Model extends AsyncDisposable {
  /** For `model.use`. */
  readonly name: string;
  /** For `net.fetch`: `${url}/**`. */
  readonly url: string;
  readonly isStandIn: boolean;
}

/**
 * With `OPENAI_MODEL`, that model at `OPENAI_BASE_URL`, with `OPENAI_API_KEY`. Without, a stand-in: the three name it until
 * it is disposed of, so that an agent's `new OpenAI()` finds either, and an agent knows no difference.
 */
export async function startModel(script: Script): Promise<Model> {
  const { env } = process;
  const { OPENAI_MODEL: name, OPENAI_BASE_URL: base = "https://api.openai.com/v1" } = env;
  if (name !== undefined) {
    return { name, url: base.replace(/\/+$/, ""), isStandIn: false, async [Symbol.asyncDispose]() {} };
  }

  const before = { ...env };
  const standIn = await startStandIn(script);
  const named = { OPENAI_MODEL: "stand-in", OPENAI_BASE_URL: standIn.url, OPENAI_API_KEY: "none" };
  Object.assign(env, named);
  return {
    name: named.OPENAI_MODEL,
    url: standIn.url,
    isStandIn: true,
    async [Symbol.asyncDispose]() {
      for (const key of Object.keys(named)) {
        if (before[key] === undefined) delete env[key];
        else env[key] = before[key];
      }
      await standIn[Symbol.asyncDispose]();
    },
  };
}
