/** The report, section by section. A section with nothing to say says so in one sentence. */
import type { Analysis } from "./analysis.ts";
import { changeCouplings } from "./change-coupling.ts";
import { WINDOW } from "./duplicates.ts";
import { MAX_FILE_BYTES } from "./files.ts";
import { type Finding, places, way } from "./findings.ts";
import type { History } from "./history.ts";
import { hotSpots } from "./hot-spots.ts";
import { bytes, code, count, percent, prose, table, whole } from "./markdown.ts";
import { byText, highest } from "./ranking.ts";
import { largestDirectories, largestFiles, sum } from "./sizes.ts";
import { byPressure, dayOf, MARKER_WORDS } from "./todos.ts";

const ROWS = 10;

/** In reading order. Each ends with a line end, and starts with its heading. */
export function* reportSections(analysis: Analysis, findings: readonly Finding[]): Generator<string, void, undefined> {
  yield section(`# ${prose(analysis.title)}`, overview(analysis));
  yield section("## What I would look at first", firstLook(findings));
  yield section("## Languages", languages(analysis));
  yield section("## Sizes", sizes(analysis));
  yield section("## History", history(analysis));
  yield section("## Duplicates", duplicates(analysis));
  yield section("## Import cycles", importCycles(analysis));
  yield section("## Long functions", longFunctions(analysis));
  yield section("## Tests", tests(analysis));
  yield section("## Notes in the code", notes(analysis));
  yield section("## How this was measured", method(analysis));
}

/** One line for whoever does not open the report. */
export function summaryOf(analysis: Analysis, findings: readonly Finding[]): string {
  const { files, languages, cycles, duplicates, markers } = analysis;
  const main = languages[0] === undefined ? "" : `, mostly ${languages[0].language.name}`;
  const found = [
    count(cycles.length, "import cycle"),
    `${count(duplicates.savedLines, "duplicated line")}`,
    count(markers.length, "note"),
    count(findings.length, "finding"),
  ];
  return `${count(files.length, "file")}${main}: ${found.join(", ")}`;
}

function section(heading: string, body: string): string {
  return `${heading}\n\n${body}\n\n`;
}

function paragraphs(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join("\n\n");
}

/** A table under a line that says what it shows; nothing at all without rows. */
function titled(title: string, headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? "" : `${title}\n\n${table(headings, rows)}`;
}

function overview({ files, languages, history }: Analysis): string {
  if (files.length === 0) return "There are no files here.";
  const lines = sum(files, (file) => file.lines ?? 0);
  const size = `${count(files.length, "file")}, ${count(lines, "line")} of text, ${bytes(sum(files, (file) => file.bytes))}.`;
  const most = languages.slice(0, 3).map((total) => `${total.language.name} (${percent(total.lines, lines)})`);
  const written = most.length === 0 ? "" : ` Mostly ${most.join(", ")}.`;
  const people =
    history === undefined || history.commits === 0
      ? ""
      : ` ${count(history.commits, "commit")} by ${count(history.contributors, "contributor")} from ${dayOf(history.firstAt)} to ${dayOf(history.lastAt)}.`;
  return size + written + people;
}

function firstLook(findings: readonly Finding[]): string {
  if (findings.length === 0) return "Nothing stands out.";
  return findings.map(({ title, reason }, index) => `${index + 1}. **${title}.** ${reason}`).join("\n");
}

function languages({ languages, files }: Analysis): string {
  if (languages.length === 0) return "No text files.";
  const lines = sum(languages, (total) => total.lines);
  const rows = languages.map((total) => [
    total.language.name,
    ...[whole(total.files), whole(total.lines), bytes(total.bytes), percent(total.lines, lines)],
  ]);
  const unread = files.filter((file) => file.content !== "text");
  const rest =
    unread.length === 0
      ? ""
      : `Not read as text: ${count(unread.length, "file")}, ${bytes(sum(unread, (file) => file.bytes))}.`;
  return paragraphs(table(["Language", "Files>", "Lines>", "Size>", "Share of lines>"], rows), rest);
}

function sizes({ files }: Analysis): string {
  if (files.length === 0) return "No files.";
  const fileRows = largestFiles(files, ROWS).map((file) => [
    code(file.path),
    bytes(file.bytes),
    file.lines === undefined ? "–" : whole(file.lines),
  ]);
  const directoryRows = largestDirectories(files, ROWS).map((total) => [
    code(`${total.path}/`),
    whole(total.files),
    bytes(total.bytes),
    whole(total.lines),
  ]);
  return paragraphs(
    titled("Largest files:", ["File", "Size>", "Lines>"], fileRows),
    titled("Largest directories, with all that is in them:", ["Directory", "Files>", "Size>", "Lines>"], directoryRows),
  );
}

function history(analysis: Analysis): string {
  const { history, workTree } = analysis;
  if (workTree.kind === "none") return `None: ${workTree.why}.`;
  if (history === undefined || history.commits === 0) return "Nothing has been committed here yet.";
  return paragraphs(
    workTree.isShallow ? "The clone is shallow, so that older commits are missing." : "",
    history.cutShort === undefined ? "" : `Incomplete: ${history.cutShort}.`,
    ...changes(analysis, history),
  );
}

function changes(analysis: Analysis, history: History): string[] {
  const exists = new Set(analysis.files.map((file) => file.path));
  const changed = [...history.files].filter(([path]) => exists.has(path)).map(([path, facts]) => ({ path, ...facts }));
  const hot = hotSpots(analysis, ROWS).map((spot) => [code(spot.path), whole(spot.commits), whole(spot.lines)]);
  const most = highest(changed, ROWS, (file) => file.commits).map((file) => [
    code(file.path),
    whole(file.commits),
    `+${whole(file.linesAdded)} −${whole(file.linesRemoved)}`,
  ]);
  const last = highest(changed, ROWS, (file) => file.lastChangedAt).map((file) => [
    code(file.path),
    dayOf(file.lastChangedAt),
    whole(file.commits),
  ]);
  const coupled = changeCouplings(analysis, ROWS).map((pair) => [
    code(pair.path),
    code(pair.other),
    whole(pair.together),
    percent(pair.share, 1),
  ]);
  return [
    titled("Hot spots, by commits × lines of code:", ["File", "Commits>", "Lines now>"], hot),
    titled("Change together:", ["File", "File", "Commits in common>", "Of those of the rarer>"], coupled),
    titled("Most often changed:", ["File", "Commits>", "Lines>"], most),
    titled("Changed last:", ["File", "Day", "Commits>"], last),
  ];
}

function duplicates({ duplicates }: Analysis): string {
  const { blocks, savedLines, comparedLines } = duplicates;
  if (blocks.length === 0)
    return `No block of ${WINDOW} lines occurs twice in ${count(comparedLines, "compared line")}.`;
  const share = percent(savedLines, comparedLines);
  const rows = blocks
    .slice(0, ROWS)
    .map((block) => [whole(block.savedLines), whole(block.lines), whole(block.places.length), places(block, 3)]);
  return paragraphs(
    `${count(blocks.length, "block")} of ${WINDOW} lines or more occur more than once. Sharing them would save ${count(savedLines, "line")}, ${share} of what was compared.`,
    table(["Saves>", "Lines>", "Times>", "Where"], rows),
  );
}

function importCycles({ cycles, imports }: Analysis): string {
  if (imports.size === 0) return "No imports between files were found.";
  if (cycles.length === 0) return `None among ${count(imports.size, "importing file")}.`;
  const rows = cycles.slice(0, ROWS).map(({ files, path }) => [whole(files.length), way(path)]);
  return paragraphs(
    `${count(cycles.length, "group")} of files import each other, ${count(
      sum(cycles, (cycle) => cycle.files.length),
      "file",
    )} in all.`,
    table(["Files>", "A shortest way around"], rows),
  );
}

function longFunctions({ functions }: Analysis): string {
  if (functions.length === 0) return "None of 40 lines or more was found.";
  const longest = highest(functions, ROWS, (found) => found.lines);
  const rows = longest.map(({ name, path, line, lines }) => [code(name), whole(lines), code(`${path}:${line}`)]);
  return paragraphs(
    `${count(functions.length, "function")} of 40 lines or more.`,
    table(["Function", "Lines>", "Where"], rows),
  );
}

function tests({ files }: Analysis): string {
  const written = files.filter((file) => file.isCode && !file.isGenerated);
  const testFiles = written.filter((file) => file.isTest);
  const testLines = sum(testFiles, (file) => file.lines ?? 0);
  const codeLines = sum(written, (file) => file.lines ?? 0) - testLines;
  const codeFiles = written.length - testFiles.length;
  if (written.length === 0) return "There is no code.";
  const ratio =
    codeLines === 0 ? "" : ` That is ${(testLines / codeLines).toFixed(2)} lines of tests for each line of code.`;
  return `${count(testFiles.length, "test file")} with ${count(testLines, "line")}, and ${count(codeFiles, "other file")} of code with ${count(codeLines, "line")}.${ratio}`;
}

function notes({ markers }: Analysis): string {
  if (markers.length === 0) return "No TODO, FIXME, HACK or XXX in the comments.";
  const counts = MARKER_WORDS.map((word) => [word, markers.filter((marker) => marker.word === word).length] as const);
  const present = counts.filter(([, found]) => found > 0).map(([word, found]) => `${whole(found)} ${word}`);
  const listed = [...markers].sort(byPressure).slice(0, ROWS * 2);
  const rows = listed.map(({ word, path, line, since, text }) => [
    word,
    code(`${path}:${line}`),
    since ?? "–",
    text === "" ? "" : code(text),
  ]);
  return paragraphs(`${present.join(", ")}.`, table(["Note", "Where", "Line last changed", "Text"], rows));
}

function method({ workTree, isTruncated, files, skipped, duplicates }: Analysis): string {
  const listed =
    workTree.kind === "git" ? "what git tracks or would add" : "everything but installed and generated directories";
  const reasons = [...skipped].sort(([a], [b]) => byText(a, b)).map(([why, found]) => `${whole(found)} (${why})`);
  const generated = files.filter((file) => file.isGenerated).length;
  return [
    `- Files: ${listed}. Symbolic links are not followed.`,
    isTruncated ? `- There are more files than were asked for: only ${whole(files.length)} were analysed.` : "",
    `- Files over ${bytes(MAX_FILE_BYTES)} and binary files are counted, but not read.`,
    reasons.length === 0 ? "" : `- Left out: ${reasons.join(", ")}.`,
    generated === 0
      ? ""
      : `- ${count(generated, "file")} marked as generated, or minified: in the sizes, but not searched.`,
    `- Duplicates: at least ${WINDOW} equal lines in a row, without regard to indentation, blank lines, comments, imports and lines of brackets alone.`,
    duplicates.filesLeftOut === 0
      ? ""
      : `- ${count(duplicates.filesLeftOut, "file")} beyond the limit of memory were not compared.`,
    "- Import cycles: relative imports of JavaScript and TypeScript, and imports of Python within the tree, that run when a file is loaded.",
    "- Functions are measured by their indentation.",
  ]
    .filter((line) => line !== "")
    .join("\n");
}
