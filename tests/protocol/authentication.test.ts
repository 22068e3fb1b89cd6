import { UnauthenticatedError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { connected } from "../client/fake-runtime.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet } from "../support/puppet.ts";

const hello = (auth?: unknown): object => ({
  client: { name: "raw", version: "1.0.0" },
  ...(auth === undefined ? {} : { auth }),
  capabilities: { encodings: ["json"], features: [] },
});

const REFUSED: readonly (readonly [what: string, auth: unknown])[] = [
  ["no credentials", undefined],
  ["empty credentials", {}],
  ["no token", { scheme: "bearer" }],
  ["an empty token", { scheme: "bearer", token: "" }],
  ["a wrong token", { scheme: "bearer", token: "alicf" }],
  ["the beginning of a token", { scheme: "bearer", token: "alic" }],
  ["an unknown scheme", { scheme: "basic", token: "alice" }],
  ["no scheme for anybody", { scheme: "none" }],
];

describe.each(CARRIERS)("over %s", (carrier) => {
  test.each(REFUSED)("a hello with %s is refused and the connection ended", async (_what, auth) => {
    covers("V11-6.1-02", "V11-6.1-03");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.raw();
    const helloId = client.send("session.hello", hello(auth));
    const refusal = await client.next();
    client.send("job.submit", { agent: "puppet", input: null });
    expect(refusal.type).toBe("session.error");
    expect(refusal.payload).toMatchObject({ code: "UNAUTHENTICATED", retryable: false, request_id: helloId });
    expect(refusal.payload.message).not.toBe("");
    expect(refusal.session_id).toEqual(expect.any(String));
    await client.transport.closed;
    expect(client.frames).toEqual([refusal]);
    expect(puppet.runs).toEqual([]);
  });

  test.each(["job.submit", "job.subscribe", "job.cancel", "session.list_jobs", "session.ping", "session.close"])(
    "%s has no effect before the welcome",
    async (type) => {
      covers("V11-6.1-04");
      const puppet = new Puppet();
      await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
      const client = await harness.raw();
      client.send(type, { agent: "puppet", input: null, job_id: "job_1" });
      const refusal = await client.next();
      expect(refusal.type).toBe("session.error");
      expect(refusal.payload.code).toBe("INVALID_REQUEST");
      await client.transport.closed;
      const later = await harness.rawSession();
      const listed = await later.reply(later.send("session.list_jobs"));
      expect(listed.payload.jobs).toEqual([]);
      expect(puppet.runs).toEqual([]);
    },
  );

  test("a token lets its principal in", async () => {
    covers("V11-6.1-01");
    await using harness = startHarness({ carrier });
    const client = await harness.client({ token: "bob" });
    expect(client.session?.sessionId).toMatch(/^sess_/);
  });

  test("the client is told why it was refused", async () => {
    covers("V11-6.1-02");
    await using harness = startHarness({ carrier });
    await expect(harness.client({ token: "nobody" })).rejects.toBeInstanceOf(UnauthenticatedError);
  });
});

describe("the client", () => {
  test("presents its token with the scheme bearer in its first message", async () => {
    covers("V11-6.1-01");
    const { client, runtime } = await connected();
    expect(runtime.received[0]?.type).toBe("session.hello");
    expect(runtime.received[0]?.payload.auth).toEqual({ scheme: "bearer", token: "secret-token" });
    await client.close();
  });
});

describe("a connection that never says who it is", () => {
  test("is ended when the handshake has taken too long", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock, handshakeTimeoutMs: 5_000 } });
    const client = await harness.raw();
    clock.advance(4_999);
    expect(client.transport.isClosed).toBe(false);
    clock.advance(1);
    await client.transport.closed;
    expect(client.frames.map(({ payload }) => payload.code)).toEqual(["INVALID_REQUEST"]);
  });

  test("is let in as the anonymous principal where that is configured, and a wrong token still is not", async () => {
    await using harness = startHarness({ server: { anonymousPrincipal: "guest" } });
    const guest = await harness.raw();
    guest.send("session.hello", hello({ scheme: "none" }));
    expect((await guest.welcomed()).type).toBe("session.welcome");
    const wrong = await harness.raw();
    wrong.send("session.hello", hello({ scheme: "bearer", token: "nobody" }));
    expect((await wrong.welcomed()).payload.code).toBe("UNAUTHENTICATED");
  });

  test("is refused when the verifier fails for reasons of its own", async () => {
    covers("V11-6.1-02");
    const bearer = {
      verify: async (): Promise<never> => {
        throw new Error("the identity provider is down");
      },
    };
    await using harness = startHarness({ server: { bearer } });
    const client = await harness.raw();
    const refusal = await client.hello();
    expect(refusal.payload.code).toBe("UNAUTHENTICATED");
    expect(JSON.stringify(refusal)).not.toContain("identity provider");
  });
});

// Over HTTP there is nowhere to post to before the answer to hello names it.
describe.each(CARRIERS.filter((carrier) => carrier !== "http"))("whoever does not wait, over %s", (carrier) => {
  test("a request that does not wait for the welcome has no effect", async () => {
    covers("V11-6.1-04");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.raw();
    client.send("session.hello", hello({ scheme: "bearer", token: "alice" }));
    client.send("job.submit", { agent: "puppet", input: null });
    await client.transport.closed;
    expect(client.frames.map(({ type }) => type)).toEqual(["session.error"]);
    expect(puppet.runs).toEqual([]);
  });
});
