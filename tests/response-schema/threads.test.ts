/** The threads that schemas are checked in: deadlines, turns, bounds, and what happens to those that are lost. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { ResponseSchemaLimits } from "../../packages/runtime/src/response-schema/limits.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { outcomeOf, responseSchemas } from "./schemas.ts";

/**
 * A thread that says values with `say` in them and finds nothing wrong with others; that runs for ever for `"hang"`, in
 * the schema or as the value, falls over for `"crash"`, and writes the file that a value ends with after `note`.
 */
const script = (beforeReady = "") =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort } from "node:worker_threads";
      import { writeFileSync } from "node:fs";
      const hang = () => { for (;;); };
      ${beforeReady}
      let compiled = new Set();
      parentPort.on("message", ({ digest, schema, value }) => {
        if (!compiled.has(digest) && schema.includes("hang")) hang();
        compiled.add(digest);
        if (value !== undefined) parentPort.postMessage("compiled");
        if (value === '"hang"') hang();
        if (value === '"crash"') throw new Error("fell over");
        parentPort.postMessage({ problem: value?.includes("say") ? value : undefined });
        const note = /note (.*)"$/.exec(value ?? "")?.[1];
        if (note !== undefined) writeFileSync(note, "");
      });
      parentPort.postMessage("ready");
    `)}`,
  );

async function scripted(limits: Partial<ResponseSchemaLimits> = {}, computing = { share: 1 }) {
  const clock = new ManualClock();
  const cpuTimeMs = () => clock.monotonic() * computing.share;
  const schemas = responseSchemas({ clock, cpuTimeMs, script: script(), size: 1, limits });
  const of = (owner: string) => schemas.compile({}, owner);
  // From here on there is a thread, which takes what it is given at once.
  const mallory = await of("mallory");
  return { clock, schemas, of, mallory };
}

/** Lets messages of threads come in. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lets one deadline after the other pass until the call has an outcome: when its thread says what is unknown. */
async function overdue(clock: ManualClock, outcome: Promise<unknown>): Promise<unknown> {
  let isSettled = false;
  void outcome.then(() => {
    isSettled = true;
  });
  for (; !isSettled; await turn()) clock.advance(100);
  return outcome;
}

test("a check ends at its deadline with its thread, and the next gets another one", async () => {
  const { clock, mallory } = await scripted();
  const hanging = outcomeOf(mallory.check("hang"));
  const next = mallory.check("say this");
  expect(await overdue(clock, hanging)).toBe("INVALID_REQUEST too_slow");
  expect(await next).toBe('"say this"');
});

test("a schema that does not compile in time is refused, and not remembered", async () => {
  const { clock, schemas } = await scripted();
  for (const _ of ["first", "again"]) {
    const hanging = outcomeOf(schemas.compile({ const: "hang" }));
    while (clock.pending === 0) await turn();
    clock.advance(99);
    await turn();
    expect(clock.pending).toBe(1);
    clock.advance(1);
    expect(await hanging).toBe("INVALID_REQUEST too_slow");
    await schemas.compile({ const: "another thread" });
  }
});

test.each([
  ["a quarter of the machine", 0.25, 400],
  ["nothing of the machine", 0, 1000],
])("a call that gets %s has longer", async (_, share, deadlineMs) => {
  const { clock, schemas } = await scripted({}, { share });
  const outcome = outcomeOf(schemas.compile({ const: "hang" }));
  clock.advance(deadlineMs - 1);
  await turn();
  expect(clock.pending).toBe(1);
  // It is looked at often enough.
  clock.advance(11);
  expect(clock.pending).toBe(0);
  expect(await outcome).toBe("INVALID_REQUEST too_slow");
});

test("an answer that is there when the deadline is noticed counts", async () => {
  const { clock, mallory } = await scripted();
  const directory = mkdtempSync(join(tmpdir(), "arcp-schemas-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const value = `say and note ${join(directory, "answered")}`;
  await turn();
  const answer = mallory.check(value);
  // This thread is held up until the other has answered, and then the time is over.
  while (!existsSync(join(directory, "answered")));
  clock.advance(100);
  expect(await answer).toBe(JSON.stringify(value));
});

test("owners take turns", async () => {
  const { of, mallory } = await scripted();
  const alice = await of("alice");
  const order: unknown[] = [];
  const note = (answer: Promise<unknown>): Promise<unknown> => answer.then((problem) => order.push(problem));
  const many = Array.from({ length: 20 }, (_, index) => note(mallory.check(`say mallory ${index}`)));
  await Promise.all([...many, note(alice.check("say alice"))]);
  expect(order.indexOf('"say alice"')).toBeLessThan(3);
  expect(order.filter((problem) => problem !== '"say alice"')).toEqual(
    Array.from({ length: 20 }, (_, index) => `"say mallory ${index}"`),
  );
});

test("so many calls of one owner may wait, and so many of all", async () => {
  const { clock, of, mallory } = await scripted({ maxWaitingPerOwner: 2, maxWaiting: 3 });
  const [alice, bob] = [await of("alice"), await of("bob")];
  const hanging = outcomeOf(mallory.check("hang"));
  const waiting = [mallory, mallory, alice].map((schema) => schema.check("say it"));
  expect(await outcomeOf(mallory.check(1))).toBe("INTERNAL_ERROR maxWaitingPerOwner");
  expect(await outcomeOf(bob.check(1))).toBe("INTERNAL_ERROR maxWaiting");
  expect(await overdue(clock, hanging)).toBe("INVALID_REQUEST too_slow");
  expect(await Promise.all(waiting)).toEqual(['"say it"', '"say it"', '"say it"']);
  expect(await bob.check(1)).toBeUndefined();
});

test("a thread that falls over fails its check, and no other", async () => {
  const { mallory } = await scripted();
  const crash = outcomeOf(mallory.check("crash"));
  const next = mallory.check("say this");
  expect(await crash).toBe("INVALID_REQUEST too_complex");
  expect(await next).toBe('"say this"');
});

test("threads that cannot start are told to whoever waits, and tried again for the next", async () => {
  const schemas = responseSchemas({ clock: new ManualClock(), script: script('throw new Error("no thread");') });
  for (const _ of ["first", "again"]) {
    const both = [schemas.compile({}), schemas.compile({})].map(outcomeOf);
    expect(await Promise.all(both)).toEqual(Array(2).fill("INTERNAL_ERROR schemas cannot be checked now"));
  }
});

test("a thread that never gets ready is given up", async () => {
  const clock = new ManualClock();
  const schemas = responseSchemas({ clock, script: script("hang();"), size: 1 });
  const outcome = outcomeOf(schemas.compile({}));
  clock.advance(30_000);
  expect(await outcome).toBe("INTERNAL_ERROR schemas cannot be checked now");
});

test("what is under way and what waits ends when schemas are closed", async () => {
  const { schemas, mallory } = await scripted();
  const outcomes = ["hang", "wait"].map((value) => outcomeOf(mallory.check(value)));
  await schemas.close();
  outcomes.push(outcomeOf(mallory.check("late")));
  for (const outcome of await Promise.all(outcomes)) expect(outcome).toMatch(/^INTERNAL_ERROR .* closing$/);
  await schemas.close();
});

test("a schema that is known is not compiled again for the next who asks", async () => {
  const { clock, schemas } = await scripted();
  await schemas.compile({ const: 1 });
  // Nobody is asked, so nothing waits for the thread that hangs.
  const hanging = outcomeOf(schemas.compile({ const: "hang" }));
  await schemas.compile({ title: "the same", const: 1 }, "alice");
  expect(await overdue(clock, hanging)).toBe("INVALID_REQUEST too_slow");
});

test("threads without a call do not keep a process alive", async () => {
  const source = new URL("../../packages/runtime/src/response-schema/response-schemas.ts", import.meta.url);
  const program = `
    const { ResponseSchemas } = await import(${JSON.stringify(source.href)});
    const schema = await new ResponseSchemas().compile({ type: "string" });
    console.log(await schema.check(1));
  `;
  const child = spawn(process.execPath, [
    ...["--import", fileURLToPath(new URL("../support/sources.mjs", import.meta.url))],
    ...["--input-type=module", "--eval", program],
  ]);
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  expect({ code, output }).toEqual({ code: 0, output: "must be string\n" });
});
