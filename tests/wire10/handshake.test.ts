/** Who is let in over wire 1.0, what is agreed on, and what is heard before that (RFC §7, §8). */
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ALL_CAPABILITIES } from "../support/raw-client-10.ts";

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a client opens a session, pings and closes", async () => {
    covers(
      "V10-8.1-01",
      "V10-8.1-02",
      "V10-8.1-04",
      "V10-8.1-05",
      "V10-8.2-01",
      "V10-8.3-01",
      "V10-6.2-03",
      "V10-9-05",
    );
    await using harness = startHarness({ carrier, server: { fingerprint: "sha256:abc" } });
    const client = await harness.raw10();
    const accepted = await client.open();
    expect(accepted).toMatchObject({
      ...{ type: "session.accepted", session_id: accepted.payload.session_id, correlation_id: expect.any(String) },
      payload: {
        runtime: { kind: "test-runtime", version: "1.2.3", fingerprint: "sha256:abc", trust_level: "trusted" },
        capabilities: { streaming: true, heartbeat_interval_seconds: 30, heartbeat_recovery: "fail" },
      },
    });
    const id = client.send("ping", { nonce: "n" });
    expect(await client.answerTo(id)).toMatchObject({ type: "pong", payload: { ack_for: id, nonce: "n" } });
    client.send("session.close", { reason: "done" });
    await client.transport.closed;
  });
});

describe("capabilities", () => {
  test("are what both sides have; what is absent is not there", async () => {
    covers("V10-7-01", "V10-7-02", "V10-7-04", "V10-7-05", "V10-21.2-01", "V10-10.3-03", "V10-10.3-06");
    await using harness = startHarness({
      server: { capabilities: { encodings: ["json"], extensions: ["arcpx.a.b.v1", "arcpx.c.d.v1"] } },
    });
    const client = await harness.raw10();
    const asked = { streaming: true, extensions: ["arcpx.c.d.v1", "arcpx.e.f.v1"], heartbeat_interval_seconds: 10 };
    const { payload } = await client.open({ capabilities: asked });
    expect(payload.capabilities).toMatchObject({
      ...{ streaming: true, durable_jobs: false, artifacts: false, human_input: false, anonymous: false },
      ...{ extensions: ["arcpx.c.d.v1"], heartbeat_interval_seconds: 10, binary_encoding: ["base64"] },
    });
  });

  test("that are required and not there end the handshake", async () => {
    covers("V10-7-03");
    await using harness = startHarness();
    const client = await harness.raw10();
    const answer = await client.open({ capabilities: { required: ["arcpx.gone.v1"] } });
    expect(answer).toMatchObject({ type: "session.rejected", payload: { code: "UNIMPLEMENTED" } });
    expect(answer.session_id).toBeUndefined();
    await client.transport.closed;
  });
});

describe("is rejected", () => {
  test.each([
    ["a wrong token", { auth: { scheme: "bearer", token: "nobody" } }, "UNAUTHENTICATED"],
    ["no token", { auth: { scheme: "bearer" } }, "UNAUTHENTICATED"],
    ["nobody", { auth: { scheme: "none" } }, "UNAUTHENTICATED"],
    [
      "nobody, who alone wants that",
      { auth: { scheme: "none" }, capabilities: { anonymous: true } },
      "UNAUTHENTICATED",
    ],
    ["a scheme that is not here", { auth: { scheme: "kerberos", token: "x" } }, "UNIMPLEMENTED"],
  ])("%s", async (_what, payload, code) => {
    covers("V10-8.2-06", "V10-8.2-07", "V10-4.6-02");
    await using harness = startHarness();
    const client = await harness.raw10();
    expect(await client.open(payload)).toMatchObject({ type: "session.rejected", payload: { code } });
    await client.transport.closed;
  });

  test("nobody, unless both sides said so", async () => {
    covers("V10-8.2-06");
    await using harness = startHarness({ server: { anonymousPrincipal: "guest" } });
    const anonymous = { auth: { scheme: "none" }, capabilities: { ...ALL_CAPABILITIES, anonymous: true } };
    expect((await (await harness.raw10()).open(anonymous)).type).toBe("session.accepted");
    const client = await harness.raw10();
    expect((await client.open({ auth: { scheme: "none" }, capabilities: {} })).payload.code).toBe("UNAUTHENTICATED");
  });

  test("a client that says nothing in time", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock, handshakeTimeoutMs: 1000 } });
    const client = await harness.raw10();
    client.send("session.authenticate", {});
    clock.advance(1000);
    await client.transport.closed;
  });
});

describe("before session.accepted", () => {
  test("nothing else is heard, or answered", async () => {
    covers("V10-8.1-06", "V10-8.1-07", "V10-4.6-01");
    let runs = 0;
    await using harness = startHarness({
      agents: {
        echo: () => {
          runs += 1;
        },
      },
    });
    const client = await harness.raw10();
    const invoke = (): string => client.send("tool.invoke", { tool: "echo", arguments: {} });
    const ids = [invoke(), client.send("ping")];
    const accepted = await client.open();
    expect(accepted.type).toBe("session.accepted");
    await client.fence();
    expect(client.frames.some(({ correlation_id }) => ids.includes(correlation_id ?? ""))).toBe(false);
    expect(runs).toBe(0);
  });

  test("the principal is whom the token speaks for, whatever the client says of itself", async () => {
    covers("V10-8.2-08");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const mallory = await harness.rawSession10("mallory", { client: { kind: "x", version: "1", principal: "alice" } });
    const alice = await harness.rawSession10("alice");
    const { job_id } = await alice.invoke("echo");
    await alice.ending(job_id);
    const cancel = { target: "job", target_id: job_id };
    expect((await mallory.ask("cancel", cancel)).payload.reason).toBe("not_found");
  });
});
