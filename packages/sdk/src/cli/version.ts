import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
};

/** The version of this package. */
export const { version } = manifest;
/** The versions of Node that it runs on. */
export const NODE_RANGE = manifest.engines.node;
/** The packages that it is made of, with their versions. */
export const DEPENDENCIES = manifest.dependencies;
/** The revisions of the protocol that it speaks. */
export const WIRE_VERSIONS = ["1.1", "1.0"];
