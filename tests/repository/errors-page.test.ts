/** docs/errors.md against the code tables: every code of both wires has its heading, and what the page's tables say is so. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ARCPError, ERROR_CODES, ERROR_FACTS, isErrorCode, problemOf } from "@arcp/core";
import { CanonicalError, ERROR_CODES_10, isErrorCode10 } from "@arcp/core/v1.0";
import { expect, test } from "vitest";
import { EXIT } from "../../packages/sdk/src/cli/exit-code.ts";
import { repositoryRoot } from "../../scripts/repository-files.ts";

const page = readFileSync(join(repositoryRoot, "docs/errors.md"), "utf8");
const CODES = [...new Set<string>([...ERROR_CODES, ...ERROR_CODES_10])].sort();

/** The error as a runtime makes it, whichever wire the code is of. */
const errorOf = (code: string): ARCPError =>
  isErrorCode(code) || !isErrorCode10(code) ? new ARCPError(code, "") : new CanonicalError(code, "");

/** The line of the page's table that is true of a code. */
function lineOf(code: string): string {
  const error = errorOf(code);
  const nearest = isErrorCode(error.code) ? ERROR_FACTS[error.code].closeCode : undefined;
  const cells = [
    `[${code}](#${code.toLowerCase()})`,
    isErrorCode(code) ? "yes" : "",
    isErrorCode10(code) ? "yes" : "",
    error.retryable ? "yes" : "no",
    nearest,
    problemOf(error).status,
  ];
  return `|${cells.map((cell) => (cell === "" ? " |" : ` ${cell} |`)).join("")}`;
}

test("every code of both wires has a heading of its own, and nothing else has one there", () => {
  const codes = page.slice(page.indexOf("\n## The codes\n"), page.indexOf("\n## Errors of the client\n"));
  expect([...codes.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading)).toEqual(CODES);
});

test("the table says of each code what is true of it", () => {
  expect(page.match(/^\| \[[A-Z_]+\]\(#.*$/gm)).toEqual(CODES.map(lineOf));
});

test("the exit codes are those of the command", () => {
  const table = page.slice(page.indexOf("\n## The command line\n"));
  const listed = [...table.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code)).filter((code) => code < 256);
  expect(listed).toEqual(Object.values(EXIT));
});
