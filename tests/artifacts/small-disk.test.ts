import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryDirectory } from "./directory.ts";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./small-disk-process.ts", import.meta.url));

test("a disk that is full, or cannot be written, refuses and keeps nothing; what is there stays readable", (context) => {
  const directory = temporaryDirectory();
  const mount = `mkdir -p "$1/contents" && mount -t tmpfs -o size=1m,mode=700 none "$1/contents"`;
  const inNamespace = (script: string) =>
    spawnSync(
      "sh",
      [
        ...["-c", 'unshare --user --map-root-user --mount sh -c "$0" sh "$@"', script],
        ...[directory, process.execPath, sources, program],
      ],
      { encoding: "utf8" },
    );
  if (inNamespace(mount).status !== 0) context.skip("needs a mount namespace of its own");
  const { stdout, stderr } = inNamespace(`${mount} && "$2" --import "$3" "$4" "$1"`);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({
    full: ["INTERNAL_ERROR", "no_space"],
    filesWhenFull: 1,
    small: ["fulfilled", "rejected"],
    remounted: 0,
    readOnly: ["INTERNAL_ERROR", null],
    isRead: true,
    warnings: 1,
    filesWhenReadOnly: 2,
    filesInTheEnd: 1,
  });
});
