/** Which language a file is written in, what that means for reading it, and the totals by language. */
import { byText } from "./ranking.ts";
import type { SourceFile } from "./source-file.ts";

export interface Language {
  readonly name: string;
  /** Only code is searched for duplicates, markers, imports and functions. */
  readonly kind: "code" | "markup" | "data" | "prose";
  /** What starts a comment that runs to the end of the line; "" if there is none. */
  readonly lineComment: "//" | "#" | "--" | ";" | "%" | "";
}

const TABLE: readonly (readonly [Language["kind"], Language["lineComment"], string, string])[] = [
  ["code", "//", "TypeScript", ".ts .tsx .mts .cts"],
  ["code", "//", "JavaScript", ".js .jsx .mjs .cjs"],
  ["code", "//", "Vue", ".vue"],
  ["code", "//", "Svelte", ".svelte"],
  ["code", "#", "Python", ".py .pyi .pyw"],
  ["code", "//", "Go", ".go"],
  ["code", "//", "Rust", ".rs"],
  ["code", "//", "C", ".c .h"],
  ["code", "//", "C++", ".cc .cpp .cxx .hpp .hh .hxx"],
  ["code", "//", "C#", ".cs"],
  ["code", "//", "Java", ".java"],
  ["code", "//", "Kotlin", ".kt .kts"],
  ["code", "//", "Scala", ".scala"],
  ["code", "//", "Swift", ".swift"],
  ["code", "//", "Objective-C", ".m .mm"],
  ["code", "//", "Dart", ".dart"],
  ["code", "//", "Zig", ".zig"],
  ["code", "//", "PHP", ".php"],
  ["code", "//", "Groovy", ".groovy .gradle Jenkinsfile"],
  ["code", "//", "Protocol Buffers", ".proto"],
  ["code", "//", "Solidity", ".sol"],
  ["code", "#", "Ruby", ".rb .rake Rakefile Gemfile"],
  ["code", "#", "Perl", ".pl .pm"],
  ["code", "#", "Shell", ".sh .bash .zsh .fish"],
  ["code", "#", "PowerShell", ".ps1 .psm1"],
  ["code", "#", "Elixir", ".ex .exs"],
  ["code", "#", "R", ".r .R"],
  ["code", "#", "Julia", ".jl"],
  ["code", "#", "Nix", ".nix"],
  ["code", "#", "Terraform", ".tf"],
  ["code", "#", "Make", ".mk Makefile GNUmakefile"],
  ["code", "#", "CMake", ".cmake CMakeLists.txt"],
  ["code", "#", "Dockerfile", ".dockerfile Dockerfile Containerfile"],
  ["code", "#", "GraphQL", ".graphql .gql"],
  ["code", "--", "SQL", ".sql"],
  ["code", "--", "Lua", ".lua"],
  ["code", "--", "Haskell", ".hs"],
  ["code", "--", "Elm", ".elm"],
  ["code", ";", "Lisp", ".lisp .el .scm .clj .cljs .cljc"],
  ["code", ";", "Assembly", ".asm .s .S"],
  ["code", "%", "Erlang", ".erl .hrl"],
  ["code", "//", "CSS", ".css .scss .sass .less"],
  ["markup", "", "HTML", ".html .htm .xhtml"],
  ["markup", "", "XML", ".xml .xsd .xsl .svg .plist"],
  ["prose", "", "Markdown", ".md .mdx .markdown"],
  ["prose", "", "reStructuredText", ".rst"],
  ["prose", "%", "TeX", ".tex"],
  ["prose", "", "Text", ".txt LICENSE COPYING NOTICE AUTHORS README"],
  ["data", "", "JSON", ".json .jsonc .json5 .jsonl .ndjson .webmanifest .map"],
  ["data", "#", "YAML", ".yaml .yml"],
  ["data", "#", "TOML", ".toml"],
  ["data", ";", "INI", ".ini .cfg .conf .properties .editorconfig"],
  ["data", "", "CSV", ".csv .tsv"],
  ["data", "", "Lock file", ".lock package-lock.json pnpm-lock.yaml npm-shrinkwrap.json go.sum"],
];

const OTHER: Language = { name: "Other", kind: "data", lineComment: "" };

/** Extensions (with their dot) and whole file names. */
const BY_NAME = new Map<string, Language>(
  TABLE.flatMap(([kind, lineComment, name, names]) =>
    names.split(" ").map((key) => [key, { name, kind, lineComment }] as const),
  ),
);

const INTERPRETERS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:node|bun)\b/, ".js"],
  [/\b(?:deno|tsx|ts-node)\b/, ".ts"],
  [/\bpython/, ".py"],
  [/\b(?:ba|z|da|k|fi)?sh\b/, ".sh"],
  [/\bruby\b/, ".rb"],
  [/\bperl\b/, ".pl"],
];

/** By file name, then by extension, then by the interpreter that the first line names. */
export function languageOf(path: string, text: string): Language {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  const extension = dot < 0 ? "" : name.slice(dot);
  const known = BY_NAME.get(name) ?? BY_NAME.get(extension) ?? BY_NAME.get(extension.toLowerCase());
  return known ?? interpreted(text) ?? OTHER;
}

function interpreted(text: string): Language | undefined {
  if (!text.startsWith("#!")) return undefined;
  const firstLine = text.slice(0, 200).split("\n", 1)[0] ?? "";
  const extension = INTERPRETERS.find(([pattern]) => pattern.test(firstLine))?.[1];
  return extension === undefined ? undefined : BY_NAME.get(extension);
}

export interface LanguageTotal {
  readonly language: Language;
  readonly files: number;
  readonly lines: number;
  readonly bytes: number;
}

export class LanguageTotals {
  readonly #totals = new Map<string, { language: Language; files: number; lines: number; bytes: number }>();

  add(file: SourceFile): void {
    const { language } = file;
    const total = this.#totals.get(language.name) ?? { language, files: 0, lines: 0, bytes: 0 };
    total.files += 1;
    total.lines += file.lines.length;
    total.bytes += file.bytes;
    this.#totals.set(language.name, total);
  }

  /** Most lines first. */
  totals(): readonly LanguageTotal[] {
    return [...this.#totals.values()].sort((a, b) => b.lines - a.lines || byText(a.language.name, b.language.name));
  }
}
