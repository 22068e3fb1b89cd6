import { createLogger, type Identity, type UnauthenticatedError } from "@arcp/core";
import { CredentialWatch } from "@arcp/runtime";
import { expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setting(identity: Partial<Identity>) {
  const clock = new ManualClock();
  const ends: string[] = [];
  const warnings: string[] = [];
  let stale = 0;
  const watch = new CredentialWatch({
    clock,
    identity: { principal: "alice", ...identity },
    logger: createLogger((line) => warnings.push(line), "warn"),
    onEnd: (error: UnauthenticatedError) => ends.push(error.message),
    onStale: () => {
      stale += 1;
    },
  });
  return { clock, ends, warnings, watch, stale: () => stale };
}

test("a credential that never ends needs no timer", () => {
  expect(setting({}).clock.pending).toBe(0);
});

test("a credential ends when it expires, once", async () => {
  const it = setting({ expiresAt: Date.UTC(2026, 0, 1) + 1_000, revalidateAfterMs: 300 });
  it.clock.advance(999);
  expect(it.ends).toEqual([]);
  it.clock.advance(1);
  expect(it.ends).toEqual(["the credential has expired"]);
  expect(it.clock.pending).toBe(0);
});

test("the client is asked for a fresh one, time and again, where nobody else can be", async () => {
  const it = setting({ revalidateAfterMs: 60_000 });
  it.clock.advance(59_999);
  expect(it.stale()).toBe(0);
  it.clock.advance(1);
  expect(it.stale()).toBe(1);
  await settle();
  it.clock.advance(60_000);
  expect(it.stale()).toBe(2);
  it.watch.stop();
  expect(it.clock.pending).toBe(0);
});

test("a credential ends when it was withdrawn, and not while that is unknown", async () => {
  const answers: (() => Promise<boolean>)[] = [
    async () => false,
    () => Promise.reject(new Error("down")),
    () => new Promise(() => {}),
    async () => true,
  ];
  const it = setting({ revalidateAfterMs: 60_000, isRevoked: () => answers.shift()?.() ?? Promise.reject() });
  it.clock.advance(60_000);
  await settle();
  it.clock.advance(60_000);
  await settle();
  expect(it.warnings).toHaveLength(1);
  it.clock.advance(60_000);
  await settle();
  it.clock.advance(5_000);
  await settle();
  expect(it.warnings).toHaveLength(2);
  expect(it.ends).toEqual([]);
  it.clock.advance(60_000);
  await settle();
  expect(it.ends).toEqual(["the credential was withdrawn"]);
  expect(it.stale()).toBe(0);
  expect(it.clock.pending).toBe(0);
});

test("nothing is heard of a watch that was stopped, also in the middle of a question", async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let told: AbortSignal | undefined;
  const it = setting({
    expiresAt: Date.UTC(2026, 0, 2),
    revalidateAfterMs: 60_000,
    isRevoked: (signal) => {
      told = signal;
      return promise;
    },
  });
  it.clock.advance(60_000);
  it.watch.stop();
  it.watch.stop();
  expect(told?.aborted).toBe(true);
  resolve(true);
  await settle();
  it.clock.advance(48 * 3_600_000);
  expect([it.ends, it.warnings]).toEqual([[], []]);
  expect(it.clock.pending).toBe(0);
});
