/** Credentials of every scheme over wire 1.0: the challenge, the renewal, and the end (RFC §8). */
import { hmacSha256Hex } from "@arcp/core";
import { hmacVerifier, jwtVerifier } from "@arcp/runtime";
import { SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ALL_CAPABILITIES, type RawClient10 } from "../support/raw-client-10.ts";

const SECRET = "a-secret-of-thirty-two-characters";

const challenging = (): Harness =>
  startHarness({
    agents: { echo: (input) => input },
    server: {
      authSchemes: [
        hmacVerifier({ secrets: new Map([["key-1", { secret: SECRET, identity: { principal: "alice" } }]]) }),
      ],
    },
  });

describe("a challenge", () => {
  const open = (client: RawClient10) => client.open({ auth: { scheme: "bearer", token: "key-1" } });
  const answer = async (
    client: RawClient10,
    secret: string,
    { payload }: { payload: { params: { nonce: string }; challenge_id: string } },
  ) => {
    const { challenge_id, params } = payload;
    client.send("session.authenticate", { challenge_id, response: await hmacSha256Hex(secret, params.nonce) });
  };

  test("is answered, and the session is open", async () => {
    covers("V10-8.1-02", "V10-8.1-03", "V10-8.1-04");
    await using harness = challenging();
    const client = await harness.raw10();
    const challenge = await open(client);
    expect(challenge).toMatchObject({ type: "session.challenge", payload: { type: "hmac-sha256" } });
    client.send("tool.invoke", { tool: "echo" });
    await answer(client, SECRET, challenge);
    const accepted = await client.next("session.accepted");
    client.sessionId = accepted.payload.session_id;
    await client.fence();
    expect(client.ofType("job.accepted", "nack")).toEqual([]);
  });

  test("that is answered wrongly is put anew, and not for ever", async () => {
    await using harness = challenging();
    const client = await harness.raw10();
    const nonces = new Set<string>();
    let challenge = await open(client);
    for (let wrong = 1; wrong <= 2; wrong += 1) {
      nonces.add(challenge.payload.params.nonce);
      await answer(client, "something else of enough characters", challenge);
      expect((await client.next("session.unauthenticated")).payload.code).toBe("UNAUTHENTICATED");
      challenge = await client.next("session.challenge");
    }
    nonces.add(challenge.payload.params.nonce);
    expect(nonces.size).toBe(3);
    await answer(client, "something else of enough characters", challenge);
    expect((await client.next("session.rejected")).payload.code).toBe("UNAUTHENTICATED");
    await client.transport.closed;
  });

  test("must have been put", async () => {
    await using harness = startHarness();
    const client = await harness.raw10();
    client.send("session.authenticate", { response: "x" });
    expect((await client.next("session.rejected")).payload.code).toBe("FAILED_PRECONDITION");
  });
});

describe("a signed JWT", () => {
  const key = new TextEncoder().encode(SECRET);
  const tokenFor = (subject: string, clock: ManualClock, seconds: number, audience = "runtime-1"): Promise<string> =>
    new SignJWT({})
      .setProtectedHeader({ alg: "HS256" })
      .setSubject(subject)
      .setAudience(audience)
      .setExpirationTime(Math.floor(clock.now() / 1000) + seconds)
      .sign(key);

  const setting = () => {
    const clock = new ManualClock();
    const verifier = jwtVerifier({ audience: "runtime-1", jwks: { secret: SECRET }, clock });
    return { clock, harness: startHarness({ server: { clock, authSchemes: [verifier], refreshDeadlineMs: 10_000 } }) };
  };
  const quiet = { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 };
  const open = async (harness: Harness, token: string): Promise<RawClient10> => {
    const client = await harness.raw10();
    await client.open({ auth: { scheme: "signed_jwt", token }, capabilities: quiet });
    return client;
  };

  test("lets in whom it names, for this runtime", async () => {
    covers("V10-8.2-05", "V10-8.2-08");
    const { clock, harness } = setting();
    await using _ = harness;
    const client = await open(harness, await tokenFor("alice", clock, 60));
    expect(client.frames[0]).toMatchObject({
      type: "session.accepted",
      payload: { lease: { expires_at: expect.any(String) } },
    });
    const wrong = await open(harness, await tokenFor("alice", clock, 60, "another"));
    expect(wrong.frames[0]?.payload.code).toBe("UNAUTHENTICATED");
  });

  test("is renewed when the runtime asks for it, and the session goes on", async () => {
    covers("V10-8.4-01", "V10-8.4-02");
    const { clock, harness } = setting();
    await using _ = harness;
    const client = await open(harness, await tokenFor("alice", clock, 60));
    clock.advance(49_000);
    await client.fence();
    expect(client.ofType("session.refresh")).toEqual([]);
    clock.advance(2_000);
    const refresh = await client.next("session.refresh");
    expect(refresh.payload).toMatchObject({ deadline_ms: 10_000, deadline: expect.any(String) });
    const token = await tokenFor("alice", clock, 600);
    const id = client.send("session.authenticate", { auth: { scheme: "signed_jwt", token } });
    expect((await client.answerTo(id)).type).toBe("ack");
    clock.advance(100_000);
    await client.fence();
  });

  test.each([
    ["nothing", undefined],
    ["somebody else's", "mallory"],
  ])("that is renewed with %s ends the session", async (_what, subject) => {
    covers("V10-8.4-03", "V10-8.5-02");
    const { clock, harness } = setting();
    await using _ = harness;
    const client = await open(harness, await tokenFor("alice", clock, 60));
    clock.advance(51_000);
    await client.next("session.refresh");
    if (subject === undefined) clock.advance(10_000);
    else {
      const token = await tokenFor(subject, clock, 600);
      client.send("session.authenticate", { auth: { scheme: "signed_jwt", token } });
    }
    const evicted = await client.next("session.evicted");
    expect(evicted.payload).toMatchObject({ reason: "UNAUTHENTICATED", code: "UNAUTHENTICATED" });
    await client.transport.closed;
  });
});

describe("a session ends", () => {
  test("with session.evicted when it is cancelled", async () => {
    covers("V10-10.4-07", "V10-8.5-01");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    const cancel = { target: "session", target_id: client.sessionId, reason: "enough" };
    expect((await client.ask("cancel", cancel)).type).toBe("cancel.accepted");
    expect((await client.next("session.evicted")).payload).toMatchObject({ reason: "CANCELLED", message: "enough" });
    await client.transport.closed;
  });

  test("with session.evicted when the runtime stops, and its jobs can be asked for again", async () => {
    covers("V10-8.5-02");
    const harness = startHarness();
    const client = await harness.rawSession10();
    const closing = harness.server.close();
    await client.transport.closed;
    await closing;
    await harness[Symbol.asyncDispose]();
    expect(client.frames.at(-1)).toMatchObject({
      type: "session.evicted",
      payload: { code: "UNAVAILABLE", allow_resume: true },
    });
  });
});
