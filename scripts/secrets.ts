/** Secrets in the tree: keys and tokens of services, private keys, passwords in URLs, as secretlint knows them. */
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { lintSource } from "@secretlint/core";
import { creator } from "@secretlint/secretlint-rule-preset-recommend";
import { BINARY_EXTENSIONS } from "./references.ts";

/** What looks like a secret and is none: made up for a test or a page, and of use nowhere. */
const MADE_UP: readonly RegExp[] = [
  // Passwords in the URLs of databases that are not there.
  /^(?:postgres(?:ql)?|mysql):\/\/\w+:(?:s3cret|canary)@/,
  // AWS has it in its own documentation.
  /wJalrXUtnFEMI/,
];

/** Every secret of one file, as `file:line: what`. Never the secret itself. */
export async function secretProblems(file: string, text: string): Promise<string[]> {
  const { messages } = await lintSource({
    source: { filePath: file, content: text, ext: extname(file), contentType: "text" },
    options: {
      config: { rules: [{ id: "@secretlint/secretlint-rule-preset-recommend", rule: creator }] },
      maskSecrets: true,
    },
  });
  return messages
    .filter(({ range: [from, to] }) => !MADE_UP.some((pattern) => pattern.test(text.slice(from, to))))
    .map(({ loc, ruleId, message }) => `${file}:${loc.start.line}: ${ruleId}: ${message}`);
}

/** Every secret of the checkout. */
export async function allSecretProblems(root: string, files: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  for (const file of files.filter((each) => !BINARY_EXTENSIONS.has(extname(each)))) {
    problems.push(...(await secretProblems(file, readFileSync(join(root, file), "utf8"))));
  }
  return problems;
}
