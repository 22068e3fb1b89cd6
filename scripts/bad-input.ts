/** `npm run bad-input`: prints each bad input with its status or close code; with `--write` into docs/hostile-input.md. */
import { writeFileSync } from "node:fs";
import { badInputPage } from "../tests/hostile/bad-input-page.ts";

if (process.argv.includes("--write")) {
  writeFileSync(new URL("../docs/hostile-input.md", import.meta.url), badInputPage());
} else {
  console.log(badInputPage());
}
