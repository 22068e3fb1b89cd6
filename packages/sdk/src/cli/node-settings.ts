/** What `arcp serve` is told of itself as one of several nodes. */
import { InvalidArgumentError } from "commander";
import type { ARCPConfig } from "../config.ts";
import { UsageError } from "./exit-code.ts";

export interface NodeOptions {
  readonly nodeName?: string;
  readonly label?: readonly (readonly [name: string, value: string])[];
  /** Seconds. */
  readonly nodeTtl?: number;
}

const MS_PER_SECOND = 1000;

/** By the command line, then by the configuration. Throws {@link UsageError} for options where there is nobody to share with. */
export function nodeSettings(
  { nodeName, label, nodeTtl }: NodeOptions,
  { node }: ARCPConfig,
  isShared: boolean,
): ARCPConfig["node"] {
  const isGiven = nodeName !== undefined || label !== undefined || nodeTtl !== undefined;
  if (isGiven && !isShared) {
    throw new UsageError(
      "--node-name, --label and --node-ttl are for nodes that share a database: --db postgresql://…",
    );
  }
  return {
    ...node,
    ...(nodeName !== undefined && { name: nodeName }),
    ...(label !== undefined && { labels: { ...node?.labels, ...Object.fromEntries(label) } }),
    ...(nodeTtl !== undefined && { ttlMs: nodeTtl * MS_PER_SECOND }),
  };
}

/** `key=value`. */
export function parseLabel(
  text: string,
  before: readonly (readonly [string, string])[] = [],
): readonly (readonly [string, string])[] {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError("Expected key=value.");
  return [...before, [name, value]];
}
