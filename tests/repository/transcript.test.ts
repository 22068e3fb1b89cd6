import { describe, expect, it } from "vitest";
import { difference, stepsOf } from "../../scripts/transcript.ts";

const PAGE = `# Page

\`\`\`console
$ make it
made 3 in 1.5 s
$ look
\`\`\`

Put this into \`a.ts\`:

\`\`\`ts
export {};
\`\`\`

\`\`\`sh
$ not run
\`\`\`
`;

describe("a page whose commands are run", () => {
  it("has commands with what they print, and files, in order", () => {
    expect(stepsOf(PAGE)).toEqual([
      { kind: "command", command: { text: "make it", shown: ["made 3 in 1.5 s"], from: 4, to: 5 } },
      { kind: "command", command: { text: "look", shown: [], from: 6, to: 6 } },
      { kind: "file", file: { name: "a.ts", text: "export {};\n" } },
    ]);
    expect(PAGE.split("\n")[4]).toBe("made 3 in 1.5 s");
  });

  it("is right about what is printed, but for what is another one each time", () => {
    const shown = ["job_01M7XX9Z2YG10HKHMBJ5MC076N after 1.5 s", "…", "end"];
    expect(difference(shown, ["", "job_01M7XX9Z2YG10HKHMBJ5MC0AAA after 12 ms", "a", "b", "end", ""])).toBeUndefined();
    expect(difference(shown, ["job_01M7XX9Z2YG10HKHMBJ5MC0AAA after 12 ms", "end"])).toBeUndefined();
    expect(difference(shown, ["job_01M7XX9Z2YG10HKHMBJ5MC0AAA after 12 ms", "a"])).toContain("the page shows");
    expect(difference(["made 3"], ["made 4"])).toContain("it printed\n    made 4");
    expect(difference(["made 3"], ["made 3", "and more"])).toBeDefined();
    expect(difference([], ["whatever"])).toBeUndefined();
  });
});
