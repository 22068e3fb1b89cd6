/** The stages of the analysis, in order. Each tells what it is doing, and then what it found. */
import type { DuplicateReport } from "./duplicates.ts";
import { listFiles } from "./files.ts";
import type { LongFunction } from "./functions.ts";
import { type History, readHistory } from "./history.ts";
import { findImportCycles, type ImportCycle } from "./import-cycles.ts";
import type { ImportGraph } from "./imports.ts";
import type { ReportRequest } from "./input.ts";
import type { LanguageTotal } from "./languages.ts";
import type { Narrator } from "./narration.ts";
import { sum } from "./sizes.ts";
import { type FileFacts, type Survey, surveyFiles } from "./survey.ts";
import { dateMarkers, type Marker } from "./todos.ts";
import { openWorkTree, type WorkTree } from "./work-tree.ts";

export interface Analysis {
  readonly title: string;
  readonly workTree: WorkTree;
  readonly files: readonly FileFacts[];
  /** Files were left out because there are more than the request allows. */
  readonly isTruncated: boolean;
  readonly skipped: ReadonlyMap<string, number>;
  readonly languages: readonly LanguageTotal[];
  readonly functions: readonly LongFunction[];
  readonly duplicates: DuplicateReport;
  readonly imports: ImportGraph;
  readonly cycles: readonly ImportCycle[];
  readonly markers: readonly Marker[];
  /** Absent where there is no git, or nothing committed. */
  readonly history?: History;
}

export async function analyse(request: ReportRequest, narrator: Narrator): Promise<Analysis> {
  const { root, title } = request;
  const workTree = await openWorkTree(root, narrator.signal);

  await narrator.stage("list", "Listing the files");
  const { paths, isTruncated } = await listFiles(root, workTree, request.maxFiles, narrator);
  if (isTruncated) await narrator.warning(`There are more than ${request.maxFiles} files: the rest is left out`);

  await narrator.stage("read", `Reading ${paths.length} files`);
  const survey = await surveyFiles(root, paths, narrator);
  await reportSurvey(survey, narrator);

  await narrator.stage("history", "Reading the history");
  const history = await historyOf(root, workTree, narrator);

  await narrator.stage("duplicates", "Looking for identical blocks");
  const duplicates = await duplicatesOf(survey, narrator);

  await narrator.stage("import-cycles", "Following the imports");
  const imports = await survey.imports.graph(narrator);
  const cycles = await cyclesOf(imports, narrator);

  await narrator.stage("markers", "Dating the notes that authors left");
  const markers = await markersOf(root, workTree, survey, narrator);

  const { files, skipped } = survey;
  const languages = survey.languages.totals();
  const { functions } = survey.functions;
  const found = { title, workTree, files, isTruncated, skipped, languages, functions };
  const analysis = { ...found, duplicates, imports, cycles, markers };
  return history === undefined ? analysis : { ...analysis, history };
}

async function reportSurvey({ files, skipped }: Survey, narrator: Narrator): Promise<void> {
  await narrator.count("files.scanned", files.length, "files");
  await narrator.count(
    "bytes.scanned",
    sum(files, (file) => file.bytes),
    "bytes",
  );
  await narrator.count(
    "lines.scanned",
    sum(files, (file) => file.lines ?? 0),
    "lines",
  );
  const unreadable = skipped.get("unreadable") ?? 0;
  if (unreadable > 0) await narrator.warning(`${unreadable} files could not be read`);
}

async function historyOf(root: string, workTree: WorkTree, narrator: Narrator): Promise<History | undefined> {
  if (workTree.kind === "none") {
    await narrator.finding(`No history: ${workTree.why}`);
    return undefined;
  }
  if (!workTree.hasCommits) {
    await narrator.finding("No history: nothing has been committed yet");
    return undefined;
  }
  const history = await readHistory(root, narrator);
  await narrator.count("history.commits", history.commits, "commits");
  await narrator.count("history.contributors", history.contributors, "people");
  if (workTree.isShallow) await narrator.warning("The clone is shallow: the history is incomplete");
  if (history.cutShort !== undefined) await narrator.warning(`The history is incomplete: ${history.cutShort}`);
  return history;
}

async function duplicatesOf(survey: Survey, narrator: Narrator): Promise<DuplicateReport> {
  const duplicates = await survey.duplicates.find(narrator);
  await narrator.count("duplicates.blocks", duplicates.blocks.length, "blocks");
  await narrator.count("duplicates.lines", duplicates.savedLines, "lines");
  if (duplicates.filesLeftOut > 0) await narrator.warning(`${duplicates.filesLeftOut} files were not compared`);
  for (const { lines, places } of duplicates.blocks.slice(0, 3)) {
    await narrator.finding(`${lines} lines occur ${places.length} times`, { places: places.slice(0, 5) });
  }
  return duplicates;
}

async function cyclesOf(imports: ImportGraph, narrator: Narrator): Promise<readonly ImportCycle[]> {
  const cycles = await findImportCycles(imports, narrator);
  await narrator.count("import_cycles", cycles.length, "cycles");
  for (const { files, path } of cycles.slice(0, 3)) {
    await narrator.finding(`${files.length} files import each other in a circle`, { path });
  }
  return cycles;
}

async function markersOf(
  root: string,
  workTree: WorkTree,
  survey: Survey,
  narrator: Narrator,
): Promise<readonly Marker[]> {
  const { markers } = survey.markers;
  await narrator.count("markers", markers.length, "notes");
  // In a shallow clone every line seems to be as young as the oldest commit that it has.
  const canDate = workTree.kind === "git" && workTree.hasCommits && !workTree.isShallow;
  return canDate ? dateMarkers(markers, root, narrator) : markers;
}
