/** Watching one job to its end: what `submit`, `watch`, `tail` and `top` have in common. */
import type { ARCPClient, JobHandle, JobSubscription } from "@arcp/client";
import { ARCPError } from "@arcp/core";
import type { ChildJobs } from "./child-jobs.ts";
import { clackPrompter } from "./clack-prompter.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { askWhatToDo, Interruption } from "./interruption.ts";
import { JobDesk } from "./job-desk.ts";
import type { JobView, Outcome, WatchedJob } from "./job-view.ts";
import { JsonView } from "./json-view.ts";
import { ObservedChildren } from "./observed-children.ts";
import type { ResultFile } from "./result-file.ts";
import { connectTo, type RuntimeAddress } from "./runtime-address.ts";
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
  readonly children?: ChildJobs | ObservedChildren;
  /** Do keys act on the job, and are its questions answered here, where somebody can be asked? */
  readonly isAttended?: boolean;
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
  let desk: JobDesk | undefined;
  try {
    await view.onJob(watch.facts);
    if (watch.isAttended === true && terminal !== undefined && view instanceof TerminalView) {
      const asked = { client, jobId: job.jobId, terminal, view, input: process.stdin, prompter: clackPrompter };
      const onInterrupt = (): void => interruption.interrupt();
      desk = new JobDesk({ ...asked, onLeave: () => interruption.detach(), onInterrupt });
    }
    children?.show(view);
    const isStreamed = output !== undefined || view instanceof JsonView;
    const pieces = isStreamed ? takePieces(job, output, detached) : Promise.resolve();
    for await (const event of job.events({ signal: detached })) await view.onEvent(event);
    await pieces;
    const outcome = await outcomeOf(job, output);
    await children?.settled();
    await desk?.close();
    await interruption.stop();
    await view.onEnd(outcome);
    return outcome.status === "success" ? EXIT.success : EXIT.jobFailed;
  } catch (thrown) {
    if (!detached.aborted) throw thrown;
    await view.onDetach(job.jobId);
    return EXIT.interrupted;
  } finally {
    stopListening();
    await desk?.close();
    await interruption.stop();
    await output?.discard();
    view.close();
  }
}

export interface Following {
  /** With what has happened so far. */
  readonly history: boolean;
  readonly isJson: boolean | undefined;
  /** Do keys act on the job, and are its questions answered here? Then the jobs that it delegates to are shown, too. */
  readonly isAttended: boolean;
}

/** Watches a job that is there already. The exit code is the job's, as that of {@link watchJob}. */
export async function followJob(
  jobId: string,
  address: RuntimeAddress,
  { history, isJson, isAttended }: Following,
): Promise<ExitCode> {
  const giveUp = new AbortController();
  const onInterrupt = (): void => giveUp.abort(new Error("interrupted"));
  process.once("SIGINT", onInterrupt);
  try {
    await using client = await connectTo(address, giveUp.signal);
    using children = isAttended ? new ObservedChildren(client, jobId) : undefined;
    await using subscription = await client.subscribe(jobId, { history });
    process.off("SIGINT", onInterrupt);
    const { agent, lease, leaseConstraints, budget, traceId } = subscription.subscribed;
    return await watchJob({
      ...openScreen(isJson),
      client,
      job: subscription,
      facts: {
        ...{ jobId, agent, lease, expiresAt: leaseConstraints?.expiresAt, budget, traceId },
        relation: "observed",
      },
      ...(children && { children }),
      isAttended,
    });
  } catch (thrown) {
    if (giveUp.signal.aborted) return EXIT.interrupted;
    throw thrown;
  } finally {
    process.off("SIGINT", onInterrupt);
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
