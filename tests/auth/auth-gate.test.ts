import { createLogger, InvalidRequestError, silentLogger, UnauthenticatedError } from "@arcp/core";
import { errorToV10 } from "@arcp/core/v1.0";
import { AttemptsExhaustedError, AuthGate, type AuthGateOptions } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";
import { peerAt } from "./requests.ts";

const here = peerAt("192.0.2.1");
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setting(options: Partial<AuthGateOptions> = {}) {
  const clock = new ManualClock();
  return { clock, gate: new AuthGate({ clock, logger: silentLogger, ...options }) };
}

describe("a verification", () => {
  test("that takes five seconds is given up, and told to stop", async () => {
    const { clock, gate } = setting();
    let told: AbortSignal | undefined;
    const failure = failureOf(
      gate.pass(here, (signal) => {
        told = signal;
        return new Promise(() => {});
      }),
    );
    await settle();
    clock.advance(4_999);
    expect(told?.aborted).toBe(false);
    clock.advance(1);
    expect(await failure).toMatchObject({ code: "UNAUTHENTICATED", retryable: true });
    expect(told?.aborted).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("that never ends gives its place to another all the same", async () => {
    const { clock, gate } = setting({ maxConcurrent: 1 });
    const stuck = failureOf(gate.pass(here, () => new Promise(() => {})));
    const next = gate.pass(peerAt("192.0.2.2"), async () => "alice").catch((error: Error) => error);
    await settle();
    clock.advance(5_000);
    await stuck;
    // It had waited as long as it may, too.
    expect(await next).toMatchObject({ code: "UNAUTHENTICATED" });
    expect(await gate.pass(here, async () => "bob")).toBe("bob");
  });

  test("waits while as many run as may, over all addresses", async () => {
    const { gate } = setting({ maxConcurrent: 2 });
    let running = 0;
    let most = 0;
    const pass = (host: number) =>
      gate.pass(peerAt(`192.0.2.${host}`), async () => {
        running += 1;
        most = Math.max(most, running);
        await settle();
        running -= 1;
        return host;
      });
    const hosts = Array.from({ length: 20 }, (_, index) => index + 1);
    expect(await Promise.all(hosts.map(pass))).toEqual(hosts);
    expect(most).toBe(2);
  });

  test("is refused when too many wait", async () => {
    const { gate } = setting({ maxConcurrent: 1, maxWaiting: 1 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const first = gate.pass(peerAt("192.0.2.1"), () => promise);
    const second = gate.pass(peerAt("192.0.2.2"), async () => "bob");
    const third = await failureOf(gate.pass(peerAt("192.0.2.3"), async () => "carol"));
    expect(third).toBeInstanceOf(AttemptsExhaustedError);
    resolve("alice");
    expect(await Promise.all([first, second])).toEqual(["alice", "bob"]);
  });

  test("is over when its connection is", async () => {
    const { gate, clock } = setting();
    const stop = new AbortController();
    const failure = failureOf(gate.pass(here, () => new Promise(() => {}), stop.signal));
    stop.abort(new Error("the client is gone"));
    expect((await failure).message).toBe("the client is gone");
    expect(clock.pending).toBe(0);
  });

  test("refuses in the verifier's words if those are meant for the client", async () => {
    const { gate } = setting();
    for (const error of [new UnauthenticatedError("no"), new InvalidRequestError("token: missing")]) {
      expect(await failureOf(gate.pass(here, () => Promise.reject(error)))).toBe(error);
    }
    const secret = await failureOf(gate.pass(here, () => Promise.reject(new Error("key of db-7"))));
    expect(secret).toBeInstanceOf(UnauthenticatedError);
    expect([secret.cause, secret.message]).toEqual([undefined, "the credential could not be verified"]);
  });
});

test("why a credential is not valid is logged with its address, and told to nobody", async () => {
  const logs: string[] = [];
  const { gate } = setting({ logger: createLogger((line) => logs.push(line)) });
  const cause = new Error("unexpected aud claim");
  const failure = await failureOf(
    gate.pass(here, () => Promise.reject(new UnauthenticatedError("the token is not valid", { cause }))),
  );
  expect(errorToV10(failure)).toEqual({
    code: "UNAUTHENTICATED",
    message: "the token is not valid",
    retryable: false,
  });
  expect(logs.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      level: "warn",
      remoteAddress: "192.0.2.1",
      err: expect.objectContaining({ message: "unexpected aud claim" }),
    }),
  ]);
});

describe("wrong tokens over wire 1.1", () => {
  test("are limited per address: 20 in a row, then one per second", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ carrier: "websocket", server: { clock } });
    const answerTo = async (token: string) => {
      const client = await harness.raw();
      const { payload, type } = await client.hello([], token);
      return type === "session.welcome" ? type : payload;
    };
    for (let n = 0; n < 20; n += 1) expect(await answerTo(`guess-${n}`)).toMatchObject({ code: "UNAUTHENTICATED" });
    const limited = {
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { limit: "authAttempts", retry: "after_capacity", retry_after_seconds: 1 },
    };
    expect(await answerTo("guess")).toMatchObject(limited);
    expect(await answerTo("alice")).toMatchObject(limited);
    clock.advance(1_000);
    expect(await answerTo("alice")).toBe("session.welcome");
    expect(await answerTo("guess")).toMatchObject({ code: "UNAUTHENTICATED" });
    expect(await answerTo("alice")).toMatchObject(limited);
  });

  test("are limited as configured, or not at all", async () => {
    for (const [authAttempts, last] of [
      [{ burst: 2 }, "INTERNAL_ERROR"],
      ["unlimited", "UNAUTHENTICATED"],
    ] as const) {
      await using harness = startHarness({ carrier: "websocket", server: { authAttempts } });
      const codes: string[] = [];
      for (let n = 0; n < 30; n += 1) codes.push((await (await harness.raw()).hello([], "guess")).payload.code);
      expect(codes.at(0)).toBe("UNAUTHENTICATED");
      expect(codes.at(-1)).toBe(last);
    }
  });

  test("do not disturb who is in", async () => {
    await using harness = startHarness({ carrier: "websocket", server: { authAttempts: { burst: 1 } } });
    const alice = await harness.rawSession([]);
    await (await harness.raw()).hello([], "guess");
    expect((await (await harness.raw()).hello([], "bob")).payload.code).toBe("INTERNAL_ERROR");
    alice.send("session.ping", { nonce: "n" });
    expect((await alice.next("session.pong")).payload.ping_nonce).toBe("n");
  });
});
