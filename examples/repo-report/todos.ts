/** Notes that authors left to themselves in comments, such as to-do notes, and how long they have stood there. */
import { GitError, gitRecords } from "./git.ts";
import { visible } from "./markdown.ts";
import type { Narrator } from "./narration.ts";
import { byText } from "./ranking.ts";
import type { SourceFile } from "./source-file.ts";

/** The most pressing first. */
export const MARKER_WORDS = ["FIXME", "HACK", "XXX", "TODO"] as const;
export type MarkerWord = (typeof MARKER_WORDS)[number];

export interface Marker {
  readonly word: MarkerWord;
  readonly path: string;
  readonly line: number;
  /** What follows the word, shortened. */
  readonly text: string;
  /** The day on which the line was last changed, as YYYY-MM-DD; absent if git does not know or was not asked. */
  readonly since?: string;
}

const MAX_MARKERS = 10_000;
const MAX_TEXT = 100;
const MAX_COMMENT = 400;
/** Dating asks git once for each file, so only so many files are asked about, and only for so long. */
const MAX_DATED_FILES = 40;
const DATING_TIME_LIMIT_MS = 5_000;

const WORD = /\b(?:FIXME|HACK|XXX|TODO)\b/;
const COMMENT: Readonly<Record<SourceFile["language"]["lineComment"], RegExp>> = {
  "//": /\/\/.*|\/\*.*|<!--.*|^\s*\*.*/,
  "#": /#.*/,
  "--": /--.*/,
  ";": /;.*/,
  "%": /%.*/,
  "": /<!--.*/,
};
/** The word opens the comment, or a colon or parenthesis follows it: prose that mentions the word does not count. */
const NOTE = /^[^\p{L}\p{N}]*(FIXME|HACK|XXX|TODO)\b(.*)|\b(FIXME|HACK|XXX|TODO)(?=[:(])(.*)/u;

export class MarkerFinder {
  /** In the order of files and lines. */
  readonly markers: Marker[] = [];

  add(file: SourceFile): void {
    if (!WORD.test(file.text)) return;
    for (const [index, line] of file.lines.entries()) {
      if (this.markers.length >= MAX_MARKERS) return;
      const note = WORD.test(line) ? noteIn(line, file.language.lineComment) : undefined;
      if (note !== undefined) this.markers.push({ ...note, path: file.path, line: index + 1 });
    }
  }
}

function noteIn(
  line: string,
  lineComment: SourceFile["language"]["lineComment"],
): Pick<Marker, "word" | "text"> | undefined {
  const found = NOTE.exec((COMMENT[lineComment].exec(line)?.[0] ?? "").slice(0, MAX_COMMENT));
  const word = MARKER_WORDS.find((known) => known === (found?.[1] ?? found?.[3]));
  if (word === undefined) return undefined;
  const text = (found?.[2] ?? found?.[4] ?? "").replace(/^[\s:]+|[\s*/>-]+$/g, "");
  return { word, text: text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text };
}

/** The same markers, with dates where git gives them quickly: the most pressing ones are asked about first. */
export async function dateMarkers(
  markers: readonly Marker[],
  root: string,
  narrator: Narrator,
): Promise<readonly Marker[]> {
  const byFile = [...Map.groupBy(markers.toSorted(byPressure), (marker) => marker.path)].slice(0, MAX_DATED_FILES);
  const days = new Map<Marker, string>();
  const deadline = performance.now() + DATING_TIME_LIMIT_MS;
  for (const [index, [path, inFile]] of byFile.entries()) {
    const timeLimitMs = Math.floor(deadline - performance.now());
    if (timeLimitMs <= 0) break;
    const found = await lastChanges(root, path, inFile, timeLimitMs, narrator.signal);
    for (const marker of inFile) {
      const day = found.get(marker.line);
      if (day !== undefined) days.set(marker, day);
    }
    await narrator.progress(index + 1, { total: byFile.length, units: "files", message: visible(path) });
  }
  return markers.map((marker) => {
    const since = days.get(marker);
    return since === undefined ? marker : { ...marker, since };
  });
}

export function byPressure(a: Marker, b: Marker): number {
  const pressure = MARKER_WORDS.indexOf(a.word) - MARKER_WORDS.indexOf(b.word);
  return pressure || byText(a.since ?? "9", b.since ?? "9") || byText(a.path, b.path) || a.line - b.line;
}

/** Per line number: the day of its last change. Empty for a file that git does not know. */
async function lastChanges(
  root: string,
  path: string,
  markers: readonly Marker[],
  timeLimitMs: number,
  signal: AbortSignal,
): Promise<Map<number, string>> {
  const ranges = markers.flatMap(({ line }) => ["-L", `${line},${line}`]);
  const args = ["blame", "--line-porcelain", "--no-textconv", ...ranges, "HEAD", "--", path];
  const days = new Map<number, string>();
  let line = 0;
  let day = "";
  try {
    for await (const record of gitRecords({ root, args, signal, timeLimitMs, separator: "\n" })) {
      const header = /^[0-9a-f]{40,64} \d+ (\d+)/.exec(record);
      if (header !== null) line = Number(header[1]);
      else if (record.startsWith("author-time ")) day = dayOf(Number(record.slice("author-time ".length)));
      // The committed line: where the work tree has another one by now, it says nothing about the marker.
      else if (record.startsWith("\t") && WORD.test(record)) days.set(line, day);
    }
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
  }
  return days;
}

export function dayOf(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().slice(0, 10);
}
