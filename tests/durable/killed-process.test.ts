/** `kill -9` of a real runtime under a client's only loop: it sees every event once, in order, over either wire. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ARCPClient, ARCPToolClient } from "@arcp/client";
import { silentLogger } from "@arcp/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { covers } from "../support/covers.ts";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./killable-runtime.ts", import.meta.url));

const STEPS = 20;
const reconnect = { initialDelayMs: 10, maxDelayMs: 50 };

/** A runtime that is started again on the same port whenever it was killed. */
class Killable implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "arcp-killed-"));
  readonly #effects = join(this.#directory, "effects");
  #child: ChildProcess | undefined;
  #port = 0;

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/arcp`;
  }

  /** What was done in steps, in order. */
  get effects(): readonly number[] {
    return readFileSync(this.#effects, "utf8").split("\n").filter(Boolean).map(Number);
  }

  async start(): Promise<void> {
    const args = [join(this.#directory, "runtime.db"), this.#effects, String(this.#port)];
    const child = fork(program, args, { execArgv: ["--import", sources] });
    this.#child = child;
    const [port] = await Promise.race([once(child, "message"), once(child, "exit").then(() => [])]);
    if (typeof port !== "number") throw new Error("the runtime does not start");
    this.#port = port;
  }

  /** Kills it, and begins another one. Resolves when that listens. */
  async restart(): Promise<void> {
    await this.#kill();
    await this.start();
  }

  async #kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

let runtime: Killable;
beforeEach(async () => {
  runtime = new Killable();
  await runtime.start();
});
afterEach(() => runtime[Symbol.asyncDispose]());

/** Within a step, after one, and in a sleep. */
const KILLED_AT: readonly string[] = ["counting 3", "counted 8", "counted 10"];

/** Each step was done once; those that were being done when the runtime was killed, at most once more per kill. */
function checkEffects(effects: readonly number[]): void {
  expect([...new Set(effects)]).toEqual(Array.from({ length: STEPS }, (_, n) => n + 1));
  expect(effects.length - STEPS).toBeLessThanOrEqual(KILLED_AT.length);
}

const LOGS = Array.from({ length: STEPS }, (_, n) => [`counting ${n + 1}`, `counted ${n + 1}`]).flat();

test("one loop over wire 1.1 sees 1 to N, each once", async () => {
  covers("V11-7.3-02", "V11-7.3-08", "V10-4.3-01");
  await using client = await ARCPClient.connect(runtime.url, { token: "alice", logger: silentLogger, reconnect });
  const job = await client.submit({ agent: "counter", input: { steps: STEPS } });
  const numbers: (number | undefined)[] = [];
  const logs: string[] = [];
  const open = new Set(KILLED_AT);
  const restarts: Promise<void>[] = [];
  for await (const event of job) {
    numbers.push(event.seq);
    if (event.kind !== "log") continue;
    logs.push(event.body.message);
    if (open.delete(event.body.message)) restarts.push(runtime.restart());
    await restarts.at(-1);
  }
  expect((await job.done).result).toEqual({ sum: (STEPS * (STEPS + 1)) / 2 });
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  expect(logs).toEqual(LOGS);
  expect(restarts).toHaveLength(KILLED_AT.length);
  checkEffects(runtime.effects);
}, 60_000);

test("one loop over wire 1.0 sees every message once, in order, and one end", async () => {
  covers("V10-10.2-03", "V10-6.4-01", "V10-6.3-06");
  await using client = await ARCPToolClient.open(runtime.url, { token: "alice", logger: silentLogger, reconnect });
  const invocation = client.invoke("counter", { steps: STEPS }, { durable: true });
  const logs: string[] = [];
  const open = new Set(KILLED_AT);
  const restarts: Promise<void>[] = [];
  for await (const event of invocation) {
    if (event.kind !== "log") continue;
    logs.push(event.body.message);
    if (open.delete(event.body.message)) restarts.push(runtime.restart());
    await restarts.at(-1);
  }
  expect((await invocation.done).value).toEqual({ sum: (STEPS * (STEPS + 1)) / 2 });
  expect(logs).toEqual(LOGS);
  expect(restarts).toHaveLength(KILLED_AT.length);
  checkEffects(runtime.effects);
}, 60_000);
