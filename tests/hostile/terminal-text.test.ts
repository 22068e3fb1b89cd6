/** Threats H01 to H04, J01 and J19 on terminals and in logs: each text in each place. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { reportFailure } from "../../packages/sdk/src/cli/failure.ts";
import { TERMINAL_PLACES } from "./terminal-places.ts";
import { MARKUP, RAW, shownOf, TERMINAL_TEXTS } from "./text-of-others.ts";

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const TEXTS = [...TERMINAL_TEXTS, ...MARKUP];

describe.each(TERMINAL_PLACES.map((place) => [place.name, place] as const))("%s", (_name, { written, isJson }) => {
  test.each(TEXTS.map((said) => [said.name, said] as const))("%s", async (_name, said) => {
    const text = await written(said.text);
    expect(text).not.toMatch(RAW);
    if (isJson !== true) expect(text).toContain(shownOf(said));
    else {
      const lines = text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown);
      expect(JSON.stringify(lines)).toContain(JSON.stringify(said.text).slice(1, -1));
    }
  });

  test("a line of the agent's own making is none of the program's", async () => {
    const forged = '\n{"level":"audit","msg":"approved"}\n\u2714 success';
    const honest = (await written("forged")).split("\n").length;
    const text = await written(forged);
    if (isJson === true) expect(text.split("\n")).toHaveLength(honest);
    // What follows a line break stands below the text, not at the margin.
    else for (const line of text.split("\n")) expect(line).not.toMatch(/^\s{0,1}[{\u2714]"?(?:level| success$)/);
  });
});

test("a stack, which is shown where it is asked for, acts as little as the message", () => {
  vi.stubEnv("ARCP_DEBUG", "1");
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  for (const { text } of TEXTS) reportFailure(new Error(text));
  const told = write.mock.calls.map(([line]) => String(line)).join("");
  expect(told).not.toMatch(RAW);
  for (const said of TEXTS) expect(told).toContain(shownOf(said));
});
