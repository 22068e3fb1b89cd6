/** `npm run docs:dev`: the site while it is written. A document that is saved is shown. */
import { watch } from "node:fs";
import { join } from "node:path";
import { createServer } from "vitepress";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import { documentPages } from "./pages.ts";
import { referencePages } from "./reference.ts";
import { stage } from "./stage.ts";

const SETTLING_MS = 100;

/** What is generated stays what it was at the start. */
const { pages: reference } = await referencePages(repositoryRoot);

const renew = (): void => {
  const { pages, assets } = documentPages(repositoryRoot);
  stage({ pages: new Map([...pages, ...reference]), assets }, join(import.meta.dirname, "pages"));
};

renew();
const server = await createServer(import.meta.dirname);
await server.listen();
for (const url of server.resolvedUrls?.local ?? []) console.log(`docs: ${url}`);

let waiting: NodeJS.Timeout | undefined;
for (const directory of [".", "docs", "examples", "packages", "bench", "conformance", "interop"]) {
  const isDeep = directory === "examples" || directory === "packages";
  watch(join(repositoryRoot, directory), { recursive: isDeep }, (_, name) => {
    if (name === null || !/\.(?:md|ts)$/.test(name) || /(?:^|[\\/])(?:dist|node_modules)[\\/]/.test(name)) return;
    clearTimeout(waiting);
    waiting = setTimeout(renew, SETTLING_MS);
  });
}
