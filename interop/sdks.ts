/** The published SDKs: how each is installed, away from this repository, and how its drivers are started. */
import { type ExecFileOptions, execFile } from "node:child_process";
import { cp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ROUTES, type Route } from "./flows.ts";
import { ROUTES_10 } from "./flows-10.ts";

const run = promisify(execFile);
const INSTALL_TIMEOUT_MS = 240_000;
/** A compiler on one core takes its time. */
const BUILD_TIMEOUT_MS = 1_800_000;

export type Command = readonly [program: string, ...parameters: string[]];

export interface Sdk {
  readonly title: string;
  /** Over the wire that the SDK speaks. */
  readonly routes: readonly Route[];
  /** Installs it. Resolves with how to start it, or with the reason why it is left out. */
  readonly prepare: () => Promise<Ready | { readonly skipped: string }>;
}

export interface Ready {
  readonly version: string;
  /** Goes through the flows against the runtime at `url`, one JSON object per line. */
  readonly client: (url: string, token: string) => Command;
  /** Prints `{"url"}`, serves the agents of the flows, ends with its input. */
  readonly server: (token: string) => Command;
}

const driver = (path: string): string => fileURLToPath(new URL(`drivers/${path}`, import.meta.url));
const cache = (name: string): string => join(tmpdir(), `arcp-interop-${name}`);
const isWindows = process.platform === "win32";

async function output([program, ...parameters]: Command, options: ExecFileOptions = {}): Promise<string> {
  const { stdout } = await run(program, parameters, { timeout: INSTALL_TIMEOUT_MS, ...options });
  return String(stdout).trim();
}

/** The last line of what a failed installation said. */
function reasonOf(thrown: unknown): string {
  const { stderr, message } = thrown as { readonly stderr?: string; readonly message?: string };
  const text = (stderr || message || String(thrown)).trim().split("\n");
  return text.at(-1)?.trim() ?? "";
}

const PYTHON_PACKAGE = "agentruntimecontrolprotocol";

async function preparePython(): Promise<Ready | { readonly skipped: string }> {
  const directory = cache("python");
  const python = join(directory, isWindows ? "Scripts/python.exe" : "bin/python");
  const install = ["install", "--quiet", "--disable-pip-version-check", "-U", PYTHON_PACKAGE];
  const askVersion = `import importlib.metadata as m; print(m.version("${PYTHON_PACKAGE}"))`;
  try {
    await output([isWindows ? "python" : "python3", "-m", "venv", directory]);
    await output([python, "-m", "pip", ...install]);
    const version = await output([python, "-c", askVersion]);
    return {
      version: `${PYTHON_PACKAGE} ${version}`,
      client: (url, token) => [python, driver("python/client.py"), url, token],
      server: (token) => [python, driver("python/server.py"), token],
    };
  } catch (thrown) {
    return { skipped: `it could not be installed: ${reasonOf(thrown)}` };
  }
}

const GO_MODULE = "github.com/agentruntimecontrolprotocol/go-sdk";

async function prepareGo(): Promise<Ready | { readonly skipped: string }> {
  const directory = cache("go");
  const inDirectory = { cwd: directory };
  try {
    await rm(directory, { recursive: true, force: true });
    await cp(driver("go"), directory, { recursive: true });
    await output(["go", "mod", "init", "interop"], inDirectory);
    await output(["go", "get", `${GO_MODULE}@latest`], inDirectory);
    await output(["go", "mod", "tidy"], inDirectory);
    const binaries = join(directory, "bin");
    await output(["go", "build", "-o", `${binaries}${sep}`, "./..."], inDirectory);
    const version = await output(["go", "list", "-m", "-f", "{{.Version}}", GO_MODULE], inDirectory);
    const suffix = isWindows ? ".exe" : "";
    return {
      version: `${GO_MODULE} ${version}`,
      client: (url, token) => [join(binaries, `client${suffix}`), url, token],
      server: (token) => [join(binaries, `server${suffix}`), token],
    };
  } catch (thrown) {
    return { skipped: `it could not be had or built: ${reasonOf(thrown)}` };
  }
}

const RUST_CRATE = "arcp";

async function prepareRust(): Promise<Ready | { readonly skipped: string }> {
  const inPackage = { cwd: driver("rust") };
  const target = cache("rust");
  try {
    const env = { ...process.env, CARGO_TARGET_DIR: target };
    await output(["cargo", "build", "--locked", "--quiet"], { ...inPackage, env, timeout: BUILD_TIMEOUT_MS });
    const id = await output(["cargo", "pkgid", "--locked", RUST_CRATE], inPackage);
    const binary = (name: string): string => join(target, "debug", isWindows ? `${name}.exe` : name);
    return {
      version: `${RUST_CRATE} ${id.split("@").at(-1)}`,
      client: (url, token) => [binary("client"), url, token],
      server: (token) => [binary("server"), token],
    };
  } catch (thrown) {
    return { skipped: `it could not be had or built: ${reasonOf(thrown)}` };
  }
}

/** Names under which the TypeScript SDK is, or was, to be published. */
const TYPESCRIPT_PACKAGES = ["@arcp/sdk", "@agentruntimecontrolprotocol/sdk"];

async function prepareTypescript(): Promise<{ readonly skipped: string }> {
  for (const name of TYPESCRIPT_PACKAGES) {
    try {
      // Elsewhere than in this repository, whose own package has one of the names.
      const version = await output([isWindows ? "npm.cmd" : "npm", "view", name, "version"], { cwd: tmpdir() });
      return { skipped: `npm has ${name} ${version}, and there is no driver for it` };
    } catch {
      // Not published under this name.
    }
  }
  return { skipped: `npm has none of ${TYPESCRIPT_PACKAGES.join(", ")}; the tests replay its recorded traffic` };
}

export const SDKS: Readonly<Record<string, Sdk>> = {
  python: { title: "Python", routes: ROUTES, prepare: preparePython },
  go: { title: "Go", routes: ROUTES, prepare: prepareGo },
  rust: { title: "Rust", routes: ROUTES_10, prepare: prepareRust },
  typescript: { title: "TypeScript", routes: ROUTES, prepare: prepareTypescript },
};
