/** What the exit code of `arcp` says. */
export const EXIT = {
  success: 0,
  /** No connection, a refusal of the runtime, a file that cannot be read. */
  failure: 1,
  /** The job ended, and not with success. */
  jobFailed: 2,
  /** The command line makes no sense. */
  usage: 64,
  /** Ctrl-C: the job goes on, nobody here saw it end. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A mistake in what the user typed. The message is one line that says what to type instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
