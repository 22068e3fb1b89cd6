/** The packages as they are published: packed as npm packs them, and served to npm by a registry in this process. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, sep } from "node:path";
import { runCommand } from "./command.ts";
import { repositoryRoot } from "./repository-files.ts";
import { publishedPackages } from "./sbom.ts";

export interface PackedPackage {
  readonly name: string;
  readonly version: string;
  /** The archive. */
  readonly file: string;
  /** What is in it, relative to the package. */
  readonly files: readonly string[];
  readonly manifest: Manifest;
}

export interface Manifest {
  readonly license?: string;
  readonly engines?: { readonly node?: string };
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** Packs every package that is published into `destination`, without what was built of sources that are gone. */
export async function packPackages(destination: string): Promise<readonly PackedPackage[]> {
  for (const path of publishedPackages(repositoryRoot)) removeStale(join(repositoryRoot, path));
  const args = ["pack", "--workspace=packages", "--json", "--loglevel=error", "--pack-destination", destination];
  const { succeeded, output } = await runCommand("npm", args, { cwd: repositoryRoot });
  if (!succeeded) throw new Error(`npm pack failed:\n${output}`);
  return listed(output).map(({ name, version, filename, files }) => ({
    ...{ name, version, files: files.map(({ path }) => path) },
    file: join(destination, filename),
    manifest: JSON.parse(
      readFileSync(join(repositoryRoot, "packages", name.replace("@arcp/", ""), "package.json"), "utf8"),
    ),
  }));
}

interface Listed {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** The compiler leaves the output of a source that is removed where it is. */
function removeStale(directory: string): void {
  const files = ["dist", "src"].flatMap((name) =>
    readdirSync(join(directory, name), { recursive: true, encoding: "utf8" }).map((file) =>
      `${name}/${file}`.replaceAll(sep, "/"),
    ),
  );
  for (const file of files.filter((each) => isStale(each, files))) rmSync(join(directory, file));
}

/** Some versions of npm print a list, others an object by name; and warnings around it. */
function listed(output: string): readonly Listed[] {
  const [json = ""] = /^[[{][\s\S]*^[\]}]/m.exec(output) ?? [];
  return Object.values(JSON.parse(json));
}

/** What is wrong with an archive. */
export function packProblems({ name, files, manifest }: PackedPackage): string[] {
  const problems = ["package.json", "README.md", "LICENSE"]
    .filter((file) => !files.includes(file))
    .map((file) => `lacks ${file}`);
  if (manifest.license !== "Apache-2.0") problems.push(`has the licence ${manifest.license}`);
  if (manifest.engines?.node === undefined) problems.push("does not say which Node it needs");
  const foreign = files.filter(
    (file) => !/^(?:dist|src|bin|data|templates)\/|^(?:package\.json|README\.md|LICENSE)$/.test(file),
  );
  problems.push(...foreign.map((file) => `holds ${file}`));
  problems.push(
    ...files
      .filter((file) => /\.tsbuildinfo$|\.test\.|(?:^|\/)\.(?!gitignore)/.test(file) && !file.startsWith("templates/"))
      .map((file) => `holds ${file}`),
  );
  // What was built once, and is of no source any more.
  const stale = files.filter((file) => isStale(file, files));
  problems.push(...stale.map((file) => `holds ${file}, which has no source: remove dist and build again`));
  for (const target of [...Object.values(manifest.bin ?? {}), ...targetsOf(manifest.exports ?? {})]) {
    if (!files.includes(target.replace(/^\.\//, ""))) problems.push(`promises ${target}, which is not in it`);
  }
  return problems.map((problem) => `${name} ${problem}`);
}

function isStale(file: string, files: readonly string[]): boolean {
  const [, stem] = /^dist\/(.+?)(?:\.d)?\.[jt]s$/.exec(file) ?? [];
  // Pages are bundled, from sources that are called otherwise.
  if (stem === undefined || /^app(?:-types)?\//.test(stem)) return false;
  return !files.includes(`src/${stem}.ts`);
}

function targetsOf(exports: unknown): string[] {
  if (typeof exports === "string") return [exports];
  return Object.values(exports as object).flatMap(targetsOf);
}

export interface RunningRegistry extends AsyncDisposable {
  readonly url: string;
}

/** A registry that has these packages and nothing else, for the scope that they are in. */
export async function serveRegistry(packages: readonly PackedPackage[]): Promise<RunningRegistry> {
  const archives = new Map(packages.map((each) => [each.name, readFileSync(each.file)]));
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    const asked = packages.find(({ name }) => path === `/${name}` || path === `/${name}/archive.tgz`);
    const archive = asked === undefined ? undefined : archives.get(asked.name);
    if (asked === undefined || archive === undefined) {
      response.writeHead(404).end("{}");
    } else if (path.endsWith(".tgz")) {
      response.writeHead(200, { "content-type": "application/octet-stream" }).end(archive);
    } else {
      const tarball = `${url}${asked.name}/archive.tgz`;
      const integrity = `sha512-${createHash("sha512").update(archive).digest("base64")}`;
      const version = { ...asked.manifest, dist: { tarball, integrity } };
      const latest = { "dist-tags": { latest: asked.version }, versions: { [asked.version]: version } };
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ name: asked.name, ...latest }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
