import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { InvalidRequestError } from "@arcp/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import repoReport from "../../examples/repo-report/agent.ts";
import { type Emitted, RecordingContext } from "./recording-context.ts";
import { DirectoryFixture } from "./repository-fixture.ts";

const SHARED = ["total", "count", "mean", "lowest", "highest", "median", "spread", "skew"]
  .map((name) => `  const ${name} = measure(values, "${name}");`)
  .join("\n");

/** A repository whose every number is known. */
function exampleRepository(): DirectoryFixture {
  const repository = new DirectoryFixture().git("init", "--quiet", "--initial-branch=main");
  repository.write({
    ".gitignore": "ignored/\n",
    "README.md": "# Example\n",
    "src/first.ts": `import { b } from "./cycle/b.js";\n\nexport function first(values: number[]) {\n${SHARED}\n  return b(total);\n}\n`,
    "src/cycle/a.ts": 'import { first } from "../first.js";\nexport const a = () => first([]);\n',
    "src/cycle/b.ts": 'export * from "./index.js";\nexport const b = Number;\n',
    "src/cycle/index.ts": 'export { a } from "./a.ts";\n',
    "src/erased.ts": 'import type { Late } from "./late.ts";\nexport interface Erased { late: Late }\n',
    "src/late.ts": 'import { type Erased } from "./erased.ts";\nexport interface Late { erased?: Erased }\n',
    "tool/pkg/__init__.py": "",
    "tool/pkg/one.py": "from pkg.two import name\n",
    "tool/pkg/two.py": "from . import one\n\ndef name():\n    # FIXME: answers too late\n    return one\n",
    "tests/first.test.ts": "first([1]);\n",
    "größe/数 und|strich.ts": "export const größe = 1; // TODO(ada) measure\n",
    "picture.png": new Uint8Array([137, 80, 78, 71, 0, 1, 2, 3]),
  });
  repository.commit("2024-03-01", "Ada");
  repository.write({
    "src/second.ts": `// The same, with other spaces.\n${SHARED.replaceAll("  const", "\tconst  ")}\n\nexport { total };\n`,
    "src/cycle/a.ts": 'import { first } from "../first.js";\n// TODO\nexport const a = () => first([1]);\n',
  });
  repository.commit("2024-05-02", "Grace");
  return repository.write({ "untracked.py": "import os\n", "ignored/secret.ts": "// HACK: never seen\n" });
}

async function reportOn(directory: string, options: object = {}): Promise<RecordingContext> {
  const recording = new RecordingContext();
  await repoReport({ directory, ...options }, recording.context);
  return recording;
}

function section(report: string, heading: string): string {
  return report.split(/^## /m).find((part) => part.startsWith(heading)) ?? "";
}

describe("a report on a git repository", () => {
  let repository: DirectoryFixture;
  let recording: RecordingContext;

  beforeAll(async () => {
    repository = exampleRepository();
    symlinkSync(join(repository.root, "src"), join(repository.root, "link"));
    symlinkSync("/etc/hostname", join(repository.root, "outside.ts"));
    recording = await reportOn(repository.root, { title: "Example *project*" });
  });
  afterAll(() => repository[Symbol.dispose]());

  const part = (heading: string): string => section(recording.report, heading);

  it("has a title of the submitter's, as text and not as markup", () => {
    expect(recording.report).toMatch(/^# Example \\\*project\\\*\n/);
  });

  it("counts languages by files, lines and bytes", () => {
    expect(part("Languages")).toContain("| TypeScript | 9 |");
    expect(part("Languages")).toContain("| Python | 4 | 7 |");
    expect(part("Languages")).toContain("Not read as text: 1 file, 8 B.");
  });

  it("finds the block that occurs twice, whatever its indentation, as far as it goes", () => {
    const [row] = part("Duplicates").match(/^\| 8 .*$/m) ?? [];
    expect(row).toBe("| 8 | 8 | 2 | `src/first.ts:4-11`, `src/second.ts:2-9` |");
    expect(recording.metric("duplicates.lines")).toBe(8);
  });

  it("finds cycles through compiled names, index files and packages, but none through types", () => {
    const cycles = part("Import cycles");
    expect(cycles).toContain(
      "| 4 | `src/cycle/a.ts` → `src/first.ts` → `src/cycle/b.ts` → `src/cycle/index.ts` → `src/cycle/a.ts` |",
    );
    expect(cycles).toContain("| 2 | `tool/pkg/one.py` → `tool/pkg/two.py` → `tool/pkg/one.py` |");
    expect(cycles).not.toContain("erased");
  });

  it("lists the notes with the day on which their line last changed", () => {
    const notes = part("Notes in the code");
    expect(notes).toContain("1 FIXME, 2 TODO.");
    expect(notes).toContain("| FIXME | `tool/pkg/two.py:4` | 2024-03-01 | `answers too late` |");
    expect(notes).toContain("| TODO | `src/cycle/a.ts:2` | 2024-05-02 |  |");
    expect(notes).toContain("| TODO | `größe/数 und\\|strich.ts:1` | 2024-03-01 | `(ada) measure` |");
  });

  it("tells which code keeps changing, and counts people without naming them", () => {
    expect(part("History")).toContain("| `src/cycle/a.ts` | 2 | 3 |");
    expect(recording.report).toContain("2 commits by 2 contributors from 2024-03-01 to 2024-05-02.");
    expect(recording.report).not.toMatch(/ada@|grace|example\.org/i);
  });

  it("measures tests against code", () => {
    expect(part("Tests")).toMatch(/^Tests\n\n1 test file with 1 line, and 12 other files of code/);
  });

  it("leaves out what is ignored, and follows no symbolic link", () => {
    expect(recording.report).not.toContain("secret");
    expect(recording.report).not.toContain("link/");
    expect(part("How this was measured")).toContain("Left out: 2 (symbolic link).");
    expect(part("Languages")).toContain("| Python | 4 |");
  });

  it("puts the finding that matters most first", () => {
    expect(part("What I would look at first")).toMatch(/1\. \*\*4 files import each other in a circle/);
  });

  it("streams a section at a time and ends with one line", () => {
    expect(recording.chunks).toHaveLength(11);
    expect(recording.finalized).toEqual([
      { summary: expect.stringMatching(/^16 files, mostly TypeScript: 2 import cycles, 8 duplicated lines, 3 notes/) },
    ]);
  });

  it("tells its stages, and in each of them how far it is", () => {
    const phases = recording.of("status").map((status) => status["phase"]);
    expect(phases).toEqual(["list", "read", "history", "duplicates", "import-cycles", "markers", "report"]);
    expect(recording.metric("files.scanned")).toBe(16);
    for (const progress of progressByPhase(recording.emitted)) {
      const done = progress.map((body) => Number(body["current"]));
      expect(done).toEqual(done.toSorted((a, b) => a - b));
    }
    const read = recording.of("progress").filter((body) => body["total"] === 18);
    expect(read.at(-1)).toMatchObject({ current: 18, units: "files" });
  });

  it("is the same every time", async () => {
    const again = await reportOn(repository.root, { title: "Example *project*" });
    expect(again.report).toBe(recording.report);
  });

  it("covers a directory within the repository on its own terms", async () => {
    const { report } = await reportOn(join(repository.root, "src"));
    expect(section(report, "Import cycles")).toContain("| 4 | `cycle/a.ts` → `first.ts`");
    expect(section(report, "History")).toContain("| `cycle/a.ts` | 2 | 3 |");
    expect(section(report, "Notes in the code")).toContain("| TODO | `cycle/a.ts:2` | 2024-05-02 |");
  });

  it("analyses an ignored directory that it is asked for, without the repository's help", async () => {
    const { report } = await reportOn(join(repository.root, "ignored"));
    expect(section(report, "History")).toContain("None: the repository around it ignores it.");
    expect(section(report, "Notes in the code")).toContain("| HACK | `secret.ts:1` | – | `never seen` |");
  });
});

function progressByPhase(emitted: readonly Emitted[]): Emitted["body"][][] {
  const phases: Emitted["body"][][] = [];
  for (const { kind, body } of emitted) {
    if (kind === "status") phases.push([]);
    else if (kind === "progress") phases.at(-1)?.push(body);
  }
  return phases;
}

describe("a report on other directories", () => {
  it("skips installed and generated directories where there is no git", async () => {
    using directory = new DirectoryFixture();
    directory.write({ "main.go": "package main\n", "node_modules/x/index.js": "x\n", "deep/dist/out.js": "y\n" });
    const { report } = await reportOn(directory.root);
    expect(report).toContain("1 file, 1 line of text");
    expect(section(report, "History")).toContain("None: it is not in a git work tree.");
  });

  it("says that an empty directory is empty", async () => {
    using directory = new DirectoryFixture();
    const { report, finalized } = await reportOn(directory.root);
    expect(report).toContain("There are no files here.");
    expect(finalized).toHaveLength(1);
  });

  it("works in a repository without commits", async () => {
    using repository = new DirectoryFixture();
    repository.git("init", "--quiet").write({ "a.ts": "export {};\n" });
    const { report } = await reportOn(repository.root);
    expect(section(report, "History")).toContain("Nothing has been committed here yet.");
  });

  it("tells which files change together, and counts a reformatting of everything for nothing", async () => {
    using repository = new DirectoryFixture();
    repository.git("init", "--quiet");
    const others = Array.from({ length: 20 }, (_, index) => `other${index}.ts`);
    for (let turn = 0; turn < 5; turn++) {
      const day = `2024-01-0${turn + 1}`;
      repository.write({ "left.ts": `${turn}\n`, "right.ts": `${turn}\n` }).commit(day, "Ada");
      repository.write({ "left.ts": `${turn}.5\n` }).commit(day, "Ada");
      repository.write(Object.fromEntries(others.map((path) => [path, `${turn}\n`])));
      repository.write({ "all.ts": `${turn}\n` }).commit(day, "Ada");
    }
    const { report } = await reportOn(repository.root);
    const pairs = section(report, "History").split("Change together:")[1]?.split("Most often")[0]?.trim().split("\n");
    expect(pairs?.slice(2)).toEqual(["| `left.ts` | `right.ts` | 5 | 100 % |"]);
  });

  it("stops listing at maxFiles, and says so", async () => {
    using directory = new DirectoryFixture();
    directory.write({ "a.ts": "1\n", "b.ts": "2\n", "c/d.ts": "3\n" });
    const { report, emitted } = await reportOn(directory.root, { maxFiles: 2 });
    expect(report).toContain("2 files, 2 lines of text");
    expect(report).toContain("only 2 were analysed");
    expect(emitted).toContainEqual({ kind: "log", body: expect.objectContaining({ level: "warn" }) });
  });

  it("counts what is too large or generated, but does not search it", async () => {
    using directory = new DirectoryFixture();
    directory.write({ "big.ts": "// TODO: x\n".repeat(200_000), "made.ts": "// @generated\n// TODO: y\n" });
    const { report } = await reportOn(directory.root);
    expect(report).toContain("| `big.ts` | 2.2 MB | – |");
    expect(report).toContain("1 file marked as generated");
    expect(section(report, "Notes in the code")).toContain("No TODO");
  });

  it.skipIf(process.platform === "win32")("shows file names that would be markup or terminal control", async () => {
    using directory = new DirectoryFixture();
    directory.write({ "a`b.ts": "1\n", "new\nline\u001b[31m.ts": "2\n", "gpj\u202Efdp.ts": "3\n" });
    const { report, emitted } = await reportOn(directory.root);
    expect(JSON.stringify(emitted)).not.toMatch(/u001b|\u202e/);
    expect(report).toContain("| `` a`b.ts `` |");
    expect(report).toContain("`new\\u{a}line\\u{1b}[31m.ts`");
    expect(report).toContain("`gpj\\u{202e}fdp.ts`");
  });

  it("reads no file through a directory that has become a symbolic link", async () => {
    using outside = new DirectoryFixture();
    using repository = new DirectoryFixture();
    repository.git("init", "--quiet").write({ "inner/a.ts": "// TODO: inside\n" }).commit("2024-01-01", "Ada");
    rmSync(join(repository.root, "inner"), { recursive: true });
    symlinkSync(outside.write({ "a.ts": "// TODO: outside\n" }).root, join(repository.root, "inner"));
    const { report } = await reportOn(repository.root);
    expect(report).not.toContain("outside");
    expect(report).toContain("There are no files here.");
  });

  it("does not run what the repository's configuration names", async () => {
    using repository = new DirectoryFixture();
    repository.git("init", "--quiet").write({ "a.ts": "// TODO: x\n", ".gitattributes": "*.ts diff=evil\n" });
    repository.commit("2024-01-01", "Ada");
    const mark = `touch ${join(repository.root, "ran")}`;
    for (const name of ["core.fsmonitor", "diff.external", "diff.evil.command", "diff.evil.textconv", "gpg.program"]) {
      repository.git("config", name, mark);
    }
    repository.git("config", "log.showSignature", "true");
    const { report } = await reportOn(repository.root);
    expect(report).toContain("2024-01-01");
    expect(report).not.toContain("`ran`");
    const again = await reportOn(repository.root);
    expect(again.report).toBe(report);
  });
});

describe("cancellation", () => {
  it.each(["list", "read", "history", "duplicates", "import-cycles", "markers", "report"])(
    "ends the agent in the stage %s with the reason it was given",
    async (phase) => {
      using repository = exampleRepository();
      const reason = new Error("enough");
      const recording = new RecordingContext(({ kind, body }, cancel) => {
        if (kind === "status" && body["phase"] === phase) cancel(reason);
      });
      await expect(repoReport({ directory: repository.root }, recording.context)).rejects.toBe(reason);
      expect(recording.of("status").at(-1)).toMatchObject({ phase });
      expect(recording.finalized).toEqual([]);
    },
  );

  it("ends a paced agent at once", async () => {
    using repository = exampleRepository();
    const reason = new Error("enough");
    const recording = new RecordingContext((_event, cancel) => queueMicrotask(() => cancel(reason)));
    const ended = repoReport({ directory: repository.root, paceMs: 60_000 }, recording.context);
    await expect(ended).rejects.toBe(reason);
  });

  it("ends between two sections of the report", async () => {
    using repository = exampleRepository();
    const reason = new Error("enough");
    const recording = new RecordingContext(({ kind }, cancel) => kind === "chunk" && cancel(reason));
    await expect(repoReport({ directory: repository.root }, recording.context)).rejects.toBe(reason);
    expect(recording.chunks).toHaveLength(1);
  });
});

describe("input", () => {
  it.each([
    [undefined, "must be an object"],
    [["."], "must be an object"],
    [{}, "directory must be"],
    [{ directory: "" }, "directory must be"],
    [{ directory: "no/such/directory" }, "does not exist"],
    [{ directory: import.meta.filename }, "is not a directory"],
    [{ directory: ".", maxFiles: 0 }, "maxFiles must be"],
    [{ directory: ".", paceMs: "1" }, "paceMs must be"],
    [{ directory: ".", title: " " }, "title must be"],
    [{ directory: ".", maxfiles: 5 }, 'no option "maxfiles"'],
  ])("%j is refused: %s", async (input, message) => {
    const recording = new RecordingContext();
    const refusal = repoReport(input, recording.context);
    await expect(refusal).rejects.toThrow(InvalidRequestError);
    await expect(refusal).rejects.toThrow(message);
    expect(recording.emitted).toEqual([]);
  });
});
