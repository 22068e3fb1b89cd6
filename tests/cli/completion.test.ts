/** Shell completion: what can come next, and that shells put it on the line. */
import { spawnSync } from "node:child_process";
import { symlink } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { candidateLine } from "../../packages/sdk/src/cli/commands/completion.ts";
import { type Candidates, candidatesFor, type Live } from "../../packages/sdk/src/cli/completion/candidates.ts";
import { SCRIPTS, SHELLS, type Shell, wordsOf } from "../../packages/sdk/src/cli/completion/scripts.ts";
import { createProgram } from "../../packages/sdk/src/cli/program.ts";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import { Workspace } from "./arcp.ts";

/** A machine that is busy takes its time to start a process. */
const SLOW = { timeout: 120_000 };

describe("what can come next", SLOW, () => {
  const asked: Live[] = [];
  const askLive = async (live: Live) => {
    asked.push(live);
    const value = live.kind === "jobs" ? "job_01M7XX9Z2YG10HKHMBJ5MC076N" : "hello";
    return [{ value, description: "live" }];
  };
  const after = (...words: string[]): Promise<Candidates> =>
    candidatesFor(words, { programWith: createProgram, askLive });
  const values = async (...words: string[]): Promise<readonly string[]> =>
    (await after(...words)).candidates.map(({ value }) => value);

  it("is a command, or an option of arcp itself", async () => {
    const { candidates, files } = await after("");
    expect(files).toBe(false);
    expect(candidates).toContainEqual({
      value: "jobs",
      description: "List jobs, the oldest first, or tell what one of them was asked for",
    });
    expect(candidates.map(({ value }) => value)).not.toContain("__complete");
    expect(await values("jo")).toEqual(["jobs"]);
    expect(await values("--v")).toEqual(["--version"]);
    expect(await values("nonsense", "")).toEqual([]);
  });

  it("is an option that can still be given", async () => {
    expect(await values("jobs", "--l")).toEqual(["--limit"]);
    expect(await values("jobs", "--limit", "5", "--l")).toEqual([]);
    expect(await values("serve", "--agent", "a=./a.ts", "--agen")).toEqual(["--agent"]);
    expect(await values("db", "check", "--con")).toEqual(["--content"]);
    expect(await values("jobs", "--", "--l")).toEqual([]);
  });

  it("is one of the values of an option, as often as it takes some", async () => {
    expect(await values("serve", "--sync", "")).toEqual(["full", "normal"]);
    expect(await values("serve", "--sync=n")).toEqual(["--sync=normal"]);
    expect(await values("jobs", "--status", "running", "pen")).toEqual(["pending"]);
    expect(await values("jobs", "--status", "running", "--a")).toEqual(["--agent", "--all", "--allow-insecure"]);
    expect(await values("completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  it("is a command below a command, and nothing after what takes nothing", async () => {
    expect(await values("db", "ex")).toEqual(["export"]);
    expect(await values("doctor", "")).toEqual([]);
  });

  it("is a file where one is meant, and nowhere else", async () => {
    for (const words of [
      ["db", "check", "--db", ""],
      ["serve", "--config=x"],
      ["init", ""],
      ["serve", "--agent", "a"],
    ]) {
      expect({ words, files: (await after(...words)).files }).toEqual({ words, files: true });
    }
    for (const words of [
      ["jobs", ""],
      ["jobs", "--limit", ""],
      ["serve", "--sync", ""],
    ]) {
      expect({ words, files: (await after(...words)).files }).toEqual({ words, files: false });
    }
  });

  it("is a job or an agent of the runtime that the line names", async () => {
    asked.length = 0;
    expect(await values("cancel", "--url", "ws://there/", "job_")).toEqual(["job_01M7XX9Z2YG10HKHMBJ5MC076N"]);
    expect(await values("submit", "")).toEqual(["hello"]);
    expect(await values("jobs", "--agent", "x")).toEqual([]);
    expect(asked).toEqual([
      { kind: "jobs", options: { url: "ws://there/" } },
      { kind: "agents", options: {} },
      { kind: "agents", options: {} },
    ]);
  });
});

it("tells a shell one line of what a runtime says, which acts on no terminal", () => {
  const description = "agent, \u001b]0;owned\u0007\u202e\nsecond\tline";
  expect(candidateLine({ value: "job_1", description })).toBe(
    String.raw`job_1${"\t"}agent, \u{1b}]0;owned\u{7}\u{202e}`,
  );
});

it("reads the words of bash, which parts options from their values", () => {
  expect(wordsOf("bash", ["serve", "--sync", "=", "n"])).toEqual(["serve", "--sync", "n"]);
  expect(wordsOf("bash", ["serve", "--sync", "="])).toEqual(["serve", "--sync", ""]);
  expect(wordsOf("bash", ["submit", "=", "x"])).toEqual(["submit", "=", "x"]);
  expect(wordsOf("zsh", ["serve", "--sync=n"])).toEqual(["serve", "--sync=n"]);
});

const hasShell = (shell: Shell): boolean => spawnSync(shell, ["-c", "exit 0"]).status === 0;

describe("shells", SLOW, () => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create({
      "some file.db": "",
      "script.bash": SCRIPTS.bash,
      "script.zsh": SCRIPTS.zsh,
      "script.fish": SCRIPTS.fish,
    });
    await symlink(join(repositoryRoot, "packages/sdk/bin/arcp.js"), workspace.path("arcp"));
  });
  afterAll(() => workspace[Symbol.asyncDispose]());

  const run = (shell: string, args: readonly string[]): readonly string[] => {
    const { ARCP_URL, ARCP_TOKEN, ...rest } = process.env;
    const path = [workspace.directory, dirname(process.execPath), process.env["PATH"]].join(delimiter);
    const env = { ...rest, PATH: path, ARCP_URL: "ws://127.0.0.1:1/arcp" };
    const { stdout, stderr } = spawnSync(shell, args, { cwd: workspace.directory, encoding: "utf8", env });
    expect(stderr).toBe("");
    return stdout.split("\n").filter((line) => line !== "");
  };

  it.skipIf(process.platform === "win32")("bash completes a command, a value behind =, and a file with a space", () => {
    const line = (...words: string[]): string =>
      `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _arcp; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const lines = [
      line("arcp", "jo"),
      line("arcp", "serve", "--sync", "=", "n"),
      line("arcp", "db", "check", "--db", "so"),
    ];
    const script = ["source script.bash", "complete -p arcp", ...lines].join("\n");
    expect(run("bash", ["--norc", "-c", script])).toEqual(["complete -F _arcp arcp", "jobs", "normal", "some file.db"]);
  });

  it.skipIf(!hasShell("fish"))("fish completes with descriptions", () => {
    const script =
      'source script.fish; complete -C "arcp jo"; complete -C "arcp serve --sync n"; complete -C "arcp db check --db so"';
    expect(run("fish", ["--no-config", "-c", script])).toEqual([
      "jobs\tList jobs, the oldest first, or tell what one of them was asked for",
      "normal",
      expect.stringContaining("some file.db"),
    ]);
  });

  it.skipIf(!hasShell("zsh"))("zsh takes the script, and asks as bash does", () => {
    const described = `_describe() { print -l -- "\${(@P)4}" }; _files() { print files }; compdef() { print "compdef $*" }`;
    const line = (...words: string[]): string =>
      `words=(${words.map((word) => `'${word}'`).join(" ")}); CURRENT=${words.length}; _arcp`;
    const lines = [line("arcp", "jo"), line("arcp", "serve", "--sync=n"), line("arcp", "db", "check", "--db", "")];
    const script = [described, "source ./script.zsh", ...lines].join("\n");
    expect(run("zsh", ["-f", "-c", script])).toEqual([
      "compdef _arcp arcp",
      "jobs:List jobs, the oldest first, or tell what one of them was asked for",
      "--sync=normal:",
      "files",
    ]);
  });

  it("are those that there are scripts for", () => {
    expect(Object.keys(SCRIPTS)).toEqual([...SHELLS]);
  });
});
