import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryDirectory } from "./files.ts";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./full-disk-process.ts", import.meta.url));

/** Runs `script` in a mount namespace of its own, with the directory, Node, the sources and the program as arguments. */
const inNamespace = (directory: string, script: string) =>
  spawnSync(
    "sh",
    [
      ...["-c", 'unshare --user --map-root-user --mount sh -c "$0" sh "$@"', script],
      ...[directory, process.execPath, sources, program],
    ],
    { encoding: "utf8", timeout: 15_000 },
  );

test("a disk that is full under a runtime refuses new work, loses nothing, and is gone on with when it has room", (context) => {
  const directory = temporaryDirectory();
  const mount = 'mount -t tmpfs -o size=32m,mode=700 none "$1"';
  if (inNamespace(directory, mount).status !== 0) context.skip("needs a mount namespace of its own");
  const { stdout, stderr } = inNamespace(directory, `${mount} && "$2" --import "$3" "$4" "$1"`);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({
    refused: ["INTERNAL_ERROR", true, { reason: "storage_full", retry: "after_capacity" }],
    watching: "session.welcome",
    ended: "success",
    isTalkerHeld: true,
    strange: ["INTERNAL_ERROR", true, "storage_full"],
    pinged: true,
    wasToldTooEarly: false,
    lateEnd: "success",
    isGapFree: true,
    isAllKept: true,
    wasMoreTaken: true,
    invariants: [],
  });
});
