/** What a reader with little time should look at first, and why. */
import { posix } from "node:path";
import type { Analysis } from "./analysis.ts";
import type { DuplicateBlock } from "./duplicates.ts";
import { hotSpots } from "./hot-spots.ts";
import { bytes, code, count, percent, whole } from "./markdown.ts";
import { highest } from "./ranking.ts";
import { sum } from "./sizes.ts";
import { byPressure } from "./todos.ts";

export interface Finding {
  readonly title: string;
  readonly reason: string;
  /** 0 to 100. The scale is a judgement: what a careful reviewer would want to hear of first. */
  readonly weight: number;
}

const MAX_FINDINGS = 8;

export function rankedFindings(analysis: Analysis): Finding[] {
  const all = [cycles, duplicates, spots, functions, largeFiles, notes, tests, readme, weights].flatMap((find) =>
    find(analysis),
  );
  return all.sort((a, b) => b.weight - a.weight).slice(0, MAX_FINDINGS);
}

/** `base`, plus up to `room` as `amount` grows towards `plenty`. */
function weigh(base: number, room: number, amount: number, plenty: number): number {
  return base + room * Math.min(amount / plenty, 1);
}

function cycles({ cycles }: Analysis): Finding[] {
  return cycles.slice(0, 2).map(({ files, path }) => ({
    title:
      files.length === 2
        ? `${files.map(code).join(" and ")} import each other`
        : `${count(files.length, "file")} import each other in a circle, among them ${code(files[0] ?? "")}`,
    reason: `${way(path)}. None of them can be loaded, tested or moved without the others: look for the one import that points the wrong way.`,
    weight: weigh(55, 30, files.length, 12),
  }));
}

/** A long way is shown by its beginning. */
export function way(path: readonly string[]): string {
  const shown = path.slice(0, 6).map(code).join(" → ");
  return path.length > 6 ? `${shown} → … (${path.length - 1} steps)` : shown;
}

function duplicates({ duplicates }: Analysis): Finding[] {
  const found = duplicates.blocks.filter((block) => block.savedLines >= 15).slice(0, 2);
  return found.map((block) => ({
    title: `The same ${whole(block.lines)} lines stand in ${block.places.length} places`,
    reason: `${places(block, 3)}. One shared copy would save about ${count(block.savedLines, "line")}, and a correction could no longer miss a place.`,
    weight: weigh(30, 45, block.savedLines, 300) - (block.places.every((place) => place.isTest) ? 20 : 0),
  }));
}

export function places({ places }: DuplicateBlock, shown: number): string {
  const list = places.slice(0, shown).map(({ path, firstLine, lastLine }) => code(`${path}:${firstLine}-${lastLine}`));
  return places.length > shown ? `${list.join(", ")} and ${places.length - shown} more` : list.join(", ");
}

function spots(analysis: Analysis): Finding[] {
  const hot = hotSpots(analysis, 2).filter(({ commits, lines }) => commits >= 4 && lines >= 150);
  return hot.map(({ path, commits, lines, heat }) => ({
    title: `${code(path)} is large and keeps changing`,
    reason: `${count(lines, "line")}, changed by ${commits} commits${untested(path, analysis)}. Splitting it where the changes meet pays off soonest here.`,
    weight: weigh(45, 35, heat, 50_000),
  }));
}

function untested(path: string, { files, imports }: Analysis): string {
  const testFiles = files.filter((file) => file.isTest);
  if (testFiles.length === 0) return "";
  const stem = posix.parse(path).name;
  const isNamed = testFiles.some((test) => posix.basename(test.path).includes(stem));
  const isImported = testFiles.some((test) => imports.get(test.path)?.includes(path));
  return isNamed || isImported ? "" : ", and no test file is named after it or imports it directly";
}

function functions({ functions }: Analysis): Finding[] {
  const long = functions.filter((found) => !found.isTest && found.lines >= 80);
  const longest = highest(long, 2, (found) => found.lines);
  return longest.map(({ path, name, line, lines }) => ({
    title: `${code(name)} is ${count(lines, "line")} long`,
    reason: `${code(`${path}:${line}`)}. Nobody holds that much in mind at once: look for steps that deserve a name.`,
    weight: weigh(30, 30, lines, 400),
  }));
}

function largeFiles(analysis: Analysis): Finding[] {
  const isHot = new Set(hotSpots(analysis, 2).map((spot) => spot.path));
  const large = analysis.files.filter(
    ({ path, isCode, isTest, isGenerated, lines = 0 }) =>
      isCode && !isTest && !isGenerated && lines >= 800 && !isHot.has(path),
  );
  return highest(large, 1, (file) => file.lines ?? 0).map(({ path, lines = 0 }) => ({
    title: `${code(path)} has ${count(lines, "line")}`,
    reason: `Hand-written code with 800 lines or more in one file: ${count(large.length, "file")}, this one being the largest.`,
    weight: weigh(25, 25, lines, 5_000),
  }));
}

function notes({ markers }: Analysis): Finding[] {
  const urgent = markers.filter((marker) => marker.word !== "TODO").sort(byPressure);
  const first = urgent.find((marker) => marker.text !== "") ?? urgent[0];
  if (first === undefined) return [];
  const pressing = urgent.length;
  const since = first.since === undefined ? "" : `, last touched on ${first.since}`;
  return [
    {
      title: `${count(pressing, "note")} in the code ${pressing === 1 ? "says" : "say"} FIXME, HACK or XXX`,
      reason: `For instance ${code(`${first.path}:${first.line}`)}${since}: ${code(first.text || first.word)}. Their authors knew that something is wrong there.`,
      weight: weigh(28, 25, pressing, 50),
    },
  ];
}

function tests({ files }: Analysis): Finding[] {
  const codeFiles = files.filter((file) => file.isCode && !file.isGenerated);
  const tested = codeFiles.filter((file) => file.isTest);
  const codeLines = sum(codeFiles, (file) => (file.isTest ? 0 : (file.lines ?? 0)));
  const testLines = sum(tested, (file) => file.lines ?? 0);
  if (codeLines < 200 || testLines >= codeLines * 0.1) return [];
  if (tested.length === 0) {
    return [
      {
        title: "There are no test files",
        reason: `${count(codeLines, "line")} of code, and no file or directory that is named as test runners expect.`,
        weight: weigh(45, 25, codeLines, 10_000),
      },
    ];
  }
  return [
    {
      title: "There are few tests",
      reason: `${count(testLines, "line")} of tests for ${count(codeLines, "line")} of code (${percent(testLines, codeLines)}).`,
      weight: weigh(35, 15, codeLines, 20_000),
    },
  ];
}

function readme({ files }: Analysis): Finding[] {
  if (files.length < 5 || files.some(({ path }) => /^readme(?:\.[a-z]+)?$/i.test(path))) return [];
  const reason = "The first thing that a newcomer opens is not there.";
  return [{ title: "The top directory has no README", reason, weight: 26 }];
}

function weights({ files, workTree }: Analysis): Finding[] {
  const heavy = files.filter((file) => file.content !== "text" && file.bytes >= 5_000_000);
  if (workTree.kind !== "git" || heavy.length === 0) return [];
  const [heaviest] = highest(heavy, 1, (file) => file.bytes);
  const total = bytes(sum(heavy, (file) => file.bytes));
  return [
    {
      title: `${count(heavy.length, "file")} of 5 MB and more: ${total} in all`,
      reason: `The largest is ${code(heaviest?.path ?? "")}. Every clone carries each version of them for ever: consider Git LFS, or a download.`,
      weight: weigh(30, 25, heavy.length, 20),
    },
  ];
}
