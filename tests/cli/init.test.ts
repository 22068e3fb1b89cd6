/** `arcp init`: what it makes, what it leaves alone, what it refuses. */
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mergeManifest, nameFrom, nameProblem, newManifest } from "../../packages/sdk/src/cli/init/manifest.ts";
import { type FilePlan, planProject, writePlanned } from "../../packages/sdk/src/cli/init/project.ts";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import { Workspace } from "./arcp.ts";

const SETTINGS = {
  name: "agents",
  version: "1.2.3",
  node: ">=22.19",
  language: "typescript",
  isForced: false,
} as const;
const MANIFEST = { name: "agents", version: "1.2.3", node: ">=22.19" };

const actionsOf = (plans: readonly FilePlan[]): Record<string, string> =>
  Object.fromEntries(plans.map(({ path, action }) => [path, action]));

const planIn = (workspace: Workspace, more: Partial<Parameters<typeof planProject>[0]> = {}) =>
  planProject({ ...SETTINGS, directory: workspace.directory, ...more });

/** A machine that is busy takes its time to start a process. */
describe("the command", { timeout: 60_000 }, () => {
  it("makes a project in JavaScript whose tests pass, with the version of the command, and a second time changes nothing", async () => {
    await using workspace = await Workspace.create();
    const made = await workspace.run(["init", "My Agents!", "--javascript"]);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    const directory = workspace.path("My Agents!");
    expect((await readdir(directory)).sort()).toEqual([
      ".gitignore",
      "README.md",
      "agents",
      "arcp.config.js",
      "package.json",
    ]);
    expect(made.stdout).toContain("created   agents/hello.js\n");
    expect(made.stdout).toContain("  cd 'My Agents!'\n  npm install\n");
    const manifest = JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
    const sdk = JSON.parse(await readFile(join(repositoryRoot, "packages/sdk/package.json"), "utf8"));
    expect(manifest).toEqual({
      ...{ name: "my-agents", version: "0.1.0", private: true, type: "module", engines: sdk.engines },
      scripts: { start: "arcp serve", test: "node --test" },
      dependencies: { "@arcp/sdk": `^${sdk.version}` },
    });
    expect(await readFile(join(directory, "README.md"), "utf8")).not.toMatch(/\{\w+\}|\.ts\b/);

    await symlink(join(repositoryRoot, "node_modules"), join(directory, "node_modules"), "junction");
    const tests = spawnSync(process.execPath, ["--test", "--test-reporter=tap"], { cwd: directory, encoding: "utf8" });
    expect(tests.stdout).toMatch(/^# pass 3$/m);
    expect(tests.status).toBe(0);

    const again = await workspace.run(["init", "My Agents!", "--javascript"]);
    expect(again.stdout.match(/^\w+/gm)).toEqual(["kept", "kept", "kept", "kept", "kept", "kept", "Now"]);
  });

  it("refuses to replace a file that says something else, writes nothing then, and replaces it with --force", async () => {
    await using workspace = await Workspace.create({ "arcp.config.ts": "export default {};\n" });
    const refused = await workspace.run(["init"]);
    expect(refused).toMatchObject({
      ...{ code: 64, stdout: "" },
      stderr: "arcp: there is arcp.config.ts already; --force replaces what is there\n",
    });
    expect(await readdir(workspace.directory)).toEqual(["arcp.config.ts"]);
    const forced = await workspace.run(["init", "--force"]);
    expect(forced.code).toBe(0);
    expect(forced.stdout).toContain("replaced  arcp.config.ts\n");
    expect(await readFile(workspace.path("arcp.config.ts"), "utf8")).toContain("./agents/hello.ts");
  });

  it.each([
    [["--name", "Not A Name"], /^arcp: --name Not A Name: a package's name has lower-case letters[^\n]+\n$/],
    [["file"], /^arcp: [^\n]+file is a file: name a directory\n$/],
    [["file/below"], /^arcp: [^\n]+ cannot be used: there is a file in its way\n$/],
  ])("refuses %j in one line", async (args, message) => {
    await using workspace = await Workspace.create({ file: "" });
    const { code, stdout, stderr } = await workspace.run(["init", ...args]);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(stderr).toMatch(message);
    expect(await readdir(workspace.directory)).toEqual(["file"]);
  });
});

describe("what is there", () => {
  it("keeps what a package has, adds what is missing, and takes npm's placeholder for no test", () => {
    const found = `{\n    "name": "theirs",\n    "scripts": { "test": "echo \\"Error: no test specified\\" && exit 1", "start": "theirs" },\n    "type": "commonjs",\n    "devDependencies": { "@arcp/sdk": "file:x.tgz" }\n}\n`;
    const { text, changes } = mergeManifest(found, MANIFEST);
    expect(changes).toEqual(["type", "engines", "scripts.test"]);
    expect(JSON.parse(text)).toEqual({
      ...{ name: "theirs", type: "module", devDependencies: { "@arcp/sdk": "file:x.tgz" }, dependencies: {} },
      ...{ scripts: { test: "node --test", start: "theirs" }, engines: { node: ">=22.19" } },
    });
    expect(text).toMatch(/^\{\n {4}"name"/);
    expect(mergeManifest(text, MANIFEST)).toEqual({ text, changes: [] });
  });

  it("adds the package, where neither kind of dependency has it", () => {
    const { text } = mergeManifest('{"type":"module","scripts":{"test":"vitest"}}', MANIFEST);
    expect(JSON.parse(text)).toMatchObject({ dependencies: { "@arcp/sdk": "^1.2.3" }, scripts: { test: "vitest" } });
    expect(newManifest(MANIFEST)).toContain('"@arcp/sdk": "^1.2.3"');
  });

  it.each([["{ not json"], ["[]"], ['{"scripts": 7}'], ["null"]])("refuses the package.json %s", async (text) => {
    await using workspace = await Workspace.create({ "package.json": text });
    await expect(planIn(workspace)).rejects.toThrow(/^package\.json.* mend it first$/);
  });

  it("does not make ES modules of scripts that there are, unless it is told to", async () => {
    await using workspace = await Workspace.create({ "package.json": '{"type":"commonjs"}' });
    await mkdir(workspace.path("node_modules/there"), { recursive: true });
    await writeFile(workspace.path("node_modules/there/index.js"), "");
    await writeFile(workspace.path("types.d.ts"), "");
    expect(actionsOf(await planIn(workspace))).toMatchObject({ "package.json": "merge" });
    await mkdir(workspace.path("lib"));
    await writeFile(workspace.path("lib/old.js"), "");
    await expect(planIn(workspace)).rejects.toThrow(/lib.old\.js may need its absence/);
    expect(actionsOf(await planIn(workspace, { isForced: true }))).toMatchObject({ "package.json": "merge" });
  });

  it("keeps a README and a tsconfig, adds to .gitignore what it lacks, and asks for no second configuration", async () => {
    await using workspace = await Workspace.create({
      "README.md": "theirs",
      "tsconfig.json": "{}",
      ".gitignore": "/node_modules\n.env",
    });
    const plans = await planIn(workspace);
    expect(actionsOf(plans)).toMatchObject({ "README.md": "keep", "tsconfig.json": "keep", ".gitignore": "merge" });
    for (const plan of plans) await writePlanned(workspace.directory, plan);
    expect(await readFile(workspace.path(".gitignore"), "utf8")).toBe("/node_modules\n.env\n.arcp/\n");
    expect(await readFile(workspace.path("README.md"), "utf8")).toBe("theirs");
    await expect(planIn(workspace, { language: "javascript" })).rejects.toThrow(/^there is arcp\.config\.ts already/);
  });

  it.runIf(process.platform !== "win32")(
    "follows a link to a package.json, keeps its mode, and leaves no draft",
    async () => {
      await using workspace = await Workspace.create({ "real.json": "{}" });
      await chmod(workspace.path("real.json"), 0o640);
      await symlink(workspace.path("real.json"), workspace.path("package.json"));
      const plans = await planIn(workspace);
      for (const plan of plans) await writePlanned(workspace.directory, plan);
      expect(JSON.parse(await readFile(workspace.path("real.json"), "utf8"))).toMatchObject({ type: "module" });
      expect((await stat(workspace.path("real.json"))).mode & 0o777).toBe(0o640);
      expect((await readdir(workspace.directory)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    },
  );

  it("never writes over what came in the meantime", async () => {
    await using workspace = await Workspace.create();
    const plans = await planIn(workspace);
    await writeFile(workspace.path("arcp.config.ts"), "theirs");
    const config = plans.find(({ path }) => path === "arcp.config.ts");
    await expect(writePlanned(workspace.directory, config as FilePlan)).rejects.toThrow("EEXIST");
    expect(await readFile(workspace.path("arcp.config.ts"), "utf8")).toBe("theirs");
  });
});

describe("names", () => {
  it.each([
    ["My Agents!", "my-agents"],
    ["…", "arcp-agents"],
    ["node_modules", "arcp-agents"],
    [".hidden", "hidden"],
    ["", "arcp-agents"],
    ["x".repeat(300), "x".repeat(214)],
  ])("makes of the directory %j the name %j", (directory, name) => {
    expect(nameFrom(directory)).toBe(name);
    expect(nameProblem(name)).toBeUndefined();
  });

  it("takes names with a scope", () => {
    expect(nameProblem("@acme/agents")).toBeUndefined();
    expect(nameProblem("acme/agents")).toBeDefined();
    expect(nameProblem("@Acme/agents")).toBeDefined();
  });
});
