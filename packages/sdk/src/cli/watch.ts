/** Watching one job to its end: what `submit` and `tail` have in common. */
import type { ARCPClient, JobHandle, JobSubscription } from "@arcp/client";
import { ARCPError } from "@arcp/core";
import type { ChildJobs } from "./child-jobs.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { askWhatToDo, Interruption } from "./interruption.ts";
import type { JobView, Outcome, WatchedJob } from "./job-view.ts";
import { JsonView } from "./json-view.ts";
import type { ResultFile } from "./result-file.ts";
import { Terminal } from "./terminal.ts";
import { TerminalView } from "./terminal-view.ts";

export interface Screen {
  readonly view: JobView;
  /** Where the user can be asked; `undefined` where nobody can answer. */
  readonly terminal: Terminal | undefined;
}

/** For people if standard output is a terminal, as lines of JSON otherwise, unless `isJson` says which. */
export function openScreen(isJson: boolean | undefined): Screen {
  if (isJson ?? !process.stdout.isTTY) return { view: new JsonView(process.stdout), terminal: undefined };
  const terminal = new Terminal(process.stdout);
  return { view: new TerminalView(terminal), terminal: process.stdin.isTTY ? terminal : undefined };
}

export interface Watch extends Screen {
  readonly client: ARCPClient;
  readonly job: JobHandle | JobSubscription;
  readonly facts: WatchedJob;
  readonly output?: ResultFile | undefined;
  /** Of a job that was submitted here. */
  readonly children?: ChildJobs;
}

/** Shows the job until it ends or the user leaves. Throws when its end can no longer be learnt. */
export async function watchJob(watch: Watch): Promise<ExitCode> {
  const { client, job, view, terminal, output, children } = watch;
  const stopListening = client.on("state", (state) => view.onConnection(state));
  const interruption = new Interruption({
    terminal,
    ask: askWhatToDo,
    onCancel: () => cancel(client, job.jobId, terminal),
  });
  const { detached } = interruption;
  try {
    await view.onJob(watch.facts);
    children?.show(view);
    const isStreamed = output !== undefined || view instanceof JsonView;
    const pieces = isStreamed ? takePieces(job, output, detached) : Promise.resolve();
    for await (const event of job.events({ signal: detached })) await view.onEvent(event);
    await pieces;
    const outcome = await outcomeOf(job, output);
    await children?.settled();
    await interruption.stop();
    await view.onEnd(outcome);
    return outcome.status === "success" ? EXIT.success : EXIT.jobFailed;
  } catch (thrown) {
    if (!detached.aborted) throw thrown;
    await view.onDetach(job.jobId);
    return EXIT.interrupted;
  } finally {
    stopListening();
    await interruption.stop();
    await output?.discard();
    view.close();
  }
}

async function cancel(client: ARCPClient, jobId: string, terminal: Terminal | undefined): Promise<void> {
  try {
    await client.cancelJob(jobId, { reason: "cancelled by the user" });
  } catch (thrown) {
    await terminal?.print(`  not cancelled: ${ARCPError.from(thrown).message}`);
  }
}

/** To the file, or, where every chunk is shown as it comes, nowhere: a result that nobody asks for is not collected. */
async function takePieces(
  job: JobHandle | JobSubscription,
  output: ResultFile | undefined,
  signal: AbortSignal,
): Promise<void> {
  const pieces = job.resultStream({ signal });
  try {
    if (output !== undefined) await output.writePieces(pieces);
    else for await (const _ of pieces);
  } catch (thrown) {
    // How the job failed is told by its ending.
    if (!(thrown instanceof ARCPError) && !signal.aborted) throw thrown;
  }
}

async function outcomeOf(job: JobHandle | JobSubscription, output: ResultFile | undefined): Promise<Outcome> {
  try {
    const result = await job.done;
    await output?.commit(result);
    return { status: "success", result, savedTo: output?.path };
  } catch (thrown) {
    const status = job.finalStatus;
    // The job succeeded, or nobody knows: then it is not the job that failed.
    if (status === undefined || status === "success") throw thrown;
    return { status, error: ARCPError.from(thrown) };
  }
}
