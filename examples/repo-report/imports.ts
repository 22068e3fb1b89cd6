/** Which files of the tree import which: JavaScript, TypeScript and Python, as far as a path can be followed. */
import { posix } from "node:path";
import type { Narrator } from "./narration.ts";
import { byText } from "./ranking.ts";
import type { SourceFile } from "./source-file.ts";

/** Per file: the files that it loads when it is loaded, in text order. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

interface Statement {
  readonly from: string;
  /** The module as it is written. */
  readonly module: string;
  /** Python: the names taken from it, each of which may be a module of its own. */
  readonly names: readonly string[];
}

/**
 * Imports that run when the file is loaded. `import type` is erased, and `import()` and indented Python imports run
 * later: none of them makes a cycle that anyone meets.
 */
export class ImportCollector {
  readonly #paths = new Set<string>();
  readonly #scripts: Statement[] = [];
  readonly #pythons: Statement[] = [];

  add(file: SourceFile): void {
    this.#paths.add(file.path);
    const { name } = file.language;
    if (name === "TypeScript" || name === "JavaScript") this.#scripts.push(...scriptImports(file));
    else if (name === "Python") this.#pythons.push(...pythonImports(file));
  }

  async graph(narrator: Narrator): Promise<ImportGraph> {
    const edges = new Map<string, Set<string>>();
    const connect = (from: string, to: string): void => {
      if (from === to) return;
      const targets = edges.get(from) ?? new Set();
      edges.set(from, targets.add(to));
    };
    for (const statement of this.#scripts) {
      await narrator.breathe();
      const target = resolveScript(statement, this.#paths);
      if (target !== undefined) connect(statement.from, target);
    }
    for (const statement of this.#pythons) {
      await narrator.breathe();
      for (const target of resolvePython(statement, this.#paths)) connect(statement.from, target);
    }
    return new Map([...edges].map(([from, targets]) => [from, [...targets].sort(byText)]));
  }
}

// A clause ends where the next one starts: otherwise a hostile file could make the search quadratic.
const FROM_CLAUSE =
  /^[ \t]*(?:import|export)\b(?!\s+type\b)(?:(?!\n[ \t]*(?:import|export)\b)[^;'"`()=<>])*?\bfrom\s*["']([^"'\n]+)["']/gm;
const BARE_IMPORT = /^[ \t]*import\s*["']([^"'\n]+)["']/gm;
const REQUIRE = /^(?![ \t]*(?:\/\/|\*)).*?\brequire\(\s*["']([^"'\n]+)["']\s*\)/gm;

function scriptImports(file: SourceFile): Statement[] {
  return [FROM_CLAUSE, BARE_IMPORT, REQUIRE]
    .flatMap((pattern) => [...file.text.matchAll(pattern)])
    .map((match) => ({ from: file.path, module: match[1] ?? "", names: [] }))
    .filter(({ module }) => module.startsWith("."));
}

const SCRIPT_EXTENSIONS = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"];
/** TypeScript imports the name that its output will have. */
const SOURCE_OF: Readonly<Record<string, readonly string[]>> = {
  ".js": [".ts", ".tsx"],
  ".jsx": [".tsx"],
  ".mjs": [".mts"],
  ".cjs": [".cts"],
};

function resolveScript({ from, module }: Statement, paths: ReadonlySet<string>): string | undefined {
  const base = posix.join(posix.dirname(from), module);
  const extension = posix.extname(base);
  const stem = base.slice(0, base.length - extension.length);
  const candidates = [
    base,
    ...(SOURCE_OF[extension] ?? []).map((source) => stem + source),
    ...SCRIPT_EXTENSIONS.map((added) => base + added),
    ...SCRIPT_EXTENSIONS.map((added) => posix.join(base, `index${added}`)),
  ];
  return candidates.find((candidate) => paths.has(candidate));
}

const PYTHON_FROM = /^from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(?:\(((?:(?!\nfrom\b)[^)])*)\)|([^\n#]+))/gm;
const PYTHON_IMPORT = /^import[ \t]+([^\n#]+)/gm;

function pythonImports(file: SourceFile): Statement[] {
  const fromClauses = [...file.text.matchAll(PYTHON_FROM)].map((match) => ({
    from: file.path,
    module: match[1] ?? "",
    names: importedNames((match[2] ?? match[3] ?? "").replace(/#.*/g, "")),
  }));
  const imports = [...file.text.matchAll(PYTHON_IMPORT)].flatMap((match) =>
    importedNames(match[1] ?? "").map((module) => ({ from: file.path, module, names: [] })),
  );
  return [...fromClauses, ...imports];
}

/** `a as b, c` imports a and c. */
function importedNames(list: string): string[] {
  return list
    .split(",")
    .map((item) => item.trim().split(/\s+/, 1)[0] ?? "")
    .filter((name) => /^[\w.]+$/.test(name));
}

function resolvePython({ from, module, names }: Statement, paths: ReadonlySet<string>): string[] {
  for (const base of pythonBases(from, module, paths)) {
    const submodules = names.map((name) => pythonModule(posix.join(base, name), paths));
    const found = submodules.filter((path) => path !== undefined);
    // A name that is no module of its own is taken from the module itself.
    if (names.length === 0 || found.length < names.length) found.push(...asList(pythonModule(base, paths)));
    if (found.length > 0) return found;
  }
  return [];
}

/** Where the module may be: next to the file for a relative import, otherwise from the top of its package or tree. */
function pythonBases(from: string, module: string, paths: ReadonlySet<string>): string[] {
  const dots = /^\.*/.exec(module)?.[0].length ?? 0;
  const path = module.slice(dots).replaceAll(".", "/");
  if (dots > 0) return [posix.join(posix.dirname(from), "../".repeat(dots - 1), path)];
  return [posix.join(packageRoot(from, paths), path), posix.join(".", path)];
}

/** The nearest directory above the file that is not itself a package. */
function packageRoot(from: string, paths: ReadonlySet<string>): string {
  let directory = posix.dirname(from);
  while (directory !== "." && paths.has(posix.join(directory, "__init__.py"))) directory = posix.dirname(directory);
  return directory;
}

function pythonModule(base: string, paths: ReadonlySet<string>): string | undefined {
  return [`${base}.py`, posix.join(base, "__init__.py")].find((path) => paths.has(path));
}

function asList<T>(item: T | undefined): T[] {
  return item === undefined ? [] : [item];
}
