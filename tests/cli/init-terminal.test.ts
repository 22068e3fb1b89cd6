/** `arcp init` and completion at the hands of a person: keys in a real terminal. */
import { existsSync } from "node:fs";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import { reasonForNoTmux, Tmux } from "../support/tmux.ts";
import { Workspace } from "./arcp.ts";

const SLOW = { timeout: 120_000 };

describe.skipIf(reasonForNoTmux() !== undefined)("in a terminal", SLOW, () => {
  let workspace: Workspace;
  let terminal: Tmux;

  beforeAll(async () => {
    workspace = await Workspace.create();
    await symlink(join(repositoryRoot, "packages/sdk/bin/arcp.js"), workspace.path("arcp"));
    const PATH = [workspace.directory, dirname(process.execPath), process.env["PATH"]].join(delimiter);
    terminal = await Tmux.start({ columns: 100, rows: 40, env: { PATH } });
    await terminal.type(`cd '${workspace.directory}' && exec bash --norc --noprofile`);
  }, SLOW.timeout);
  afterAll(async () => {
    await terminal?.[Symbol.asyncDispose]();
    await workspace?.[Symbol.asyncDispose]();
  });

  it("init asks for a name and a language, and for what it would replace; who says no has lost nothing", async () => {
    await terminal.type("clear; arcp init made");
    await terminal.shows("What is the project in made called?");
    await terminal.press("-", "x", "Enter");
    await terminal.shows("In which language?");
    await terminal.press("Down", "Enter");
    await terminal.shows("Now type:");
    const manifest = JSON.parse(await readFile(workspace.path("made/package.json"), "utf8"));
    expect(manifest.name).toBe("made-x");
    expect(existsSync(workspace.path("made/agents/hello.js"))).toBe(true);

    await writeFile(workspace.path("made/arcp.config.js"), "export default {};\n");
    await terminal.type("clear; arcp init made --javascript --force; echo code $?");
    await terminal.shows("Replace arcp.config.js?");
    await terminal.press("Enter");
    await terminal.shows("code 130");
    expect(await readFile(workspace.path("made/arcp.config.js"), "utf8")).toBe("export default {};\n");
    await terminal.type("clear; arcp init made --javascript --force; echo code $?");
    await terminal.shows("Replace arcp.config.js?");
    await terminal.press("y");
    await terminal.shows("code 0");
    expect(await readFile(workspace.path("made/arcp.config.js"), "utf8")).toContain("./agents/hello.js");

    await terminal.type("clear; arcp init other; echo code $?");
    await terminal.shows("What is the project in other called?");
    await terminal.press("C-c");
    await terminal.shows("code 130");
    expect(existsSync(workspace.path("other"))).toBe(false);
  });

  it("the key completes a command and its value in bash", async () => {
    await terminal.type("clear; source <(arcp completion bash); echo is $?");
    await terminal.shows("is 0");
    await terminal.press("a", "r", "c", "p", " ", "c", "o", "m", "p", "Tab");
    await terminal.shows(/arcp completion$/m);
    await terminal.press("f", "Tab");
    await terminal.shows("arcp completion fish");
    await terminal.press("Enter");
    await terminal.shows("complete -c arcp");
  });
});
