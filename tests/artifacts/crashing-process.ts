/**
 * Puts and releases artifacts in `directory`, and is killed at the step named: the process gets no chance to tidy up.
 * Every artifact that was confirmed is a line of its output.
 */
import { writeSync } from "node:fs";
import type { BlobStore, BlobWriter } from "../../packages/runtime/src/store/blobs.ts";
import { inPieces, patterned } from "./content.ts";
import { Shelf } from "./shelf.ts";

const [directory = "", fatalStep = ""] = process.argv.slice(2);
let isArmed = false;

/** The end, if this is the step. */
function reach(step: string): void {
  if (isArmed && step === fatalStep) process.kill(process.pid, "SIGKILL");
}

const confirm = (what: object): void => void writeSync(1, `${JSON.stringify(what)}\n`);

function watched(blobs: BlobStore): BlobStore {
  return {
    isDurable: blobs.isDurable,
    create: async (name) => {
      reach("before the content is begun");
      const writer = watchedWriter(await blobs.create(name));
      reach("when the content is begun");
      return writer;
    },
    read: (blob, range) => blobs.read(blob, range),
    remove: async (id) => {
      reach("when the record is gone");
      await blobs.remove(id);
      reach("when the content is gone");
    },
    list: () => blobs.list(),
    close: () => blobs.close(),
    [Symbol.asyncDispose]: () => blobs.close(),
  };
}

function watchedWriter(writer: BlobWriter): BlobWriter {
  return {
    write: async (bytes) => {
      await writer.write(bytes);
      reach("in the middle of the content");
    },
    finish: async (sha256) => {
      reach("when the content is written");
      const blob = await writer.finish(sha256);
      reach("when the content is durable");
      return blob;
    },
    abort: () => writer.abort(),
    [Symbol.asyncDispose]: () => writer.abort(),
  };
}

const shelf = new Shelf({ directory, through: watched });
const kept = await shelf.put(patterned(100_000), { artifactId: "kept" });
confirm({ put: kept });
const doomed = await shelf.put(patterned(100_000), { artifactId: "doomed" });
confirm({ put: doomed });
const { flush } = shelf.journal;
shelf.journal.flush = async () => {
  reach("before the record is durable");
  await flush.call(shelf.journal);
  reach("when the record is durable");
};
isArmed = true;
const last = await shelf.put(inPieces(patterned(200_000), patterned(1000)), { artifactId: "last" });
confirm({ put: last });
await shelf.artifacts.release("alice", "doomed");
confirm({ released: "doomed" });
reach("when all is over");
