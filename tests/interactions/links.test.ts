/** Links to one question: what they open, for how long, and that they are used once. */
import { EXTENSION_FEATURE, type Identity, StaticBearerVerifier } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_FEATURES, type RawClient } from "../support/raw-client.ts";

const EXTENDED = [...ALL_FEATURES.filter((name) => name !== "heartbeat"), EXTENSION_FEATURE];
const PEOPLE = new Map<string, Identity>([
  ["alice", { principal: "alice" }],
  ["bob", { principal: "bob" }],
  ["submitter", { principal: "alice", permissions: ["submit", "observe:own"] }],
  ["customer", { principal: "carol", tenant: "acme" }],
]);
const ANSWER = "x-vendor.arcp.human.input.response";
const LINK = "x-vendor.arcp.answer_link";

function scene(more: Parameters<typeof startHarness>[0] = {}) {
  const puppet = new Puppet();
  const clock = new ManualClock();
  const store = sqliteStore();
  const harness = startHarness({
    agents: { puppet: puppet.handler },
    server: {
      clock,
      eventLog: store,
      bearer: new StaticBearerVerifier(PEOPLE),
      authAttempts: "unlimited",
      ...more.server,
    },
  });
  const dispose = async (): Promise<void> => {
    await harness[Symbol.asyncDispose]();
    await store.close();
  };
  return { puppet, clock, harness, store, [Symbol.asyncDispose]: dispose };
}

/** A question of a job of whoever has the token, and the session that has asked for the job. */
async function asking({ harness, puppet }: ReturnType<typeof scene>, token = "alice", quorum = 1) {
  const client = await harness.rawSession(EXTENDED, token);
  await client.submit("puppet");
  const run = await puppet.next();
  const answered = run.context.requestHumanInput<string>({
    prompt: "Which branch?",
    responseSchema: { type: "string" },
    quorum,
    expiresInMs: 7_200_000,
  });
  answered.catch(() => {});
  const { payload } = await client.sees((frame) => frame.payload.kind === "x-vendor.arcp.question");
  return { client, run, answered, questionId: String(payload.body.id) };
}

const linkTo = async (client: RawClient, questionId: string, more: object = {}): Promise<string> =>
  String((await client.ask(LINK, { request_id: questionId, ...more })).payload.token);

/** What opening a session with a token is answered with. */
const openedWith = async (harness: Harness, token: string) => (await harness.raw()).hello(EXTENDED, token);

describe("a link", () => {
  test("shows one question, is answered once, and does nothing else", async () => {
    await using it = scene();
    const { client, questionId, answered, run } = await asking(it);
    const other = run.context.requestHumanInput({ prompt: "And what else?" });
    other.catch(() => {});
    const made = await client.ask(LINK, { request_id: questionId, expires_in_seconds: 600 });
    expect(made).toMatchObject({
      type: "x-vendor.arcp.ack",
      payload: { status: "linked", expires_at: expect.stringMatching(/T00:10:00/) },
    });
    const token = String(made.payload.token);
    expect(decodeProtectedHeader(token)).toEqual({
      alg: "EdDSA",
      typ: "arcp-link+jwt",
      kid: expect.stringMatching(/^link_/),
    });
    expect(decodeJwt(token)).toMatchObject({
      question: questionId,
      scope: "answer:question",
      sub: "alice",
      aud: "arcp:answer",
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    // Looking costs nothing: previews do, too.
    for (let n = 0; n < 3; n += 1)
      expect((await openedWith(it.harness, token)).payload.capabilities.agents).toEqual([]);
    const guest = await it.harness.rawSession(EXTENDED, token);
    await guest.sees((frame) => frame.payload.kind === "x-vendor.arcp.question");
    for (const [type, payload] of [
      ["job.submit", { agent: "puppet", input: null }],
      ["session.list_jobs", {}],
      ["job.subscribe", { job_id: run.context.jobId }],
      ["job.cancel", { job_id: run.context.jobId }],
      [LINK, { request_id: questionId }],
    ] as const) {
      expect([type, (await guest.ask(type, payload)).payload.code]).toEqual([type, "PERMISSION_DENIED"]);
    }
    const [second] = client.frames.filter((frame) => frame.payload.kind === "x-vendor.arcp.question").slice(1);
    const foreign = await guest.ask(ANSWER, { request_id: second?.payload.body.id, value: "x" });
    expect(foreign.payload).toMatchObject({ code: "PERMISSION_DENIED" });
    // What does not keep the schema uses nothing up.
    expect((await guest.ask(ANSWER, { request_id: questionId, value: 7 })).payload.code).toBe("INVALID_REQUEST");
    expect((await guest.ask(ANSWER, { request_id: questionId, value: "main" })).payload).toMatchObject({
      status: "applied",
    });
    expect(await answered).toMatchObject({ value: "main", respondedBy: "alice" });
    const shown = guest.frames.filter((frame) => frame.payload.kind === "x-vendor.arcp.question");
    expect(shown.map((frame) => frame.payload.body.id)).toEqual([questionId]);
    expect((await openedWith(it.harness, token)).payload).toMatchObject({
      code: "UNAUTHENTICATED",
      details: { reason: "link_used" },
    });
    run.finish();
    await settle();
  });

  test("ends at its time, and with its question, and says which", async () => {
    await using it = scene();
    const { client, questionId, run } = await asking(it);
    const [short, long] = [
      await linkTo(client, questionId, { expires_in_seconds: 60 }),
      await linkTo(client, questionId),
    ];
    const guest = await it.harness.rawSession(EXTENDED, short);
    it.clock.advance(60_000);
    expect((await openedWith(it.harness, short)).payload).toMatchObject({ details: { reason: "link_expired" } });
    // Who is in is let out.
    await guest.transport.closed;
    await client.ask(ANSWER, { request_id: questionId, value: "main" });
    expect((await openedWith(it.harness, long)).payload).toMatchObject({ details: { reason: "question_answered" } });
    expect((await client.ask(LINK, { request_id: questionId })).payload).toMatchObject({
      details: { outcome: "answered" },
    });
    run.finish();
    await settle();
  });

  test("is made by nobody but who may answer, and by no other link", async () => {
    await using it = scene();
    const { questionId, run } = await asking(it);
    const denied = async (token: string) => {
      const client = await it.harness.rawSession(EXTENDED, token);
      return (await client.ask(LINK, { request_id: questionId })).payload;
    };
    expect(await denied("submitter")).toMatchObject({ code: "PERMISSION_DENIED", details: { permission: "answer" } });
    // What is not one's own is not there.
    for (const token of ["bob", "customer"]) {
      expect(await denied(token)).toMatchObject({ code: "JOB_NOT_FOUND", message: "there is no such question" });
    }
    run.finish();
    await settle();
  });

  test("counts once among several that are needed", async () => {
    await using it = scene();
    const { client, questionId, answered, run } = await asking(it, "alice", 2);
    const token = await linkTo(client, questionId);
    const [one, two] = [await it.harness.rawSession(EXTENDED, token), await it.harness.rawSession(EXTENDED, token)];
    const said = await Promise.all(
      [one, two].map((guest) => guest.ask(ANSWER, { request_id: questionId, value: "main" })),
    );
    expect(said.map(({ payload }) => payload.status ?? payload.details.reason).sort()).toEqual([
      "counted",
      "link_used",
    ]);
    expect((await one.ask(ANSWER, { request_id: questionId, value: "main" })).payload.details.reason).toBe("link_used");
    await client.ask(ANSWER, { request_id: questionId, value: "main" });
    expect(await answered).toMatchObject({ value: "main" });
    run.finish();
    await settle();
  });

  test("speaks for its maker's tenant", async () => {
    await using it = scene();
    const { client, questionId, answered, run } = await asking(it, "customer");
    const guest = await it.harness.rawSession(EXTENDED, await linkTo(client, questionId));
    await guest.ask(ANSWER, { request_id: questionId, value: "main" });
    expect(await answered).toMatchObject({ value: "main", respondedBy: "@acme/carol" });
    run.finish();
    await settle();
  });

  test("that was forged opens nothing, and its own question alone is what it was made for", async () => {
    await using it = scene();
    const { client, questionId, run } = await asking(it);
    const token = await linkTo(client, questionId);
    const [header = "", payload = "", signature = ""] = token.split(".");
    const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
    const signed = (more: object): Promise<string> =>
      new SignJWT({ ...decodeJwt(token) })
        .setProtectedHeader({ ...decodeProtectedHeader(token), alg: "EdDSA", ...more })
        .sign(privateKey);
    const forged = [
      `${header}.${encoded({ ...decodeJwt(token), sub: "bob" })}.${signature}`,
      `${header}.${encoded({ ...decodeJwt(token), exp: 9_999_999_999 })}.${signature}`,
      `${encoded({ ...decodeProtectedHeader(token), alg: "none" })}.${payload}.`,
      await signed({}),
      await signed({ jwk: await exportJWK(publicKey) }),
      await signed({ kid: "link_AAAAAAAAAAAAAAAAAAAAAA" }),
      await signed({ kid: "../alice" }),
    ];
    for (const wrong of forged) {
      const { payload: refusal } = await openedWith(it.harness, wrong);
      expect(refusal).toMatchObject({ code: "UNAUTHENTICATED", message: "the bearer token is not valid" });
      expect(refusal.details?.reason).toBeUndefined();
    }
    // What is kept of it makes no other.
    const guest = await it.harness.rawSession(EXTENDED, token);
    const record = await it.store.findRecord("answer_link", String(decodeProtectedHeader(token).kid));
    expect(record?.data).not.toContain(token.slice(-20));
    expect(JSON.parse(String(record?.data)).publicKey.d).toBeUndefined();
    expect((await guest.ask(ANSWER, { request_id: questionId, value: "main" })).payload.status).toBe("applied");
    run.finish();
    await settle();
  });
});
