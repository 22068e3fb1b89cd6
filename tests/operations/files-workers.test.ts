/** The threads that call the file system: deadlines, turns, bounds, and what happens to those that do not come back. */
import { closeSync, readdirSync } from "node:fs";
import { CancelledError } from "@arcp/core";
import { expect, onTestFinished, test } from "vitest";
import {
  type FileLane,
  FileWorkers,
  type FileWorkersOptions,
} from "../../packages/runtime/src/operations/files/file-workers.ts";
import { type PinnedRoot, pin } from "../../packages/runtime/src/operations/files/walk.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { describeOnLinux, files, openBelow, outcomeOf, plant, temporaryDirectory, workspace } from "./guarded-files.ts";

/**
 * A thread that answers with its call's path, waits until it is given up for paths that contain `stuck`, for ever for
 * those that contain `dead`, and falls over for those that contain `crash`.
 */
const SCRIPT = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort, workerData } from "node:worker_threads";
    parentPort.on("message", (request) => {
      if (request === "end") return parentPort.close();
      const { path } = request.args;
      if (path.includes("crash")) throw new Error("fell over");
      if (path.includes("dead")) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      while (path.includes("stuck") && Atomics.load(workerData.stop, 0) === 0);
      parentPort.postMessage({ value: path });
    });
  `)}`,
);

function workers(options: FileWorkersOptions = {}): FileWorkers {
  const pool = new FileWorkers(options);
  onTestFinished(() => pool.close());
  return pool;
}

function scripted(options: FileWorkersOptions = {}) {
  const clock = new ManualClock();
  const pool = workers({ clock, script: SCRIPT, deadlineMs: 1000, ...options });
  const ask = (lane: FileLane, path: string, discard = (_: unknown): void => {}) =>
    lane.call("pin", { path }, { discard });
  return { clock, pool, ask };
}

const reasonOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    (value) => value,
    (error) => error.reason ?? error,
  );

test("a call that does not return ends at its deadline, and another thread goes on", async () => {
  const { clock, pool, ask } = scripted({ size: 1 });
  const discarded: unknown[] = [];
  const stuck = ask(pool.lane(), "stuck", (value) => discarded.push(value));
  const next = ask(pool.lane(), "next");
  clock.advance(999);
  const outcome = reasonOf(stuck.result);
  clock.advance(1);
  expect(await outcome).toBe("deadline");
  expect(await next.result).toBe("next");
  // What it returned in the end had an owner.
  await stuck.ended;
  expect(discarded).toEqual(["stuck"]);
});

test("what a call was given is not free while its thread is in it", async () => {
  const { clock, pool, ask } = scripted();
  const dead = ask(pool.lane(), "dead");
  const outcome = reasonOf(dead.result);
  clock.advance(1000);
  expect(await outcome).toBe("deadline");
  let hasEnded = false;
  void dead.ended.then(() => {
    hasEnded = true;
  });
  await ask(pool.lane(), "next").result;
  expect(hasEnded).toBe(false);
  await pool.close();
  await dead.ended;
});

test("jobs take turns", async () => {
  const { pool, ask } = scripted({ size: 1 });
  const greedy = pool.lane();
  const order: string[] = [];
  const note = ({ result }: { result: Promise<unknown> }): Promise<unknown> =>
    result.then((path) => order.push(`${path}`));
  const many = Array.from({ length: 50 }, (_, index) => note(ask(greedy, `greedy ${index}`)));
  const modest = note(ask(pool.lane(), "modest"));
  await Promise.all([...many, modest]);
  expect(order.indexOf("modest")).toBeLessThan(3);
  expect(order.filter((path) => path !== "modest")).toEqual(
    Array.from({ length: 50 }, (_, index) => `greedy ${index}`),
  );
});

test("a job may have only so many calls wait", async () => {
  const { clock, pool, ask } = scripted({ size: 1, maxWaiting: 2 });
  const lane = pool.lane();
  const calls = ["stuck", "1", "2", "3"].map((path) => reasonOf(ask(lane, path).result));
  expect(await calls[3]).toBe("overloaded");
  clock.advance(1000);
  expect(await Promise.all(calls)).toEqual(["deadline", "1", "2", "overloaded"]);
});

test("with too many threads stuck calls are refused, until one comes back", async () => {
  const { clock, pool, ask } = scripted({ size: 1, maxStuck: 1 });
  const lane = pool.lane();
  const dead = ask(lane, "dead");
  const waiting = reasonOf(ask(lane, "waiting").result);
  const outcome = reasonOf(dead.result);
  clock.advance(1000);
  expect(await outcome).toBe("deadline");
  expect(await waiting).toBe("overloaded");
  expect(await reasonOf(ask(lane, "next").result)).toBe("overloaded");
  await pool.close();
  await dead.ended;
  expect(await ask(lane, "next").result).toBe("next");
});

test("a thread that falls over fails its call, and no other", async () => {
  const { pool, ask } = scripted({ size: 1 });
  const lane = pool.lane();
  const crash = ask(lane, "crash");
  const next = ask(lane, "next");
  expect(await reasonOf(crash.result)).toBe("failed");
  await crash.ended;
  expect(await next.result).toBe("next");
});

test("a call that is called off before its turn is not made", async () => {
  const { clock, pool } = scripted({ size: 1 });
  const lane = pool.lane();
  const job = new AbortController();
  const stuck = lane.call("pin", { path: "stuck" }, { signal: job.signal });
  const waiting = lane.call("pin", { path: "crash" }, { signal: job.signal });
  const outcomes = Promise.all([reasonOf(stuck.result), reasonOf(waiting.result)]);
  const reason = new CancelledError("cancelled");
  job.abort(reason);
  await waiting.ended;
  // The one that had begun is asked to stop, and does.
  expect(await outcomes).toEqual(["stuck", reason]);
  expect(await reasonOf(lane.call("pin", { path: "crash" }, { signal: job.signal }).result)).toBe(reason);
  clock.advance(1000);
});

describeOnLinux("an agent's call past its deadline", () => {
  function tree() {
    const directory = temporaryDirectory();
    plant(directory, Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`app/d/${index}`, ""])));
    plant(directory, { "app/x": "content" });
    const root = pin({ path: `${directory}/app` }, () => {}) as PinnedRoot;
    return { directory, root };
  }

  test("stops at its next step", async () => {
    const { directory, root } = tree();
    const clock = new ManualClock();
    const lane = workers({ clock, deadlineMs: 1000, size: 1 }).lane();
    await lane.call("stat", { place: { root, below: ["x"] } }).result;
    const place = { root, below: ["d"] };
    const call = lane.call("remove", { place, recursive: true, coversContents: true, maxEntries: 10_000 });
    const outcome = reasonOf(call.result);
    clock.advance(1000);
    expect(await outcome).toBe("deadline");
    await call.ended;
    expect(readdirSync(`${directory}/app/d`).length).toBeGreaterThan(0);
    expect(openBelow(directory)).toEqual([`${directory}/app`]);
    await lane.call("remove", { place, recursive: true, coversContents: true, maxEntries: 10_000 }).result;
    expect(readdirSync(`${directory}/app`)).toEqual(["x"]);
    closeSync(root.fd);
  });

  test("leaves no file open", async () => {
    const { directory, root } = tree();
    const clock = new ManualClock();
    const lane = workers({ clock, deadlineMs: 1000 }).lane();
    const calls = Array.from({ length: 6 }, () =>
      lane.call("open", { place: { root, below: ["x"] }, maxBytes: 100 }, { discard: closeSync }),
    );
    const outcomes = calls.map(async ({ result }) => {
      const fd = await reasonOf(result);
      if (typeof fd === "number") closeSync(fd);
      return fd;
    });
    for (let step = 0; step < 6; step += 1) {
      clock.advance(1000);
      await new Promise(setImmediate);
    }
    expect((await Promise.all(outcomes)).includes("deadline")).toBe(true);
    await Promise.all(calls.map(({ ended }) => ended));
    expect(openBelow(directory)).toEqual([`${directory}/app`]);
    closeSync(root.fd);
  });

  test("is told as a timeout", async () => {
    const directory = temporaryDirectory();
    const clock = new ManualClock();
    const pool = workers({ clock, script: SCRIPT, deadlineMs: 1000 });
    const { fs } = files({ "fs.read": [`${directory}/stuck/**`] }, { workers: pool });
    const outcome = outcomeOf(fs.read(`${directory}/stuck/x`));
    clock.advance(1000);
    expect(await outcome).toBe("TIMEOUT deadline");
  });
});

test("a call of a job that was cancelled fails as the job did", async () => {
  const { fs, guard, app } = workspace();
  await fs.stat(app);
  guard.end(new CancelledError("cancelled"));
  expect(await outcomeOf(fs.read(`${app}/x`))).toBe("CANCELLED");
});
