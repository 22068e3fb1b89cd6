/** What the service answers: its errors, as the store's, and the few members of its XML that are looked at. */
import { BlobError, type BlobFailure } from "@arcp/runtime";

/** An answer other than success. */
export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly status: number;
  /** The service's own name for it; empty if it gave none. */
  readonly code: string;

  constructor(status: number, code: string) {
    super(`the store answered ${status}${code === "" ? "" : ` ${code}`}`);
    [this.status, this.code] = [status, code];
  }

  /** Is there no such object? An answer without a body has no name for it. */
  get isMissing(): boolean {
    return this.status === 404 && ["", "NoSuchKey", "NoSuchUpload", "NoSuchVersion"].includes(this.code);
  }

  /** Can the same request be answered otherwise a moment later? */
  get mayPass(): boolean {
    return this.status === 408 || this.status === 429 || (this.status >= 500 && this.status !== 501 && !isFull(this));
  }
}

const FULL = new Set(["QuotaExceeded", "XMinioStorageFull", "XAmzStorageFull", "InsufficientStorage"]);
const isFull = ({ status, code }: S3Error): boolean => status === 507 || FULL.has(code);

function failureOf(error: S3Error): readonly [BlobFailure, string] {
  if (isFull(error)) return ["no_space", "no space is left for blobs"];
  if (error.code === "NoSuchBucket") return ["unusable", "there is no such bucket"];
  if (error.isMissing) return ["missing", "there is no such blob"];
  // Some say of a user whom they do not know that there is none.
  if ([401, 403, 404].includes(error.status)) return ["unusable", "the store does not let this program in"];
  if (error.status === 412) return ["corrupt", "the blob has changed while it was read"];
  if (error.mayPass || (error.status >= 300 && error.status < 400)) return ["unusable", "the store cannot be used now"];
  if (error.code === "AuthorizationHeaderMalformed") return ["unusable", "the store is in another region"];
  return ["failed", "the store has refused"];
}

/** Is it a mistake of this program's? */
export const isFault = (error: unknown): boolean => error instanceof TypeError;

/** Whatever was thrown, as the store's error. Messages name no keys and no hosts: those are in the cause. */
export function blobErrorOf(error: unknown): unknown {
  if (error instanceof BlobError || isFault(error)) return error;
  if (!(error instanceof S3Error)) return new BlobError("unusable", "the store cannot be reached", { cause: error });
  const [reason, sentence] = failureOf(error);
  return new BlobError(reason, `${sentence} (${error.status}${error.code && ` ${error.code}`})`, { cause: error });
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function textOf(xml: string): string {
  return xml.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
  });
}

/** What stands in each element of that name, as XML. These are never nested in themselves. */
export const elements = (xml: string, name: string): string[] =>
  [...xml.matchAll(new RegExp(`<${name}>([^]*?)</${name}>`, "g"))].map(([, content = ""]) => content);

/** The text of the first element of that name. */
export function element(xml: string, name: string): string | undefined {
  const [content] = elements(xml, name);
  return content === undefined ? undefined : textOf(content);
}
