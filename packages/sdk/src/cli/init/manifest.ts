/** The `package.json` of a project that `arcp init` makes, or that it finds. */
import { UsageError } from "../exit-code.ts";

export interface ManifestSettings {
  readonly name: string;
  /** Of `@arcp/sdk`, and of the Node that it needs. */
  readonly version: string;
  readonly node: string;
}

export interface MergedManifest {
  readonly text: string;
  /** The members that were added or changed, such as `scripts.test`. Empty: nothing is missing. */
  readonly changes: readonly string[];
}

type Members = Record<string, unknown>;

/** What `npm init` writes where there is no test yet. */
const PLACEHOLDER = /no test specified/;
const PACKAGE = "@arcp/sdk";

/** A new manifest. */
export function newManifest({ name, version, node }: ManifestSettings): string {
  return print(
    {
      ...{ name, version: "0.1.0", private: true, type: "module", engines: { node } },
      scripts: { start: "arcp serve", test: "node --test" },
      dependencies: { [PACKAGE]: rangeOf(version) },
    },
    "  ",
  );
}

/** `found` with what is missing in it. What is there stays, but for `type` and a test that is none. */
export function mergeManifest(found: string, { version, node }: ManifestSettings): MergedManifest {
  const manifest = parseManifest(found);
  const changes: string[] = [];
  const set = (members: Members, name: string, value: unknown, path = name): void => {
    members[name] = value;
    changes.push(path);
  };
  if (!isModule(manifest)) set(manifest, "type", "module");
  if (manifest["engines"] === undefined) set(manifest, "engines", { node });
  const scripts = membersOf(manifest, "scripts");
  if (scripts["start"] === undefined) set(scripts, "start", "arcp serve", "scripts.start");
  if (isPlaceholder(scripts["test"])) set(scripts, "test", "node --test", "scripts.test");
  const dependencies = membersOf(manifest, "dependencies");
  const isThere = [dependencies, manifest["devDependencies"]].some((each) => isMembers(each) && PACKAGE in each);
  if (!isThere) set(dependencies, PACKAGE, rangeOf(version), `dependencies.${PACKAGE}`);
  const [, indent = "  "] = /^\s*\{\r?\n([ \t]+)/.exec(found) ?? [];
  return { text: changes.length === 0 ? found : print({ ...manifest, scripts, dependencies }, indent), changes };
}

/** Are its `.js` and `.ts` files ES modules? */
export const isModule = (manifest: Members): boolean => manifest["type"] === "module";

/** @throws UsageError for what npm could not read either. */
export function parseManifest(text: string): Members {
  let manifest: unknown;
  try {
    manifest = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (error) {
    throw new UsageError(`package.json is not JSON: ${(error as Error).message}; mend it first`);
  }
  if (isMembers(manifest)) return manifest;
  throw new UsageError("package.json is not an object; mend it first");
}

function membersOf(manifest: Members, name: string): Members {
  const found = manifest[name] ?? {};
  if (isMembers(found)) return { ...found };
  throw new UsageError(`package.json: "${name}" is not an object; mend it first`);
}

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isPlaceholder = (script: unknown): boolean =>
  script === undefined || (typeof script === "string" && PLACEHOLDER.test(script));

const rangeOf = (version: string): string => `^${version}`;

const print = (manifest: Members, indent: string): string => `${JSON.stringify(manifest, undefined, indent)}\n`;

const MAX_NAME_CHARS = 214;
const NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/;

/** Why npm would not have a package of this name; `undefined` if it would. */
export function nameProblem(name: string): string | undefined {
  if (name.length > MAX_NAME_CHARS) return `a package's name has at most ${MAX_NAME_CHARS} characters`;
  if (NAME.test(name) && name !== "node_modules") return undefined;
  return "a package's name has lower-case letters, digits, dashes, dots and underscores, and begins with a letter or digit";
}

/** The name of a package in a directory of this name. */
export function nameFrom(directory: string): string {
  const name = directory
    .toLowerCase()
    .replaceAll(/[^a-z0-9._~-]+/g, "-")
    .replace(/^[-._~]+/, "")
    .replace(/[-._~]+$/, "")
    .slice(0, MAX_NAME_CHARS);
  return nameProblem(name) === undefined ? name : "arcp-agents";
}
