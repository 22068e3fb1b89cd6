/** What a page says that happens: its programs are run and its commands typed, against a runtime that serves its agents. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { outputProblem } from "../../scripts/expected-output.ts";
import { newcomerObstacle } from "../../scripts/newcomer.ts";
import { TerminalCommand } from "../../scripts/terminal-session.ts";
import { type Command, difference, stepsOf } from "../../scripts/transcript.ts";
import { type Snippet, workDirectory } from "./snippets.ts";

const LIMIT_MS = 60_000;
const RETRY_MS = 250;
/** Where the runtime of a page is, for its readers. */
const SHOWN_URL = "ws://127.0.0.1:7777/arcp";
const TOKEN = "docs-token";
/** What only looks may look again: what it is to see may still be on its way. */
const LOOKS = /^arcp (?:jobs|respond|agents)\b(?! msg_)/;
const IDS = /\b[a-z]+_[0-9A-HJKMNP-TV-Z]{26}\b/g;

export interface SessionReport {
  /** How many programs and commands were run. */
  readonly count: number;
  readonly problems: readonly string[];
  /** Why the commands were not typed; `undefined` if they were, or there are none. */
  readonly obstacle: string | undefined;
}

/** Runs what a page marks with `run`. Without any, nothing is started. */
export async function followPage(root: string, snippets: readonly Snippet[]): Promise<SessionReport> {
  const marked = snippets.filter(({ words }) => words.includes("run"));
  if (marked.length === 0) return { count: 0, problems: [], obstacle: undefined };
  const directory = workDirectory(root);
  const session = new PageSession(root, directory);
  try {
    await session.serve(snippets);
    return await session.follow(snippets);
  } finally {
    await session.end();
    rmSync(directory, { recursive: true });
  }
}

class PageSession {
  readonly #root: string;
  readonly #directory: string;
  readonly #env: NodeJS.ProcessEnv;
  /** Ids of the page, and what they are this time. */
  readonly #ids = new Map<string, string>();
  #runtime: ChildProcess | undefined;
  #url = "";

  constructor(root: string, directory: string) {
    this.#root = root;
    this.#directory = directory;
    const programs = join(directory, "bin");
    mkdirSync(programs);
    const arcp = join(programs, "arcp");
    writeFileSync(arcp, `#!/bin/sh\nexec "${process.execPath}" "${join(root, "packages/sdk/bin/arcp.js")}" "$@"\n`);
    chmodSync(arcp, 0o755);
    this.#env = {
      ...process.env,
      PATH: [programs, process.env["PATH"]].join(delimiter),
      HOME: directory,
      ARCP_TOKEN: TOKEN,
      NO_COLOR: "1",
      FORCE_COLOR: undefined,
    };
  }

  /** Starts a runtime with the agents of the page, if it has some. */
  async serve(snippets: readonly Snippet[]): Promise<void> {
    const agents = snippets.flatMap(({ words, code }) =>
      words.filter((word) => word.startsWith("agent=")).map((word) => ({ name: word.slice("agent=".length), code })),
    );
    if (agents.length === 0) return;
    const options = agents.flatMap(({ name, code }) => {
      const file = join(this.#directory, `${name}.ts`);
      writeFileSync(file, code);
      return ["--agent", `${name}=${file}`];
    });
    const args = ["serve", "--port", "0", "--db", ":memory:", ...options];
    this.#runtime = spawn(process.execPath, [join(this.#root, "packages/sdk/bin/arcp.js"), ...args], {
      cwd: this.#directory,
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#url = await announcedUrl(this.#runtime);
    this.#env["ARCP_URL"] = this.#url;
  }

  async follow(snippets: readonly Snippet[]): Promise<SessionReport> {
    const problems: string[] = [];
    const obstacle = newcomerObstacle();
    let count = 0;
    let isSkipped = false;
    for (const [index, snippet] of snippets.entries()) {
      if (!snippet.words.includes("run")) continue;
      if (snippet.language === "ts") {
        count += 1;
        const shown = snippets[index + 1];
        const problem = await this.#run(snippet, shown?.language === "text" ? shown.code : "");
        if (problem !== undefined) problems.push(`${snippet.page}:${snippet.line}: ${problem}`);
      } else if (obstacle !== undefined) isSkipped = true;
      else {
        const commands = stepsOf(`\`\`\`console\n${snippet.code}\`\`\`\n`).flatMap((step) =>
          step.kind === "command" ? [step.command] : [],
        );
        for (const command of commands) {
          count += 1;
          const problem = await this.#type(command);
          if (problem !== undefined) problems.push(`${snippet.page}:${snippet.line + command.from - 1}: ${problem}`);
        }
      }
    }
    return { count, problems, obstacle: isSkipped ? obstacle : undefined };
  }

  async end(): Promise<void> {
    if (this.#runtime === undefined || this.#runtime.exitCode !== null) return;
    const closed = once(this.#runtime, "close");
    this.#runtime.kill("SIGKILL");
    await closed;
  }

  async #run({ code, line }: Snippet, expected: string): Promise<string | undefined> {
    const file = join(this.#directory, `line-${line}.ts`);
    writeFileSync(file, code.replaceAll(SHOWN_URL, this.#url));
    const child = spawn(process.execPath, [file], { cwd: this.#directory, env: this.#env, timeout: LIMIT_MS });
    let printed = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    const [exitCode] = await once(child, "close");
    if (exitCode !== 0) return `it ended with ${exitCode ?? `nothing in ${LIMIT_MS / 1000} s`}\n${complaint}`;
    return outputProblem(expected, printed);
  }

  /** Types a command. `NAME=$(…)` sets a variable for those after it. */
  async #type({ text, shown }: Command): Promise<string | undefined> {
    const [, name, inner] = /^(\w+)=\$\((.*)\)$/.exec(text) ?? [];
    const typed = (inner ?? text).replaceAll(IDS, (id) => this.#ids.get(id) ?? id);
    const isLook = LOOKS.test(typed);
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      const terminal = new TerminalCommand(typed, { cwd: this.#directory, env: this.#env });
      const exitCode = await terminal.ended(LIMIT_MS);
      const lines = terminal.lines;
      if (exitCode === 124) return `$ ${text}\nit did not end in ${LIMIT_MS / 1000} s`;
      if (name !== undefined) this.#env[name] = lines.findLast((line) => line !== "") ?? "";
      const problem = difference(shown, lines);
      if (problem === undefined) {
        this.#learn(shown, lines);
        return undefined;
      }
      if (!isLook || Date.now() > deadline) return `$ ${text}\n${problem}`;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Ids stand in the same order on the page and on the screen. */
  #learn(shown: readonly string[], seen: readonly string[]): void {
    const actual = seen.join("\n").match(IDS) ?? [];
    for (const [index, id] of (shown.join("\n").match(IDS) ?? []).entries()) {
      const own = actual[index];
      if (own !== undefined) this.#ids.set(id, own);
    }
  }
}

async function announcedUrl(runtime: ChildProcess): Promise<string> {
  let printed = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = (chunk: unknown): void => {
    printed += String(chunk);
    const [, url] = /(ws:\/\/[^\s"]+)/.exec(printed) ?? [];
    if (url !== undefined) resolve(url);
  };
  runtime.stdout?.on("data", read);
  runtime.stderr?.on("data", read);
  runtime.on("close", () => reject(new Error(`the runtime of the page has ended:\n${printed}`)));
  return promise;
}
