/** `ctx.fs`: the files of a lease, as its agent reaches them (§9.2, §9.3). */

import { randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import {
  type ARCPError,
  CancelledError,
  InternalError,
  InvalidRequestError,
  type Logger,
  PermissionDeniedError,
  silentLogger,
  TimeoutError,
} from "@arcp/core";
import type {
  AgentFileSystem,
  FileEntry,
  FileFacts,
  FileGrant,
  FileWriteOptions,
} from "../../engine/agent-operations.ts";
import type { Guard } from "../../engine/operation.ts";
import type { FileAction, FileActions } from "./file-actions.ts";
import { type FileCallOptions, type FileLane, type FileWorkers, sharedFileWorkers } from "./file-workers.ts";
import { type FileCapability, LeaseRoots } from "./lease-roots.ts";
import { REASONS, Refusal, refusalOf } from "./refusal.ts";
import { type Pin, type Place, segmentsOf } from "./walk.ts";

/** How much an agent reads at once. */
export interface AgentFileSystemOptions {
  /** Of a file that is read whole. Default: 16 MiB. */
  readonly maxReadBytes?: number;
  /** Of a file that is read piece by piece. Default: 1 GiB. */
  readonly maxStreamBytes?: number;
  /** Of one write. Default: 16 MiB. */
  readonly maxWriteBytes?: number;
  /** In a directory that is listed. Default: 10,000. */
  readonly maxListEntries?: number;
  /** Below a directory that is removed. Default: 100,000. */
  readonly maxRemoveEntries?: number;
  /** The threads that call the file system. Default: those of the process. */
  readonly workers?: FileWorkers;
  /** Is told why a directory of the lease cannot be used: the agent is not. Default: nothing is logged. */
  readonly log?: Logger;
}

const BYTES_PER_PIECE = 2 ** 18;
const CLOSED: Pin = { refused: "stopped" };
/** As long as a path may be. */
const MAX_SHOWN = 4096;
/** Names of the kernel's own, which are not looked up at all. */
const KERNEL_PATH = /^\/(?:proc|sys|\.vol|dev\/fd)(?:\/|$)/i;

/**
 * The files of `guard`'s lease. The directories that its patterns begin with are opened now, without following links,
 * and held until `close`; every operation walks from there one name at a time, and acts on what it has opened. So a
 * name that comes to mean something else meanwhile leads nowhere.
 *
 * - A directory of the lease that is a link, or is reached through one, is refused with PERMISSION_DENIED; so is
 *   everything below one that is found replaced or gone. One that does not exist yet may be made later.
 * - `/proc`, `/sys` and other file systems of the kernel are refused whatever the lease says. What is neither a regular
 *   file nor a directory is not opened.
 * - What the lease names as a directory is not removed itself. `remove` with `recursive` needs a pattern that covers
 *   everything below; a directory whose contents are not covered is removed if it is empty. It does not enter another
 *   file system.
 * - `list` shows every name in a directory that the lease covers, also names that it does not cover.
 * - `replace` keeps the permissions of what it replaces. The new file has a random name until it is complete.
 *
 * Linux needs `/proc`. macOS is served through `/.vol`. On other platforms every call throws {@link InternalError}
 * with the reason `unsupported_platform`.
 *
 * Besides the errors of {@link AgentFileSystem}: {@link TimeoutError} if the file system does not answer (what a write
 * has done by then is unknown), {@link InternalError} for its faults, and {@link CancelledError} after `close`.
 */
export function agentFileSystem(guard: Guard, options: AgentFileSystemOptions = {}): GrantableFileSystem {
  return new GuardedFiles(guard, options);
}

export interface GrantableFileSystem extends AgentFileSystem {
  /** What people granted beside the lease: its directory is opened now, and held too. */
  admit(grant: FileGrant): void;
  close(): void;
}

/** One method of one call. */
interface FileOperation<Result> {
  readonly capability: FileCapability;
  readonly tool: string;
  readonly path: unknown;
  readonly args?: object;
  readonly act: (target: Target) => Promise<Result>;
  readonly describe?: (result: Result) => unknown;
}

/** What an operation is about, once it is authorized. */
interface Target {
  readonly capability: FileCapability;
  readonly path: string;
  readonly place: Place;
  readonly signal: AbortSignal;
}

class GuardedFiles implements GrantableFileSystem {
  readonly #guard: Guard;
  readonly #caps: Readonly<Record<"read" | "stream" | "write" | "list" | "remove", number>>;
  readonly #log: Logger;
  readonly #lane: FileLane;
  readonly #roots: LeaseRoots;
  /** All of them, before anything else is done. Never rejects. */
  #pins: Promise<ReadonlyMap<string, Pin>>;
  /** Calls that may use a pinned descriptor. */
  #underWay = 0;
  #isClosed = false;

  constructor(guard: Guard, options: AgentFileSystemOptions) {
    this.#guard = guard;
    this.#caps = {
      read: options.maxReadBytes ?? 2 ** 24,
      stream: options.maxStreamBytes ?? 2 ** 30,
      write: options.maxWriteBytes ?? 2 ** 24,
      list: options.maxListEntries ?? 10_000,
      remove: options.maxRemoveEntries ?? 100_000,
    };
    this.#log = options.log ?? silentLogger;
    this.#lane = (options.workers ?? sharedFileWorkers()).lane();
    this.#roots = new LeaseRoots(guard.lease);
    this.#pins = Promise.all([...this.#roots.paths()].map(async (path) => [path, await this.#pin(path)] as const)).then(
      (pins) => new Map(pins),
    );
  }

  admit(grant: FileGrant): void {
    const root = this.#roots.admit(grant);
    const pins = this.#pins;
    // After the end nothing is opened: what is open then is closed once.
    const pinned = pins.then((known) => known.get(root) ?? (this.#isClosed ? CLOSED : this.#pin(root)));
    this.#pins = Promise.all([pins, pinned]).then(([known, pin]) => new Map([...known, [root, pin]]));
  }

  read(path: string): Promise<Uint8Array>;
  read(path: string, encoding: "utf8"): Promise<string>;
  async read(path: string, encoding?: "utf8"): Promise<Uint8Array | string> {
    if (encoding !== undefined && encoding !== "utf8") throw new InvalidRequestError("the only encoding is utf8");
    const { bytes, text } = await this.#operation({
      capability: "fs.read",
      tool: "fs.read",
      path,
      act: async (target) => {
        const bytes = await this.#call("read", { place: target.place, maxBytes: this.#caps.read }, target);
        return { bytes, text: encoding && textOf(bytes, target) };
      },
      describe: ({ bytes }) => ({ bytes: bytes.length }),
    });
    return text ?? bytes;
  }

  async *stream(path: string): AsyncGenerator<Uint8Array, void, undefined> {
    const opened = Promise.withResolvers<OpenFile>();
    const consumed = Promise.withResolvers<number>();
    const operation = this.#operation({
      capability: "fs.read",
      tool: "fs.stream",
      path,
      act: async (target) => {
        const file = await this.#open(target);
        opened.resolve(file);
        return await unlessAborted(consumed.promise, target.signal).finally(() => file.close());
      },
      describe: (bytes) => ({ bytes }),
    });
    operation.catch(opened.reject);
    // Nobody listens if the operation was refused.
    consumed.promise.catch(() => {});
    let bytes = 0;
    try {
      const file = await opened.promise;
      for (let piece = await file.next(); piece.length > 0; piece = await file.next()) {
        bytes += piece.length;
        yield piece;
      }
    } catch (error) {
      consumed.reject(error);
      throw error;
    } finally {
      consumed.resolve(bytes);
      await operation;
    }
  }

  list(path: string): Promise<readonly FileEntry[]> {
    return this.#operation({
      capability: "fs.read",
      tool: "fs.list",
      path,
      act: (target) => this.#call("list", { place: target.place, maxEntries: this.#caps.list }, target),
      describe: (entries) => ({ entries: entries.length }),
    });
  }

  stat(path: string): Promise<FileFacts> {
    return this.#operation({
      capability: "fs.read",
      tool: "fs.stat",
      path,
      act: (target) => this.#call("stat", { place: target.place }, target),
      describe: (facts) => facts,
    });
  }

  async write(path: string, data: string | Uint8Array, options: FileWriteOptions = {}): Promise<void> {
    const mode = optionsOf(options).mode ?? "replace";
    if (!["replace", "create", "append"].includes(mode)) {
      throw new InvalidRequestError("a file is written with the mode replace, create or append");
    }
    const bytes = copyOf(data, this.#caps.write);
    const { length } = bytes;
    await this.#operation({
      capability: "fs.write",
      tool: "fs.write",
      path,
      args: { mode },
      act: (target) => {
        const temporaryName = `.arcp-${randomBytes(16).toString("hex")}`;
        const args = { place: target.place, data: bytes, mode, temporaryName };
        return this.#call("write", args, target, { transfer: [bytes.buffer] });
      },
      describe: () => ({ bytes: length }),
    });
  }

  async mkdir(path: string, options: { readonly recursive?: boolean } = {}): Promise<void> {
    const recursive = isRecursive(options);
    await this.#operation({
      capability: "fs.write",
      tool: "fs.mkdir",
      path,
      args: { recursive },
      act: (target) => {
        const { place } = target;
        const mayMake = place.below.map((_, position) =>
          this.#roots.covers("fs.write", joined(place.root.path, place.below.slice(0, position + 1))),
        );
        return this.#call("mkdir", { place, recursive, mayMake }, target);
      },
    });
  }

  async remove(path: string, options: { readonly recursive?: boolean } = {}): Promise<void> {
    const recursive = isRecursive(options);
    await this.#operation({
      capability: "fs.write",
      tool: "fs.remove",
      path,
      args: { recursive },
      act: (target) => {
        if (this.#roots.rootOf("fs.write", target.path) === target.path)
          throw errorOf(new Refusal("lease_root"), target);
        const coversContents = this.#roots.coversAllBelow("fs.write", target.path);
        const args = { place: target.place, recursive, coversContents, maxEntries: this.#caps.remove };
        return this.#call("remove", args, target);
      },
      describe: (entries) => ({ entries }),
    });
  }

  /** Gives the descriptors back: at once, or when the last call that may use them has ended. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#underWay === 0) this.#unpin();
  }

  #operation<Result>({ capability, tool, path, args, act, describe }: FileOperation<Result>): Promise<Result> {
    const shown = typeof path === "string" ? path.slice(0, MAX_SHOWN) : null;
    return this.#guard.operation(
      capability,
      // What is no string is the guard's to refuse.
      path as string,
      async ({ target, signal }) =>
        act({ capability, path: target, signal, place: await this.#place(capability, target) }),
      { tool, args: { path: shown, ...args }, ...(describe && { describe }) },
    );
  }

  async #place(capability: FileCapability, path: string): Promise<Place> {
    const about = { capability, path };
    if (KERNEL_PATH.test(path)) throw errorOf(new Refusal("kernel_file_system"), about);
    const root = this.#roots.rootOf(capability, path);
    const pin = root === undefined ? undefined : (await this.#pins).get(root);
    if (pin === undefined) throw errorOf(new Refusal("not_covered"), about);
    if ("refused" in pin) {
      const isFault = REASONS[pin.refused].verdict === "failed";
      throw errorOf(new Refusal(isFault ? pin.refused : "root_refused"), about);
    }
    return { root: pin, below: segmentsOf(path).slice(segmentsOf(pin.path).length) };
  }

  async #pin(path: string): Promise<Pin> {
    const { result, ended } = this.#lane.call("pin", { path }, { discard: closePin });
    this.#use(ended);
    const pin = await result.catch((error: unknown): Pin => ({ refused: refusalOf(error).reason }));
    if ("refused" in pin) this.#log.warn({ path, reason: pin.refused }, "a directory of a lease cannot be used");
    return pin;
  }

  async #call<Action extends FileAction>(
    action: Action,
    args: Parameters<FileActions[Action]>[0],
    { signal, ...about }: Target,
    options: Omit<FileCallOptions<ReturnType<FileActions[Action]>>, "signal"> = {},
  ): Promise<ReturnType<FileActions[Action]>> {
    // Checked where it cannot change before the call is under way.
    if (this.#isClosed) throw new CancelledError("the job has ended");
    const { result, ended } = this.#lane.call(action, args, { ...options, signal });
    this.#use(ended);
    try {
      return await result;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.reason === "root_replaced") this.#log.warn({ path: about.path }, error.message);
      throw errorOf(error, about);
    }
  }

  async #open(target: Target): Promise<OpenFile> {
    const maxBytes = this.#caps.stream;
    const fd = await this.#call("open", { place: target.place, maxBytes }, target, { discard: closeSync });
    return new OpenFile(fd, maxBytes, this.#lane, target);
  }

  /** Pinned descriptors stay open until `ended`. */
  #use(ended: Promise<void>): void {
    this.#underWay += 1;
    void ended.then(() => {
      this.#underWay -= 1;
      if (this.#isClosed && this.#underWay === 0) this.#unpin();
    });
  }

  #unpin(): void {
    void this.#pins.then((pins) => pins.forEach(closePin));
  }
}

/** A file that is read piece by piece, by one reader. */
class OpenFile {
  readonly #fd: number;
  readonly #lane: FileLane;
  readonly #target: Target;
  #left: number;
  #unused: Promise<void> = Promise.resolve();

  constructor(fd: number, maxBytes: number, lane: FileLane, target: Target) {
    this.#fd = fd;
    this.#left = maxBytes;
    this.#lane = lane;
    this.#target = target;
  }

  /** Nothing at the end. It is closed when the signal has aborted: then nothing is read any more. */
  async next(): Promise<Uint8Array> {
    const { signal, ...about } = this.#target;
    signal.throwIfAborted();
    const { result, ended } = this.#lane.call("next", { fd: this.#fd, maxBytes: BYTES_PER_PIECE }, { signal });
    this.#unused = ended;
    const piece = await result.catch((error: unknown) => {
      throw error instanceof Refusal ? errorOf(error, about) : error;
    });
    this.#left -= piece.length;
    if (this.#left < 0) throw errorOf(new Refusal("too_large"), about);
    return piece;
  }

  /** Once no call uses it. */
  close(): void {
    void this.#unused.then(() => closeSync(this.#fd));
  }
}

function closePin(pin: Pin): void {
  if ("fd" in pin) closeSync(pin.fd);
}

function errorOf(refusal: Refusal, { capability, path }: Pick<Target, "capability" | "path">): ARCPError {
  const { reason, code } = refusal;
  const message = `${capability} ${JSON.stringify(path.slice(0, 256))}: ${refusal.message}`;
  const details = { reason, capability, target: path };
  switch (REASONS[reason].verdict) {
    case "denied":
      return new PermissionDeniedError(message, { details });
    case "invalid":
      return new InvalidRequestError(message, { details });
    case "failed":
      if (reason === "deadline") return new TimeoutError(message, { details });
      return new InternalError(message, {
        details: reason === "unsupported_platform" ? { ...details, retry: "never" } : details,
        cause: code,
      });
  }
}

function textOf(bytes: Uint8Array, target: Target): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw errorOf(new Refusal("not_text"), target);
  }
}

/** The agent may go on to change what it has given. */
function copyOf(data: unknown, maxBytes: number): Uint8Array<ArrayBuffer> {
  if (typeof data !== "string" && !(data instanceof Uint8Array)) {
    throw new InvalidRequestError("what is written is a string or bytes");
  }
  // Text has at least as many bytes as it has units.
  const bytes = data.length > maxBytes ? undefined : typeof data === "string" ? utf8Of(data) : new Uint8Array(data);
  if (bytes === undefined || bytes.length > maxBytes) {
    throw new InvalidRequestError("too much to be written at once", { details: { reason: "too_large" } });
  }
  return bytes;
}

function utf8Of(text: string): Uint8Array<ArrayBuffer> {
  if (!text.isWellFormed()) throw new InvalidRequestError("half a character cannot be written");
  return new TextEncoder().encode(text);
}

function optionsOf<Options extends object>(options: Options): Options {
  if (typeof options !== "object" || options === null) throw new InvalidRequestError("options are an object");
  return options;
}

function isRecursive(options: { readonly recursive?: boolean }): boolean {
  const { recursive = false } = optionsOf(options);
  if (typeof recursive !== "boolean") throw new InvalidRequestError("recursive is true or false");
  return recursive;
}

const joined = (root: string, below: readonly string[]): string => `/${[...segmentsOf(root), ...below].join("/")}`;

/** Settles as `promise` does, or rejects with the reason of `signal`. */
function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: settled, resolve, reject } = Promise.withResolvers<Value>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  promise.then(resolve, reject);
  return settled.finally(() => signal.removeEventListener("abort", onAbort));
}
