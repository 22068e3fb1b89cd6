/** The reference of the packages: a page for each entrance, made of the declarations and docstrings of what it exports. */
import ts from "typescript";
import { type Declarations, docstringOf, type Entrance, type Exported, resolvedSymbol } from "./declarations.ts";
import { markdownOf } from "./docstring.ts";
import { listingOf } from "./listing.ts";

/** Of a value or a type: what is longer is a table of data. */
const MAX_LINES = 80;

const COMMENT_COLUMNS = 82;

const GROUPS = ["Functions", "Classes", "Types", "Values"] as const;

/** The pages, by their paths on the site. */
export function apiPages(declarations: Declarations): ReadonlyMap<string, string> {
  const places = placesOf(declarations);
  const pages = declarations.entrances.map(
    (entrance) => [`${pageOfEntrance(entrance.name)}.md`, entrancePage(entrance, declarations, places)] as const,
  );
  return new Map([["api/index.md", overview(declarations.entrances)], ...pages]);
}

/** `api/core/v1.0` */
export const pageOfEntrance = (name: string): string => name.replace("@arcp/", "api/");

/** What is exported and has no docstring, as `@arcp/core: name`. */
export function undocumentedExports({ checker, entrances, packageOf }: Declarations): readonly string[] {
  const own = entrances.flatMap((entrance) =>
    entrance.exports
      .filter(({ symbol }) => symbol.declarations?.some((each) => packageOf(each) === entrance.package))
      .filter(({ symbol }) => docstringOf(checker, symbol) === "")
      .map(({ name }) => `${entrance.name}: ${name}`),
  );
  return [...new Set(own)].sort();
}

/** Where each exported thing is described: by the package that declares it, or else by the first that exports it. */
function placesOf({ entrances, packageOf }: Declarations): ReadonlyMap<ts.Symbol, string> {
  const places = new Map<ts.Symbol, string>();
  const taken = new Set<string>();
  const isOwn = (entrance: Entrance, { symbol }: Exported): boolean =>
    symbol.declarations?.some((each) => packageOf(each) === entrance.package) ?? false;
  const describe = (entrance: Entrance, { name, symbol }: Exported): void => {
    if (places.has(symbol)) return;
    const place = `/${pageOfEntrance(entrance.name)}.md#${name.toLowerCase()}`;
    // A type and its constructor may differ in a capital letter only.
    const free = taken.has(place) ? `${place}-1` : place;
    taken.add(free);
    places.set(symbol, free);
  };
  for (const entrance of entrances) {
    for (const exported of entrance.exports) if (isOwn(entrance, exported)) describe(entrance, exported);
  }
  for (const entrance of entrances) for (const exported of entrance.exports) describe(entrance, exported);
  return places;
}

function overview(entrances: readonly Entrance[]): string {
  const rows = entrances.map(
    ({ name, description, package: directory }) =>
      `| [\`${name}\`](/${pageOfEntrance(name)}.md) | ${description} ([how to use it](/packages/${directory}.md)) |`,
  );
  return [
    "# API reference",
    "Everything that the packages export. What is not here is not for use: it may change with any release.",
    ["| Import | What it is |", "| --- | --- |", ...rows].join("\n"),
    "",
  ].join("\n\n");
}

function entrancePage(entrance: Entrance, declarations: Declarations, places: ReadonlyMap<ts.Symbol, string>): string {
  const page = `/${pageOfEntrance(entrance.name)}.md#`;
  const isHere = ({ symbol }: Exported): boolean => places.get(symbol)?.startsWith(page) ?? false;
  const here = entrance.exports.filter(
    (each, index, all) => isHere(each) && all.findIndex(({ symbol }) => symbol === each.symbol) === index,
  );
  const elsewhere = entrance.exports.filter((each) => !here.includes(each));
  const groups = GROUPS.flatMap((title) => {
    const members = here.filter(({ symbol }) => groupOf(symbol) === title);
    if (members.length === 0) return [];
    const sorted = members.toSorted((a, b) => a.name.localeCompare(b.name, "en"));
    return [`## ${title}`, ...sorted.map((each) => section(each, declarations, places))];
  });
  const others = elsewhere
    .toSorted((a, b) => a.name.localeCompare(b.name, "en"))
    .map(({ name, symbol }) => `[\`${name}\`](${places.get(symbol)})`);
  return [
    "---\noutline: [2, 3]\n---",
    `# ${entrance.name} {#top}`,
    `${entrance.description}. [How to use it](/packages/${entrance.package}.md).`,
    ...groups,
    ...(others.length === 0 ? [] : ["## Also exported", others.join(", ")]),
    "",
  ].join("\n\n");
}

function groupOf({ flags }: ts.Symbol): (typeof GROUPS)[number] {
  if (flags & ts.SymbolFlags.Class) return "Classes";
  if (flags & ts.SymbolFlags.Function) return "Functions";
  return flags & (ts.SymbolFlags.Variable | ts.SymbolFlags.ValueModule) ? "Values" : "Types";
}

function section(
  { name, symbol }: Exported,
  { checker }: Declarations,
  places: ReadonlyMap<ts.Symbol, string>,
): string {
  const written = (symbol.declarations ?? []).map((each) => declarationText(each, checker));
  const linkTo = (target: string): string | undefined => {
    const [first = ""] = target.split(/[.#]/);
    const found = [...places].find(([each]) => each.name === first);
    return found?.[1];
  };
  const mentioned = new Map(
    [...mentionedBy(symbol, checker)].flatMap((each) => {
      const place = places.get(each);
      return each === symbol || place === undefined ? [] : [[each.name, builtPlace(place)] as const];
    }),
  );
  return [
    `### \`${name}\` {#${places.get(symbol)?.split("#")[1]}}`,
    markdownOf(docstringOf(checker, symbol), linkTo),
    listingOf(written.join("\n"), (target) => mentioned.get(target)),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** Where a page is on the built site: VitePress leads links of Markdown there, and none in HTML. */
const builtPlace = (place: string): string =>
  (process.env["DOCS_BASE"] ?? "/").replace(/\/$/, "") + place.replace(".md#", ".html#");

/** As the package declares it, without what is of no use outside. */
function declarationText(declaration: ts.Declaration, checker: ts.TypeChecker): string {
  const text = ts.isVariableDeclaration(declaration) ? valueText(declaration) : aliasText(declaration, checker);
  const lines = text
    .replace(/^export (?:default )?(?:declare )?/, "")
    .replace(/^declare /, "")
    .replaceAll(/^(?: {4})+/gm, (indent) => " ".repeat(indent.length / 2))
    .replaceAll(/^( *)\/\*\*([\s\S]*?)\*\//gm, (_, indent: string, comment: string) => commentText(comment, indent))
    .split("\n")
    .filter((line) => !/^\s*(?:#private;|private .*;)$/.test(line));
  const isData = ts.isVariableDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration);
  return isData && lines.length > MAX_LINES ? [...lines.slice(0, MAX_LINES), "// …"].join("\n") : lines.join("\n");
}

/** A comment in lines that a page has room for, and in words for people. */
function commentText(comment: string, indent: string): string {
  const words = comment
    .replaceAll(/^ *\* ?/gm, "")
    .replaceAll(/\{@link ([^}\s]+)(?: ([^}]*))?\}/g, (_, target: string, label?: string) => label?.trim() || target)
    .trim()
    .split(/(\n(?=\n|[-*@] ))|\s+/)
    .filter((word) => word !== undefined && word !== "");
  const lines = [""];
  for (const word of words) {
    const line = lines.at(-1) ?? "";
    if (word === "\n" || indent.length + line.length + word.length > COMMENT_COLUMNS) lines.push("");
    if (word !== "\n") lines[lines.length - 1] = `${lines.at(-1)}${lines.at(-1) === "" ? "" : " "}${word}`;
  }
  return lines.map((line) => `${indent}// ${line}`).join("\n");
}

/** Of a schema only which kind it is: the type that is inferred from it says the rest. */
function valueText(declaration: ts.VariableDeclaration): string {
  const text = `const ${declaration.getText()};`;
  return text.replace(/^(const \w+: z\.Zod\w+)<[\s\S]*>;$/, "$1<…>;");
}

/** What a type that is inferred from a schema comes to; everything else as it is written. */
function aliasText(declaration: ts.Declaration, checker: ts.TypeChecker): string {
  const text = declaration.getText();
  if (!ts.isTypeAliasDeclaration(declaration) || !/\bz\.(?:infer|output|input)\b/.test(text)) return text;
  const flags =
    ts.NodeBuilderFlags.NoTruncation | ts.NodeBuilderFlags.InTypeAlias | ts.NodeBuilderFlags.MultilineObjectLiterals;
  const node = checker.typeToTypeNode(checker.getTypeAtLocation(declaration), declaration, flags);
  if (node === undefined) return text;
  const printed = ts.createPrinter().printNode(ts.EmitHint.Unspecified, node, declaration.getSourceFile());
  return `type ${declaration.name.text} = ${printed};`;
}

/** Everything that its declaration names. */
function mentionedBy(symbol: ts.Symbol, checker: ts.TypeChecker): ReadonlySet<ts.Symbol> {
  const found = new Set<ts.Symbol>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const named = checker.getSymbolAtLocation(node);
      if (named !== undefined) found.add(resolvedSymbol(checker, named));
    }
    ts.forEachChild(node, visit);
  };
  symbol.declarations?.forEach(visit);
  return found;
}
