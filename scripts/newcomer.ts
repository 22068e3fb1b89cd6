/**
 * Follows docs/start.md in an empty directory, with the packages as they are published, and compares what is printed with
 * what the page shows. With `isWriting` the page gets what was printed.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { repositoryRoot } from "./repository-files.ts";
import { TerminalCommand } from "./terminal-session.ts";
import { type Command, difference, type ShownFile, settled, stepsOf } from "./transcript.ts";

const PAGE = join(repositoryRoot, "docs", "start.md");
const LIMIT_MS = 120_000;
const PORT = 7777;
/** Of those that do not end with 0. */
const EXIT_CODES = new Map([[`npx arcp submit hello --input '{"name":7}'`, 1]]);

export interface NewcomerOptions {
  /** Empty. */
  readonly directory: string;
  /** Where the packages of this checkout come from. */
  readonly registry: string;
  readonly isWriting: boolean;
}

export interface NewcomerReport {
  /** What was done, each with what is wrong with it. */
  readonly steps: readonly { readonly name: string; readonly problem: string | undefined }[];
  /** Where the project is, and what its commands know. */
  readonly project: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Why this machine cannot do it; `undefined` if it can. */
export const newcomerObstacle = (): string | undefined =>
  process.platform === "linux" && existsSync("/usr/bin/script") && existsSync("/bin/bash")
    ? undefined
    : "needs `script` of util-linux and bash";

export async function followThePage({ directory, registry, isWriting }: NewcomerOptions): Promise<NewcomerReport> {
  const page = readFileSync(PAGE, "utf8");
  const env = await newcomerEnvironment(directory, registry);
  const visit = new Visit(join(directory, "home"), env, await isTaken(PORT));
  await mkdir(join(directory, "home"));
  const steps: { name: string; problem: string | undefined }[] = [];
  const printed: { command: Command; lines: readonly string[] }[] = [];
  try {
    for (const step of stepsOf(page)) {
      if (step.kind === "file") {
        steps.push({ name: step.file.name, problem: visit.file(step.file, isWriting) });
        continue;
      }
      const { command } = step;
      const { code, lines } = await visit.type(command);
      printed.push({ command, lines });
      const expected = EXIT_CODES.get(command.text) ?? 0;
      const failure = code === expected ? undefined : `exit code ${code}:\n${lines.join("\n")}`;
      steps.push({
        name: `$ ${command.text}`,
        problem: failure ?? (isWriting ? undefined : difference(command.shown, lines)),
      });
      if (failure !== undefined) break;
    }
  } finally {
    await visit.leave();
  }
  if (isWriting) writeFileSync(PAGE, rewritten(page, printed));
  return { steps, project: visit.directory, env };
}

/** What a person who starts from nothing has: Node, npm, and no trace of this repository. */
async function newcomerEnvironment(directory: string, registry: string): Promise<NodeJS.ProcessEnv> {
  const programs = join(directory, "bin");
  await mkdir(programs);
  await symlink(process.execPath, join(programs, "node"));
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(?:npm_(?!config_(?:registry|userconfig|cache|cafile|https?_proxy|proxy|noproxy)$)|ARCP_|NODE_OPTIONS$|INIT_CWD$)/i.test(
        name,
      ),
  );
  const path = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((each) => !each.includes(join("node_modules", ".bin")));
  return {
    ...Object.fromEntries(kept),
    PATH: [programs, ...path].join(delimiter),
    "npm_config_@arcp:registry": registry,
    npm_config_prefer_offline: "true",
    npm_config_progress: "false",
    npm_config_engine_strict: "true",
    npm_config_update_notifier: "false",
    npm_config_audit: "false",
    npm_config_fund: "false",
  };
}

class Visit {
  directory: string;
  readonly #env: NodeJS.ProcessEnv;
  /** Is the port of the page somebody else's on this machine? */
  readonly #hasOtherPort: boolean;
  #runtime: TerminalCommand | undefined;
  #url: string | undefined;
  #job = "";

  constructor(directory: string, env: NodeJS.ProcessEnv, hasOtherPort: boolean) {
    this.directory = directory;
    this.#env = env;
    this.#hasOtherPort = hasOtherPort;
  }

  /** The exit code, and what is on the screen. */
  async type({ text }: Command): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
    const [, place] = /^cd (\S+)$/.exec(text) ?? [];
    if (place !== undefined) {
      this.directory = join(this.directory, place);
      return { code: existsSync(this.directory) ? 0 : 1, lines: [] };
    }
    if (text === "npx arcp serve") return this.#serve(text);
    if (text === "npx arcp doctor" && this.#url !== undefined) {
      // It is to find the runtime by itself, as it does on the page.
      const doctor = new TerminalCommand(`${text} --port ${new URL(this.#url).port}`, {
        cwd: this.directory,
        env: this.#env,
      });
      return { code: await doctor.ended(LIMIT_MS), lines: this.#asOnThePage(doctor.lines) };
    }
    const own = text.replaceAll(/\bjob_01M7XX9Z2YG10HKHMBJ5MC076N\b/g, this.#job);
    const command = new TerminalCommand(own, this.#options);
    const code = await command.ended(LIMIT_MS);
    const { lines } = command;
    this.#job = /\bjob_[0-9A-Z]{26}\b/.exec(lines.join("\n"))?.[0] ?? this.#job;
    return { code, lines: this.#asOnThePage(lines) };
  }

  /** Writes a file that is to be made; compares one that is there. */
  file({ name, text }: ShownFile, isWriting: boolean): string | undefined {
    const path = join(this.directory, name);
    if (!existsSync(path)) {
      const port = this.#url === undefined ? text : text.replaceAll(`ws://127.0.0.1:${PORT}/arcp`, this.#url);
      writeFileSync(path, port);
      return undefined;
    }
    return isWriting || readFileSync(path, "utf8") === text
      ? undefined
      : `the page shows another ${name} than there is`;
  }

  async leave(): Promise<void> {
    this.#runtime?.interrupt();
    await this.#runtime?.ended(15_000);
  }

  get #options() {
    const env = this.#url === undefined ? this.#env : { ...this.#env, ARCP_URL: this.#url };
    return { cwd: this.directory, env };
  }

  /** It goes on running. */
  async #serve(text: string) {
    const runtime = new TerminalCommand(this.#hasOtherPort ? `${text} --port 0` : text, this.#options);
    this.#runtime = runtime;
    const isReady = (lines: readonly string[]): boolean => lines.join("\n").includes("npx arcp submit");
    await runtime.shows(isReady, LIMIT_MS);
    const [, url] = /(ws:\/\/\S+)/.exec(runtime.lines.join("\n")) ?? [];
    if (this.#hasOtherPort) this.#url = url;
    return { code: isReady(runtime.lines) ? 0 : 1, lines: this.#asOnThePage(runtime.lines) };
  }

  #asOnThePage(lines: readonly string[]): readonly string[] {
    if (this.#url === undefined) return lines;
    const { port } = new URL(this.#url);
    return lines.map((line) =>
      line
        .replaceAll(` --url ${this.#url}`, "")
        .replaceAll(`:${port}/`, `:${PORT}/`)
        .replaceAll(`port ${port} `, `port ${PORT} `),
    );
  }
}

const isTaken = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });

/** The page with what was printed, and with the files as they are. */
function rewritten(page: string, printed: readonly { command: Command; lines: readonly string[] }[]): string {
  const lines = page.split("\n");
  for (const { command, lines: seen } of [...printed].reverse()) {
    if (isSilent(command.text)) continue;
    const kept = command.text === "npm test" ? ["…", ...seen.filter((line) => /^✔/.test(line)), "…"] : seen;
    lines.splice(command.from, command.to - command.from, ...kept.map(settled));
  }
  return lines.join("\n");
}

/** What npm prints depends on its version. */
const isSilent = (command: string): boolean => /^(?:npm i|mkdir|cd)/.test(command);
