/** For child processes: `@arcp/*` are the sources, as they are for the tests. Given to Node with `--import`. */
import { registerHooks } from "node:module";

registerHooks({
  resolve(specifier, context, nextResolve) {
    const [, name, path] = /^@arcp\/([\w-]+)(\/[\w./-]+)?$/.exec(specifier) ?? [];
    if (name === undefined) return nextResolve(specifier, context);
    return nextResolve(new URL(`../../packages/${name}/src${path ?? ""}/index.ts`, import.meta.url).href, context);
  },
});
