import { spawn } from "node:child_process";

export interface CommandOptions {
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface CommandResult {
  readonly succeeded: boolean;
  /** Everything the command printed, in the order it was printed. */
  readonly output: string;
  /** What of that came on its standard output. */
  readonly stdout: string;
}

const DEFAULT_TIMEOUT_MS = 5 * 60_000;

/** Runs a command without stdin and kills it, with a note in the output, when its time is up. */
export function runCommand(command: string, args: readonly string[], options: CommandOptions = {}) {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const { promise, resolve } = Promise.withResolvers<CommandResult>();
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32",
  });
  let output = "";
  let stdout = "";
  // So that a letter of several bytes is not cut in two.
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
    // What the command itself started may still hold these open.
    child.stdout.destroy();
    child.stderr.destroy();
  }, timeoutMs);
  child.on("error", (error) => {
    clearTimeout(timer);
    resolve({ succeeded: false, output: `${command} could not be started: ${error.message}`, stdout });
  });
  child.on("close", (exitCode, signal) => {
    clearTimeout(timer);
    if (timedOut) output += `\nstopped after ${timeoutMs / 1000} s`;
    else if (signal !== null) output += `\nended by ${signal}`;
    else if (exitCode !== 0) output += `\nexit code ${exitCode}`;
    resolve({ succeeded: exitCode === 0, output, stdout });
  });
  return promise;
}
