/**
 * Another process swaps directories, files and roots with links while operations go on. `FILE_RACES=1000000` tries that
 * often per attack and says what came of it; the default is enough to see the attack at work.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { linkSync, readdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import type { AgentFileSystem } from "../../packages/runtime/src/engine/agent-operations.ts";
import {
  CANARY,
  collect,
  describeOnLinux,
  files,
  openBelow,
  outcomeOf,
  plant,
  temporaryDirectory,
} from "./guarded-files.ts";

const TRIES = Number(process.env["FILE_RACES"] ?? 1000);
const TIMEOUT_MS = 20_000 + TRIES;
/** Operations that are under way at a time. */
const AT_A_TIME = 16;

/** Exchanges two names in one step, for ever. */
const EXCHANGE = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(name) for name in sys.argv[1:3])
def exchange():
    if libc.renameat2(-100, a, -100, b, 2) != 0: raise OSError(ctypes.get_errno())
exchange(); exchange()
print("ready", flush=True)
while True: exchange()
`;

/** The same in three steps, where there is no Python: between them there is nothing of that name. */
const SWAP = `
const { renameSync } = require("node:fs");
const [a, b] = process.argv.slice(1);
console.log("ready");
for (;;) { renameSync(a, a + "~"); renameSync(b, a); renameSync(a + "~", b); }
`;

async function swapping(a: string, b: string): Promise<ChildProcess> {
  const hasPython = spawnSync("python3", ["-c", "import ctypes"]).status === 0;
  const attacker = hasPython
    ? spawn("python3", ["-c", EXCHANGE, a, b], { stdio: ["ignore", "pipe", "inherit"] })
    : spawn(process.execPath, ["-e", SWAP, a, b], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void attacker.kill("SIGKILL"));
  await once(attacker.stdout, "data");
  return attacker;
}

async function stop(attacker: ChildProcess): Promise<void> {
  attacker.kill("SIGKILL");
  if (attacker.exitCode === null && attacker.signalCode === null) await once(attacker, "exit");
}

/** What came of many tries, by outcome. */
async function tally(attempt: (index: number) => Promise<string>): Promise<ReadonlyMap<string, number>> {
  const outcomes = new Map<string, number>();
  let index = 0;
  const work = async (): Promise<void> => {
    while (index < TRIES) {
      index += 1;
      const outcome = await attempt(index);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  return outcomes;
}

function battlefield() {
  const directory = temporaryDirectory();
  const app = `${directory}/app`;
  plant(directory, { "outside/f": CANARY, "outside/d/f": CANARY, "app/d/f": "inside", "app/f": "inside" });
  symlinkSync(`${directory}/outside`, `${app}/link to d`);
  symlinkSync(`${directory}/outside/f`, `${app}/link to f`);
  linkSync(`${directory}/outside/f`, `${app}/second name of f`);
  symlinkSync(`${directory}/outside`, `${directory}/link to app`);
  return { directory, app, ...files({ "fs.read": [`${app}/**`], "fs.write": [`${app}/**`] }) };
}

/** One try: what was read, or why it was not. */
async function readAt(fs: AgentFileSystem, path: string, index: number): Promise<string> {
  if (index % 3 === 0) return outcomeOrText(collect(fs.stream(path)).then(String));
  return outcomeOrText(fs.read(path, "utf8"));
}

async function outcomeOrText(running: Promise<string>): Promise<string> {
  const outcome = await outcomeOf(running);
  return outcome === "allowed" ? await running : outcome;
}

function report(name: string, outcomes: ReadonlyMap<string, number>, startedAt: number): void {
  if (process.env["FILE_RACES"] === undefined) return;
  const perSecond = Math.round((TRIES / (performance.now() - startedAt)) * 1000);
  console.log(`${name}: ${TRIES} tries, ${perSecond}/s: ${JSON.stringify(Object.fromEntries(outcomes))}`);
}

describeOnLinux("under attack", () => {
  test.each([
    ["C12: a directory on the way and a link", "d", "link to d", "d/f"],
    ["C12: a file and a link", "f", "link to f", "f"],
    ["C14: a file and a second name of another", "f", "second name of f", "f"],
  ])(
    "%s take turns: nothing outside is read",
    async (name, victim, impostor, path) => {
      const { fs, app, directory } = battlefield();
      await fs.stat(app);
      const attacker = await swapping(`${app}/${victim}`, `${app}/${impostor}`);
      const startedAt = performance.now();
      const outcomes = await tally((index) => readAt(fs, `${app}/${path}`, index));
      report(name, outcomes, startedAt);
      await stop(attacker);
      expect(outcomes.get(CANARY)).toBe(undefined);
      // Both were met, or nothing was tried.
      expect(outcomes.get("inside")).toBeGreaterThan(0);
      expect([...outcomes.keys()].some((outcome) => outcome.startsWith("PERMISSION_DENIED"))).toBe(true);
      const expected = /^(inside|PERMISSION_DENIED (is_a_link|has_other_names)|INVALID_REQUEST not_found)$/;
      for (const outcome of outcomes.keys()) expect(outcome).toMatch(expected);
      expect(openBelow(directory)).toEqual([app]);
    },
    TIMEOUT_MS,
  );

  test(
    "C29: the root and a link take turns: nothing outside is read or written",
    async () => {
      const { fs, app, directory } = battlefield();
      await fs.stat(app);
      const attacker = await swapping(app, `${directory}/link to app`);
      const startedAt = performance.now();
      const outcomes = await tally((index) =>
        index % 4 === 0
          ? outcomeOrText(fs.write(`${app}/new ${index % 100}`, "mine").then(() => "written"))
          : readAt(fs, `${app}/d/f`, index),
      );
      report("C29", outcomes, startedAt);
      await stop(attacker);
      expect(outcomes.get(CANARY)).toBe(undefined);
      expect(outcomes.get("inside")).toBeGreaterThan(0);
      expect(outcomes.get("PERMISSION_DENIED root_replaced")).toBeGreaterThan(0);
      expect(readdirSync(`${directory}/outside`).sort()).toEqual(["d", "f"]);
    },
    TIMEOUT_MS,
  );

  test(
    "C12: a directory and a link take turns: nothing outside is listed, written, made or removed",
    async () => {
      const { fs, app, directory } = battlefield();
      await fs.stat(app);
      const attacker = await swapping(`${app}/d`, `${app}/link to d`);
      const attempts: readonly ((index: number) => Promise<unknown>)[] = [
        (index) => fs.write(`${app}/d/new ${index % 50}`, "mine"),
        (index) => fs.write(`${app}/d/created ${index}`, "mine", { mode: "create" }),
        () => fs.write(`${app}/d/f`, "", { mode: "append" }),
        (index) => fs.mkdir(`${app}/d/made ${index % 50}/deeper`, { recursive: true }),
        (index) => fs.remove(`${app}/d/made ${(index * 7) % 50}`, { recursive: true }),
        () => fs.remove(`${app}/d/d`, { recursive: true }),
        (index) => fs.remove(`${app}/d/created ${index - 5}`),
      ];
      const startedAt = performance.now();
      const outcomes = await tally(async (index) => {
        const attempt = attempts[index % (attempts.length + 1)];
        if (attempt !== undefined) return outcomeOf(attempt(index));
        return outcomeOrText(
          fs.list(`${app}/d`).then((entries) => (entries.some(({ name }) => name === "d") ? CANARY : "listed")),
        );
      });
      report("C12, writing", outcomes, startedAt);
      await stop(attacker);
      expect(outcomes.get(CANARY)).toBe(undefined);
      expect(outcomes.get("allowed")).toBeGreaterThan(0);
      expect(outcomes.get("PERMISSION_DENIED is_a_link")).toBeGreaterThan(0);
      expect(readdirSync(`${directory}/outside`).sort()).toEqual(["d", "f"]);
      expect(readdirSync(`${directory}/outside/d`)).toEqual(["f"]);
      expect(readFileSync(`${directory}/outside/f`, "utf8")).toBe(CANARY);
      expect(openBelow(directory)).toEqual([app]);
    },
    TIMEOUT_MS,
  );

  test("the same attack gets through where names are checked and then opened", async () => {
    const { app } = battlefield();
    await swapping(`${app}/d`, `${app}/link to d`);
    const checkThenOpen = (path: string): string => {
      try {
        return realpathSync(path).startsWith(`${app}/`) ? readFileSync(path, "utf8") : "refused";
      } catch {
        return "refused"; // It was being swapped.
      }
    };
    let tries = 0;
    while (tries < 500_000 && checkThenOpen(`${app}/d/f`) !== CANARY) tries += 1;
    expect(tries).toBeLessThan(500_000);
  });
});
