/** How the client of wire 1.0 is let in, stays in, and is put out (RFC §7, §8). */
import { ARCPToolClient, type Challenge, type ToolConnectionState } from "@arcp/client";
import {
  CancelledError,
  hmacSha256Hex,
  InvalidRequestError,
  pairMemoryTransports,
  silentLogger,
  TimeoutError,
  UnauthenticatedError,
} from "@arcp/core";
import { codeOf10 } from "@arcp/core/v1.0";
import { hmacVerifier } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import { ScriptedRuntime, ScriptedServer, scripted } from "./scripted-runtime.ts";
import { toolClient } from "./support.ts";

const SECRET = "a-secret-of-thirty-two-characters";

/** Opens a session with a runtime that does as `script` says. */
async function opening(
  script: (runtime: ScriptedRuntime) => Promise<unknown>,
  options: Parameters<typeof ARCPToolClient.open>[1] = {},
): Promise<{ readonly runtime: ScriptedRuntime; readonly outcome: PromiseSettledResult<ARCPToolClient> }> {
  const runtime = new ScriptedRuntime();
  const open = ARCPToolClient.open(runtime.clientTransport, { token: "t", logger: silentLogger, ...options });
  const settled = Promise.allSettled([open]);
  await script(runtime).catch(() => {});
  const [outcome] = await settled;
  if (outcome.status === "fulfilled") outcome.value.abort();
  return { runtime, outcome };
}

const errorOf = (outcome: PromiseSettledResult<unknown>): unknown =>
  outcome.status === "rejected" ? outcome.reason : undefined;

describe("session.open", () => {
  test("says who the client is, proves it, and asks for everything that it can do", async () => {
    covers("V10-7-01", "V10-7-05", "V10-8.1-01", "V10-4.4-02", "V10-6.1.1-01", "V10-17.1-01");
    const { runtime } = await opening((peer) => peer.accept(), {
      client: { kind: "test", version: "1.2.3", fingerprint: "sha256:ff", principal: "alice" },
      auth: { scheme: "signed_jwt", token: async () => "a.b.c" },
      required: ["artifacts"],
      extensions: ["arcpx.acme.note.v1"],
    });
    expect(runtime.received[0]).toMatchObject({
      arcp: "1.0",
      type: "session.open",
      id: expect.stringMatching(/^msg_/),
      timestamp: expect.stringMatching(/Z$/),
      payload: {
        auth: { scheme: "signed_jwt", token: "a.b.c" },
        client: { kind: "test", version: "1.2.3", fingerprint: "sha256:ff", principal: "alice" },
        capabilities: {
          ...{ streaming: true, durable_jobs: true, checkpoints: true, binary_streams: true, agent_handoff: true },
          ...{ human_input: true, artifacts: true, subscriptions: true, scheduled_jobs: true, interrupt: true },
          ...{ anonymous: false, extensions: ["arcpx.acme.note.v1"], required: ["artifacts"] },
        },
      },
    });
  });

  test("says anonymous only with the scheme none, and mtls only with a fingerprint", async () => {
    covers("V10-8.2-02", "V10-8.2-06");
    const anonymous = await opening((peer) => peer.accept(), { token: undefined as never });
    expect(anonymous.runtime.received[0]?.payload).toMatchObject({
      auth: { scheme: "none" },
      capabilities: { anonymous: true },
    });
    const mtls = { auth: { scheme: "mtls" } as const, token: undefined as never };
    const bare = await opening((peer) => peer.next("session.open"), mtls);
    expect(errorOf(bare.outcome)).toBeInstanceOf(InvalidRequestError);
    expect(bare.runtime.received).toEqual([]);
    const client = { kind: "test", version: "1", fingerprint: "sha256:ff" };
    const shown = await opening((peer) => peer.accept(), { ...mtls, client });
    expect(shown.runtime.received[0]?.payload).toMatchObject({ auth: { scheme: "mtls" }, client });
    expect(shown.runtime.received[0]?.payload.auth).not.toHaveProperty("token");
  });

  test("sends no token where others can read it", async () => {
    const [left] = pairMemoryTransports();
    const readable = new Proxy(left, {
      get: (target, name) => {
        if (name === "peer") return { kind: "websocket", isConfidential: false };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const open = ARCPToolClient.open(readable, { token: "t", logger: silentLogger });
    await expect(open).rejects.toThrow("refused to send a token");
  });

  test("is followed by nothing before the session is accepted, whatever is asked for", async () => {
    covers("V10-8.1-06", "V10-4.6-01");
    const server = new ScriptedServer();
    const open = ARCPToolClient.open(server.dial, {
      token: "t",
      logger: silentLogger,
      reconnect: { initialDelayMs: 0 },
    });
    const first = await server.connection();
    await first.accept();
    await using client = await open;
    client.closed.catch(() => {});
    first.drop();
    await settle();
    const invocation = client.invoke("echo");
    void client.ping().catch(() => {});
    const second = await server.connection();
    const again = await second.next("session.open");
    await settle();
    expect(second.received).toHaveLength(1);
    second.sendAccepted(again);
    await second.next("tool.invoke");
    second.send("tool.result", { value: 1 }, { correlation_id: second.ofType("tool.invoke")[0]?.id });
    expect((await invocation.done).value).toBe(1);
    client.abort();
  });

  test.each([
    ["rejected", { code: "UNAUTHENTICATED", message: "no" }, UnauthenticatedError, "UNAUTHENTICATED"],
    ["rejected with a reason", { code: "PERMISSION_DENIED", reason: "no" }, Error, "PERMISSION_DENIED"],
    [
      "lacking",
      { code: "UNIMPLEMENTED", message: "no artifacts", details: { missing: ["artifacts"] } },
      Error,
      "UNIMPLEMENTED",
    ],
  ])("%s is the typed refusal", async (_what, payload, type, code) => {
    covers("V10-7-03", "V10-8.1-04");
    const { outcome, runtime } = await opening(async (peer) => {
      const open = await peer.next("session.open");
      peer.send("session.rejected", payload, { session_id: null, correlation_id: open.id });
    });
    const error = errorOf(outcome) as InstanceType<typeof UnauthenticatedError>;
    expect(error).toBeInstanceOf(type);
    expect(codeOf10(error)).toBe(code);
    expect(error.message).toMatch(/^no/);
    await runtime.transport.closed;
  });

  test("that is not answered fails in time, and so does one that is given up", async () => {
    const clock = new ManualClock();
    const { outcome } = await opening(
      async (peer) => {
        await peer.next("session.open");
        clock.advance(10_001);
      },
      { clock },
    );
    expect(errorOf(outcome)).toBeInstanceOf(TimeoutError);
    const stop = new AbortController();
    const given = await opening(
      async (peer) => {
        await peer.next("session.open");
        stop.abort(new CancelledError("enough"));
      },
      { signal: stop.signal },
    );
    expect(errorOf(given.outcome)).toMatchObject({ message: "enough" });
  });
});

describe("what was agreed", () => {
  test("is what both sides named", async () => {
    covers("V10-7-02", "V10-7-04", "V10-8.3-01");
    const capabilities = { streaming: true, artifacts: true, interrupt: null, extensions: ["a.b.c", "x.y.z"] };
    await using scene = await scripted(
      { capabilities: { artifacts: false }, extensions: ["a.b.c"] },
      { capabilities, lease: { expires_at: "2026-05-08T03:00:00Z" } },
    );
    const { session } = scene.client;
    expect(session).toMatchObject({
      sessionId: "sess_1",
      runtime: { kind: "scripted", version: "1.0.0", fingerprint: "sha256:aaaa", trustLevel: "trusted" },
      leaseExpiresAt: "2026-05-08T03:00:00Z",
      capabilities: { streaming: true, artifacts: false, interrupt: false, extensions: ["a.b.c"] },
    });
  });

  test("a runtime other than the one that was pinned is refused", async () => {
    covers("V10-8.3-02");
    const wrong = await opening((peer) => peer.accept(), { pinnedFingerprint: "sha256:bbbb" });
    expect(errorOf(wrong.outcome)).toBeInstanceOf(UnauthenticatedError);
    await wrong.runtime.transport.closed;
    expect(wrong.runtime.received.map(({ type }) => type)).toEqual(["session.open"]);
    const right = await opening((peer) => peer.accept(), { pinnedFingerprint: "sha256:aaaa" });
    expect(right.outcome.status).toBe("fulfilled");
  });
});

describe("a challenge", () => {
  test("of the runtime is answered, after a wrong answer once more", async () => {
    covers("V10-8.1-02", "V10-8.1-03");
    const verifier = hmacVerifier({
      secrets: new Map([["key-1", { secret: SECRET, identity: { principal: "alice" } }]]),
    });
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { authSchemes: [verifier] } });
    const challenges: Challenge[] = [];
    await using client = await toolClient(harness, {
      token: "key-1",
      onChallenge: (challenge) => {
        challenges.push(challenge);
        const secret = challenges.length === 1 ? "the wrong secret of all secrets" : SECRET;
        return hmacSha256Hex(secret, String(challenge.params["nonce"]));
      },
    });
    expect(challenges).toMatchObject([
      { type: "hmac-sha256", refusal: undefined },
      { type: "hmac-sha256", refusal: "the answer was wrong" },
    ]);
    expect((await client.invoke("echo", { n: 1 }).done).value).toEqual({ n: 1 });
  });

  test("that may be answered again is, when no other one follows", async () => {
    const { runtime, outcome } = await opening(
      async (peer) => {
        const open = await peer.next("session.open");
        peer.send("session.challenge", { scheme: "riddle", nonce: "n" }, { correlation_id: open.id, session_id: null });
        await peer.next("session.authenticate");
        peer.send("session.unauthenticated", { reason: "no" }, { session_id: null });
        const again = await peer.next("session.authenticate");
        peer.sendAccepted(again);
      },
      {
        silenceMs: 1,
        onChallenge: ({ type, challenge, refusal }) => `${type} ${challenge} ${refusal ?? "first"}`,
      },
    );
    expect(outcome.status).toBe("fulfilled");
    const answers = runtime.ofType("session.authenticate").map(({ payload }) => payload.response);
    expect(answers).toEqual(["riddle n first", "riddle n no"]);
  });

  test("without an answer, or with one that fails, is the end", async () => {
    const ask = async (peer: ScriptedRuntime): Promise<void> => {
      const open = await peer.next("session.open");
      peer.send("session.challenge", { challenge: "c" }, { correlation_id: open.id, session_id: null });
    };
    expect(errorOf((await opening(ask)).outcome)).toBeInstanceOf(UnauthenticatedError);
    const failing = () => {
      throw new Error("no key");
    };
    expect(errorOf((await opening(ask, { onChallenge: failing })).outcome)).toMatchObject({ message: "no key" });
  });
});

describe("in mid-session", () => {
  test("fresh credentials are shown when they are asked for", async () => {
    covers("V10-8.4-02");
    let tokens = 0;
    const token = (): string => {
      tokens += 1;
      return `token-${tokens}`;
    };
    await using scene = await scripted({ token });
    const id = scene.runtime.send("session.refresh", { reason: "expiring", deadline_ms: 30_000 });
    const answer = await scene.runtime.next("session.authenticate");
    expect(answer).toMatchObject({
      correlation_id: id,
      session_id: "sess_1",
      payload: { auth: { scheme: "bearer", token: "token-2" } },
    });
  });

  test("a challenge that comes with it is answered too, and a token that cannot be had is a problem", async () => {
    let isThere = true;
    const token = (): string => {
      if (!isThere) throw new Error("the vault is closed");
      return "t";
    };
    await using scene = await scripted({ token, onChallenge: ({ challenge }) => `${challenge}!` });
    scene.runtime.send("session.refresh", { scheme: "hmac", nonce: "n", deadline_ms: 1 });
    expect((await scene.runtime.next("session.authenticate")).payload).toMatchObject({ response: "n!" });
    isThere = false;
    const problem = Promise.withResolvers<Error>();
    scene.client.on("problem", problem.resolve);
    scene.runtime.send("session.refresh", { deadline_ms: 1 });
    expect((await problem.promise).cause).toMatchObject({ message: "the vault is closed" });
  });

  test.each([
    ["a reason of the taxonomy", { reason: "resource_exhausted", message: "quota" }, "RESOURCE_EXHAUSTED"],
    ["a code and a text", { code: "UNAVAILABLE", reason: "restarting" }, "UNAVAILABLE"],
  ])("an eviction with %s is told, and the client comes back", async (_what, payload, code) => {
    covers("V10-8.5-01", "V10-8.5-02", "V10-8.5-03");
    await using scene = await scripted();
    const states: ToolConnectionState[] = [];
    scene.client.on("state", (state) => void states.push(state));
    scene.runtime.send("session.evicted", payload);
    const next = await scene.server.connection();
    await next.accept();
    await settle();
    const lost = states.find((state) => state.phase === "reconnecting");
    expect(lost?.phase === "reconnecting" && codeOf10(lost.cause)).toBe(code);
    expect(scene.client.state).toMatchObject({ phase: "connected", sessionId: "sess_2" });
  });

  test.each([
    ["for good", { code: "UNAUTHENTICATED", message: "revoked", allow_resume: false }, "UNAUTHENTICATED"],
    ["that was asked for", { reason: "cancelled" }, "CANCELLED"],
  ])("an eviction %s is the end", async (_what, payload, code) => {
    covers("V10-8.4-03", "V10-10.4-07");
    await using scene = await scripted();
    const invocation = scene.client.invoke("echo");
    const closed = scene.client.closed.catch((error: unknown) => error);
    scene.runtime.send("session.evicted", payload);
    expect(await closed).toMatchObject({ code });
    await expect(invocation.done).rejects.toMatchObject({ code });
    expect(scene.client.state).toMatchObject({ phase: "closed", error: { code } });
    await expect(scene.client.ping()).rejects.toMatchObject({ code });
    expect(scene.server.connections).toHaveLength(1);
  });

  test("a runtime that falls silent is given up, and found again", async () => {
    const clock = new ManualClock();
    const server = new ScriptedServer();
    const open = ARCPToolClient.open(server.dial, {
      ...{ token: "t", logger: silentLogger, clock, pingIntervalMs: 1_000 },
      reconnect: { random: () => 0 },
    });
    const first = await server.connection();
    await first.accept();
    const client = await open;
    client.closed.catch(() => {});
    for (let second = 0; second < 2; second += 1) {
      clock.advance(1_000);
      await settle();
    }
    expect(first.ofType("ping")).not.toEqual([]);
    clock.advance(0);
    await settle();
    const again = await server.connection();
    await again.accept();
    await settle();
    expect(client.state.phase).toBe("connected");
    // A sign of life is one, whatever it is.
    clock.advance(1_000);
    again.send("pong", {});
    await settle();
    clock.advance(1_500);
    await settle();
    expect(client.state.phase).toBe("connected");
    client.abort();
  });
});
