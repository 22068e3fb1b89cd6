import { expect, test } from "vitest";
import { masked, outputProblem } from "../../scripts/expected-output.ts";

test.each([
  ["the same", "a\nb\n", "a\nb\n"],
  ["spaces at the ends of lines, and the last line's end", "a\nb", "a  \nb\n\n"],
  ["any text within a line", "job_… ends after … ms", "job_01M7XX9Z2YG10HKHMBJ5MC076N ends after 17.2 ms"],
  ["no text within a line", "a…b", "ab"],
  ["what has a meaning in patterns", "1 + (1) = [2]… $", "1 + (1) = [2]. $"],
  ["any lines between two", "a\n…\nz", "a\nb\nz\nc\nz"],
  ["no lines between two", "a\n…\nz", "a\nz"],
  ["any lines at both ends", "…\nm\n…", "a\nm\nz"],
  ["several gaps", "a\n…\nm\n…\nz", "a\nm\nm\nz\nz"],
  ["the sign itself", "reading …", "reading …"],
])("holds: %s", (_what, expected, printed) => {
  expect(outputProblem(expected, printed)).toBeUndefined();
});

test.each([
  ["another line", "a\nb", "a\nc", "line 2 of the output: expected\n    b\nprinted\n    c"],
  ["a line too few", "a\nb", "a", "line 2 of the output: expected\n    b\nprinted\n    the end"],
  ["a line too many", "a", "a\nb", "line 2 of the output: expected\n    the end\nprinted\n    b"],
  ["a line that comes nowhere", "a\n…\nm\n…", "a\nb", "line 3 of the output: expected\n    m\nprinted\n    the end"],
  ["two in another order", "…\na\n…\nb\n…", "b\na", "line 3 of the output: expected\n    b\nprinted\n    the end"],
  ["nothing was expected", "", "a", "line 1 of the output: expected\n    \nprinted\n    a"],
])("does not hold: %s", (_what, expected, printed, problem) => {
  expect(outputProblem(expected, printed)).toBe(problem);
});

test("what is another one at every run is masked, and what was printed holds", () => {
  const printed = [
    "accepted  job_01M7XX9Z2YG10HKHMBJ5MC076N at 2026-11-21T17:50:19.123Z",
    "at ws://127.0.0.1:41873/arcp in process 4711, after  12.5 ms and 1.2 s",
    "for 60 s: 5 of 12, job_done",
    "writes /tmp/arcp-notes-fwmQQ5/1.md",
  ].join("\n");
  expect(masked(printed)).toBe(
    [
      "accepted  job_… at …",
      "at ws://127.0.0.1:…/arcp in process …, after … ms and … s",
      "for 60 s: 5 of 12, job_done",
      "writes …/arcp-notes-…/1.md",
      "",
    ].join("\n"),
  );
  expect(outputProblem(masked(printed), printed)).toBeUndefined();
});
