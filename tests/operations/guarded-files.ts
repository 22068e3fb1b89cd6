/** Files below a temporary directory, reached through a guard that checks patterns and remembers what it was told. */
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ARCPError, type Lease } from "@arcp/core";
import { validateLeaseOp } from "@arcp/runtime";
import { describe, onTestFinished } from "vitest";
import type { Guard, Operation } from "../../packages/runtime/src/engine/operation.ts";
import {
  type AgentFileSystemOptions,
  agentFileSystem,
} from "../../packages/runtime/src/operations/files/agent-file-system.ts";

export interface ToolCall {
  readonly tool: string;
  readonly args: unknown;
  outcome?: { readonly result: unknown } | { readonly error: string };
}

class RecordingGuard implements Guard {
  readonly lease: Lease;
  readonly calls: ToolCall[] = [];
  readonly #ending = new AbortController();

  constructor(lease: Lease) {
    this.lease = lease;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  end(reason: Error): void {
    this.#ending.abort(reason);
  }

  async operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    { tool = capability, args, describe }: Parameters<Guard["operation"]>[3] = {},
  ): Promise<Result> {
    const call: ToolCall = { tool, args };
    this.calls.push(call);
    try {
      const canonical = validateLeaseOp(this.lease, capability, target);
      const result = await act({
        target: canonical,
        callId: `call-${this.calls.length}`,
        signal: this.signal,
        authorize: (another) => validateLeaseOp(this.lease, capability, another),
        report: async () => {},
      });
      call.outcome = { result: describe?.(result) ?? null };
      return result;
    } catch (error) {
      call.outcome = { error: await outcomeOf(Promise.reject(error)) };
      throw error;
    }
  }
}

/**
 * `allowed`, or the code that `running` is refused with and the reason that its details give. What is no protocol error
 * is thrown on.
 */
export async function outcomeOf(running: Promise<unknown>): Promise<string> {
  try {
    await running;
    return "allowed";
  } catch (error) {
    if (!(error instanceof ARCPError)) throw error;
    const reason = error.details?.["reason"];
    return reason === undefined ? error.code : `${error.code} ${reason}`;
  }
}

/** A directory of the test's own, without links on the way to it. It is removed when the test has ended. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(realpathSync(tmpdir()), "arcp-files-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Writes files, with the directories that they are in. */
export function plant(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}

export const CANARY = "a canary outside";

/** `app` may be read, `app/out` also written; `canary` lies beside them. */
export function workspace(options: AgentFileSystemOptions = {}) {
  const directory = temporaryDirectory();
  plant(directory, { canary: CANARY, "outside/canary": CANARY, "app/x": "content", "app/out/y": "written" });
  const app = join(directory, "app");
  return {
    directory,
    app,
    out: join(app, "out"),
    ...files({ "fs.read": [`${app}/**`], "fs.write": [`${app}/out/**`] }, options),
  };
}

export function files(lease: Lease, options: AgentFileSystemOptions = {}) {
  const guard = new RecordingGuard(lease);
  const fs = agentFileSystem(guard, options);
  onTestFinished(() => fs.close());
  return { guard, fs };
}

/** What is open in this process at or below `directory`. */
export function openBelow(directory: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path === directory || path.startsWith(`${directory}/`) ? [path] : [];
    } catch {
      return []; // It was the descriptor of this very listing.
    }
  });
}

export async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const collected: Uint8Array[] = [];
  for await (const piece of pieces) collected.push(piece);
  return Buffer.concat(collected);
}

/** What only Linux can be asked is skipped elsewhere, and says so. */
export const describeOnLinux: typeof describe.skip =
  process.platform === "linux"
    ? describe
    : (((name: string, body: () => void) =>
        describe.skip(`${name} (skipped: asks Linux)`, body)) as typeof describe.skip);
