/** Runs where `contents` is a file system of 1 MiB: says what happens when it is full, and when it cannot be written. */
import { spawnSync } from "node:child_process";
import { ARCPError } from "@arcp/core";
import { failureOf, patterned } from "./content.ts";
import { Shelf } from "./shelf.ts";

const [directory = ""] = process.argv.slice(2);
const shelf = new Shelf({ directory });

const remount = (how: "ro" | "rw"): number | null =>
  spawnSync("sh", ["-c", `mount -o remount,${how} "$1"`, "sh", shelf.contents]).status;

async function refusal(work: Promise<unknown>): Promise<unknown> {
  const error = await failureOf(work);
  return error instanceof ARCPError ? [error.code, error.details?.["reason"]] : String(error);
}

const kept = await shelf.put(patterned(600_000));
const full = await refusal(shelf.put(patterned(2_000_000)));
const filesWhenFull = shelf.files.length;
// A small one still fits, and others may go on at the same time.
const small = await Promise.allSettled([shelf.put(patterned(1000)), shelf.put(patterned(2_000_000))]);
await shelf.artifacts.release("alice", kept.artifact_id);
const afterRelease = await shelf.put(patterned(600_000));
const remounted = remount("ro");
const readOnly = await refusal(shelf.put(patterned(10)));
const read = await shelf.fetched(afterRelease.artifact_id);
await shelf.artifacts.release("alice", afterRelease.artifact_id);
const warnings = shelf.logged.filter((line) => line.includes("could not be removed")).length;
const filesWhenReadOnly = shelf.files.length;
remount("rw");
await shelf.artifacts.collectOrphans();
const filesInTheEnd = shelf.files.length;
await shelf[Symbol.asyncDispose]();
console.log(
  JSON.stringify({
    ...{ full, filesWhenFull, small: small.map(({ status }) => status), remounted, readOnly },
    isRead: read.equals(patterned(600_000)),
    ...{ warnings, filesWhenReadOnly, filesInTheEnd },
  }),
);
