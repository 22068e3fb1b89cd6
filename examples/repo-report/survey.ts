/** The one pass over the files: each is read once, shown to every collector, and forgotten. */
import { DuplicateFinder } from "./duplicates.ts";
import { FileReader } from "./files.ts";
import { FunctionFinder } from "./functions.ts";
import { ImportCollector } from "./imports.ts";
import { LanguageTotals } from "./languages.ts";
import { visible } from "./markdown.ts";
import type { Narrator } from "./narration.ts";
import { type SourceFile, sourceFile } from "./source-file.ts";
import { MarkerFinder } from "./todos.ts";

/** What is remembered of every file. */
export interface FileFacts {
  readonly path: string;
  readonly bytes: number;
  readonly content: "text" | "binary" | "too large";
  /** Absent for what was not read as text. */
  readonly lines?: number;
  readonly isCode: boolean;
  readonly isTest: boolean;
  readonly isGenerated: boolean;
}

export interface Survey {
  readonly files: readonly FileFacts[];
  /** Per reason: how many paths are not in `files`. */
  readonly skipped: ReadonlyMap<string, number>;
  readonly languages: LanguageTotals;
  readonly duplicates: DuplicateFinder;
  readonly imports: ImportCollector;
  readonly functions: FunctionFinder;
  readonly markers: MarkerFinder;
}

export async function surveyFiles(root: string, paths: readonly string[], narrator: Narrator): Promise<Survey> {
  const files: FileFacts[] = [];
  const skipped = new Map<string, number>();
  const languages = new LanguageTotals();
  const collectors = {
    duplicates: new DuplicateFinder(),
    imports: new ImportCollector(),
    functions: new FunctionFinder(),
    markers: new MarkerFinder(),
  };
  const reader = new FileReader(root);
  for (const [index, path] of paths.entries()) {
    const content = await reader.read(path);
    if (content.kind === "skipped") {
      skipped.set(content.why, (skipped.get(content.why) ?? 0) + 1);
    } else if (content.kind === "text") {
      const file = sourceFile(path, content.bytes, content.text);
      languages.add(file);
      if (isHandWrittenCode(file)) for (const collector of Object.values(collectors)) collector.add(file);
      files.push(factsOf(file));
    } else {
      files.push({ ...{ path, bytes: content.bytes, content: content.kind }, ...NOT_READ });
    }
    await narrator.progress(index + 1, { total: paths.length, units: "files", message: visible(path) });
    await narrator.pause();
  }
  return { files, skipped, languages, ...collectors };
}

const NOT_READ = { isCode: false, isTest: false, isGenerated: false };

function isHandWrittenCode(file: SourceFile): boolean {
  return file.language.kind === "code" && !file.isGenerated;
}

function factsOf(file: SourceFile): FileFacts {
  const { path, bytes, isTest, isGenerated } = file;
  const isCode = file.language.kind === "code";
  return { path, bytes, content: "text", lines: file.lines.length, isCode, isTest: isCode && isTest, isGenerated };
}
