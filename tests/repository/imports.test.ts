import { describe, expect, test } from "vitest";
import { exampleImportProblems, importProblems, importsOf, type SourcePackage } from "../../scripts/imports.ts";

function runtimeWith(sources: Record<string, string>): SourcePackage {
  return { name: "@arcp/runtime", dependencies: ["@arcp/core", "better-sqlite3"], sources: sourceMap(sources) };
}

function sourceMap(sources: Record<string, string>): ReadonlyMap<string, string> {
  return new Map(Object.entries(sources));
}

describe("finding imports", () => {
  test("finds every form, with its line", () => {
    const source = [
      'import { a } from "./a.ts";',
      'import type { B } from "./b.ts";',
      "import {",
      "  c,",
      "  type D,",
      '} from "./c.ts";',
      'import "./effect.ts";',
      'export * from "./e.ts";',
      'export type { F } from "./f.ts";',
      'const lazy = await import("./lazy.ts");',
    ].join("\n");
    expect(importsOf(source).map(({ specifier, line, isTypeOnly }) => [specifier, line, isTypeOnly])).toEqual([
      ["./a.ts", 1, false],
      ["./b.ts", 2, true],
      ["./c.ts", 3, false],
      ["./effect.ts", 7, false],
      ["./e.ts", 8, false],
      ["./f.ts", 9, true],
      ["./lazy.ts", 10, false],
    ]);
  });

  test("takes neither declarations, nor comments, nor strings for imports", () => {
    const source = [
      'export const from = "./a.ts";',
      "export function read() {",
      '  return Array.from("./b.ts");',
      "}",
      ' * import { c } from "./c.ts";',
      '// import("./d.ts")',
      'const text = `import "./e.ts"`;',
      'import.meta.resolve("./f.ts");',
    ].join("\n");
    expect(importsOf(source)).toEqual([]);
  });

  test("knows a default import called type", () => {
    expect(importsOf('import type from "./a.ts";')[0]?.isTypeOnly).toBe(false);
  });
});

describe("package rules", () => {
  test("client and runtime do not import each other", () => {
    const source = runtimeWith({ "index.ts": 'import { ARCPClient } from "@arcp/client";' });
    expect(importProblems(source)).toEqual([
      "@arcp/runtime/src/index.ts:1: @arcp/runtime must not import @arcp/client",
    ]);
  });

  test("core imports no other package of the project, not even its types", () => {
    const sources = sourceMap({ "index.ts": 'import type { Job } from "@arcp/runtime";' });
    const problems = importProblems({ name: "@arcp/core", dependencies: ["@arcp/runtime"], sources });
    expect(problems).toEqual(["@arcp/core/src/index.ts:1: @arcp/core must not import @arcp/runtime"]);
  });

  test("a package is imported by its root and must be declared", () => {
    const source = runtimeWith({
      "index.ts": [
        'import { decode } from "@arcp/core/dist/frame.js";',
        'import { z } from "zod";',
        'import { readFile } from "fs";',
        'import Database from "better-sqlite3";',
      ].join("\n"),
    });
    expect(importProblems(source)).toEqual([
      "@arcp/runtime/src/index.ts:1: @arcp/core/dist/frame.js reaches into @arcp/core; import its root",
      "@arcp/runtime/src/index.ts:2: zod is not among the dependencies in package.json",
      "@arcp/runtime/src/index.ts:3: fs is written node:fs",
    ]);
  });

  test("a relative import stays in the package and exists", () => {
    const source = runtimeWith({ "index.ts": 'import "../../core/src/frame.ts";\nimport "./gone.ts";' });
    expect(importProblems(source)).toEqual([
      "@arcp/runtime/src/index.ts:1: ../../core/src/frame.ts is outside the package's src",
      "@arcp/runtime/src/index.ts:2: ./gone.ts does not exist",
    ]);
  });

  test("a new package needs a place in the layers", () => {
    const problems = importProblems({ name: "@arcp/novel", dependencies: [], sources: new Map() });
    expect(problems).toEqual(["@arcp/novel: has no place in the layers of scripts/imports.ts"]);
  });
});

describe("layers of the runtime", () => {
  const layers = { "wire/v1.ts": "", "engine/job.ts": "", "store/store.ts": "", "store/sqlite.ts": "" };

  test.each([
    ["engine/a.ts", 'import type { W } from "../wire/v1.ts";', "the engine knows no wire"],
    ["engine/a.ts", 'import { open } from "../store/sqlite.ts";', "the engine knows no database"],
    ["engine/a.ts", 'import Database from "better-sqlite3";', "the engine knows no database"],
    ["engine/a.ts", 'import { createServer } from "node:http";', "the engine knows no transport"],
    ["engine/a.ts", 'import type { Transport } from "@arcp/core";', "the engine knows no transport"],
    ["store/a.ts", 'import { Job } from "../engine/job.ts";', "by their types only"],
    ["store/a.ts", 'import { type Job } from "../engine/job.ts";', "by their types only"],
    ["wire/a.ts", 'import { open } from "../store/sqlite.ts";', "a wire reaches the store through the engine"],
  ])("%s must not contain %s", (file, statement, reason) => {
    expect(importProblems(runtimeWith({ ...layers, [file]: statement }))).toEqual([expect.stringContaining(reason)]);
  });

  test.each([
    ["wire/a.ts", 'import { Job } from "../engine/job.ts";'],
    ["wire/a.ts", 'import type { Store } from "../store/store.ts";'],
    ["engine/a.ts", 'import type { Store } from "../store/store.ts";'],
    ["engine/a.ts", 'import { ARCPError } from "@arcp/core";'],
    ["store/a.ts", 'import type { Job } from "../engine/job.ts";'],
  ])("%s may contain %s", (file, statement) => {
    expect(importProblems(runtimeWith({ ...layers, [file]: statement }))).toEqual([]);
  });
});

describe("cycles", () => {
  test("a cycle is reported once, as the files it goes through", () => {
    const source = runtimeWith({
      "a.ts": 'import "./b.ts";',
      "b.ts": 'export * from "./c.ts";',
      "c.ts": 'import { a } from "./a.ts";',
      "d.ts": 'import "./a.ts";',
    });
    expect(importProblems(source)).toEqual(["@arcp/runtime/src: import cycle a.ts -> b.ts -> c.ts -> a.ts"]);
  });

  test("a type closes no cycle", () => {
    const source = runtimeWith({ "a.ts": 'import "./b.ts";', "b.ts": 'import type { A } from "./a.ts";' });
    expect(importProblems(source)).toEqual([]);
  });
});

test("an example imports only what a user can", () => {
  const source = [
    'import { serve } from "@arcp/sdk";',
    'import { Terminal } from "@arcp/sdk/terminal";',
    'import { helper } from "./helper.ts";',
    'import { Engine } from "../../packages/runtime/src/engine/engine.ts";',
    'import { Engine as Deep } from "@arcp/runtime/dist/engine/engine.js";',
  ].join("\n");
  expect(exampleImportProblems("examples/echo/run.ts", source, new Set(["@arcp/sdk", "@arcp/sdk/terminal"]))).toEqual([
    "examples/echo/run.ts:4: ../../packages/runtime/src/engine/engine.ts is not public; import what a package exports",
    "examples/echo/run.ts:5: @arcp/runtime/dist/engine/engine.js is not public; import what a package exports",
  ]);
});
