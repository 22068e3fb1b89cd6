/** Files and network as an agent reaches them: every call is a guarded operation (§9.2, §9.3). */
import type { Logger } from "@arcp/core";
import type { Guard, OperationCost } from "./operation.ts";

/** What a directory holds under one name. */
export interface FileEntry {
  readonly name: string;
  /** A link is listed as what it is; nothing follows it. */
  readonly kind: "file" | "directory" | "link" | "other";
}

/** What is known of a file. */
export interface FileFacts {
  readonly kind: FileEntry["kind"];
  /** Bytes. */
  readonly size: number;
  /** RFC 3339. */
  readonly modifiedAt: string;
}

/** How a file is written. */
export interface FileWriteOptions {
  /** `replace` writes a new file in the place of one that may be there, `create` only a new one. Default: `replace`. */
  readonly mode?: "replace" | "create" | "append";
}

/**
 * Files within the lease: `fs.read` for reading, listing and looking, `fs.write` for the rest. Paths are absolute. No
 * link is ever followed, and a file that has a second name is not opened.
 *
 * Every method throws the errors of {@link Guard.operation}, and {@link InvalidRequestError} with `details.reason` for
 * what the file system refuses: `not_found`, `exists`, `not_a_file`, `not_a_directory`, `not_empty`, `too_large`, …
 */
export interface AgentFileSystem {
  /** The whole file, as bytes. */
  read(path: string): Promise<Uint8Array>;
  /** The whole file, as text. */
  read(path: string, encoding: "utf8"): Promise<string>;
  /** The file in pieces, in order. It is closed when the iteration ends. */
  stream(path: string): AsyncIterable<Uint8Array>;
  /** In the order of their names, by code point. */
  list(path: string): Promise<readonly FileEntry[]>;
  stat(path: string): Promise<FileFacts>;
  /** A replaced file has its old content until it has the new one. */
  write(path: string, data: string | Uint8Array, options?: FileWriteOptions): Promise<void>;
  mkdir(path: string, options?: { readonly recursive?: boolean }): Promise<void>;
  /** Removes a file, a link, or an empty directory; with `recursive`, a directory with all that is in it. */
  remove(path: string, options?: { readonly recursive?: boolean }): Promise<void>;
}

/** A request that an agent makes: as for the platform's `fetch`, and what it may cost. */
export interface AgentFetchInit {
  /** Default: `GET`. */
  readonly method?: string;
  readonly headers?: Headers | Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** What to do about a redirect: go there if the lease covers it, at most five times, or return it. Default: `follow`. */
  readonly redirect?: "follow" | "manual";
  readonly signal?: AbortSignal;
  /** What the call may cost. Default: nothing. */
  readonly cost?: OperationCost;
}

/**
 * `fetch` within `net.fetch`. Every redirect is authorized anew, and the address that was checked is the one connected
 * to: a name that leads to a private, loopback, link-local or metadata address is refused unless the lease names that
 * address. The response is a standard one; reading more of it than is allowed throws.
 */
export interface AgentFetch {
  /**
   * As the platform's own is called, so that clients of APIs can be given it: `new OpenAI({ fetch: context.fetch })`. Throws
   * {@link InvalidRequestError} for what {@link AgentFetchInit} has not: `Request` objects, bodies that are neither text nor bytes.
   */
  (url: string | URL | Request, init?: RequestInit): Promise<Response>;
  (url: string | URL, init?: AgentFetchInit): Promise<Response>;
}

/** Files that people granted to a job beside its lease (RFC §15.5). */
export interface FileGrant {
  readonly capability: "fs.read" | "fs.write";
  /** A path, or a pattern of paths. */
  readonly target: string;
  readonly isPattern: boolean;
  readonly covers: (path: string) => boolean;
  /** Not any more once it has lapsed. */
  readonly isActive: () => boolean;
}

/** The operations of one job that reach out of the runtime. */
export interface AgentOperations {
  readonly fs: AgentFileSystem;
  readonly fetch: AgentFetch;
  /** Pins what people granted of the file system as it is now. */
  admit(grant: FileGrant): void;
  /** Gives back descriptors and connections. Called once, when the job has ended. */
  close(): void;
}

/** Made when a job starts: what its lease names of the file system is pinned then. */
export type OperationsFactory = (guard: Guard, logger: Logger) => AgentOperations;
