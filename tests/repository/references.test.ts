import { expect, test } from "vitest";
import { referenceProblems } from "../../scripts/references.ts";

/** Spelt apart, so that this file passes the check it tests. */
const spelt = (...parts: string[]) => parts.join("");

test.each([
  ["a directory beside the repository", spelt("see ..", "/shared/design.md")],
  ["an absolute path", spelt('const root = "', "/wo", 'rk/main";')],
  ["a home directory", spelt("cat ", "/ro", "ot/.npmrc")],
  ["a registry", spelt("https://regi", "stry.npmjs.org/ws")],
  ["a resolved address in a lock file", spelt('"resolved', '": "https://example.com/ws.tgz"')],
  ["a ticket", spelt("fixes iss", "ue #12")],
])("finds %s", (_what, line) => {
  expect(referenceProblems("a.md", `first\n${line}`)).toEqual([expect.stringMatching(/^a\.md:2: refers to /)]);
});

test.each(["./work/output.txt", "examples/work/run.ts", "registry.get(id)", "an issue of trust", "/workspace/**"])(
  "allows %s",
  (line) => {
    expect(referenceProblems("a.md", line)).toEqual([]);
  },
);
