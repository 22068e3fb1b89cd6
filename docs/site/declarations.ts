/** What the packages export, as their declarations say it. The native compiler has no interface for this; the one before it has. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";

/** What a program imports by one name. */
export interface Entrance {
  /** `@arcp/core/v1.0` */
  readonly name: string;
  readonly package: string;
  /** Of the package. */
  readonly description: string;
  readonly exports: readonly Exported[];
}

export interface Exported {
  readonly name: string;
  /** The same for every entrance that exports it. */
  readonly symbol: ts.Symbol;
}

/** Everything that is exported, and who can say more of it. */
export interface Declarations {
  readonly checker: ts.TypeChecker;
  readonly entrances: readonly Entrance[];
  /** The package whose file declares it; `undefined` for what comes from elsewhere. */
  packageOf(declaration: ts.Declaration): string | undefined;
}

interface Manifest {
  readonly name: string;
  readonly description: string;
  readonly exports: Readonly<Record<string, { readonly types: string }>>;
}

/** Reads what `tsc -b` made of the packages below the root. */
export function readDeclarations(root: string): Declarations {
  const packages = join(root, "packages");
  const manifests = readdirSync(packages)
    .sort()
    .map((directory) => ({
      directory,
      manifest: JSON.parse(readFileSync(join(packages, directory, "package.json"), "utf8")) as Manifest,
    }));
  const files = manifests.flatMap(({ directory, manifest }) =>
    Object.entries(manifest.exports).map(([path, { types }]) => ({
      name: `${manifest.name}${path.slice(1)}`,
      package: directory,
      description: manifest.description,
      file: join(packages, directory, types),
    })),
  );
  const program = ts.createProgram(
    files.map(({ file }) => file),
    {
      target: ts.ScriptTarget.ES2024,
      lib: ["lib.es2024.d.ts", "lib.esnext.disposable.d.ts", "lib.esnext.iterator.d.ts"],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      noEmit: true,
    },
  );
  const checker = program.getTypeChecker();
  const entrances = files.map(({ file, ...entrance }) => {
    const source = program.getSourceFile(file);
    const module = source && checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${relative(root, file)} is missing: npm run build`);
    const exports = checker
      .getExportsOfModule(module)
      .map((each) => ({ name: each.name, symbol: resolvedSymbol(checker, each) }));
    return { ...entrance, exports };
  });
  return { checker, entrances, packageOf };

  function packageOf(declaration: ts.Declaration): string | undefined {
    const [directory, , output] = relative(packages, declaration.getSourceFile().fileName).split(/[\\/]/);
    return output === undefined || directory === ".." ? undefined : directory;
  }
}

/** What a name stands for, through imports and exports. */
export const resolvedSymbol = (checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

/** Its docstring, as it was written: what it says, then what its tags say. */
export function docstringOf(checker: ts.TypeChecker, symbol: ts.Symbol): string {
  const tags = symbol
    .getJsDocTags(checker)
    .map(({ name, text }) => tagLine(name, ts.displayPartsToString(text)))
    .filter((line) => line !== "");
  return [ts.displayPartsToString(symbol.getDocumentationComment(checker)), ...tags].filter(Boolean).join("\n\n");
}

function tagLine(tag: string, text: string): string {
  if (tag === "throws") return `Throws ${text.replace(/^[A-Z]\w+/, "{@link $&}")}`;
  if (tag === "returns") return `Returns ${text}`;
  return tag === "param" ? text.replace(/^(\S+)(?: -)? ?/, "`$1`: ") : "";
}
