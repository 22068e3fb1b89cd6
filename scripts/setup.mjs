#!/usr/bin/env node
/**
 * Installs the dependencies and builds the packages when either is missing or out of date.
 *
 * Runs before every npm script that needs them, on any Node >= 20 and before anything is installed, so it is plain
 * JavaScript without dependencies. `--no-build` stops after the installation.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MINIMUM_NODE_MAJOR = 20;
/** The first Node that runs TypeScript files without a flag: enough where no pinned Node exists for the platform. */
const MINIMUM_UNPINNED_NODE = [22, 18];
const STALE_LOCK_MS = 15 * 60_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const nodeModules = join(root, "node_modules");
const stampFile = join(nodeModules, ".setup-stamp");
const lockFile = join(tmpdir(), `arcp-setup-${sha256(root).slice(0, 16)}.lock`);

/** Whatever npm or tsc printed is the explanation, so no stack trace follows. */
class SetupError extends Error {}

const INTERRUPTED_CHILD_GRACE_MS = 5_000;

/** @type {import("node:child_process").ChildProcess | undefined} */
let runningChild;
/** @type {number | undefined} */
let interruptedExitCode;

async function main() {
  const startedAt = Date.now();
  requireSupportedNode();
  await withLock(async () => {
    const pinned = pinnedNode();
    const reason = installReason(pinned);
    if (reason !== undefined) await install(reason, pinned);
    if (pinned !== undefined) linkNodeCommand(pinned);
    if (!process.argv.includes("--no-build")) await build(pinned);
  });
  console.log(`setup: ready (${secondsSince(startedAt)})`);
}

function requireSupportedNode() {
  if (Number(process.versions.node.split(".")[0]) >= MINIMUM_NODE_MAJOR) return;
  throw new SetupError(`Node ${MINIMUM_NODE_MAJOR} or newer is needed; this is ${process.version}.`);
}

/** The Node that the project's scripts run on: an optional dependency, one package per platform. */
function pinnedNode() {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const names = [`node-${platform}-${process.arch}`, `node-bin-${platform}-${process.arch}`];
  const pins = readJson(join(root, "package.json")).optionalDependencies;
  const name = names.find((candidate) => candidate in pins);
  if (name === undefined) return undefined;
  const executable = process.platform === "win32" ? "node.exe" : "node";
  return { version: pins[name], directory: join(nodeModules, name), path: join(nodeModules, name, "bin", executable) };
}

/** Why an installation is needed, or undefined when what is installed is what the manifests ask for. */
function installReason(pinned) {
  if (!existsSync(nodeModules)) return "first run";
  if (pinned !== undefined && !isInstalled(pinned)) return `Node ${pinned.version} is missing`;
  const hash = manifestsHash();
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === hash) return undefined;
  const difference = lockDifference();
  if (difference === undefined) writeFileSync(stampFile, hash);
  return difference;
}

function isInstalled(pinned) {
  const manifest = join(pinned.directory, "package.json");
  return existsSync(pinned.path) && existsSync(manifest) && readJson(manifest).version === pinned.version;
}

function manifestsHash() {
  const files = [join(root, "package-lock.json"), ...manifestPaths().map((path) => join(root, path, "package.json"))];
  return sha256(files.map((file) => readFileSync(file, "utf8")).join("\0"));
}

/** The root and every workspace, as npm's lock file spells them. */
function manifestPaths() {
  const packages = readdirSync(join(root, "packages")).map((name) => `packages/${name}`);
  return ["", "docs/site", ...packages.filter((path) => existsSync(join(root, path, "package.json"))).sort()];
}

/**
 * Compares the manifests with the lock file, and the lock file with npm's own record of what it installed: a manifest
 * whose scripts changed, or a hand-run `npm install`, asks for no second installation.
 */
function lockDifference() {
  const recordFile = join(nodeModules, ".package-lock.json");
  if (!existsSync(recordFile)) return "the last installation did not finish";
  const locked = readJson(join(root, "package-lock.json")).packages;
  const installed = readJson(recordFile).packages;
  const changedManifest = manifestPaths().find((path) => !declaresTheSame(path, locked[path]));
  if (changedManifest !== undefined) return `${join(changedManifest, "package.json")} changed`;
  for (const [path, entry] of Object.entries(locked)) {
    if (path === "" || path.startsWith("packages/") || path === "docs/site") continue;
    if (installed[path] === undefined ? !entry.optional : installed[path].version !== entry.version) {
      return `${path.slice("node_modules/".length)} changed`;
    }
  }
  return undefined;
}

function declaresTheSame(path, entry) {
  const manifest = readJson(join(root, path, "package.json"));
  const kinds = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
  return kinds.every((kind) => sortedEntries(manifest[kind]) === sortedEntries(entry?.[kind]));
}

function sortedEntries(dependencies) {
  return JSON.stringify(Object.entries(dependencies ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function install(reason, pinned) {
  const startedAt = Date.now();
  console.log(`setup: installing dependencies with npm ci (${reason})`);
  rmSync(stampFile, { force: true });
  const { exitCode, output } = await run(...npmCommand(), [
    "ci",
    "--include=dev",
    "--include=optional",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ]);
  if (exitCode !== 0) {
    const explanation = output.replace(/^npm error {2,}at .*\n/gm, "").trim();
    throw new SetupError(`npm ci failed.\n${explanation}\n${installAdvice(output)}`.trimEnd());
  }
  requireWorkingNode(pinned);
  mkdirSync(nodeModules, { recursive: true });
  writeFileSync(stampFile, manifestsHash());
  console.log(`setup: installed (${secondsSince(startedAt)})`);
}

/** npm on the Node that started it, since the one in node_modules is about to be replaced. */
function npmCommand() {
  const npmScript = process.env["npm_execpath"];
  const isNpm = npmScript !== undefined && basename(npmScript) === "npm-cli.js" && existsSync(npmScript);
  return isNpm ? [process.env["npm_node_execpath"] ?? process.execPath, [npmScript]] : ["npm", []];
}

function installAdvice(output) {
  if (/E(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH|NOTCACHED)/.test(output)) {
    return "The npm registry could not be reached: the first run needs it once. Check the network, or npm's proxy and registry settings.";
  }
  if (/\bEUSAGE\b|in sync/.test(output)) {
    return "A package.json asks for what package-lock.json does not have: run `npm install` and commit package-lock.json.";
  }
  if (/\bETARGET\b|\bE404\b/.test(output)) return "The configured npm registry does not have a locked version.";
  return "";
}

function requireWorkingNode(pinned) {
  if (pinned === undefined) return requireTypeScriptSupport();
  const { stdout, error } = spawnSync(pinned.path, ["--version"], { encoding: "utf8" });
  if (stdout?.trim() === `v${pinned.version}`) return;
  throw new SetupError(`The installed Node ${pinned.version} does not run here: ${error?.message ?? stdout}`);
}

/**
 * Makes `node` in npm scripts the pinned one. npm 10 removes this link again together with the packages of the other
 * platforms, whose command has the same name.
 */
function linkNodeCommand(pinned) {
  const command = join(nodeModules, ".bin", "node");
  const target = join("..", relative(nodeModules, pinned.path));
  if (process.platform === "win32") {
    writeFileSync(`${command}.cmd`, `@"%~dp0\\${target}" %*\r\n`);
    writeFileSync(command, `#!/bin/sh\nexec "$(dirname "$0")/${target.replaceAll("\\", "/")}" "$@"\n`);
  } else if (linkTarget(command) !== target) {
    rmSync(command, { force: true });
    symlinkSync(target, command);
  }
}

function linkTarget(link) {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "EINVAL") return undefined;
    throw error;
  }
}

function requireTypeScriptSupport() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [minimumMajor, minimumMinor] = MINIMUM_UNPINNED_NODE;
  if (major > minimumMajor || (major === minimumMajor && minor >= minimumMinor)) return;
  const needed = MINIMUM_UNPINNED_NODE.join(".");
  throw new SetupError(
    `No Node is pinned for ${process.platform}-${process.arch}: run this on Node ${needed} or newer.`,
  );
}

async function build(pinned) {
  const compiler = join(nodeModules, "typescript", "bin", "tsc");
  const { exitCode, output } = await run(pinned?.path ?? process.execPath, [compiler], ["-b"]);
  if (exitCode !== 0) throw new SetupError(`tsc -b failed.\n${output.trim()}`);
  await buildDashboard(pinned);
}

/** In a process of its own, on the pinned Node: what builds it needs a newer one than this may be. */
async function buildDashboard(pinned) {
  const { exitCode, output } = await run(
    pinned?.path ?? process.execPath,
    [join(root, "scripts", "dashboard.mjs")],
    [],
  );
  if (exitCode !== 0) throw new SetupError(`The dashboard could not be built.\n${output.trim()}`);
}

/** Runs a command to its end and returns all it printed. */
function run(command, leading, args) {
  return new Promise((resolve, reject) => {
    const needsShell = process.platform === "win32" && command === "npm";
    const stdio = ["ignore", "pipe", "pipe"];
    const child = spawn(command, [...leading, ...args], { cwd: root, stdio, shell: needsShell });
    runningChild = child;
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => reject(new SetupError(`${command} could not be started: ${error.message}`)));
    child.on("close", (exitCode) => {
      if (interruptedExitCode !== undefined) process.exit(interruptedExitCode);
      runningChild = undefined;
      resolve({ exitCode, output });
    });
  });
}

/** One setup at a time per checkout; a lock whose holder is gone is taken over. */
async function withLock(action) {
  let announced = false;
  while (!tryLock()) {
    if (!announced) console.log("setup: waiting for another setup of this checkout");
    announced = true;
    await delay(100);
  }
  process.on("exit", () => rmSync(lockFile, { force: true }));
  await action();
}

function tryLock() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    if (isAbandoned()) rmSync(lockFile, { force: true });
    return false;
  }
}

function isAbandoned() {
  try {
    if (Date.now() - statSync(lockFile).mtimeMs > STALE_LOCK_MS) return true;
    const holder = Number(readFileSync(lockFile, "utf8"));
    if (holder > 0) process.kill(holder, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

/** Ends the running command before this process, so that the next setup does not meet it in node_modules. */
function exitOnSignal(signal, exitCode) {
  process.on(signal, () => {
    if (interruptedExitCode !== undefined) return;
    interruptedExitCode = exitCode;
    console.error("setup: interrupted; the next run starts over");
    if (runningChild === undefined) process.exit(exitCode);
    runningChild.kill(signal);
    setTimeout(() => runningChild.kill("SIGKILL"), INTERRUPTED_CHILD_GRACE_MS);
  });
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function secondsSince(startedAt) {
  return `${((Date.now() - startedAt) / 1000).toFixed(1)} s`;
}

exitOnSignal("SIGINT", 130);
exitOnSignal("SIGTERM", 143);
try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
