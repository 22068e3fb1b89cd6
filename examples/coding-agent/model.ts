/** What the stand-in says: it tries, looks at the tests, tries again, and then goes further than it may. */
import { call, turns } from "../model/model.ts";

const FIRST_TRY = `/** A title as a part of a URL. */
export function slug(title) {
  return title.toLowerCase().replaceAll(" ", "-");
}
`;

const SECOND_TRY = `/** A title as a part of a URL. */
export function slug(title) {
  return title.normalize("NFD").replace(/\\p{Mark}/gu, "").toLowerCase().replaceAll(" ", "-");
}
`;

export const script = turns(
  call("run_tests"),
  call("read_file", { path: "src/slug.js" }),
  call("write_file", { path: "src/slug.js", text: FIRST_TRY, why: "every space has to become a hyphen" }),
  call("run_tests"),
  call("write_file", { path: "src/slug.js", text: SECOND_TRY, why: "letters have to lose their accents" }),
  call("run_tests"),
  call("read_file", { path: "README.md" }),
  call("write_file", {
    path: "README.md",
    text: "# slugs\n\nA title as a part of a URL: in lower case, without accents, its spaces hyphens.\n",
    why: "it says that only the first space becomes a hyphen",
  }),
  call("write_file", {
    path: "package.json",
    text: `{ "name": "slugs", "version": "1.0.1", "type": "module" }\n`,
    why: "the repair should be released",
  }),
  (denied) =>
    denied.startsWith("error")
      ? "Every space becomes a hyphen, and accents are gone; the version is as it was."
      : "Every space becomes a hyphen, accents are gone, and it is version 1.0.1.",
);
