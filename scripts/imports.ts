/**
 * The import rules: which package, layer and file may import which.
 *
 * Statements are found by their form, not by a TypeScript parser: the formatter puts every static import and export at
 * the start of a line.
 */
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join, posix, relative, sep } from "node:path";

/** Which packages each package may import. A package that is not listed here has not been given its place yet. */
const PACKAGE_LAYERS: Readonly<Record<string, readonly string[]>> = {
  "@arcp/core": [],
  "@arcp/client": ["@arcp/core"],
  "@arcp/runtime": ["@arcp/core"],
  "@arcp/postgres": ["@arcp/core", "@arcp/runtime"],
  "@arcp/s3": ["@arcp/core", "@arcp/runtime"],
  "@arcp/gateway": ["@arcp/core", "@arcp/runtime"],
  "@arcp/node": ["@arcp/core"],
  "@arcp/express": ["@arcp/core", "@arcp/node"],
  "@arcp/fastify": ["@arcp/core", "@arcp/node"],
  "@arcp/hono": ["@arcp/core", "@arcp/node"],
  "@arcp/bun": ["@arcp/core"],
  "@arcp/middleware-otel": ["@arcp/core"],
  "@arcp/dashboard": ["@arcp/core", "@arcp/client", "@arcp/runtime"],
  "@arcp/conformance": [],
  "@arcp/sdk": [
    ...["@arcp/core", "@arcp/client", "@arcp/runtime", "@arcp/postgres", "@arcp/gateway"],
    ...["@arcp/middleware-otel", "@arcp/dashboard", "@arcp/conformance"],
  ],
};

/** What a package offers beside its root. */
const ENTRANCES: ReadonlySet<string> = new Set([
  "@arcp/core/v1.0",
  "@arcp/core/webhooks",
  "@arcp/conformance/fixture",
  "@arcp/hono/fetch",
  "@arcp/runtime/blobs",
  "@arcp/runtime/lease",
]);

interface LayerRule {
  readonly package: string;
  readonly from: RegExp;
  readonly to: RegExp;
  /** Limits the rule to what is imported by such a name. */
  readonly names?: RegExp;
  readonly typesAllowed: boolean;
  readonly reason: string;
}

/** Layers inside a package. `to` matches a path inside the package's `src`, or the specifier of another package. */
const LAYER_RULES: readonly LayerRule[] = [
  {
    package: "@arcp/runtime",
    from: /^engine\//,
    to: /^wire\//,
    typesAllowed: false,
    reason: "the engine knows no wire",
  },
  {
    package: "@arcp/runtime",
    from: /^engine\//,
    to: /^(store\/sqlite.*|better-sqlite3|node:sqlite|pg)$/,
    typesAllowed: false,
    reason: "the engine knows no database",
  },
  {
    package: "@arcp/runtime",
    from: /^engine\//,
    to: /^(transport\/.*|ws|node:(net|http|https|http2|tls))$/,
    typesAllowed: false,
    reason: "the engine knows no transport",
  },
  {
    package: "@arcp/runtime",
    from: /^engine\//,
    to: /^@arcp\/core$/,
    names: /Transport\b/,
    typesAllowed: false,
    reason: "the engine knows no transport",
  },
  {
    package: "@arcp/runtime",
    from: /^store\//,
    to: /^(wire|engine)\//,
    typesAllowed: true,
    reason: "a store knows the engine and the wires by their types only",
  },
  {
    package: "@arcp/runtime",
    from: /^wire\//,
    to: /^(store\/sqlite.*|better-sqlite3|node:sqlite|pg)$/,
    typesAllowed: false,
    reason: "a wire reaches the store through the engine",
  },
  {
    package: "@arcp/dashboard",
    from: /^(?!app\/)/,
    to: /^(app\/.*|@arcp\/client)$/,
    typesAllowed: false,
    reason: "what serves the pages is no client",
  },
  {
    package: "@arcp/dashboard",
    from: /^app\//,
    to: /^(node:.*|(?!app\/)[\w-]+\.ts)$/,
    typesAllowed: false,
    reason: "the pages run in browsers",
  },
  {
    package: "@arcp/dashboard",
    from: /^(?!app\/lease-builder\.tsx$)/,
    to: /^@arcp\/runtime$/,
    typesAllowed: false,
    reason: "of the runtime it has the algebra of leases alone, where leases are made",
  },
];

/** What a package bundles into files of its own: its users do not get the packages that these files are made of. */
const BUNDLED: Readonly<Record<string, RegExp>> = { "@arcp/dashboard": /^app\// };

export interface Import {
  readonly specifier: string;
  /** What stands between `import` and `from`. */
  readonly clause: string;
  readonly isTypeOnly: boolean;
  readonly line: number;
}

export interface SourcePackage {
  readonly name: string;
  /** What its manifest says that its users get with it. */
  readonly dependencies: readonly string[];
  /** What its manifest says that it is made with. */
  readonly devDependencies?: readonly string[];
  /** Path inside `src`, with forward slashes, to text. */
  readonly sources: ReadonlyMap<string, string>;
}

const STATEMENT = /^(?:import|export)\b(?<clause>[^;"'`]*?)(?:\bfrom\s*)?["'](?<specifier>[^"'\n]+)["']/gm;
const DYNAMIC_IMPORT = /(?<![.\w])import\(\s*["'](?<specifier>[^"'\n]+)["']/g;

/** Every import of a file, and every export from another file, in the order of their lines. */
export function importsOf(source: string): Import[] {
  const found: Import[] = [];
  for (const match of source.matchAll(STATEMENT)) {
    const clause = match.groups?.["clause"] ?? "";
    if (!isModuleClause(match[0], clause)) continue;
    found.push(importAt(source, match));
  }
  for (const match of source.matchAll(DYNAMIC_IMPORT)) {
    if (!isInComment(source, match.index)) found.push(importAt(source, match));
  }
  return found.sort((a, b) => a.line - b.line);
}

/** Tells `import "x"` and `… from "x"` from a declaration that happens to contain a string. */
function isModuleClause(statement: string, clause: string): boolean {
  if (/\bfrom\s*["'][^"']*["']$/.test(statement)) return /^\s*(?:type\b)?[\s\w$*,{}]*$/.test(clause);
  return statement.startsWith("import") && clause.trim() === "";
}

function isInComment(source: string, index: number): boolean {
  return /^\s*(?:\*|\/\/|\/\*)/.test(source.slice(source.lastIndexOf("\n", index) + 1, index));
}

function importAt(source: string, match: RegExpExecArray): Import {
  const { specifier = "", clause = "" } = match.groups ?? {};
  const isTypeOnly = /^\s*type\s+[\w{*]/.test(clause);
  return { specifier, clause, isTypeOnly, line: source.slice(0, match.index).split("\n").length };
}

/** Every broken import rule of a package, each as `package/src/file:line: what is wrong`. */
export function importProblems(source: SourcePackage): string[] {
  if (!(source.name in PACKAGE_LAYERS)) return [`${source.name}: has no place in the layers of scripts/imports.ts`];
  const problems: string[] = [];
  for (const [file, text] of source.sources) {
    for (const imported of importsOf(text)) {
      const problem = isRelative(imported.specifier)
        ? relativeImportProblem(source, file, imported)
        : packageImportProblem(source, file, imported);
      if (problem !== undefined) problems.push(`${source.name}/src/${file}:${imported.line}: ${problem}`);
    }
  }
  return [...problems, ...cycleProblems(source)];
}

function relativeImportProblem(source: SourcePackage, file: string, imported: Import): string | undefined {
  const target = targetOf(file, imported.specifier);
  if (target.startsWith("../")) return `${imported.specifier} is outside the package's src`;
  if (!source.sources.has(target)) return `${imported.specifier} does not exist`;
  return layerProblem(source.name, file, target, imported);
}

function packageImportProblem(source: SourcePackage, file: string, imported: Import): string | undefined {
  const { specifier } = imported;
  if (specifier.startsWith("node:")) return layerProblem(source.name, file, specifier, imported);
  if (builtinModules.includes(specifier)) return `${specifier} is written node:${specifier}`;
  const name = packageNameOf(specifier);
  if (name in PACKAGE_LAYERS) {
    if (!PACKAGE_LAYERS[source.name]?.includes(name)) return `${source.name} must not import ${name}`;
    if (specifier !== name && !ENTRANCES.has(specifier)) return `${specifier} reaches into ${name}; import its root`;
  }
  const isBundled = BUNDLED[source.name]?.test(file) === true && source.devDependencies?.includes(name) === true;
  if (!isBundled && !source.dependencies.includes(name)) return `${name} is not among the dependencies in package.json`;
  return layerProblem(source.name, file, name, imported);
}

function layerProblem(packageName: string, file: string, target: string, imported: Import): string | undefined {
  const broken = LAYER_RULES.find(
    (rule) =>
      rule.package === packageName &&
      rule.from.test(file) &&
      rule.to.test(target) &&
      (rule.names?.test(imported.clause) ?? true) &&
      !(rule.typesAllowed && imported.isTypeOnly),
  );
  return broken && `must not import ${target}: ${broken.reason}`;
}

/** Each import cycle of a package once, types aside. */
function cycleProblems(source: SourcePackage): string[] {
  const imports = new Map([...source.sources].map(([file, text]) => [file, runtimeTargets(file, text)]));
  const finished = new Set<string>();
  const problems: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (finished.has(file)) return;
    if (path.includes(file)) {
      const cycle = [...path.slice(path.indexOf(file)), file];
      problems.push(`${source.name}/src: import cycle ${cycle.join(" -> ")}`);
      return;
    }
    for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
    finished.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return problems;
}

function runtimeTargets(file: string, text: string): string[] {
  const values = importsOf(text).filter(({ specifier, isTypeOnly }) => isRelative(specifier) && !isTypeOnly);
  return values.map(({ specifier }) => targetOf(file, specifier));
}

/**
 * What an example, which shows what a user would write, imports beyond what a user could. `entrances` are what the
 * packages' manifests export: `@arcp/sdk`, `@arcp/sdk/terminal`, …
 */
export function exampleImportProblems(file: string, text: string, entrances: ReadonlySet<string>): string[] {
  return importsOf(text).flatMap(({ specifier, line }) => {
    const isDeep = packageNameOf(specifier) in PACKAGE_LAYERS && !entrances.has(specifier);
    const isInternal = isRelative(specifier) && targetOf(file, specifier).startsWith("packages/");
    return isDeep || isInternal ? [`${file}:${line}: ${specifier} is not public; import what a package exports`] : [];
  });
}

function isRelative(specifier: string): boolean {
  return specifier.startsWith("./") || specifier.startsWith("../");
}

function targetOf(file: string, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(file), specifier));
}

function packageNameOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function packageDirectories(root: string): string[] {
  return readdirSync(join(root, "packages"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(root, "packages", entry.name));
}

function readPackage(directory: string): SourcePackage {
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies };
  const source = join(directory, "src");
  const files = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:tsx?|css)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  const sources = files.map(
    (file) => [relative(source, file).split(sep).join("/"), readFileSync(file, "utf8")] as const,
  );
  const devDependencies = Object.keys(manifest.devDependencies ?? {});
  return { name: manifest.name, dependencies: Object.keys(declared), devDependencies, sources: new Map(sources) };
}

/** What a manifest lets others import. */
function entrancesOf(directory: string): string[] {
  const { name, exports } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  return Object.keys(exports).map((path) => posix.join(name, path));
}

/** Every broken import rule of the checkout. */
export function allImportProblems(root: string, files: readonly string[]): string[] {
  const directories = packageDirectories(root);
  const entrances = new Set(directories.flatMap(entrancesOf));
  const examples = files.filter((file) => file.startsWith("examples/") && file.endsWith(".ts"));
  return [
    ...directories.map(readPackage).flatMap(importProblems),
    ...examples.flatMap((file) => exampleImportProblems(file, readFileSync(join(root, file), "utf8"), entrances)),
  ];
}
