import { describe, expect, test } from "vitest";
import { citationsOf } from "../../conformance/citations.ts";
import { conformancePage } from "../../conformance/page.ts";
import { type ConformanceRecord, type Requirement, recordProblems } from "../../conformance/record.ts";
import { covers } from "../support/covers.ts";

describe("reading citations", () => {
  test("a citation belongs to the test it stands in", () => {
    const source = [
      'test("first", () => {',
      '  covers("V11-4-01", "V11-4-02");',
      "});",
      "describe(`group`, () => {",
      "  it.each([f(1)])(`takes %s | b`, async () => {",
      "    covers(",
      '      "V11-4-03",',
      "    );",
      "  });",
      '  overEveryTransport("third", { timeout: 5 }, async ({ client }) => {',
      '    covers("V11-4-04");',
      "  });",
      "});",
    ].join("\n");
    expect(citationsOf("tests/a.test.ts", source)).toEqual({
      citations: [
        { id: "V11-4-01", file: "tests/a.test.ts", test: "first" },
        { id: "V11-4-02", file: "tests/a.test.ts", test: "first" },
        { id: "V11-4-03", file: "tests/a.test.ts", test: "takes %s | b" },
        { id: "V11-4-04", file: "tests/a.test.ts", test: "third" },
      ],
      problems: [],
    });
  });

  test("a comment cites nothing", () => {
    const source = 'test("a", () => {\n  // covers("V11-4-01");\n  /* covers("V11-4-02"); */\n});';
    expect(citationsOf("a.ts", source)).toEqual({ citations: [], problems: [] });
  });

  test.each([
    ["a call outside a test", 'covers("V11-4-01");', "a.ts:1: covers() is outside a test"],
    ["an id that is not a literal", 'test("a", () => {\n  covers(id);\n});', "a.ts:2: covers() takes requirement ids"],
    ["a skipped test", 'test.skip("a", () => {\n  covers("V11-4-01");\n});', 'is not always run: "a"'],
    ["a conditional test", 'it.skipIf(isSlow())("a", () => {\n  covers("V11-4-01");\n});', 'is not always run: "a"'],
    [
      "a skipped suite",
      'describe.skip("b", () => {\n  test("a", () => {\n    covers("V11-4-01");\n  });\n});',
      "describe.skip",
    ],
  ])("does not count %s", (_what, source, problem) => {
    const { citations, problems } = citationsOf("a.ts", source);
    expect(citations).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(problem)]);
  });
});

function requirement(id: string, section: string): Requirement {
  return { id, section, level: "MUST", actor: "runtime", text: `says ${id} | *loudly*`, test: "" };
}

const cited = { id: "R-4-1", file: "tests/a.test.ts", test: "does it" };
const settled: ConformanceRecord = {
  wires: [
    {
      wire: "1.1",
      requirements: [requirement("R-4-1", "4"), requirement("R-4.1-1", "4.1"), requirement("R-14-1", "14")],
      finishedSections: ["4"],
    },
  ],
  exceptions: [{ id: "R-4.1-1", reason: "needs a second machine" }],
  corrections: [],
  citations: [cited],
  citationProblems: [],
};

describe("the gate", () => {
  test("is open when every requirement of a finished section is cited or excused", () => {
    expect(recordProblems(settled)).toEqual([]);
  });

  test("names an uncited requirement of a finished section and its subsections", () => {
    expect(recordProblems({ ...settled, citations: [], exceptions: [] })).toEqual([
      "wire 1.1 section 4, not cited by any test: R-4-1",
      "wire 1.1 section 4.1, not cited by any test: R-4.1-1",
    ]);
  });

  test("refuses an excuse for what is cited, without a reason, or given twice", () => {
    const exceptions = [
      { id: "R-4.1-1", reason: " " },
      { id: "R-4-1", reason: "hard" },
      { id: "R-4.1-1", reason: "hard" },
    ];
    expect(recordProblems({ ...settled, exceptions })).toEqual([
      "R-4-1 is excused in exceptions.json but cited by a test",
      "R-4.1-1 is excused in exceptions.json without a reason",
      "R-4.1-1 is excused in exceptions.json twice",
    ]);
  });

  test("refuses unknown ids and unknown sections", () => {
    const wires = settled.wires.map((wire) => ({ ...wire, finishedSections: ["4", "1"] }));
    const citations = [cited, { ...cited, id: "R-5" }];
    const corrections = [{ id: "R-6", reason: "a typo" }];
    expect(recordProblems({ ...settled, wires, citations, corrections })).toEqual([
      'R-5 in tests/a.test.ts "does it" is not a requirement',
      "R-6 in corrections.json is not a requirement",
      "section 1 of wire 1.1 in finished.json has no requirements",
    ]);
  });

  test("is closed by a citation that does not count", () => {
    expect(recordProblems({ ...settled, citationProblems: ["a.ts:1: why"] })).toEqual(["a.ts:1: why"]);
  });
});

test("the page shows the test, the reason, or that there is none yet", () => {
  const page = conformancePage({ ...settled, corrections: [{ id: "R-4-1", reason: "said _twice_" }] });
  expect(page).toContain(
    "| R-4-1 | MUST | says R-4-1 \\| \\*loudly\\* | [a.test.ts](tests/a.test.ts): does it |\n" +
      "| R-4.1-1 | MUST | says R-4.1-1 \\| \\*loudly\\* | no test: needs a second machine |",
  );
  expect(page).toContain("| R-14-1 | MUST | says R-14-1 \\| \\*loudly\\* | not yet |");
  expect(page).toContain("| [4](#wire-11-section-4) | finished | 2 | 1 | 1 |");
  expect(page).toContain("- **R-4-1**: said \\_twice\\_");
});

test("covers refuses an id that is no requirement", () => {
  expect(() => covers("V11-99-01")).toThrow("unknown requirement V11-99-01");
  expect(() => covers("V11-4-01", "V10-4.1-01")).not.toThrow();
});
