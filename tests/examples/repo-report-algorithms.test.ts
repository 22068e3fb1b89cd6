/** The two algorithms of the report against slow and obvious ones. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DuplicateFinder, WINDOW } from "../../examples/repo-report/duplicates.ts";
import { FunctionFinder } from "../../examples/repo-report/functions.ts";
import { findImportCycles } from "../../examples/repo-report/import-cycles.ts";
import { Narrator } from "../../examples/repo-report/narration.ts";
import { sourceFile } from "../../examples/repo-report/source-file.ts";
import { RecordingContext } from "./recording-context.ts";

const RUNS = { numRuns: 500 };
const narrator = () => new Narrator(new RecordingContext().context, 0);

describe("duplicates", () => {
  /** Made of few different pieces, so that they repeat, next to each other and with various periods. */
  const piece = fc.constantFrom("a", "b", "c", "aaaaaaa", "abcabc", "abcacba", "bbcbacca", "-", "/");
  const spelling: Readonly<Record<string, string>> = { a: "a();", b: "b();", c: "c();", "-": "", "/": "// note" };
  const file = fc
    .array(piece, { maxLength: 12 })
    .map((pieces) => [...pieces.join("")].map((letter) => spelling[letter] ?? letter));
  const files = fc.array(file, { maxLength: 5 });

  const find = (contents: readonly (readonly string[])[]) => {
    const finder = new DuplicateFinder();
    for (const [index, lines] of contents.entries()) finder.add(sourceFile(`${index}.ts`, 0, lines.join("\n")));
    return finder.find(narrator());
  };
  const saying = (lines: readonly string[]) => lines.filter((line) => /^[abc]/.test(line));

  it("are equal in all their places, and no line belongs to two of them", async () => {
    await fc.assert(
      fc.asyncProperty(files, async (contents) => {
        const seen = new Set<string>();
        for (const { lines, places, savedLines } of (await find(contents)).blocks) {
          const texts = places.map(({ path, firstLine, lastLine }) =>
            saying((contents[Number.parseInt(path, 10)] ?? []).slice(firstLine - 1, lastLine)).join("\n"),
          );
          expect(new Set(texts).size).toBe(1);
          expect(saying(texts[0]?.split("\n") ?? [])).toHaveLength(lines);
          expect(lines).toBeGreaterThanOrEqual(WINDOW);
          expect(savedLines).toBe(lines * (places.length - 1));
          for (const { path, firstLine, lastLine } of places) {
            for (let line = firstLine; line <= lastLine; line++) {
              expect(seen).not.toContain(`${path}:${line}`);
              seen.add(`${path}:${line}`);
            }
          }
        }
      }),
      RUNS,
    );
  });

  it("are found wherever a window occurs in two places that do not overlap", async () => {
    await fc.assert(
      fc.asyncProperty(files, async (contents) => {
        const { blocks } = await find(contents);
        expect(blocks.length > 0).toBe(hasRepeatedWindow(contents.map(saying)));
      }),
      RUNS,
    );
  });

  it("extend as far as their places agree", async () => {
    const block = Array.from({ length: 50 }, (_, index) => `step(${index});`);
    const report = await find([
      ["one();", ...block, "two();"],
      [...block, "three();"],
      ["four();", ...block],
    ]);
    expect(report.blocks).toEqual([
      expect.objectContaining({
        lines: 50,
        savedLines: 100,
        places: [
          expect.objectContaining({ path: "0.ts", firstLine: 2, lastLine: 51 }),
          expect.objectContaining({ path: "1.ts", firstLine: 1, lastLine: 50 }),
          expect.objectContaining({ path: "2.ts", firstLine: 2, lastLine: 51 }),
        ],
      }),
    ]);
  });

  it("do not consist of imports", async () => {
    const imports = ["import {", ...Array.from({ length: 9 }, (_, index) => `  name${index},`), '} from "./names.ts";'];
    expect((await find([imports, imports])).blocks).toEqual([]);
  });
});

function hasRepeatedWindow(files: readonly (readonly string[])[]): boolean {
  const first = new Map<string, readonly [file: number, start: number]>();
  for (const [file, lines] of files.entries()) {
    for (let start = 0; start + WINDOW <= lines.length; start++) {
      const window = lines.slice(start, start + WINDOW).join("\n");
      const [knownFile, knownStart] = first.get(window) ?? [];
      if (knownFile === undefined || knownStart === undefined) first.set(window, [file, start]);
      else if (knownFile !== file || start - knownStart >= WINDOW) return true;
    }
  }
  return false;
}

describe("import cycles", () => {
  const names = ["a", "b", "c", "d", "e", "f"];
  const graphs = fc
    .uniqueArray(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), { selector: String, maxLength: 14 })
    .map((edges) => {
      const targets = (from: string) =>
        edges.filter(([source, to]) => source === from && to !== from).map(([, to]) => to);
      return new Map(names.map((name) => [name, targets(name).sort()] as const).filter(([, to]) => to.length > 0));
    });

  const reachable = (graph: ReadonlyMap<string, readonly string[]>, from: string): Set<string> => {
    const found = new Set<string>();
    const visit = (name: string): void => {
      for (const next of graph.get(name) ?? []) {
        if (found.has(next)) continue;
        found.add(next);
        visit(next);
      }
    };
    visit(from);
    return found;
  };

  it("are the groups whose members reach each other, each with a way around", async () => {
    await fc.assert(
      fc.asyncProperty(graphs, async (graph) => {
        const cycles = await findImportCycles(graph, narrator());
        const inCycle = names.filter((name) => reachable(graph, name).has(name));
        expect(cycles.flatMap((cycle) => cycle.files).sort()).toEqual(inCycle);
        for (const { files, path } of cycles) {
          for (const file of files) expect([...files]).toEqual(inCycle.filter((other) => together(graph, file, other)));
          expect(path.length).toBeGreaterThan(2);
          expect(path.at(-1)).toBe(path[0]);
          for (const [index, file] of path.slice(0, -1).entries()) expect(graph.get(file)).toContain(path[index + 1]);
        }
      }),
    );
  });

  const together = (graph: ReadonlyMap<string, readonly string[]>, a: string, b: string): boolean =>
    a === b || (reachable(graph, a).has(b) && reachable(graph, b).has(a));

  it("are found in chains too long for recursion", async () => {
    const file = (index: number) => String(index % 50_000).padStart(5, "0");
    const graph = new Map(Array.from({ length: 50_000 }, (_, index) => [file(index), [file(index + 1)]]));
    const [cycle] = await findImportCycles(graph, narrator());
    expect(cycle?.files).toHaveLength(50_000);
    expect(cycle?.path).toHaveLength(50_001);
  });
});

describe("long functions", () => {
  const body = (depth: number) =>
    Array.from({ length: 40 }, (_, index) => (index === 20 ? "" : `${" ".repeat(depth)}step();`));
  const found = (path: string, ...lines: readonly string[]) => {
    const finder = new FunctionFinder();
    finder.add(sourceFile(path, 0, lines.join("\n")));
    return finder.functions.map(({ name, line, lines: length }) => [name, line, length]);
  };

  it("are measured from the line that names them to the one that closes them", () => {
    expect(found("a.ts", "class A {", "  async b(c: number) {", ...body(4), "  }", "}")).toEqual([["b", 2, 42]]);
    expect(found("a.ts", "export function a(", "  b: number,", "): void {", ...body(2), "}")).toEqual([["a", 1, 44]]);
    expect(found("a.ts", "const a = async ({ b }) => {", ...body(2), "};")).toEqual([["a", 1, 42]]);
    expect(found("a.go", "func (s *Server) Run() {", ...body(2), "}")).toEqual([["Run", 1, 42]]);
    expect(found("a.rs", "pub(crate) async fn run() {", ...body(2), "}")).toEqual([["run", 1, 42]]);
    expect(found("a.py", "class A:", "  def b(self) -> int:", ...body(4), "", "", "def c():", "  d()")).toEqual([
      ["b", 2, 41],
    ]);
  });

  it("are neither conditions, nor callbacks of tests, nor declarations without a body", () => {
    expect(found("a.ts", "if (a) {", ...body(2), "}")).toEqual([]);
    expect(found("a.ts", 'describe("a", () => {', ...body(2), "});")).toEqual([]);
    expect(found("a.ts", "declare function a(): void;", "type B = {", ...body(2), "};")).toEqual([]);
  });
});
