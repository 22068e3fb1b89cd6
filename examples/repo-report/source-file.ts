/** One text file, as every part of the analysis sees it. */
import { type Language, languageOf } from "./languages.ts";

export interface SourceFile {
  readonly path: string;
  readonly bytes: number;
  readonly text: string;
  /** Without their line ends. */
  readonly lines: readonly string[];
  readonly language: Language;
  readonly isTest: boolean;
  /** Written by a program, or made unreadable by one: not worth a reader's time. */
  readonly isGenerated: boolean;
}

export function sourceFile(path: string, bytes: number, text: string): SourceFile {
  const language = languageOf(path, text);
  const lines = linesOf(text);
  return { path, bytes, text, lines, language, isTest: isTestPath(path), isGenerated: isGenerated(text, lines) };
}

function linesOf(text: string): string[] {
  if (text === "") return [];
  const lines = text.split(text.includes("\r") ? /\r\n|\r|\n/ : "\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

const TEST_DIRECTORY = /(?:^|\/)(?:tests?|specs?|__tests__|e2e)\//;
const TEST_NAME = /(?:^test_|[._-](?:test|spec)\.|_test\.|_spec\.|Tests?\.(?:java|kt|cs|swift)$)/;

/** By the customs of the common test runners: a directory such as `tests/`, or a name such as `x.test.ts`. */
function isTestPath(path: string): boolean {
  return TEST_DIRECTORY.test(path) || TEST_NAME.test(path.slice(path.lastIndexOf("/") + 1));
}

const GENERATED_NOTE = /@generated|DO NOT EDIT|auto-?generated|automatically generated/i;
const UNREADABLE_LINE_LENGTH = 400;

function isGenerated(text: string, lines: readonly string[]): boolean {
  const isMinified = text.length > 5_000 && text.length / lines.length > UNREADABLE_LINE_LENGTH;
  return isMinified || GENERATED_NOTE.test(lines.slice(0, 5).join("\n"));
}
