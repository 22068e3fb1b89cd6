/** Values that are too large to be sent along (RFC §16). */
import { InvalidRequestError, type JsonObject } from "@arcp/core";
import {
  type ArtifactRef10,
  CanonicalError,
  newArtifactId,
  parseArtifactUri,
  type RuntimeMessage10,
} from "@arcp/core/v1.0";
import { decodeBase64, encodeBase64 } from "../base64.ts";
import { checkDigest, sha256Of } from "./digest.ts";
import type { Answer, AskOptions, Unsent } from "./requests.ts";
import { joined, type ReadOptions } from "./streams.ts";

/** What an artifact is called, and how long it is kept (RFC §16). */
export interface PutOptions extends ReadOptions {
  /** Default: `text/plain` for a string, otherwise `application/octet-stream`. */
  readonly mediaType?: string;
  /** How long it is kept. The runtime has a bound of its own (RFC §16.3). */
  readonly ttlSeconds?: number;
  /** Default: a new one. */
  readonly artifactId?: string;
}

/** How an artifact is fetched (RFC §16.2). */
export interface FetchOptions extends ReadOptions {
  /**
   * Fetches what the runtime does not send but points to (RFC §16.2). Without it such an artifact is refused: the client
   * goes nowhere that its caller did not name.
   */
  readonly download?: (uri: string) => Promise<Uint8Array>;
}

/** An artifact: a reference to it, its id, or its address. */
export type ArtifactSource = string | { readonly artifact_id: string };

export interface ArtifactsOwner {
  readonly maxBytes: number;
  readonly maxFrameBytes: number;
  readonly silenceMs: number;
  readonly carriesSidecar: () => boolean;
  readonly ask: (message: Unsent, options: AskOptions) => Promise<Answer | undefined>;
}

/** What is asked for at a time of something that does not fit into one message. */
const RANGE_BYTES = 512 * 1024;
/** Room for the envelope around the content. */
const ENVELOPE_BYTES = 4096;
const BASE64_RATIO = 4 / 3;

export class Artifacts {
  readonly #owner: ArtifactsOwner;

  constructor(owner: ArtifactsOwner) {
    this.#owner = owner;
  }

  async put(data: Uint8Array | string, options: PutOptions = {}): Promise<ArtifactRef10> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const { artifactId = newArtifactId(), ttlSeconds, signal } = options;
    const mediaType = options.mediaType ?? (typeof data === "string" ? "text/plain" : "application/octet-stream");
    const sha256 = await sha256Of(bytes);
    const payload = {
      ...{ artifact_id: artifactId, media_type: mediaType, size: bytes.length },
      ...(sha256 !== undefined && { sha256 }),
      ...(ttlSeconds !== undefined && { ttl_seconds: ttlSeconds }),
    };
    const isBeside =
      this.#owner.carriesSidecar() && bytes.length * BASE64_RATIO + ENVELOPE_BYTES > this.#owner.maxFrameBytes;
    const content = isBeside
      ? { payload: { ...payload, encoding: "sidecar", byte_length: bytes.length }, bytes }
      : { payload: { ...payload, data: encodeBase64(bytes), encoding: "base64" } };
    const isOurs = options.artifactId === undefined;
    try {
      const answer = await this.#owner.ask({ type: "artifact.put", ...content }, { signal });
      return refOf(answer?.message);
    } catch (thrown) {
      // The answer to the first try was lost with its connection: nobody else can have an id that was made here.
      if (isOurs && thrown instanceof Error && "code" in thrown && thrown.code === "DUPLICATE_KEY") {
        const range = { artifact_id: artifactId, offset: 0, length: 1 };
        const answer = await this.#owner.ask({ type: "artifact.fetch", payload: range }, { signal });
        return { ...refOf(answer?.message), artifact_id: artifactId };
      }
      throw thrown;
    }
  }

  /** The content, whole, and as it was put. */
  async fetch(source: ArtifactSource, options: FetchOptions = {}): Promise<Uint8Array> {
    const id = idOf(source);
    const known: Partial<ArtifactRef10> = typeof source === "string" ? {} : source;
    const { bytes, ref } = await this.#whole(id, known, options);
    await checkDigest(bytes, known.sha256 ?? ref.sha256, "the artifact");
    return bytes;
  }

  async release(source: ArtifactSource, { signal }: ReadOptions = {}): Promise<void> {
    // Some runtimes do not answer.
    const { silenceMs } = this.#owner;
    await this.#owner.ask({ type: "artifact.release", payload: { artifact_id: idOf(source) } }, { signal, silenceMs });
  }

  async #whole(
    id: string,
    known: Partial<ArtifactRef10>,
    options: FetchOptions,
  ): Promise<{ readonly bytes: Uint8Array; readonly ref: Partial<ArtifactRef10> }> {
    const isLarge = (known.size ?? 0) > RANGE_BYTES;
    if (known.size !== undefined) this.#assertFits(known.size);
    try {
      const first = await this.#part(id, isLarge ? { offset: 0, length: RANGE_BYTES } : {}, options);
      const size = known.size ?? first.ref.size ?? first.bytes.length;
      return { bytes: await this.#rest(id, first.bytes, size, options), ref: first.ref };
    } catch (thrown) {
      const size = sizeOfRefusal(thrown);
      if (size === undefined || isLarge) throw thrown;
      this.#assertFits(size);
      return { bytes: await this.#rest(id, new Uint8Array(), size, options), ref: {} };
    }
  }

  /** What comes after `first`, of which a runtime that knows no ranges has sent everything. */
  async #rest(id: string, first: Uint8Array, size: number, options: FetchOptions): Promise<Uint8Array> {
    const pieces = [first];
    let offset = first.length;
    while (offset < size) {
      const { bytes } = await this.#part(id, { offset, length: Math.min(RANGE_BYTES, size - offset) }, options);
      if (bytes.length === 0) throw new CanonicalError("DATA_LOSS", "the artifact is shorter than its reference says");
      pieces.push(bytes);
      offset += bytes.length;
    }
    return joined(pieces);
  }

  async #part(
    id: string,
    range: JsonObject,
    { signal, download }: FetchOptions,
  ): Promise<{ readonly bytes: Uint8Array; readonly ref: Partial<ArtifactRef10> }> {
    const payload = { artifact_id: id, ...range };
    const answer = await this.#owner.ask({ type: "artifact.fetch", payload }, { signal });
    const message = answer?.message;
    if (message?.type !== "artifact.put" && message?.type !== "artifact.ref") throw unexpected(message);
    const { data, size, sha256 } = message.payload;
    const ref = { ...(size !== undefined && { size }), ...(sha256 !== undefined && { sha256 }) };
    if (answer?.bytes) return { bytes: answer.bytes, ref };
    if (data !== undefined) return { bytes: decodeBase64(data), ref };
    const uri = message.type === "artifact.ref" ? message.payload.uri : undefined;
    if (uri === undefined || parseArtifactUri(uri) !== undefined) throw unexpected(message);
    if (download === undefined) {
      throw new CanonicalError("FAILED_PRECONDITION", "the artifact is elsewhere", { details: { uri } });
    }
    return { bytes: await download(uri), ref };
  }

  #assertFits(size: number): void {
    const max = this.#owner.maxBytes;
    if (size <= max) return;
    throw new CanonicalError("RESOURCE_EXHAUSTED", "the artifact is larger than this client collects", {
      retryable: false,
      details: { size, max },
    });
  }
}

function idOf(source: ArtifactSource): string {
  const named = typeof source === "string" ? source : source.artifact_id;
  const id = named.startsWith("arcp:") ? parseArtifactUri(named)?.artifactId : named;
  if (id === undefined || id === "") throw new InvalidRequestError("expected the id of an artifact");
  return id;
}

function refOf(message: RuntimeMessage10 | undefined): ArtifactRef10 {
  if (message?.type === "artifact.ref") {
    const { data: _data, ...ref } = message.payload;
    return ref;
  }
  if (message?.type !== "artifact.put") throw unexpected(message);
  const { artifact_id, media_type, size, sha256 } = message.payload;
  return { artifact_id: artifact_id ?? "", media_type, size, sha256, uri: undefined, expires_at: undefined };
}

const unexpected = (message: RuntimeMessage10 | undefined): InvalidRequestError =>
  new InvalidRequestError(`the runtime answered with ${message?.type ?? "nothing"}`);

/** The size of something that a runtime would send in ranges only. */
function sizeOfRefusal(thrown: unknown): number | undefined {
  if (!(thrown instanceof CanonicalError) || thrown.canonicalCode !== "RESOURCE_EXHAUSTED") return undefined;
  const size = thrown.details?.["size"];
  return typeof size === "number" ? size : undefined;
}

/** A value that was put as an artifact: JSON parsed, text as a string, anything else as its bytes. */
export function contentOf(bytes: Uint8Array, mediaType: string | undefined): unknown {
  const [type = ""] = (mediaType ?? "").split(";", 1);
  if (type === "application/json" || type.endsWith("+json")) return JSON.parse(new TextDecoder().decode(bytes));
  return type.startsWith("text/") ? new TextDecoder().decode(bytes) : bytes;
}
