/** References that mean nothing outside the machine or the moment they were written on. */
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";

interface ForbiddenReference {
  readonly pattern: RegExp;
  readonly what: string;
}

/** Spelt so that no pattern finds itself. */
const FORBIDDEN: readonly ForbiddenReference[] = [
  { pattern: /\.\.\/shared\b/, what: "a directory outside the repository" },
  { pattern: /(?<![\w.*~-])\/(?:work|root)\//, what: "an absolute path of one machine" },
  { pattern: /\.librar[y]\b/, what: "a directory outside the repository" },
  {
    pattern: /\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.|\bnpm\.pkg\.github\.|\b(?:artifactor[y]|verdacci[o])\b/i,
    what: "a package registry's host",
  },
  { pattern: /"resolved": "https?:/, what: "a package registry's address" },
  { pattern: /\b(?:issue|task)\s+#?\d+\b/i, what: "a ticket number" },
];

/** The requirements use absolute paths to say what a lease covers. */
const EXEMPT = /^(packages\/conformance\/data|conformance)\/requirements-.*\.json$/;

export const BINARY_EXTENSIONS = new Set([
  ".png",
  ".jpg",
  ".gif",
  ".webp",
  ".ico",
  ".woff2",
  ".wasm",
  ".gz",
  ".tgz",
  ".db",
]);

/** Every forbidden reference of one file, each as `file:line: what "text"`. */
export function referenceProblems(file: string, text: string): string[] {
  return text.split("\n").flatMap((content, index) =>
    FORBIDDEN.flatMap(({ pattern, what }) => {
      const match = pattern.exec(content);
      return match === null ? [] : [`${file}:${index + 1}: refers to ${what}: "${match[0]}"`];
    }),
  );
}

/** Every forbidden reference of the checkout. */
export function allReferenceProblems(root: string, files: readonly string[]): string[] {
  const texts = files.filter((file) => !BINARY_EXTENSIONS.has(extname(file)) && !EXEMPT.test(file));
  return texts.flatMap((file) => referenceProblems(file, readFileSync(join(root, file), "utf8")));
}
