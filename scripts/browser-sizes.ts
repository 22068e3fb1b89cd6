/** `npm run sizes`: what a page loads that uses the clients, from what is built: minified, and as gzip. */
import { isBuiltin } from "node:module";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { repositoryRoot } from "./repository-files.ts";

/** What a page imports, and how many bytes that may be as gzip. */
export const PAGES = {
  "ARCPClient (wire 1.1)": { source: `export { ARCPClient } from "@arcp/client";`, budget: 56_000 },
  "ARCPToolClient (wire 1.0)": { source: `export { ARCPToolClient } from "@arcp/client";`, budget: 68_000 },
  "all of @arcp/client": { source: `export * from "@arcp/client";`, budget: 82_000 },
} as const;

export interface PageBundle {
  readonly bytes: number;
  readonly gzipBytes: number;
  /** Modules of Node, and whatever else could not be bundled. */
  readonly imports: readonly string[];
  /** Of the packages whose modules are in it. */
  readonly packages: readonly string[];
}

const ENTRY = "\0page";

/** `source` as a page would load it: one module, resolved and minified by Vite as it does for everybody. */
export async function bundleForPage(source: string): Promise<PageBundle> {
  const output = (await build({
    configFile: false,
    root: repositoryRoot,
    logLevel: "silent",
    build: {
      write: false,
      minify: true,
      target: "es2024",
      rolldownOptions: {
        input: ENTRY,
        preserveEntrySignatures: "strict",
        // Vite would put empty modules in their place, and nobody would see it.
        external: (name) => isBuiltin(name),
      },
    },
    plugins: [
      {
        name: "page",
        enforce: "pre",
        resolveId: (id) => (id === ENTRY ? id : undefined),
        load: (id) => (id === ENTRY ? source : undefined),
      },
    ],
  })) as Rolldown.RolldownOutput;
  const chunks = output.output.filter((file) => file.type === "chunk");
  const code = chunks.map((chunk) => chunk.code).join("");
  return {
    bytes: Buffer.byteLength(code),
    gzipBytes: gzipSync(code).length,
    imports: chunks.flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports]),
    packages: [...new Set(chunks.flatMap((chunk) => chunk.moduleIds.flatMap(packageOf)))].toSorted(),
  };
}

/** None for what the bundler itself adds. */
function packageOf(file: string): readonly string[] {
  const installed = /.*\/node_modules\/(?<name>@[^/]+\/[^/]+|[^/]+)\//.exec(file)?.groups?.["name"];
  if (installed !== undefined) return [installed];
  const own = /\/packages\/(?<name>[^/]+)\//.exec(file)?.groups?.["name"];
  return own === undefined ? [] : [`@arcp/${own}`];
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`.padStart(10);

async function main(): Promise<void> {
  console.log(
    `${"in a page".padEnd(28)}${"minified".padStart(10)}${"gzip".padStart(10)}${"budget".padStart(10)}  from`,
  );
  for (const [name, { source, budget }] of Object.entries(PAGES)) {
    const { bytes, gzipBytes, packages } = await bundleForPage(source);
    console.log(
      `${name.padEnd(28)}${kilobytes(bytes)}${kilobytes(gzipBytes)}${kilobytes(budget)}  ${packages.join(", ")}`,
    );
    if (gzipBytes > budget) process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
