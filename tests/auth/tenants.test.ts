/** Tenants never see each other, whatever policies and permissions say: nothing of the one is ever sent to the other. */
import { EXTENSION_FEATURE, type Identity, StaticBearerVerifier } from "@arcp/core";
import { jwtVerifier } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { settle } from "../support/puppet.ts";
import { ALL_FEATURES, type RawClient } from "../support/raw-client.ts";
import { ALL_CAPABILITIES, type RawClient10 } from "../support/raw-client-10.ts";
import { failureOf } from "./failure.ts";
import { AUDIENCE, claimsAt, SigningKey } from "./tokens.ts";

const TENANTS = ["acme", "globex"] as const;
type Tenant = (typeof TENANTS)[number];

/** Of every tenant an `alice`, who may do everything. */
const people = new Map<string, Identity>(
  TENANTS.map((tenant) => [tenant, { principal: "alice", tenant, permissions: ["admin"] }]),
);

/** What only the tenant knows. */
const secretOf = (tenant: Tenant): string => `secret-of-${tenant}`;

/** A runtime whose operator lets everybody see everything. */
function scene() {
  const harness = startHarness({
    server: {
      bearer: new StaticBearerVerifier(people),
      cancelAuthority: "principal",
      cancelGraceMs: 0,
      jobAuthorizationPolicy: () => true,
      artifactReadPolicy: () => true,
      interactionPolicy: () => true,
      concurrency: { jobs: 2 },
    },
    agents: {
      worker: async (input, context) => {
        await context.log("info", String(input));
        await context.thought(String(input));
        return input;
      },
      asker: async (input, context) => {
        await context.log("info", String(input));
        const { promise, reject } = Promise.withResolvers<never>();
        context.signal.addEventListener("abort", () => reject(context.signal.reason));
        await Promise.race([context.requestHumanInput({ prompt: String(input) }), promise]);
        return input;
      },
    },
  });
  return { harness, [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose]() };
}

interface Clients {
  readonly v11: RawClient;
  readonly v10: RawClient10;
}

/** What a tenant has that somebody could ask for. */
interface Belongings {
  readonly jobs: string[];
  readonly sessions: string[];
  readonly artifacts: string[];
  readonly schedules: string[];
  readonly questions: string[];
  readonly keys: string[];
}

const nothing = (): Belongings => ({
  ...{ jobs: [], sessions: [], artifacts: [], schedules: [], questions: [], keys: [] },
});

/** Makes one of everything. */
async function furnish({ v11, v10 }: Clients, tenant: Tenant): Promise<Belongings> {
  const secret = secretOf(tenant);
  const own = nothing();
  own.sessions.push(String(v11.sessionId), String(v10.sessionId));
  own.keys.push("the-same-key");
  for (const agent of ["worker", "asker"]) {
    const answer = await v11.submit(agent, secret, { idempotency_key: `${agent}-key` });
    own.jobs.push(String(answer.job_id ?? answer.payload.job_id));
  }
  const made = await v10.invoke("asker", secret);
  own.jobs.push(String(made.job_id));
  const put = await v10.ask("artifact.put", { media_type: "text/plain", data: Buffer.from(secret).toString("base64") });
  own.artifacts.push(String(put.payload.artifact_id));
  const scheduled = await v10.ask("job.schedule", {
    ...{ job: { type: "tool.invoke", payload: { tool: "worker", arguments: { secret } } }, when: { after: 3600 } },
  });
  own.schedules.push(String(scheduled.payload.job_id ?? scheduled.job_id));
  await settle(40);
  for (const { type, id, payload } of v10.frames) {
    if (type === "human.input.request") own.questions.push(String(payload.request_id ?? id));
  }
  return own;
}

/** What somebody may try with what is another's. What is tried with what nobody has gets the same answer. */
type Tries = Readonly<Record<string, (of: Belongings) => Parameters<RawClient["ask"]>>>;

const TRIES_11 = {
  subscribe: (of: Belongings) => ["job.subscribe", { job_id: of.jobs[0], history: true }],
  cancel: (of: Belongings) => ["job.cancel", { job_id: of.jobs[1] }],
  answer: (of: Belongings) => ["x-vendor.arcp.human.input.response", { request_id: of.questions[0], value: "x" }],
} satisfies Tries;

const TRIES_10 = {
  subscribeToJob: (of: Belongings) => ["subscribe", { filter: { job_id: [of.jobs[1]] } }],
  subscribeToSession: (of: Belongings) => ["subscribe", { filter: { session_id: [of.sessions[0]] } }],
  cancel: (of: Belongings) => ["cancel", { target: "job", target_id: of.jobs[1] }],
  interrupt: (of: Belongings) => ["interrupt", { target: "job", target_id: of.jobs[2] }],
  cancelSchedule: (of: Belongings) => ["cancel", { target: "job", target_id: of.schedules[0] }],
  fetch: (of: Belongings) => ["artifact.fetch", { artifact_id: of.artifacts[0] }],
  release: (of: Belongings) => ["artifact.release", { artifact_id: of.artifacts[0] }],
  resume: (of: Belongings) => ["resume", {}, { session_id: of.sessions[1] }],
} satisfies Tries;

/** Well-formed, and nobody's. */
const NOBODYS: Belongings = {
  jobs: ["job_01JZZZZZZZZZZZZZZZZZZZZZZZ", "job_01JZZZZZZZZZZZZZZZZZZZZZZY", "job_01JZZZZZZZZZZZZZZZZZZZZZZX"],
  sessions: ["sess_01JZZZZZZZZZZZZZZZZZZZZZZZ", "sess_01JZZZZZZZZZZZZZZZZZZZZZZY"],
  artifacts: ["art_01JZZZZZZZZZZZZZZZZZZZZZZZ"],
  schedules: ["job_01JZZZZZZZZZZZZZZZZZZZZZZW"],
  questions: ["q_01JZZZZZZZZZZZZZZZZZZZZZZZ"],
  keys: [],
};

type Frame = { readonly type: string; readonly payload: unknown };

/** An answer without the ids that it names. */
function shapeOf({ type, payload }: Frame): string {
  const { request_id: _, ack_for: _a, received_at: _r, ...rest } = payload as Record<string, unknown>;
  return JSON.stringify([type, rest]).replaceAll(/\b(job|sess|art|q|msg|sub)_[0-9A-Za-z]+/g, "$1");
}

const steps = fc.array(
  fc.record({
    tenant: fc.constantFrom(...TENANTS),
    act: fc.constantFrom(
      ...["list", "watch everything", "submit", "jobs of wire 1.0"],
      ...Object.keys(TRIES_11).map((name) => `1.1 ${name}`),
      ...Object.keys(TRIES_10).map((name) => `1.0 ${name}`),
    ),
  }),
  { minLength: 4, maxLength: 14 },
);

const capabilities = { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 };

test("whatever they do, nothing of one tenant is ever sent to another", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      await using it = scene();
      const clients = {} as Record<Tenant, Clients>;
      const belongings = {} as Record<Tenant, Belongings>;
      for (const tenant of TENANTS) {
        clients[tenant] = {
          v11: await it.harness.rawSession([...ALL_FEATURES, EXTENSION_FEATURE], tenant),
          v10: await it.harness.rawSession10(tenant, { capabilities }),
        };
        belongings[tenant] = await furnish(clients[tenant], tenant);
      }
      for (const { tenant, act } of sequence) {
        const { v11, v10 } = clients[tenant];
        const others = belongings[tenant === "acme" ? "globex" : "acme"];
        if (act === "list") await v11.listJobs();
        else if (act === "jobs of wire 1.0") await v10.ask("session.list_jobs");
        else if (act === "watch everything") await v10.ask("subscribe", { filter: {} });
        else if (act === "submit") await v11.submit("worker", secretOf(tenant));
        else if (act.startsWith("1.1 ")) {
          const attempt: Tries[string] = TRIES_11[act.slice(4) as keyof typeof TRIES_11];
          const [theirs, nobodys] = [attempt(others), attempt(NOBODYS)];
          const answers = [await v11.ask(...theirs), await v11.ask(...nobodys)].map(shapeOf);
          expect(answers[0], act).toBe(answers[1]);
        } else {
          const attempt: Tries[string] = TRIES_10[act.slice(4) as keyof typeof TRIES_10];
          const [theirs, nobodys] = [attempt(others), attempt(NOBODYS)];
          const answers = [await v10.ask(...theirs), await v10.ask(...nobodys)].map(shapeOf);
          expect(answers[0], act).toBe(answers[1]);
        }
      }
      await settle(20);
      for (const tenant of TENANTS) {
        const other = tenant === "acme" ? "globex" : "acme";
        const { v11, v10 } = clients[tenant];
        const heard = JSON.stringify([v11.frames, v10.frames]);
        expect(heard).toContain(secretOf(tenant));
        expect(heard).not.toContain(secretOf(other));
        expect(heard).not.toContain(Buffer.from(secretOf(other)).toString("base64"));
        // Ids that this tenant has asked for come back in answers; those of everything else do not.
        for (const id of belongings[other].sessions) expect(JSON.stringify(v11.frames)).not.toContain(id);
        // Nothing of theirs was stopped or taken away.
        const jobs = await clients[other].v11.listJobs();
        expect(jobs.filter(({ status }) => status === "cancelled")).toEqual([]);
        const [artifact_id] = belongings[other].artifacts;
        expect((await clients[other].v10.ask("artifact.fetch", { artifact_id })).type).toBe("artifact.put");
      }
      for (const tenant of TENANTS) {
        for (const job_id of belongings[tenant].jobs.slice(1)) await clients[tenant].v11.ask("job.cancel", { job_id });
      }
      await settle(40);
    }),
    { numRuns: 25 },
  );
});

describe("a tenant", () => {
  test("has idempotency keys, and places in the queue, of its own", async () => {
    await using it = scene();
    const [acme, globex] = await Promise.all(
      TENANTS.map((tenant) => it.harness.rawSession([...ALL_FEATURES, EXTENSION_FEATURE], tenant)),
    );
    const first = await acme?.submit("worker", "a", { idempotency_key: "k" });
    const second = await globex?.submit("worker", "b", { idempotency_key: "k" });
    expect(second?.type).toBe("job.accepted");
    expect(second?.payload.job_id).not.toBe(first?.payload.job_id);
    await settle(20);
  });

  test("is what the token says; a token that does not say, or says something that is no name, lets nobody in", async () => {
    const key = await SigningKey.generate("ES256");
    const { bearer } = jwtVerifier({
      ...{ audience: AUDIENCE, jwks: { keys: [await key.jwk()] }, tenantClaim: "org", scopesClaim: "scp" },
    });
    const sign = (claims: object) => key.sign(claimsAt(Date.now(), claims));
    expect(
      await bearer.verify(await sign({ org: "acme", scp: ["arcp:submit", "email", "observe:own", 7] })),
    ).toMatchObject({ principal: "alice", tenant: "acme", permissions: ["submit", "observe:own"] });
    expect(await bearer.verify(await sign({ org: "acme", scp: "answer arcp:observe:all" }))).toMatchObject({
      permissions: ["observe:all", "answer"],
    });
    expect((await bearer.verify(await sign({ org: "acme" }))).permissions).toEqual([]);
    expect((await failureOf(bearer.verify(await sign({})))).message).toBe("the token is not valid");

    await using harness = startHarness({ server: { bearer } });
    for (const org of ["acme/alice", "@acme", "a b", "é", "x".repeat(65)]) {
      const answer = await (await harness.raw()).hello(undefined, await sign({ org }));
      expect(answer.payload).toMatchObject({ code: "UNAUTHENTICATED", message: "the credentials are not valid" });
    }
  });

  test("cannot be made up by a principal whose name looks like one of a tenant", async () => {
    const bearer = new StaticBearerVerifier(new Map([["forged", { principal: "@acme/alice" }]]));
    await using harness = startHarness({ server: { bearer } });
    expect((await (await harness.raw()).hello(undefined, "forged")).payload.code).toBe("UNAUTHENTICATED");
    const refused = await (await harness.raw10()).open({ auth: { scheme: "bearer", token: "forged" } });
    expect(refused).toMatchObject({ type: "session.rejected", payload: { code: "UNAUTHENTICATED" } });
  });
});
