/** `ctx.fs`: what it does, what it shows, what it refuses, what it leaves open. */
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CancelledError, createLogger } from "@arcp/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { type PinnedRoot, pin } from "../../packages/runtime/src/operations/files/walk.ts";
import { write } from "../../packages/runtime/src/operations/files/writing.ts";
import {
  collect,
  describeOnLinux,
  files,
  openBelow,
  outcomeOf,
  plant,
  temporaryDirectory,
  workspace,
} from "./guarded-files.ts";

describeOnLinux("reading", () => {
  test("gives a file as bytes and as text", async () => {
    const { fs, app, guard } = workspace();
    plant(app, { empty: "", text: "\ufeffh\u00e9llo \u{1f600}" });
    expect(Buffer.from(await fs.read(`${app}/x`)).toString()).toBe("content");
    expect(await fs.read(`${app}/text`, "utf8")).toBe("\ufeffh\u00e9llo \u{1f600}");
    expect(await fs.read(`${app}/empty`)).toEqual(new Uint8Array());
    expect(guard.calls[0]).toEqual({
      tool: "fs.read",
      args: { path: `${app}/x` },
      outcome: { result: { bytes: 7 } },
    });
  });

  test("takes a path in any spelling, and uses the canonical one", async () => {
    const { fs, app } = workspace();
    expect(await fs.read(`${app}/./out/..//x`, "utf8")).toBe("content");
  });

  test("refuses text that is none", async () => {
    const { fs, app } = workspace();
    writeFileSync(`${app}/latin`, Buffer.from([0x63, 0xe9]));
    expect(await outcomeOf(fs.read(`${app}/latin`, "utf8"))).toBe("INVALID_REQUEST not_text");
    expect(await fs.read(`${app}/latin`)).toHaveLength(2);
  });

  test("stops at its cap", async () => {
    const { fs, app } = workspace({ maxReadBytes: 8 });
    plant(app, { eight: "12345678", nine: "123456789" });
    expect(await fs.read(`${app}/eight`)).toHaveLength(8);
    expect(await outcomeOf(fs.read(`${app}/nine`))).toBe("INVALID_REQUEST too_large");
  });

  test("gives large files whole", async () => {
    const { fs, app } = workspace();
    const content = Buffer.alloc(5 * 2 ** 20 + 1, "0123456789");
    writeFileSync(`${app}/large`, content);
    expect(content.equals(await fs.read(`${app}/large`))).toBe(true);
    expect(content.equals(await collect(fs.stream(`${app}/large`)))).toBe(true);
  });

  test("says what is wrong", async () => {
    const { fs, app } = workspace();
    expect(await outcomeOf(fs.read(`${app}/none`))).toBe("INVALID_REQUEST not_found");
    expect(await outcomeOf(fs.read(`${app}/none/x`))).toBe("INVALID_REQUEST not_found");
    expect(await outcomeOf(fs.read(`${app}/out`))).toBe("INVALID_REQUEST not_a_file");
    expect(await outcomeOf(fs.read(app))).toBe("INVALID_REQUEST not_a_file");
    expect(await outcomeOf(fs.read(`${app}/x/y`))).toBe("INVALID_REQUEST not_a_directory");
    expect(await outcomeOf(fs.read(`${app}/${"n".repeat(300)}`))).toBe("INVALID_REQUEST name_too_long");
    expect(await outcomeOf(fs.list(`${app}/x`))).toBe("INVALID_REQUEST not_a_directory");
    expect(await outcomeOf(fs.stat(`${app}/none`))).toBe("INVALID_REQUEST not_found");
    expect(await outcomeOf(fs.read(`${app}/x`, "latin1" as "utf8"))).toBe("INVALID_REQUEST");
  });
});

describeOnLinux("a stream", () => {
  test("is one operation, from the first piece to the end", async () => {
    const { fs, app, guard, directory } = workspace();
    writeFileSync(`${app}/large`, Buffer.alloc(600_000));
    const pieces = fs.stream(`${app}/large`)[Symbol.asyncIterator]();
    expect(guard.calls).toHaveLength(0);
    const { value } = await pieces.next();
    expect(guard.calls).toEqual([{ tool: "fs.stream", args: { path: `${app}/large` } }]);
    expect(openBelow(directory)).toContain(`${app}/large`);
    let bytes: number = value.length;
    for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) bytes += piece.value.length;
    expect(bytes).toBe(600_000);
    expect(guard.calls[0]?.outcome).toEqual({ result: { bytes: 600_000 } });
    expect(openBelow(directory)).not.toContain(`${app}/large`);
  });

  test("closes the file when the reader leaves", async () => {
    const { fs, app, guard, directory } = workspace();
    writeFileSync(`${app}/large`, Buffer.alloc(600_000));
    let bytes = 0;
    for await (const piece of fs.stream(`${app}/large`)) {
      bytes = piece.length;
      break;
    }
    expect(guard.calls[0]?.outcome).toEqual({ result: { bytes } });
    expect(openBelow(directory)).not.toContain(`${app}/large`);
  });

  test("ends with the job, also while nobody asks for the next piece", async () => {
    const { fs, app, guard, directory } = workspace();
    writeFileSync(`${app}/large`, Buffer.alloc(600_000));
    const pieces = fs.stream(`${app}/large`)[Symbol.asyncIterator]();
    await pieces.next();
    guard.end(new CancelledError("cancelled"));
    await vi.waitFor(() => expect(guard.calls[0]?.outcome).toEqual({ error: "CANCELLED" }));
    expect(await outcomeOf(pieces.next())).toBe("CANCELLED");
    expect(openBelow(directory)).not.toContain(`${app}/large`);
  });

  test("is refused as a file is", async () => {
    const { fs, app, directory, guard } = workspace();
    expect(await outcomeOf(collect(fs.stream(`${directory}/canary`)))).toBe("PERMISSION_DENIED");
    expect(await outcomeOf(collect(fs.stream(`${app}/none`)))).toBe("INVALID_REQUEST not_found");
    expect(guard.calls.map(({ outcome }) => outcome)).toEqual([
      { error: "PERMISSION_DENIED" },
      { error: "INVALID_REQUEST not_found" },
    ]);
  });

  test("stops at its cap", async () => {
    const { fs, app } = workspace({ maxStreamBytes: 1000 });
    truncateSync(`${app}/x`, 1001);
    expect(await outcomeOf(collect(fs.stream(`${app}/x`)))).toBe("INVALID_REQUEST too_large");
  });
});

describeOnLinux("looking", () => {
  test("lists by code point, and links as links", async () => {
    const { fs, app, guard } = workspace();
    plant(app, { "\u{1f600}": "", "\uffee": "", a: "", B: "" });
    symlinkSync("/etc", `${app}/link`);
    expect(await fs.list(app)).toEqual([
      { name: "B", kind: "file" },
      { name: "a", kind: "file" },
      { name: "link", kind: "link" },
      { name: "out", kind: "directory" },
      { name: "x", kind: "file" },
      { name: "\uffee", kind: "file" },
      { name: "\u{1f600}", kind: "file" },
    ]);
    expect(guard.calls[0]).toMatchObject({ tool: "fs.list", outcome: { result: { entries: 7 } } });
  });

  test("lists up to its cap", async () => {
    const { fs, app } = workspace({ maxListEntries: 2 });
    expect(await fs.list(app)).toHaveLength(2);
    plant(app, { third: "" });
    expect(await outcomeOf(fs.list(app))).toBe("INVALID_REQUEST too_many");
  });

  test("says what is known of a thing", async () => {
    const { fs, app } = workspace();
    symlinkSync("/etc/passwd", `${app}/link`);
    utimesSync(`${app}/x`, 0, new Date("2026-01-02T03:04:05.000Z"));
    expect(await fs.stat(`${app}/x`)).toEqual({ kind: "file", size: 7, modifiedAt: "2026-01-02T03:04:05.000Z" });
    expect(await fs.stat(app)).toMatchObject({ kind: "directory" });
    expect(await fs.stat(`${app}/out`)).toMatchObject({ kind: "directory" });
    expect(await fs.stat(`${app}/link`)).toMatchObject({ kind: "link" });
  });
});

describeOnLinux("writing", () => {
  test("replaces a file, and keeps what may be done with it", async () => {
    const { fs, out, guard } = workspace();
    chmodSync(`${out}/y`, 0o750);
    await fs.write(`${out}/y`, "h\u00e9");
    expect(readFileSync(`${out}/y`, "utf8")).toBe("h\u00e9");
    expect(statSync(`${out}/y`).mode & 0o777).toBe(0o750);
    await fs.write(`${out}/new`, new Uint8Array([1, 2]));
    expect(readdirSync(out)).toEqual(["new", "y"]);
    expect(guard.calls[0]).toEqual({
      tool: "fs.write",
      args: { path: `${out}/y`, mode: "replace" },
      outcome: { result: { bytes: 3 } },
    });
  });

  test("creates, but only what is not there", async () => {
    const { fs, out } = workspace();
    await fs.write(`${out}/new`, "1", { mode: "create" });
    expect(await outcomeOf(fs.write(`${out}/new`, "2", { mode: "create" }))).toBe("INVALID_REQUEST exists");
    expect(readFileSync(`${out}/new`, "utf8")).toBe("1");
  });

  test("appends, also to what is not there yet", async () => {
    const { fs, out } = workspace();
    await fs.write(`${out}/log`, "1", { mode: "append" });
    await fs.write(`${out}/log`, "2", { mode: "append" });
    expect(readFileSync(`${out}/log`, "utf8")).toBe("12");
  });

  test("writes what it was given then", async () => {
    const { fs, out } = workspace();
    const data = Buffer.from("before");
    const written = fs.write(`${out}/new`, data);
    data.write("after!");
    await written;
    expect(readFileSync(`${out}/new`, "utf8")).toBe("before");
    expect(data.toString()).toBe("after!");
  });

  test("needs a directory, a file's name and fs.write", async () => {
    const { fs, app, out } = workspace();
    expect(await outcomeOf(fs.write(`${out}/none/z`, ""))).toBe("INVALID_REQUEST not_found");
    expect(await outcomeOf(fs.write(`${out}/y/z`, ""))).toBe("INVALID_REQUEST not_a_directory");
    expect(await outcomeOf(fs.write(out, ""))).toBe("INVALID_REQUEST not_a_file");
    mkdirSync(`${out}/d`);
    for (const mode of ["replace", "append"] as const) {
      expect(await outcomeOf(fs.write(`${out}/d`, "", { mode }))).toBe("INVALID_REQUEST not_a_file");
    }
    expect(await outcomeOf(fs.write(`${app}/x`, ""))).toBe("PERMISSION_DENIED");
    expect(readdirSync(out)).toEqual(["d", "y"]);
  });

  test("takes text and bytes of a bounded size, and modes that there are", async () => {
    const { fs, out, guard } = workspace({ maxWriteBytes: 4 });
    await fs.write(`${out}/z`, "1234");
    for (const data of [
      "12345",
      "h\u00e9\u00e9",
      new Uint8Array(5),
      "\ud800",
      1,
      null,
      undefined,
      [1],
      { length: 1 },
      new ArrayBuffer(1),
    ]) {
      expect(await outcomeOf(fs.write(`${out}/z`, data as string))).toMatch(/^INVALID_REQUEST/);
    }
    for (const options of [{ mode: "truncate" }, { mode: ["create"] }, null, "create"]) {
      expect(await outcomeOf(fs.write(`${out}/z`, "", options as object))).toBe("INVALID_REQUEST");
    }
    expect(readFileSync(`${out}/z`, "utf8")).toBe("1234");
    expect(guard.calls).toHaveLength(1);
  });
});

describeOnLinux("what cannot be written whole", () => {
  const DATA = new Uint8Array(2 ** 21);

  /** Writes to `app/new` in this thread, with `step` called before each piece. */
  function writeInSteps(mode: "replace" | "create", step: (count: number, path: string) => void) {
    const app = temporaryDirectory();
    const root = pin({ path: app }, () => {}) as PinnedRoot;
    onTestFinished(() => closeSync(root.fd));
    let count = 0;
    const check = (): void => {
      count += 1;
      step(count, `${app}/new`);
    };
    const place = { root, below: ["new"] };
    expect(() => write({ place, data: DATA, mode, temporaryName: ".temporary" }, check)).toThrow();
    return { app };
  }

  test.each(["replace", "create"] as const)("is not left behind: %s", (mode) => {
    const { app } = writeInSteps(mode, (count) => {
      if (count === 2) throw new Error("stopped");
    });
    expect(readdirSync(app)).toEqual([]);
    expect(openBelow(app)).toEqual([app]);
  });

  test("is not left behind when its place is taken meanwhile", () => {
    const { app } = writeInSteps("replace", (count, path) => {
      if (count === 2) plant(path, { x: "" });
    });
    expect(readdirSync(app)).toEqual(["new"]);
  });
});

describeOnLinux("making directories", () => {
  test("one, or all on the way", async () => {
    const { fs, out, guard } = workspace();
    await fs.mkdir(`${out}/a`);
    expect(await outcomeOf(fs.mkdir(`${out}/a`))).toBe("INVALID_REQUEST exists");
    expect(await outcomeOf(fs.mkdir(`${out}/b/c`))).toBe("INVALID_REQUEST not_found");
    await fs.mkdir(`${out}/b/c/d`, { recursive: true });
    await fs.mkdir(`${out}/b/c/d`, { recursive: true });
    await fs.mkdir(out, { recursive: true });
    expect(await outcomeOf(fs.mkdir(`${out}/y/z`, { recursive: true }))).toBe("INVALID_REQUEST not_a_directory");
    expect(statSync(`${out}/b/c/d`).isDirectory()).toBe(true);
    expect(guard.calls.at(-1)?.args).toEqual({ path: `${out}/y/z`, recursive: true });
    expect(await outcomeOf(fs.mkdir(`${out}/q`, { recursive: 1 } as object))).toBe("INVALID_REQUEST");
  });

  test("not where the lease does not reach", async () => {
    const directory = temporaryDirectory();
    const { fs } = files({ "fs.write": [`${directory}/*/c/**`] });
    expect(await outcomeOf(fs.mkdir(`${directory}/b/c/d`, { recursive: true }))).toBe("PERMISSION_DENIED not_covered");
    expect(existsSync(`${directory}/b`)).toBe(false);
    mkdirSync(`${directory}/b`);
    await fs.mkdir(`${directory}/b/c/d`, { recursive: true });
  });

  test("also the lease's own, if it was not there", async () => {
    const directory = temporaryDirectory();
    const { fs } = files({ "fs.write": [`${directory}/later/**`], "fs.read": [`${directory}/later/**`] });
    expect(await outcomeOf(fs.list(`${directory}/later`))).toBe("INVALID_REQUEST not_found");
    await fs.mkdir(`${directory}/later`);
    await fs.write(`${directory}/later/x`, "x");
    expect(await fs.list(`${directory}/later`)).toEqual([{ name: "x", kind: "file" }]);
    expect(await outcomeOf(fs.remove(`${directory}/later`, { recursive: true }))).toBe("PERMISSION_DENIED lease_root");
  });
});

describeOnLinux("removing", () => {
  test("takes files, links and empty directories", async () => {
    const { fs, out, directory, guard } = workspace();
    symlinkSync(`${directory}/outside`, `${out}/link`);
    mkdirSync(`${out}/d/e`, { recursive: true });
    await fs.remove(`${out}/link`);
    await fs.remove(`${out}/y`);
    expect(await outcomeOf(fs.remove(`${out}/d`))).toBe("INVALID_REQUEST not_empty");
    await fs.remove(`${out}/d/e`);
    await fs.remove(`${out}/d`, { recursive: true });
    expect(readdirSync(out)).toEqual([]);
    expect(existsSync(`${directory}/outside/canary`)).toBe(true);
    expect(await outcomeOf(fs.remove(`${out}/d`, { recursive: true }))).toBe("INVALID_REQUEST not_found");
    expect(guard.calls[0]?.outcome).toEqual({ result: { entries: 1 } });
  });

  test("takes trees, and nothing that their links lead to", async () => {
    const { fs, out, directory, guard } = workspace();
    plant(out, { "d/e/f": "", "d/e/g": "", "d/h": "" });
    symlinkSync(`${directory}/outside`, `${out}/d/e/link`);
    linkSync(`${directory}/canary`, `${out}/d/second`);
    await fs.remove(`${out}/d`, { recursive: true });
    expect(readdirSync(out)).toEqual(["y"]);
    expect(guard.calls[0]?.outcome).toEqual({ result: { entries: 7 } });
    expect(readFileSync(`${directory}/outside/canary`, "utf8")).toBe(readFileSync(`${directory}/canary`, "utf8"));
  });

  test("stays within the lease, all the way down", async () => {
    const directory = temporaryDirectory();
    plant(directory, { "b/c": "kept", "e*/c": "kept" });
    const { fs } = files({ "fs.write": [`${directory}/*`] });
    expect(await outcomeOf(fs.remove(`${directory}/b`, { recursive: true }))).toBe("PERMISSION_DENIED not_covered");
    expect(await outcomeOf(fs.remove(`${directory}/e*`, { recursive: true }))).toBe("PERMISSION_DENIED not_covered");
    expect(readFileSync(`${directory}/b/c`, "utf8")).toBe("kept");
    mkdirSync(`${directory}/empty`);
    await fs.remove(`${directory}/empty`, { recursive: true });
  });

  test("does not take the lease's own directory", async () => {
    const { fs, out } = workspace();
    expect(await outcomeOf(fs.remove(out, { recursive: true }))).toBe("PERMISSION_DENIED lease_root");
    expect(readdirSync(out)).toEqual(["y"]);
  });

  test("is bounded in number and depth, before it begins", async () => {
    const { fs, out } = workspace({ maxRemoveEntries: 3 });
    plant(out, { "d/1": "", "d/2": "", "d/e/3": "" });
    expect(await outcomeOf(fs.remove(`${out}/d`, { recursive: true }))).toBe("INVALID_REQUEST too_many");
    mkdirSync(join(out, "deep", "/d".repeat(130)), { recursive: true });
    expect(await outcomeOf(fs.remove(`${out}/deep`, { recursive: true }))).toMatch(/too_many|too_deep/);
    expect(readdirSync(`${out}/d`)).toEqual(["1", "2", "e"]);
    const { fs: another } = files({ "fs.write": [`${out}/**`] });
    expect(await outcomeOf(another.remove(`${out}/deep`, { recursive: true }))).toBe("INVALID_REQUEST too_deep");
    expect(readdirSync(`${out}/deep`)).toEqual(["d"]);
  });
});

describeOnLinux("descriptors", () => {
  test("are held for the lease's directories until the end, and for nothing else", async () => {
    const { fs, app, out, directory } = workspace();
    await fs.read(`${app}/x`);
    expect(openBelow(directory).sort()).toEqual([app, out]);
    await Promise.all([
      ...Array.from({ length: 50 }, () => fs.read(`${app}/x`)),
      ...Array.from({ length: 50 }, () => outcomeOf(fs.read(`${app}/x/y`))),
      ...Array.from({ length: 50 }, () => outcomeOf(fs.read(`${app}/none`))),
    ]);
    plant(app, { "a/b/c/d": "deep" });
    await fs.read(`${app}/a/b/c/d`);
    symlinkSync("/etc", `${app}/link`);
    linkSync(`${app}/x`, `${app}/second`);
    for (const path of [`${app}/link`, `${app}/link/passwd`, `${app}/second`, app, `${app}/out`, `${app}/out/none/x`]) {
      await outcomeOf(fs.read(path));
      await outcomeOf(collect(fs.stream(path)));
      await outcomeOf(fs.list(path));
      await outcomeOf(fs.stat(path));
    }
    for (const path of [`${out}/n`, `${out}/n/m`, `${out}/y`, `${out}/y/z`, out]) {
      for (const mode of ["create", "append", "replace"] as const) await outcomeOf(fs.write(path, "x", { mode }));
      for (const recursive of [true, false]) {
        await outcomeOf(fs.mkdir(`${path}d`, { recursive }));
        await outcomeOf(fs.remove(path, { recursive }));
      }
    }
    expect(openBelow(directory).sort()).toEqual([app, out]);
    fs.close();
    fs.close();
    await vi.waitFor(() => expect(openBelow(directory)).toEqual([]));
    expect(await outcomeOf(fs.read(`${app}/x`))).toBe("CANCELLED");
  });

  test("stay open while a call may use them", async () => {
    const { fs, app, directory } = workspace();
    await fs.stat(app);
    const reads = Array.from({ length: 20 }, () => outcomeOf(fs.read(`${app}/x`)));
    await Promise.resolve();
    fs.close();
    const outcomes = new Set(await Promise.all(reads));
    expect([...outcomes].every((outcome) => outcome === "allowed" || outcome === "CANCELLED")).toBe(true);
    await vi.waitFor(() => expect(openBelow(directory)).toEqual([]));
  });

  test("are given back by a job that is over before it has pinned them", async () => {
    const { fs, directory, app } = workspace();
    fs.close();
    const { fs: another } = files({ "fs.read": [`${app}/**`] });
    await another.read(`${app}/x`);
    another.close();
    await vi.waitFor(() => expect(openBelow(directory)).toEqual([]));
  });
});

describeOnLinux("the lease's directories", () => {
  test("are those that its patterns begin with", async () => {
    const directory = temporaryDirectory();
    plant(directory, { "a/b/c": "c", "a/b/d": "d", "a/e/f/g": "g" });
    const { fs } = files({ "fs.read": [`${directory}/a/b/c`, `${directory}/a/e/**/g`, `${directory}/a/b/c*`] });
    expect(await fs.read(`${directory}/a/b/c`, "utf8")).toBe("c");
    expect(await fs.read(`${directory}/a/e/f/g`, "utf8")).toBe("g");
    expect(await outcomeOf(fs.read(`${directory}/a/b/d`))).toBe("PERMISSION_DENIED");
    expect(openBelow(directory).sort()).toEqual([`${directory}/a/b`, `${directory}/a/e`]);
  });

  test("are walked from as high as a pattern that matches begins", async () => {
    const directory = temporaryDirectory();
    plant(directory, { "a/b/x": "before" });
    const { fs } = files({ "fs.read": [`${directory}/a/b/**`, `${directory}/a/**`] });
    await fs.read(`${directory}/a/b/x`);
    renameSync(`${directory}/a/b`, `${directory}/a/moved`);
    plant(directory, { "a/b/x": "after" });
    expect(await fs.read(`${directory}/a/b/x`, "utf8")).toBe("after");
  });

  test("are refused if a link leads to them, and only the log says why", async () => {
    const directory = temporaryDirectory();
    plant(directory, { "real/d/x": "x" });
    symlinkSync(`${directory}/real`, `${directory}/link`);
    const lines: string[] = [];
    const log = createLogger((line) => lines.push(line));
    const { fs } = files({ "fs.read": [`${directory}/link/**`, `${directory}/link/d/*`] }, { log });
    for (const path of [`${directory}/link/d/x`, `${directory}/link`]) {
      expect(await outcomeOf(fs.read(path))).toBe("PERMISSION_DENIED root_refused");
    }
    expect(lines.join()).toContain("is_a_link");
    expect(openBelow(directory)).toEqual([]);
  });

  test("may be all there is", async () => {
    const directory = temporaryDirectory();
    plant(directory, { x: "x" });
    const { fs } = files({ "fs.read": ["/**"] });
    expect(await fs.read(`${directory}/x`, "utf8")).toBe("x");
    expect(await outcomeOf(fs.read("/"))).toBe("INVALID_REQUEST not_a_file");
    expect((await fs.list("/")).length).toBeGreaterThan(0);
  });
});
