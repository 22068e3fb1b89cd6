/** For child processes: `@arcp/*` are the sources, as they are for the tests. Given to Node with `--import`. */
import { registerHooks } from "node:module";

registerHooks({
  resolve(specifier, context, nextResolve) {
    const name = /^@arcp\/(\w+)$/.exec(specifier)?.[1];
    if (name === undefined) return nextResolve(specifier, context);
    return nextResolve(new URL(`../../packages/${name}/src/index.ts`, import.meta.url).href, context);
  },
});
