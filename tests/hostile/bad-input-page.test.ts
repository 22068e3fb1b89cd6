import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { badInputPage } from "./bad-input-page.ts";

test("docs/hostile-input.md says what the tests send: npm run bad-input -- --write", () => {
  expect(readFileSync(new URL("../../docs/hostile-input.md", import.meta.url), "utf8")).toBe(badInputPage());
});
