/** The bounds of artifacts (RFC §16.3), and how what exceeds one is refused. */
import { InternalError } from "@arcp/core";

/** How large artifacts may be, and how many a principal may keep. */
export interface ArtifactCaps {
  /** Bytes of one artifact. A larger one is refused. */
  readonly maxArtifactBytes: number;
  /** Artifacts of one principal that have neither expired nor been released, and those that are being put. */
  readonly maxPrincipalArtifacts: number;
  /** Their bytes. */
  readonly maxPrincipalBytes: number;
  /** Artifacts that one principal puts or reads at the same time. One more is refused. */
  readonly maxConcurrentTransfers: number;
}

const MIB = 1024 * 1024;

/** The caps of artifacts where none are given. */
export const DEFAULT_ARTIFACT_CAPS: ArtifactCaps = {
  maxArtifactBytes: 256 * MIB,
  maxPrincipalArtifacts: 10_000,
  maxPrincipalBytes: 1024 * MIB,
  maxConcurrentTransfers: 64,
};

/** Wire 1.0 has a code for this. `retry` says whether what is refused may be let in later. */
export const exhausted = (limit: keyof ArtifactCaps, max: number, retry: "after_capacity" | "never"): InternalError =>
  new InternalError(`${limit} (${max}) is exceeded`, { details: { code: "RESOURCE_EXHAUSTED", limit, max, retry } });

/** How long artifacts are kept, as `capabilities.artifact_retention` declares it. */
export interface ArtifactRetention {
  /** For artifacts whose owner does not say. */
  readonly default_seconds: number;
  /** Whoever asks for longer gets this. */
  readonly max_seconds: number;
}

/** How long artifacts are kept where nothing else is said, in seconds (RFC §16.3). */
export const DEFAULT_ARTIFACT_RETENTION: ArtifactRetention = { default_seconds: 3600, max_seconds: 86_400 };
