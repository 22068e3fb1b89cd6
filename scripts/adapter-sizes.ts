/** `npm run sizes`: what importing each host adapter loads, from what is built. */
import { execFileSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { repositoryRoot } from "./repository-files.ts";

export const ADAPTERS = [
  ...["@arcp/node", "@arcp/express", "@arcp/fastify", "@arcp/hono", "@arcp/hono/fetch", "@arcp/bun"],
] as const;

/** One package of those that an import loads, and the bytes of its modules. */
export interface LoadedPackage {
  readonly name: string;
  readonly bytes: number;
  readonly modules: number;
}

/** Runs in a process of its own, which has loaded nothing else. */
const RECORDER = `
import { registerHooks } from "node:module";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
const loaded = new Map();
registerHooks({
  load(url, context, next) {
    if (url.startsWith("file:")) loaded.set(url, statSync(fileURLToPath(url)).size);
    return next(url, context);
  },
});
await import(process.argv[1]);
console.log(JSON.stringify([...loaded]));
process.exit(0);
`;

/** Every package that importing `specifier` loads, the biggest first. */
export function packagesLoadedBy(specifier: string): LoadedPackage[] {
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", RECORDER, specifier], {
    cwd: repositoryRoot,
    encoding: "utf8",
  });
  const packages = new Map<string, LoadedPackage>();
  for (const [url, size] of JSON.parse(output) as [string, number][]) {
    const name = packageOf(url);
    const { bytes = 0, modules = 0 } = packages.get(name) ?? {};
    packages.set(name, { name, bytes: bytes + size, modules: modules + 1 });
  }
  return [...packages.values()].sort((a, b) => b.bytes - a.bytes);
}

function packageOf(url: string): string {
  const installed = /.*\/node_modules\/(?<name>@[^/]+\/[^/]+|[^/]+)\//.exec(url)?.groups?.["name"];
  return installed ?? `@arcp/${/\/packages\/(?<name>[^/]+)\//.exec(url)?.groups?.["name"]}`;
}

const kilobytes = (packages: readonly LoadedPackage[]): string =>
  `${(packages.reduce((sum, { bytes }) => sum + bytes, 0) / 1000).toFixed(1)} kB`.padStart(10);

function main(): void {
  console.log(`${"adapter".padEnd(18)}${"its own".padStart(10)}${"@arcp/*".padStart(10)}${"all".padStart(10)}  others`);
  for (const adapter of ADAPTERS) {
    const loaded = packagesLoadedBy(adapter);
    const own = loaded.filter(({ name }) => name === adapter.split("/").slice(0, 2).join("/"));
    const ours = loaded.filter(({ name }) => name.startsWith("@arcp/"));
    const others = loaded.filter(({ name }) => !name.startsWith("@arcp/")).map(({ name }) => name);
    const list = others.length > 4 ? [...others.slice(0, 4), `${others.length - 4} more`] : others;
    console.log(`${adapter.padEnd(18)}${kilobytes(own)}${kilobytes(ours)}${kilobytes(loaded)}  ${list.join(", ")}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main();
