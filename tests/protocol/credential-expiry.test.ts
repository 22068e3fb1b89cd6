import { type BearerVerifier, UnauthenticatedError } from "@arcp/core";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

const MINUTE_MS = 60_000;

/** Tokens are principals; each is good for a minute from when the test says. */
class ShortLived implements BearerVerifier {
  expiresAt = 0;

  async verify(token: string) {
    if (token === "wrong") throw new UnauthenticatedError("wrong");
    return { principal: token, expiresAt: this.expiresAt };
  }
}

test("a connection ends with the credentials that it was opened with, and its session waits for fresh ones", async () => {
  covers("V11-6.1-01", "V11-6.1-02");
  const clock = new ManualClock();
  const bearer = new ShortLived();
  bearer.expiresAt = clock.now() + MINUTE_MS;
  await using harness = startHarness({ server: { clock, bearer }, agents: { echo: (input) => input } });
  const client = await harness.rawSession([]);
  const accepted = await client.submit("echo", 1);
  await client.ended(accepted.payload.job_id);
  clock.advance(MINUTE_MS - 1);
  expect(client.transport.isClosed).toBe(false);
  clock.advance(1);
  const refusal = await client.next("session.error");
  expect(refusal.payload).toMatchObject({ code: "UNAUTHENTICATED", retryable: false });
  await client.transport.closed;

  const stale = await harness.raw();
  expect((await stale.resume(client, 0)).payload.code).toBe("UNAUTHENTICATED");
  bearer.expiresAt = clock.now() + MINUTE_MS;
  const fresh = await harness.raw();
  expect((await fresh.resume(client, 0, "alice", [])).type).toBe("session.welcome");
  expect((await fresh.next("job.result")).event_seq).toBe(1);
});

test("a session whose client left before it was welcomed counts against nobody", async () => {
  await using harness = startHarness({ server: { principalCaps: { maxSessions: 1 } } });
  for (let n = 0; n < 3; n += 1) {
    const client = await harness.raw();
    client.send("session.hello", { client: { name: "raw", version: "1" }, auth: { scheme: "bearer", token: "alice" } });
    // The hello is on its way: the cable is pulled while the runtime verifies and stores.
    await new Promise((resolve) => setImmediate(resolve));
    client.cut();
  }
  // A restart of the loop later the runtime has noticed, and there is room.
  await expect.poll(async () => (await (await harness.raw()).hello([])).type).toBe("session.welcome");
});
