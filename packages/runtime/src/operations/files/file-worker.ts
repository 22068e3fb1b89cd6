/** A thread that calls the file system, so that what waits there holds nothing else up. One call at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { FILE_ACTIONS } from "./file-actions.ts";
import type { FileReply, FileRequest } from "./file-workers.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import type { Checkpoint } from "./walk.ts";

const { stop } = workerData as { readonly stop: Int32Array };

const check: Checkpoint = () => {
  if (Atomics.load(stop, 0) !== 0) throw new Refusal("stopped");
};

/** Never throws: what an action throws is the reply. */
function perform({ action, args }: Exclude<FileRequest, "end">): FileReply {
  try {
    const run = FILE_ACTIONS[action] as (args: unknown, check: Checkpoint) => unknown;
    return { value: run(args, check) };
  } catch (error) {
    const { reason, code } = refusalOf(error);
    return { refused: reason, code };
  }
}

parentPort?.on("message", (request: FileRequest) => {
  if (request === "end") {
    parentPort?.close();
    return;
  }
  const reply = perform(request);
  const bytes = "value" in reply && reply.value instanceof Uint8Array ? [reply.value.buffer as ArrayBuffer] : [];
  parentPort?.postMessage(reply, bytes);
});
