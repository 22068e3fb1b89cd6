import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pairMemoryTransports, StaticBearerVerifier } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { RawClient } from "../support/raw-client.ts";
import { startCanary } from "./canary.ts";
import { AGENTS, stillWorks } from "./hostile-client.ts";
import { envelope } from "./malformed-frames.ts";

const hello = (auth: unknown, more: object = {}): string =>
  envelope("session.hello", { client: { name: "h", version: "1" }, auth, ...more });

describe("credentials", () => {
  test.each([
    ["none", undefined],
    ["null", null],
    ["an empty token", { scheme: "bearer", token: "" }],
    ["no token", { scheme: "bearer" }],
    ["another scheme", { scheme: "mtls", token: "alice", fingerprint: "sha256:alice" }],
    ["the scheme none", { scheme: "none" }],
    ["the scheme none, with a token", { scheme: "none", token: "alice" }],
    ["another case", { scheme: "bearer", token: "ALICE" }],
    ["a space after it", { scheme: "bearer", token: "alice " }],
    ["a prefix", { scheme: "bearer", token: "alic" }],
    ["a longer one", { scheme: "bearer", token: "alicex" }],
    ["the Kelvin sign for a k", { scheme: "bearer", token: "\u212Aate" }],
    ["a name of every object", { scheme: "bearer", token: "toString" }],
    ["a token of 16 KiB", { scheme: "bearer", token: "t".repeat(16_384) }],
  ])("%s: nobody gets in", async (_name, auth) => {
    covers("V11-6.1-02", "V11-6.1-03");
    const tokens = new Map(["alice", "kate", "Kate", "oscar"].map((name) => [name, { principal: name }]));
    await using harness = startHarness({ server: { bearer: new StaticBearerVerifier(tokens) } });
    const canary = await startCanary(harness);
    const client = await harness.raw();
    client.sendText(hello(auth));
    const answer = await client.next();
    expect(answer).toMatchObject({
      type: "session.error",
      payload: { code: "UNAUTHENTICATED", retryable: false, request_id: "msg_hostile" },
    });
    expect(JSON.stringify(answer)).not.toMatch(/alice|kate/i);
    expect((await client.transport.closed).code).toBe(4401);
    await canary.completes();
  });

  test("a principal claimed in the payload is not believed", async () => {
    await using harness = startHarness({ agents: AGENTS });
    const client = await harness.raw();
    const auth = { scheme: "bearer", token: "mallory", principal: "alice" };
    const claim = { principal: "alice", sub: "alice", client: { name: "alice", version: "1", principal: "alice" } };
    client.sendText(hello(auth, { ...claim, identity: { principal: "alice" } }));
    expect((await client.welcomed()).type).toBe("session.welcome");
    await stillWorks(client);
    const owners: string[] = [];
    for await (const { principal } of harness.server.eventLog.jobs()) owners.push(principal);
    expect(owners).toEqual(["mallory"]);
  });

  test("clients without credentials are one principal, and come from this machine", async () => {
    await using harness = startHarness({ agents: AGENTS, server: { anonymousPrincipal: "guest" } });
    const guest = await harness.raw();
    guest.sendText(hello({ scheme: "none", principal: "alice" }));
    expect((await guest.welcomed()).type).toBe("session.welcome");
    await stillWorks(guest);
    for await (const { principal } of harness.server.eventLog.jobs()) expect(principal).toBe("guest");
    const [left, right] = pairMemoryTransports();
    Object.assign(right, { peer: { kind: "websocket", isConfidential: false, remoteAddress: "203.0.113.7" } });
    await harness.server.accept(right);
    const stranger = new RawClient(left);
    stranger.sendText(hello({ scheme: "none" }));
    expect((await stranger.next()).payload.code).toBe("UNAUTHENTICATED");
    await stranger.transport.closed;
  });

  test("two thousand wrong tokens do not keep a right one out", async () => {
    await using harness = startHarness({ agents: AGENTS });
    const canary = await startCanary(harness);
    const wrong = await Promise.all(Array.from({ length: 2_000 }, () => harness.raw()));
    for (const [index, client] of wrong.entries())
      client.sendText(hello({ scheme: "bearer", token: `guess ${index}` }));
    const client = await harness.rawSession(undefined, "alice");
    await stillWorks(client);
    for (const guess of wrong) expect((await guess.transport.closed).code).toBe(4401);
    await canary.completes();
  });
});

describe("resume tokens", () => {
  /** A session with three numbered messages, cut off. */
  async function cutSession(harness: ReturnType<typeof startHarness>, token = "alice"): Promise<RawClient> {
    const client = await harness.rawSession(undefined, token);
    for (let n = 1; n <= 3; n += 1) await client.submit("echo", n);
    await client.nextWhere(({ event_seq }) => event_seq === 3);
    client.cut();
    return client;
  }

  test("tokens are long, random and never twice the same", async () => {
    covers("V11-14-02", "V11-6.3-01");
    await using harness = startHarness();
    const clients = await Promise.all(Array.from({ length: 300 }, () => harness.rawSession()));
    const tokens = clients.map(({ resumeToken }) => resumeToken as string);
    expect(new Set(tokens).size).toBe(300);
    for (const token of tokens) expect(token).toMatch(/^rt_[0-9a-f]{64}$/);
    // 300 tokens of 64 digits: each of the 16 digits is about as frequent as the others.
    const counts = new Map<string, number>();
    for (const digit of tokens.join("").replaceAll("rt_", "")) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    expect(counts.size).toBe(16);
    for (const count of counts.values()) expect(Math.abs(count - 1200)).toBeLessThan(300);
  });

  test("what does not hold is answered with the same bytes, whatever is wrong with it", async () => {
    covers("V11-6.3-13", "V11-6.3-14");
    await using harness = startHarness({ agents: AGENTS });
    const canary = await startCanary(harness);
    const alice = await cutSession(harness);
    const other = await cutSession(harness);
    const forged = `rt_${"0".repeat(64)}`;
    const claims = [
      { session_id: alice.sessionId, resume_token: forged, last_event_seq: 0 },
      { session_id: alice.sessionId, resume_token: "", last_event_seq: 0 },
      { session_id: alice.sessionId, resume_token: alice.resumeToken?.toUpperCase(), last_event_seq: 0 },
      { session_id: alice.sessionId, resume_token: other.resumeToken, last_event_seq: 0 },
      { session_id: alice.sessionId, resume_token: canary.client.resumeToken, last_event_seq: 0 },
      { session_id: alice.sessionId, resume_token: alice.resumeToken, last_event_seq: 4 },
      { session_id: alice.sessionId, resume_token: alice.resumeToken, last_event_seq: Number.MAX_SAFE_INTEGER },
      { session_id: "sess_00000000000000000000000000", resume_token: forged, last_event_seq: 0 },
      { session_id: "sess_00000000000000000000000000", resume_token: alice.resumeToken, last_event_seq: 0 },
      { resume_token: forged, last_event_seq: 0 },
    ];
    const answers = new Set<string>();
    for (const resume of claims) {
      for (const type of ["session.hello", "session.resume"]) {
        const client = await harness.raw();
        const auth = { scheme: "bearer", token: "alice" };
        client.sendText(envelope(type, type === "session.hello" ? { auth, resume } : resume));
        const { id, session_id, ...answer } = await client.next();
        expect(answer.payload.code).toBe("RESUME_WINDOW_EXPIRED");
        if ("session_id" in resume) expect(session_id).toBe(resume.session_id);
        expect(id).not.toBe("msg_hostile");
        answers.add(JSON.stringify(answer));
        expect((await client.transport.closed).code).toBe(4410);
        expect(client.numbered).toEqual([]);
      }
    }
    expect(answers.size).toBe(1);
    // None of it took the token from its owner.
    const again = await harness.raw();
    expect((await again.resume(alice, 1)).type).toBe("session.welcome");
    await again.nextWhere(({ event_seq }) => event_seq === 3);
    expect(again.numbered.map(({ event_seq }) => event_seq)).toEqual([2, 3]);
    await canary.completes();
  });

  test("a stolen token is of no use with other credentials, and stays good for its owner", async () => {
    covers("V11-6.3-14");
    await using harness = startHarness({ agents: AGENTS });
    const alice = await cutSession(harness);
    const thief = await harness.raw();
    const answer = await thief.resume(alice, 0, "mallory");
    expect(answer).toMatchObject({ type: "session.error", payload: { code: "UNAUTHENTICATED" } });
    expect((await thief.transport.closed).code).toBe(4401);
    expect(thief.numbered).toEqual([]);
    const again = await harness.raw();
    expect((await again.resume(alice, 0)).type).toBe("session.welcome");
  });

  test("a token alone can be refused", async () => {
    await using harness = startHarness({ agents: AGENTS, server: { requireAuthOnResume: true } });
    const alice = await cutSession(harness);
    const thief = await harness.raw();
    const claim = { session_id: alice.sessionId, resume_token: alice.resumeToken, last_event_seq: 0 };
    thief.sendText(envelope("session.resume", claim));
    expect((await thief.next()).payload.code).toBe("UNAUTHENTICATED");
    const again = await harness.raw();
    expect((await again.resume(alice, 0)).type).toBe("session.welcome");
  });

  test("a token alone can be refused on wire 1.0", async () => {
    await using harness = startHarness({ agents: AGENTS, server: { requireAuthOnResume: true } });
    const alice = await cutSession(harness);
    const claim = { session_id: alice.sessionId, resume_token: alice.resumeToken, last_event_seq: 0 };
    const thief = await harness.raw10();
    thief.send("session.resume", claim);
    expect((await thief.next("session.rejected")).payload.code).toBe("UNAUTHENTICATED");
    const mallory = await harness.raw10();
    mallory.send("session.resume", { ...claim, auth: { scheme: "bearer", token: "mallory" } });
    expect((await mallory.next("session.rejected")).payload.code).toBe("UNAUTHENTICATED");
    const again = await harness.raw();
    expect((await again.resume(alice, 0)).type).toBe("session.welcome");
  });

  test.each([
    ["can expire", { expiresAt: Date.now() + 3_600_000 }],
    ["can be withdrawn", { revalidateAfterMs: 60_000, isRevoked: () => Promise.resolve(false) }],
  ])("a token alone does not resume what was opened with credentials that %s", async (_name, terms) => {
    const bearer = new StaticBearerVerifier(new Map([["alice", { principal: "alice", ...terms }]]));
    const directory = mkdtempSync(join(tmpdir(), "arcp-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const store = join(directory, "runtime.db");
    const eventLog = sqliteStore({ path: store });
    const before = startHarness({ agents: AGENTS, server: { bearer, eventLog } });
    const alice = await cutSession(before);
    await before[Symbol.asyncDispose]();
    await eventLog.close();
    const reopened = sqliteStore({ path: store });
    onTestFinished(() => reopened.close());
    await using harness = startHarness({ agents: AGENTS, server: { bearer, eventLog: reopened } });
    const claim = { session_id: alice.sessionId, resume_token: alice.resumeToken, last_event_seq: 0 };
    const thief = await harness.raw();
    thief.sendText(envelope("session.resume", claim));
    expect((await thief.next()).payload.code).toBe("UNAUTHENTICATED");
    const thief10 = await harness.raw10();
    thief10.send("session.resume", claim);
    expect((await thief10.next("session.rejected")).payload.code).toBe("UNAUTHENTICATED");
    const again = await harness.raw();
    expect((await again.resume(alice, 0)).type).toBe("session.welcome");
  });

  test.each([2, 20])("of %i connections with one token at the same moment, one is welcomed", async (count) => {
    await using harness = startHarness({ agents: AGENTS });
    const canary = await startCanary(harness);
    const alice = await cutSession(harness);
    const rivals = await Promise.all(Array.from({ length: count }, () => harness.raw()));
    const answers = await Promise.all(rivals.map((rival) => rival.resume(alice, 0)));
    expect(answers.filter(({ type }) => type === "session.welcome")).toHaveLength(1);
    for (const { type, payload } of answers) {
      if (type === "session.error") expect(["INTERNAL_ERROR", "RESUME_WINDOW_EXPIRED"]).toContain(payload.code);
    }
    const winner = rivals[answers.findIndex(({ type }) => type === "session.welcome")] as RawClient;
    await winner.nextWhere(({ event_seq }) => event_seq === 3);
    expect(winner.numbered.map(({ event_seq }) => event_seq)).toEqual([1, 2, 3]);
    for (const rival of rivals) if (rival !== winner) await rival.transport.closed;
    expect(winner.transport.isClosed).toBe(false);
    await canary.completes();
  });

  test("of two connections with one token while the session is attached, one is welcomed", async () => {
    await using harness = startHarness({ agents: AGENTS });
    const alice = await harness.rawSession();
    const rivals = await Promise.all([harness.raw(), harness.raw()]);
    const answers = await Promise.all(rivals.map((rival) => rival.resume(alice, 0)));
    expect(answers.filter(({ type }) => type === "session.welcome")).toHaveLength(1);
    expect((await alice.transport.closed).code).toBe(1008);
  });

  test("a token is void once its successor has been used", async () => {
    covers("V11-6.3-02", "V11-6.3-06");
    await using harness = startHarness({ agents: AGENTS });
    const alice = await cutSession(harness);
    const second = await harness.raw();
    await second.resume(alice, 3);
    expect(second.sessionId).toBe(alice.sessionId);
    await stillPings(second);
    second.cut();
    const replay = await harness.raw();
    expect((await replay.resume(alice, 3)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    const third = await harness.raw();
    expect((await third.resume(second, 3)).type).toBe("session.welcome");
  });

  test("a token is good until its successor is known to have arrived", async () => {
    covers("V11-6.3-02");
    await using harness = startHarness({ agents: AGENTS });
    const alice = await cutSession(harness);
    for (let n = 0; n < 3; n += 1) {
      const lost = await harness.raw();
      expect((await lost.resume(alice, 3)).type).toBe("session.welcome");
      await harness.disconnect(lost);
    }
    const again = await harness.raw();
    expect((await again.resume(alice, 3)).type).toBe("session.welcome");
  });

  test("a token is void when the window is over", async () => {
    covers("V11-14-07", "V11-6.2-15");
    const clock = new ManualClock();
    await using harness = startHarness({ agents: AGENTS, server: { clock, resumeWindowSeconds: 60 } });
    const alice = await harness.rawSession([]);
    const bob = await harness.rawSession([], "bob");
    for (const client of [alice, bob]) {
      await client.submit("echo", 1);
      await client.next("job.result");
      await harness.disconnect(client);
    }
    clock.advance(60_000);
    const inTime = await harness.raw();
    expect((await inTime.resume(bob, 0, "bob")).type).toBe("session.welcome");
    clock.advance(1);
    const late = await harness.raw();
    expect((await late.resume(alice, 0)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    clock.advance(60_000);
    await expect.poll(() => harness.server.eventLog.findSession(alice.sessionId as never)).toBeUndefined();
  });
});

describe("idempotency keys", () => {
  test("principals and keys that join to the same text stay apart", async () => {
    covers("V11-7.2-02", "V11-7.2-03");
    const tokens = new Map(["a", "a::b", 'a",', "oscar"].map((name) => [name, { principal: name }]));
    await using harness = startHarness({ agents: AGENTS, server: { bearer: new StaticBearerVerifier(tokens) } });
    const submissions = [
      ["a", "b::c"],
      ["a::b", "c"],
      ["a", '","c'],
      ['a",', "c"],
      ["a::b", "b::c"],
    ] as const;
    const jobs = new Set<string>();
    for (const [principal, key] of submissions) {
      const client = await harness.rawSession(undefined, principal);
      const accepted = await client.submit("echo", { secret: principal }, { idempotency_key: key });
      expect(accepted.type).toBe("job.accepted");
      jobs.add(accepted.payload.job_id);
    }
    expect(jobs.size).toBe(submissions.length);
  });

  test("a key cannot be burnt by a submission that is refused, or by somebody else", async () => {
    await using harness = startHarness({ agents: AGENTS });
    const mallory = await harness.rawSession(undefined, "mallory");
    const alice = await harness.rawSession(undefined, "alice");
    await mallory.submit("echo", "mine", { idempotency_key: "order-1" });
    expect((await alice.submit("nobody", 1, { idempotency_key: "order-1" })).payload.code).toBe("AGENT_NOT_AVAILABLE");
    expect((await alice.submit("echo", "hers", { idempotency_key: "order-1" })).type).toBe("job.accepted");
    const other = await alice.submit("echo", "other", { idempotency_key: "order-1" });
    expect(other.payload.code).toBe("DUPLICATE_KEY");
  });
});

/** Makes the connection known to be used. */
async function stillPings(client: RawClient): Promise<void> {
  await client.reply(client.send("session.ping", { nonce: "n", sent_at: "2026-01-01T00:00:00Z" }));
}
