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
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
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
    resolve({ succeeded: false, output: `${command} could not be started: ${error.message}` });
  });
  child.on("close", (exitCode, signal) => {
    clearTimeout(timer);
    if (timedOut) output += `\nstopped after ${timeoutMs / 1000} s`;
    else if (signal !== null) output += `\nended by ${signal}`;
    else if (exitCode !== 0) output += `\nexit code ${exitCode}`;
    resolve({ succeeded: exitCode === 0, output });
  });
  return promise;
}
