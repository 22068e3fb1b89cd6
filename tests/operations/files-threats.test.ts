/** What somebody hostile would try with paths and files. The agent controls everything inside `app`. */

import { execFileSync, spawnSync } from "node:child_process";
import { lookup } from "node:dns/promises";
import {
  appendFileSync,
  closeSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ARCPError } from "@arcp/core";
import { expect, onTestFinished, test } from "vitest";
import type { AgentFileSystem } from "../../packages/runtime/src/engine/agent-operations.ts";
import { read } from "../../packages/runtime/src/operations/files/reading.ts";
import { type PinnedRoot, pin } from "../../packages/runtime/src/operations/files/walk.ts";
import { covers } from "../support/covers.ts";
import {
  CANARY,
  collect,
  describeOnLinux,
  files,
  openBelow,
  outcomeOf,
  plant,
  temporaryDirectory,
  workspace,
} from "./guarded-files.ts";

/** Every way to do something about one path, each of which changes nothing if it is refused. */
const WAYS: Readonly<Record<string, (fs: AgentFileSystem, path: string) => Promise<unknown>>> = {
  read: (fs, path) => fs.read(path),
  "read as text": (fs, path) => fs.read(path, "utf8"),
  stream: (fs, path) => collect(fs.stream(path)),
  list: (fs, path) => fs.list(path),
  stat: (fs, path) => fs.stat(path),
  replace: (fs, path) => fs.write(path, "owned"),
  create: (fs, path) => fs.write(path, "owned", { mode: "create" }),
  append: (fs, path) => fs.write(path, "owned", { mode: "append" }),
  mkdir: (fs, path) => fs.mkdir(path),
  "mkdir recursively": (fs, path) => fs.mkdir(path, { recursive: true }),
  remove: (fs, path) => fs.remove(path),
  "remove recursively": (fs, path) => fs.remove(path, { recursive: true }),
};

/** What these are asked about is not harmed, also if it is not refused. */
const READING = ["read", "read as text", "stream", "list", "stat"];

/** The codes of every way, each once. */
async function codesOfAllWays(fs: AgentFileSystem, path: unknown, ways = Object.keys(WAYS)): Promise<string[]> {
  const codes = new Set<string>();
  for (const way of ways) {
    const outcome = (await outcomeOf(WAYS[way]?.(fs, path as string) ?? Promise.resolve())).split(" ")[0] ?? "";
    codes.add(outcome);
  }
  return [...codes];
}

const DENIED = ["PERMISSION_DENIED"];
const INVALID = ["INVALID_REQUEST"];

/** Everything inside `app` may be read and written, so that only what is there decides. */
function openWorkspace() {
  const directory = temporaryDirectory();
  const app = `${directory}/app`;
  plant(directory, { canary: CANARY, "outside/canary": CANARY, "app/x": "content", "app/d/f": "inside" });
  onTestFinished(() => {
    expect(readFileSync(`${directory}/canary`, "utf8")).toBe(CANARY);
    expect(readdirSync(`${directory}/outside`)).toEqual(["canary"]);
    expect(readFileSync(`${directory}/outside/canary`, "utf8")).toBe(CANARY);
  });
  return { directory, app, ...files({ "fs.read": [`${app}/**`], "fs.write": [`${app}/**`] }) };
}

describeOnLinux("paths", () => {
  test.each([
    ["C02", "/./.././../canary"],
    ["C02", "//..//..//canary"],
    ["C06", "-evil/secret"],
    ["C06", "s"],
    ["C09", "/../\uff0e\uff0e/canary"],
  ])("%s: app%s is outside", async (_, path) => {
    covers("V11-14-03", "V11-14-04");
    const { fs, app, directory } = openWorkspace();
    plant(directory, { "app-evil/secret": CANARY, apps: CANARY });
    expect(await codesOfAllWays(fs, `${app}${path}`)).toEqual(DENIED);
    expect(readdirSync(directory).sort()).toEqual(["app", "app-evil", "apps", "canary", "outside"]);
  });

  test.each([
    ["C03", "/%2e%2e/%2e%2e/etc/passwd"],
    ["C04", "/..%2f..%2fetc%2fpasswd"],
    ["C04", "/%252e%252e/canary"],
    ["C05", "/..\\..\\etc\\passwd"],
    ["C08", "/a\u0000.txt"],
    ["C23", `/${"a".repeat(2 ** 20)}`],
    ["C23", "/a".repeat(10_000)],
  ])("%s: app%.40s is no path", async (_, path) => {
    covers("V11-14-03", "V11-14-04");
    const { fs, app } = openWorkspace();
    expect(await codesOfAllWays(fs, `${app}${path}`)).toEqual(INVALID);
    expect(readdirSync(app).sort()).toEqual(["d", "x"]);
  });

  test.each([
    ["C18", "\\\\?\\C:\\Windows\\win.ini"],
    ["C18", "\\\\server\\share\\x"],
    ["C18", "//server/share/x"],
    ["C18", "C:foo"],
    ["C18", "C:/data/../../Windows"],
    ["C20", "file:///etc/passwd"],
    ["C21", "x:/data/../../etc/shadow"],
    ["C22", "../../etc/passwd"],
    ["C22", "~/.ssh/id_rsa"],
    ["C22", "$HOME/.ssh"],
    ["C22", ""],
    ["C22", "."],
  ])("%s: %s is no path, whatever the lease", async (_, path) => {
    const { fs, guard } = files({ "fs.read": ["/**", "x:/data/**", "**"] });
    expect(await codesOfAllWays(fs, path, READING)).toEqual(INVALID);
    for (const { args } of guard.calls) expect(args).toEqual({ path });
  });

  test.each([
    ["C20", "a URL", (path: string) => pathToFileURL(path)],
    ["C24", "a list", (path: string) => [path]],
    ["C24", "an object", (path: string) => ({ path })],
    ["C24", "an object that says it is text", (path: string) => new String(path)],
    ["C24", "a buffer", (path: string) => Buffer.from(path)],
    ["C24", "an object without a prototype", () => Object.create(null)],
    ["C24", "a number", () => 3],
    ["C24", "nothing", () => null],
    ["C24", "undefined", () => undefined],
    ["C24", "a symbol", Symbol],
  ])("%s: %s is no path", async (_, __, disguised) => {
    const { fs, guard, app } = openWorkspace();
    for (const name of ["x", "d", "new"]) {
      expect(await codesOfAllWays(fs, disguised(`${app}/${name}`))).toEqual(INVALID);
    }
    for (const { args } of guard.calls) expect(args).toMatchObject({ path: null });
    expect(readdirSync(app).sort()).toEqual(["d", "x"]);
  });

  test("C09: letters that look like dots are letters", async () => {
    const { fs, app } = openWorkspace();
    for (const dots of ["\uff0e\uff0e", "\u2024\u2024"]) {
      expect(await outcomeOf(fs.read(`${app}/${dots}/${dots}/canary`))).toBe("INVALID_REQUEST not_found");
      plant(app, { [`${dots}/canary`]: "a literal name" });
      expect(await fs.read(`${app}/${dots}/canary`, "utf8")).toBe("a literal name");
    }
  });

  test("C10: two spellings of a letter are two letters", async () => {
    const { app } = openWorkspace();
    plant(app, { "caf\u00e9": "one", "cafe\u0301": "another" });
    const { fs } = files({ "fs.read": [`${app}/caf\u00e9`] });
    expect(await fs.read(`${app}/caf\u00e9`, "utf8")).toBe("one");
    expect(await codesOfAllWays(fs, `${app}/cafe\u0301`)).toEqual(DENIED);
  });

  test("C28: outside, what exists is told as what does not", async () => {
    const { fs, directory } = openWorkspace();
    const told = async (way: string, name: string): Promise<string> => {
      const error: unknown = await WAYS[way]?.(fs, `${directory}/${name}`).catch((thrown: unknown) => thrown);
      if (!(error instanceof ARCPError)) throw error;
      return JSON.stringify(error.toWire()).replaceAll(name, "name");
    };
    for (const way of Object.keys(WAYS)) {
      const ofFile = await told(way, "canary");
      expect(await told(way, "missing")).toBe(ofFile);
      expect(await told(way, "outside")).toBe(ofFile);
      expect(ofFile).toContain("PERMISSION_DENIED");
      expect(ofFile).not.toMatch(/\bE[A-Z]{4,}\b/);
    }
  });
});

describeOnLinux("links", () => {
  const THROUGH = Object.keys(WAYS);
  /** These act on a link itself, if anything. */
  const OPENING = ["read", "read as text", "stream", "replace", "create", "append", "mkdir recursively"];

  test("C11: a link to a file outside is not opened", async () => {
    covers("V11-14-03");
    const { fs, app, directory } = openWorkspace();
    symlinkSync(`${directory}/canary`, `${app}/link`);
    expect(await codesOfAllWays(fs, `${app}/link`, OPENING)).toEqual(DENIED);
    expect(await outcomeOf(fs.list(`${app}/link`))).toBe("PERMISSION_DENIED is_a_link");
  });

  test("C11: a link to a directory outside leads nowhere", async () => {
    const { fs, app, directory } = openWorkspace();
    symlinkSync(`${directory}/outside`, `${app}/link`);
    for (const path of [`${app}/link/canary`, `${app}/link/new`, `${app}/link/new/newer`]) {
      expect(await codesOfAllWays(fs, path, THROUGH)).toEqual(DENIED);
    }
    symlinkSync("..", `${app}/d/up`);
    expect(await codesOfAllWays(fs, `${app}/d/up/x`, THROUGH)).toEqual(DENIED);
  });

  test("C11: a link to nothing is not made into something", async () => {
    const { fs, app, directory } = openWorkspace();
    symlinkSync(`${directory}/outside/new`, `${app}/dangling`);
    symlinkSync(`${app}/circle`, `${app}/circle`);
    for (const name of ["dangling", "circle"]) {
      expect(await codesOfAllWays(fs, `${app}/${name}`, OPENING)).toEqual(DENIED);
    }
    expect(existsSync(`${directory}/outside/new`)).toBe(false);
  });

  test("C14: a file with a second name is not opened", async () => {
    const { fs, app, directory } = openWorkspace();
    linkSync(`${directory}/canary`, `${app}/h`);
    for (const way of ["read", "read as text", "stream", "append", "stat"]) {
      expect(await outcomeOf(WAYS[way]?.(fs, `${app}/h`) ?? Promise.resolve())).toBe(
        "PERMISSION_DENIED has_other_names",
      );
    }
    // What replaces it is another file.
    await fs.write(`${app}/h`, "mine");
    expect(await fs.read(`${app}/h`, "utf8")).toBe("mine");
  });

  test("C26: an archive's entries end at the first that leads out, and the job goes on", async () => {
    const { fs, out, directory } = workspace();
    symlinkSync(directory, `${out}/link`);
    linkSync(`${directory}/canary`, `${out}/hard`);
    for (const name of ["../../canary", "../../../canary", "link/canary", "link/new", "hard", "/../../canary"]) {
      expect(await outcomeOf(fs.write(`${out}/${name}`, "owned", { mode: "append" }))).toMatch(/^PERMISSION_DENIED/);
    }
    expect(readFileSync(`${directory}/canary`, "utf8")).toBe(CANARY);
    expect(existsSync(`${directory}/new`)).toBe(false);
    await fs.write(`${out}/next`, "entry");
  });

  test("C27: who goes through everything stays inside", async () => {
    const { fs, app } = openWorkspace();
    symlinkSync("/", `${app}/d/root`);
    const seen: string[] = [];
    const visit = async (path: string): Promise<void> => {
      for (const { name, kind } of await fs.list(path)) {
        seen.push(`${kind} ${path.slice(app.length)}/${name}`);
        if (kind === "directory") await visit(`${path}/${name}`);
      }
    };
    await visit(app);
    expect(seen).toEqual(["directory /d", "file /d/f", "link /d/root", "file /x"]);
    expect(await fs.stat(`${app}/d/root`)).toMatchObject({ kind: "link" });
  });

  test.each(["a link", "another directory", "nothing", "a file"])("C29: a root replaced by %s", async (replacement) => {
    const { fs, app, directory } = openWorkspace();
    await fs.read(`${app}/x`);
    renameSync(app, `${directory}/moved`);
    plant(directory, { "other/x": "replacement", "other/d/f": "replacement" });
    if (replacement === "a link") symlinkSync(`${directory}/other`, app);
    if (replacement === "another directory") renameSync(`${directory}/other`, app);
    if (replacement === "a file") writeFileSync(app, "replacement");
    for (const path of [app, `${app}/x`, `${app}/d/f`, `${app}/new`]) {
      expect(await codesOfAllWays(fs, path)).toEqual(DENIED);
    }
    // Nothing was done to the one directory or the other.
    expect(readFileSync(`${directory}/moved/d/f`, "utf8")).toBe("inside");
    if (replacement === "a link") expect(readdirSync(`${directory}/other`).sort()).toEqual(["d", "x"]);
  });

  test("C29: a descriptor that is not the root's", () => {
    const { app, directory } = openWorkspace();
    const [root, other] = [app, `${directory}/outside`].map((path) => pin({ path }, () => {}) as PinnedRoot);
    if (root === undefined || other === undefined) throw new Error("nothing was pinned");
    const mistaken = { root: { ...root, fd: other.fd }, below: ["canary"] };
    expect(() => read({ place: mistaken, maxBytes: 100 }, () => {})).toThrow("no longer the one");
    for (const { fd } of [root, other]) closeSync(fd);
  });

  test("C29: a root that a link leads to by now", async () => {
    const directory = temporaryDirectory();
    plant(directory, { "parent/app/x": "content", "other/app/x": CANARY });
    const { fs } = files({ "fs.read": [`${directory}/parent/app/**`] });
    await fs.read(`${directory}/parent/app/x`);
    renameSync(`${directory}/parent`, `${directory}/moved`);
    symlinkSync(`${directory}/other`, `${directory}/parent`);
    expect(await outcomeOf(fs.read(`${directory}/parent/app/x`))).toBe("PERMISSION_DENIED root_replaced");
  });

  test("C29: a root that is made as a link later", async () => {
    const directory = temporaryDirectory();
    plant(directory, { "other/x": CANARY });
    const { fs } = files({ "fs.read": [`${directory}/later/**`], "fs.write": [`${directory}/later/**`] });
    await outcomeOf(fs.read(`${directory}/later/x`));
    symlinkSync(`${directory}/other`, `${directory}/later`);
    expect(await codesOfAllWays(fs, `${directory}/later/x`)).toEqual(DENIED);
    expect(await codesOfAllWays(fs, `${directory}/later/new`)).toEqual(DENIED);
    expect(readdirSync(`${directory}/other`)).toEqual(["x"]);
  });
});

describeOnLinux("what is no file", () => {
  test("C15: FIFOs hold nothing up", async () => {
    const { fs, app } = openWorkspace();
    execFileSync("sh", ["-c", 'mkfifo "$1"', "sh", `${app}/p`]);
    const reads = Array.from({ length: 8 }, () => outcomeOf(fs.read(`${app}/p`)));
    const others = [readFile(`${app}/x`, "utf8"), lookup("localhost"), fs.read(`${app}/x`)];
    expect(await Promise.all(others)).toHaveLength(3);
    expect(new Set(await Promise.all(reads))).toEqual(new Set(["INVALID_REQUEST not_a_file"]));
    for (const way of ["stream", "replace", "append"]) {
      expect(await outcomeOf(WAYS[way]?.(fs, `${app}/p`) ?? Promise.resolve())).toBe("INVALID_REQUEST not_a_file");
    }
    expect(await fs.list(app)).toContainEqual({ name: "p", kind: "other" });
    expect(await fs.stat(`${app}/p`)).toMatchObject({ kind: "other" });
    await fs.remove(`${app}/p`);
  });

  test("C16: a socket and devices are not opened", async () => {
    const { fs, app } = openWorkspace();
    const server = createServer().listen(`${app}/s`);
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    for (const way of ["read", "stream", "replace", "append"]) {
      expect(await outcomeOf(WAYS[way]?.(fs, `${app}/s`) ?? Promise.resolve())).toBe("INVALID_REQUEST not_a_file");
    }
    // Nothing is written there: if it were not refused, the machine would suffer.
    const { fs: devices } = files({ "fs.read": ["/dev/*"] });
    for (const way of ["read", "stream"]) {
      for (const device of ["/dev/zero", "/dev/null", "/dev/random"]) {
        expect(await outcomeOf(WAYS[way]?.(devices, device) ?? Promise.resolve())).toBe("INVALID_REQUEST not_a_file");
      }
      expect(await outcomeOf(WAYS[way]?.(devices, "/dev/stdin") ?? Promise.resolve())).toBe(
        "PERMISSION_DENIED is_a_link",
      );
    }
  });

  test("C16: an endless file is not begun", async () => {
    const { fs, app } = openWorkspace();
    truncateSync(`${app}/x`, 2 ** 40);
    expect(await outcomeOf(fs.read(`${app}/x`))).toBe("INVALID_REQUEST too_large");
    expect(await outcomeOf(collect(fs.stream(`${app}/x`)))).toBe("INVALID_REQUEST too_large");
    expect(await fs.stat(`${app}/x`)).toMatchObject({ size: 2 ** 40 });
  });

  test("C16: a file that grows while it is read ends at the cap", async () => {
    const { app, directory } = openWorkspace();
    const root = pin({ path: app }, () => {});
    if (!("fd" in root)) throw new Error(root.refused);
    const grow = (): void => appendFileSync(`${app}/x`, Buffer.alloc(2 ** 16));
    expect(() => read({ place: { root, below: ["x"] }, maxBytes: 2 ** 20 }, grow)).toThrow("larger than");
    expect(readFileSync(`${app}/x`).length).toBeLessThan(2 ** 22);
    closeSync(root.fd);

    const { fs } = files({ "fs.read": [`${app}/**`] }, { maxStreamBytes: 2 ** 20 });
    truncateSync(`${app}/x`, 2 ** 18);
    let bytes = 0;
    const endless = async (): Promise<void> => {
      for await (const piece of fs.stream(`${app}/x`)) {
        bytes += piece.length;
        appendFileSync(`${app}/x`, Buffer.alloc(2 ** 18));
      }
    };
    expect(await outcomeOf(endless())).toBe("INVALID_REQUEST too_large");
    expect(bytes).toBe(2 ** 20);
    expect(openBelow(directory)).not.toContain(`${app}/x`);
  });

  test.each([
    "/proc/self/root/etc/passwd",
    "/proc/self/environ",
    "/proc/self/fd/3",
    "/proc/self/fd",
    "/proc/1/cwd",
    "/proc/version",
    "/proc/sys/kernel/core_pattern",
    "/proc",
    "/sys",
    "/sys/kernel/mm/new",
    "/sys/fs/cgroup/new",
    "/dev/fd/3",
  ])("C17: %s is refused, whatever the lease", async (path) => {
    const everything = ["/**", "/proc/**", "/proc/self/fd/*", "/sys/**", "/dev/**"];
    for (const patterns of [everything, everything.slice(1)]) {
      const { fs } = files({ "fs.read": patterns });
      expect(await codesOfAllWays(fs, path, READING)).toEqual(DENIED);
    }
  });

  test("C17: the kernel's file systems are known wherever they are", async () => {
    // The names of these two are refused already, so the descriptor is asked.
    for (const path of ["/proc", "/sys"]) expect(pin({ path }, () => {})).toEqual({ refused: "kernel_file_system" });
    const { fs } = files({ "fs.read": ["/dev/**"] });
    for (const way of ["list", "stat"]) {
      expect(await outcomeOf(WAYS[way]?.(fs, way === "list" ? "/dev/pts" : "/dev/pts/ptmx") ?? Promise.resolve())).toBe(
        "PERMISSION_DENIED kernel_file_system",
      );
    }
  });

  test("C17: a file system that is mounted inside is neither looked into nor removed", (context) => {
    const directory = temporaryDirectory();
    plant(directory, { "proc/x": "", "d/other/x": "", "d/y": "" });
    const child = fileURLToPath(new URL("./files-mounted.ts", import.meta.url));
    const mounts = `mount -t tmpfs none "$1/d/other" && touch "$1/d/other/kept" && mount --rbind /proc "$1/proc"`;
    const inNamespace = (script: string) =>
      spawnSync(
        "sh",
        ["-c", 'unshare --user --map-root-user --mount sh -c "$0" sh "$@"', script, directory, process.execPath, child],
        { encoding: "utf8" },
      );
    if (inNamespace(mounts).status !== 0) context.skip("needs a mount namespace of its own");
    const { stdout } = inNamespace(`${mounts} && "$2" "$3" "$1"`);
    expect(JSON.parse(stdout)).toEqual({
      "read proc/self/environ": "is_a_link",
      "read proc/version": "kernel_file_system",
      "list proc": "kernel_file_system",
      "list proc/1": "kernel_file_system",
      "append proc/version": "kernel_file_system",
      "remove d": "other_file_system",
      "remove d/other": "other_file_system",
      left: ["d/other/kept", "d/y"],
    });
  });
});
