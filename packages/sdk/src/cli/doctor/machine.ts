/** What `arcp` runs on: Node, its own packages, the disk. */
import { existsSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Check } from "./finding.ts";

/** Is this Node one that `range` (`>=22.19`) takes? */
export function checkNode(check: Check, version: string, range: string): void {
  const [, major = "0", minor = "0"] = /^>=(\d+)(?:\.(\d+))?/.exec(range) ?? [];
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  const isEnough = ownMajor > Number(major) || (ownMajor === Number(major) && ownMinor >= Number(minor));
  if (isEnough) check.ok(`${version}, and ${range} is needed`);
  else check.error(`${version}, and ${range} is needed`, "install Node's current LTS: https://nodejs.org");
}

export interface PackagesOptions {
  /** Where the command is installed. */
  readonly own: string;
  readonly version: string;
  /** Versions that it was made for, by name. */
  readonly needed: Readonly<Record<string, string>>;
  /** Where the user's project is. */
  readonly project: string;
}

/** Do the packages belong together, and is the command the one of the project? */
export function checkPackages(check: Check, { own, version, needed, project }: PackagesOptions): void {
  const names = Object.keys(needed).filter((name) => name.startsWith("@arcp/"));
  const wrong = names.flatMap((name) => {
    const found = installedVersion(name, own);
    return found === needed[name] ? [] : [`${name} is ${found ?? "missing"} instead of ${needed[name]}`];
  });
  if (wrong.length > 0) {
    check.error(wrong.join(", "), `npm install @arcp/sdk@${version}, or remove node_modules and npm install`);
  } else check.ok(`arcp ${version}, and ${names.length} packages of the same`);
  const projects = installedVersion("@arcp/sdk", project);
  if (projects === undefined || projects === version) return;
  check.warning(
    `this is arcp ${version}, and the project here has @arcp/sdk ${projects}`,
    "use the project's own: npx arcp",
  );
}

/** The version that a module in `directory` gets; `undefined` if it gets none. */
function installedVersion(name: string, directory: string): string | undefined {
  let place: string;
  try {
    place = dirname(createRequire(join(directory, "module.js")).resolve(name));
  } catch {
    return undefined; // It is not there: that is an answer.
  }
  for (; place !== dirname(place); place = dirname(place)) {
    const file = join(place, "package.json");
    if (!existsSync(file)) continue;
    const manifest = JSON.parse(readFileSync(file, "utf8"));
    if (manifest.name === name) return manifest.version;
  }
  return undefined;
}

/** The directory of this very package. */
export const OWN_DIRECTORY = fileURLToPath(new URL("../../../", import.meta.url));

const MIB = 1024 * 1024;
const TOO_LITTLE_BYTES = 100 * MIB;
const LITTLE_BYTES = 1024 * MIB;
const LITTLE_SHARE = 0.02;

/** Is there room where the database is, or is to be? */
export async function checkDisk(check: Check, directory: string): Promise<void> {
  const place = nearestDirectory(resolve(directory));
  const { bavail, bsize, files, ffree } = await statfs(place);
  judgeDisk(check, {
    place: relative(process.cwd(), place) || "this directory",
    freeBytes: bavail * bsize,
    freeFilesShare: files === 0 ? 1 : ffree / files,
  });
}

export interface DiskFacts {
  readonly place: string;
  readonly freeBytes: number;
  /** Of the files that the file system can hold. */
  readonly freeFilesShare: number;
}

export function judgeDisk(check: Check, { place, freeBytes, freeFilesShare }: DiskFacts): void {
  const free = `${place}: ${Math.floor(freeBytes / MIB).toLocaleString("en")} MiB are free`;
  const fix = "make room, or name another place with --db; docs/storage.md says what is kept for how long";
  if (freeBytes < TOO_LITTLE_BYTES) check.error(free, fix);
  else if (freeBytes < LITTLE_BYTES) check.warning(free, fix);
  else if (freeFilesShare < LITTLE_SHARE) check.warning(`${place} has hardly any room for further files`, fix);
  else check.ok(free);
}

/** `directory`, or the nearest above it that is there. */
export function nearestDirectory(directory: string): string {
  return existsSync(directory) || directory === dirname(directory) ? directory : nearestDirectory(dirname(directory));
}
