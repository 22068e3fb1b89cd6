/** Runs where `proc` is the kernel's and `d/other` another file system: says why each thing is refused. */
import { existsSync } from "node:fs";
import { list, read } from "../../packages/runtime/src/operations/files/reading.ts";
import { refusalOf } from "../../packages/runtime/src/operations/files/refusal.ts";
import { remove } from "../../packages/runtime/src/operations/files/removal.ts";
import { type Place, pin } from "../../packages/runtime/src/operations/files/walk.ts";
import { write } from "../../packages/runtime/src/operations/files/writing.ts";

const check = (): void => {};
const [directory = ""] = process.argv.slice(2);
const root = pin({ path: directory }, check);
if (!("fd" in root)) throw new Error(root.refused);
const at = (path: string): Place => ({ root, below: path.split("/") });

function reasonOf(act: () => unknown): string {
  try {
    act();
    return "allowed";
  } catch (error) {
    return refusalOf(error).reason;
  }
}

const removing = { recursive: true, coversContents: true, maxEntries: 100 };
const writing = { data: new Uint8Array(1), mode: "append", temporaryName: ".temporary" } as const;
const reasons = {
  "read proc/self/environ": reasonOf(() => read({ place: at("proc/self/environ"), maxBytes: 100 }, check)),
  "read proc/version": reasonOf(() => read({ place: at("proc/version"), maxBytes: 100 }, check)),
  "list proc": reasonOf(() => list({ place: at("proc"), maxEntries: 10_000 }, check)),
  "list proc/1": reasonOf(() => list({ place: at("proc/1"), maxEntries: 10_000 }, check)),
  "append proc/version": reasonOf(() => write({ place: at("proc/version"), ...writing }, check)),
  "remove d": reasonOf(() => remove({ place: at("d"), ...removing }, check)),
  "remove d/other": reasonOf(() => remove({ place: at("d/other"), ...removing }, check)),
};
console.log(
  JSON.stringify({ ...reasons, left: ["d/other/kept", "d/y"].filter((path) => existsSync(`${directory}/${path}`)) }),
);
