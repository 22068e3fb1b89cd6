/** Each action that is audited, done for real on the wires that have it, and its row read again. */
import { DESCRIBE_FEATURE, EXTENSION_FEATURE } from "@arcp/core";
import { newWebhookSecret } from "@arcp/core/webhooks";
import {
  type AuditAction,
  type AuditRecord,
  DEFAULT_AUDIT_POLICY,
  forgetWebhooks,
  type InteractionPolicy,
  retryWebhooks,
  type StoredWebhook,
  storedWebhooks,
} from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { Audit } from "../../packages/runtime/src/engine/audit/audit.ts";
import { RATIONED } from "../../packages/runtime/src/engine/audit/catalogue.ts";
import { inTime, until } from "../credentials/ledger.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import { CANARY, type Client, GUEST_MS, Scene, type Submitted, type Told, type Wire } from "./scene.ts";

/** What the row of an action must be. */
interface Expected {
  /** Default: alice. */
  readonly principal?: string;
  /** Default: none. */
  readonly session?: string;
  readonly job?: string;
  readonly facts: object;
}

type Act = (scene: Scene, wire: Wire) => Promise<Expected>;

interface Case {
  readonly on: readonly Wire[];
  readonly act: Act;
  readonly options?: ConstructorParameters<typeof Scene>[0];
}

const BOTH: readonly Wire[] = ["1.1", "1.0"];
const text = expect.any(String);

const ofClient = ({ sessionId, principal }: Client, facts: object): Expected => ({
  ...{ principal, session: sessionId, facts },
});
const ofJob = ({ client, jobId }: Submitted, facts: object): Expected => ({
  ...ofClient(client, facts),
  job: jobId,
});

/** The token of a link to the question. */
async function linked({ client, id }: Submitted & { readonly id: string }): Promise<string> {
  const made = await client.v11?.ask("x-vendor.arcp.answer_link", { request_id: id });
  return String(made?.payload.token);
}

const swallow = (): void => {};

/** A job that has asked something. */
async function asking(scene: Scene, wire: Wire): Promise<Submitted & { readonly id: string }> {
  const job = await scene.job(wire);
  job.run.context.requestHumanInput({ prompt: "?", responseSchema: { type: "string" } }).catch(swallow);
  const id = await scene.questionOf(job.client);
  return { ...job, id };
}

const REFUND = { permission: "payment.refund", resource: "order:1", operation: "refund" };
const NEWS = { permission: "net.fetch", resource: `https://example.com/?token=${CANARY}`, operation: "read" };

/** A job to which something was granted. */
async function granted(scene: Scene, wire: Wire, asked: typeof REFUND = REFUND) {
  const job = await scene.job(wire);
  const grant = job.run.context.requestPermission({ ...asked, requestedLeaseSeconds: 60 });
  await scene.answer(job.client, "permission.grant", { granted_by: "chief" });
  return { ...job, grant: await grant };
}

/** A credential was issued for its job. */
const withCredential = (scene: Scene, wire: Wire): Promise<Submitted> => scene.job(wire, { "model.use": ["fast"] });
const CREDENTIAL = { credential_id: text, alias: text, provisioner: "mint" };

const data = Buffer.from(CANARY).toString("base64");

async function put(scene: Scene, client: Client): Promise<string> {
  const answer = await scene.ask(client, ["artifact.put", { media_type: "text/plain", data }]);
  return (answer.payload as { readonly artifact_id: string }).artifact_id;
}

const scheduled = (tool: string, seconds: number) => ({
  ...{ job: { type: "tool.invoke", payload: { tool, arguments: { secret: CANARY } } }, when: { after: seconds } },
});

/** It is said how a job has ended, and nobody is there to hear it. */
const NOBODY_LISTENS = {
  endpoints: [{ name: "nobody", url: `http://127.0.0.1:9/${CANARY}`, secret: newWebhookSecret() }],
  giveUpAfterMs: 0,
};

async function givenUp(scene: Scene, wire: Wire): Promise<{ job: Submitted; webhook: StoredWebhook }> {
  const job = await scene.job(wire);
  job.run.finish(CANARY);
  for (;;) {
    for await (const webhook of storedWebhooks(scene.store)) if (webhook.state === "dead") return { job, webhook };
    await settle();
  }
}

/** All of them: an action without a case does not compile. */
const CASES: Readonly<Record<AuditAction, Case>> = {
  "runtime.started": {
    on: BOTH,
    act: async (scene, wire) => {
      await scene.connect(wire);
      return { principal: "", facts: { name: "test-runtime", version: "1.2.3" } };
    },
  },
  "runtime.stopped": {
    on: BOTH,
    act: async (scene, wire) => {
      await scene.connect(wire);
      // The store stays open.
      await scene.stop("maintenance");
      return { principal: "", facts: { reason: "maintenance" } };
    },
  },
  "audit.suppressed": {
    on: BOTH,
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      for (let n = 0; n < 25; n += 1) await refusedJob(scene, client);
      scene.clock.advance(60_000);
      return { facts: { action: "job.refused", rows: 5, since: text } };
    },
  },

  "session.opened": {
    on: BOTH,
    act: async (scene, wire) => ofClient(await scene.connect(wire), { wire }),
  },
  "session.resumed": {
    on: BOTH,
    act: async (scene, wire) => {
      const before = await scene.connect(wire);
      if (before.v11 !== undefined) {
        await scene.harness.disconnect(before.v11);
        const again = await scene.harness.raw();
        await again.resume(before.v11, 0, scene.tokenOf("alice"));
      } else {
        const after = await scene.connect(wire);
        await after.v10?.ask("resume", {}, { session_id: before.sessionId });
      }
      return ofClient(before, { wire, after_seq: 0 });
    },
  },
  "session.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      if (wire === "1.1") await (await scene.harness.raw()).hello(undefined, `${CANARY}-wrong`);
      else await (await scene.harness.raw10()).open({ auth: { scheme: "bearer", token: `${CANARY}-wrong` } });
      return { principal: "", facts: { wire, code: "UNAUTHENTICATED" } };
    },
  },
  "resume.refused": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const other = await scene.connect(wire, "mallory");
      const client = await scene.connect(wire);
      await client.v10?.ask("resume", {}, { session_id: other.sessionId });
      return ofClient(client, { wire, of_session_id: other.sessionId, code: "RESUME_WINDOW_EXPIRED" });
    },
  },
  "session.renewed": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      await client.v10?.ask("session.authenticate", { auth: { scheme: "bearer", token: scene.tokenOf("alice") } });
      return ofClient(client, { wire });
    },
  },
  "session.closed": {
    on: BOTH,
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      const { transport } = client.v11 ?? client.v10 ?? {};
      (client.v11 ?? client.v10)?.send("session.close", {});
      await transport?.closed;
      return ofClient(client, { wire, by: "client", reason: text });
    },
  },
  "session.evicted": {
    on: BOTH,
    act: async (scene, wire) => {
      const client = await scene.connect(wire, "guest");
      scene.clock.advance(GUEST_MS);
      await (client.v11 ?? client.v10)?.transport.closed;
      return ofClient(client, { wire, code: "UNAUTHENTICATED", reason: text });
    },
  },

  "job.submitted": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire, { "tool.call": ["search"] });
      const facts = { agent: "puppet@0.0.0", lease: { "tool.call": ["search"] } };
      return ofJob(job, wire === "1.0" ? { ...facts, command: "tool.invoke" } : facts);
    },
  },
  "job.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      await refusedJob(scene, client);
      return ofClient(client, { agent: "nobody", code: "AGENT_NOT_AVAILABLE" });
    },
  },
  "job.cancelled": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      await cancel(scene, job.client, job.jobId, "enough");
      return ofJob(job, { by: "client", reason: "enough" });
    },
  },
  "job.interrupted": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      // By another session of the principal than the one that submitted it.
      const other = await scene.connect(wire);
      const id = other.v10?.send("interrupt", { target: "job", target_id: job.jobId, prompt: CANARY });
      await other.v10?.answerTo(String(id));
      return { ...ofJob(job, { command: id }), session: other.sessionId };
    },
    options: { cancelAuthority: "principal" },
  },
  "command.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const client = await scene.connect(wire, "reader");
      await refusedJob(scene, client);
      return ofClient(client, { command: wire === "1.1" ? "job.submit" : "tool.invoke", permission: "submit" });
    },
  },
  "control.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      const other = await scene.connect(wire, "mallory");
      await cancel(scene, other, job.jobId);
      return { ...ofClient(other, { owner: "alice", code: "JOB_NOT_FOUND" }), job: job.jobId };
    },
  },
  "job.ended": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      job.run.finish({ secret: CANARY });
      return ofJob(job, { status: "success" });
    },
  },
  "lease.expired": {
    on: BOTH,
    act: async (scene, wire) => {
      const expires_at = new Date(scene.clock.now() + 10_000).toISOString();
      const job = await scene.job(wire, { "tool.call": ["search"] }, { expires_at });
      scene.clock.advance(10_001);
      await job.run.context.operation("tool.call", "search", swallow).catch(swallow);
      return ofJob(job, { expires_at });
    },
  },
  "operation.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire, { "net.fetch": ["https://example.com/**"] });
      const target = `https://elsewhere.example/x?token=${CANARY}`;
      await job.run.context.operation("net.fetch", target, swallow).catch(swallow);
      const facts = { capability: "net.fetch", target: "https://elsewhere.example/x", code: "PERMISSION_DENIED" };
      return ofJob(job, facts);
    },
  },

  "job.delegated": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire, { "agent.delegate": ["puppet"], "tool.call": ["search"] });
      const lease_request = { "tool.call": ["search"] };
      const child = job.run.context.delegate({ agent: "puppet", input: CANARY, delegate_id: "d1", lease_request });
      const { jobId } = await child.accepted;
      const facts = { agent: "puppet@0.0.0", parent_job_id: job.jobId, delegate_id: "d1", lease: lease_request };
      return { ...ofJob(job, facts), job: jobId };
    },
  },
  "delegation.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      await job.run.context.delegate({ agent: "puppet", delegate_id: "d1" }).done.catch(swallow);
      return ofJob(job, { agent: "puppet", delegate_id: "d1", code: "PERMISSION_DENIED" });
    },
  },
  "job.handed_over": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire, { "agent.delegate": ["echo"] });
      await job.run.context.handoff({ runtime: "other", agent: "echo", input: CANARY }).catch(swallow);
      return ofJob(job, { agent: "echo", to_runtime: RUNTIME, to_job_id: "job_there" });
    },
    options: {
      handoff: {
        runtimes: ["other"],
        handoff: async () => ({ runtime: RUNTIME, jobId: "job_there", sessionId: "sess_there" }),
      },
    },
  },

  "subscription.opened": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId } = await scene.job(wire);
      const bob = await scene.connect(wire, "bob");
      await watch(scene, bob, jobId);
      return { ...ofClient(bob, wire === "1.1" ? SEEN_11 : { ...SEEN_10, filter: { job_id: [jobId] } }), job: jobId };
    },
    options: { jobAuthorizationPolicy: (_job, principal) => principal === "bob" },
  },
  "subscription.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId } = await scene.job(wire);
      const other = await scene.connect(wire, "mallory");
      await watch(scene, other, jobId);
      const facts =
        wire === "1.1"
          ? { owner: "alice", allowed: false }
          : { allowed: false, filter: { session_id: [], job_id: [jobId] } };
      return { ...ofClient(other, facts), job: jobId };
    },
  },
  "job.described": {
    on: ["1.1"],
    act: async (scene, wire) => {
      const { jobId } = await scene.job(wire);
      const bob = await scene.harness.rawSession([DESCRIBE_FEATURE], scene.tokenOf("bob"));
      await bob.ask("x-vendor.arcp.job.describe", { job_id: jobId });
      return { principal: "bob", session: String(bob.sessionId), facts: SEEN_11, job: jobId };
    },
    options: { jobAuthorizationPolicy: (_job, principal) => principal === "bob" },
  },
  "subscription.closed": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId } = await scene.job(wire);
      const client = await scene.connect(wire);
      const { payload } = await watch(scene, client, jobId);
      const { subscription_id } = payload as { readonly subscription_id?: string };
      (client.v11 ?? client.v10)?.send(
        wire === "1.1" ? "job.unsubscribe" : "unsubscribe",
        wire === "1.1" ? { job_id: jobId } : { subscription_id },
      );
      await (client.v11 ?? client.v10)?.fence();
      if (wire === "1.1") return { ...ofClient(client, { owner: "alice", by: "client" }), job: jobId };
      return ofClient(client, { subscription_id, by: "client" });
    },
  },

  "question.asked": {
    on: BOTH,
    act: async (scene, wire) =>
      ofJob(await asking(scene, wire), { question_id: text, question: "input", expires_at: text }),
  },
  "question.answered": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      const other = await scene.connect(wire);
      await scene.answer(other, "human.input.response", { value: CANARY, responded_by: "chief" });
      const facts = { question_id: text, question: "input", outcome: "answered", answer_sha256: text };
      return { ...ofJob(job, { ...facts, responded_by: "chief", responded_at: text }), session: other.sessionId };
    },
  },
  "question.expired": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      scene.clock.advance(86_400_000);
      return ofJob(job, { question_id: text, question: "input" });
    },
  },
  "question.cancelled": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      job.run.finish();
      return ofJob(job, { question_id: text, question: "input", reason: "the job has ended" });
    },
  },
  "question.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      const other = await scene.connect(wire);
      await scene.answer(other, "human.input.response", { value: CANARY }, job.id);
      return { ...ofJob(job, { question_id: text, question: "input", reason: "policy" }), session: other.sessionId };
    },
    options: { interactionPolicy: onlyTheFirst() },
  },
  "question.invalid_answer": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      await scene.answer(job.client, "human.input.response", { value: 7 });
      return ofJob(job, { question_id: text, question: "input" });
    },
  },
  "question.ignored_answer": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      for (let n = 0; n < 2; n += 1) await scene.answer(job.client, "human.input.response", { value: CANARY });
      return ofClient(job.client, { question_id: text });
    },
  },

  "link.created": {
    on: ["1.1"],
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      await linked(job);
      return ofJob(job, { question_id: text, link_id: text, expires_at: text });
    },
  },
  "link.used": {
    on: ["1.1"],
    act: async (scene, wire) => {
      const job = await asking(scene, wire);
      const guest = await scene.harness.rawSession([EXTENSION_FEATURE], await linked(job));
      await guest.ask("x-vendor.arcp.human.input.response", { request_id: job.id, value: CANARY });
      return { ...ofJob(job, { question_id: text, link_id: text }), session: String(guest.sessionId) };
    },
  },

  "permission.asked": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      job.run.context.requestPermission(NEWS).catch(swallow);
      await scene.questionOf(job.client);
      const about = { ...NEWS, resource: "https://example.com/" };
      return ofJob(job, { ...about, question_id: text, question: "permission", expires_at: text });
    },
  },
  "permission.granted": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await granted(scene, wire, NEWS);
      const about = { ...NEWS, resource: "https://example.com/", lease_id: job.grant.leaseId };
      return ofJob(job, { ...about, question_id: text, expires_at: text, granted_by: "chief" });
    },
  },
  "permission.denied": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      job.run.context.requestPermission(REFUND).catch(swallow);
      await scene.answer(job.client, "permission.deny", { reason: CANARY });
      return ofJob(job, { ...REFUND, question_id: text, denied_by: "alice" });
    },
  },
  "permission.refused": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await scene.job(wire);
      await job.run.context.requestPermission(elevation("privileged")).catch(swallow);
      return ofJob(job, { permission: "trust.elevate.privileged", reason: "policy" });
    },
  },
  "trust.elevated": {
    on: BOTH,
    act: async (scene, wire) => {
      const { grant, ...job } = await granted(scene, wire, elevation("privileged"));
      return ofJob(job, { lease_id: grant.leaseId, level: "privileged", expires_at: text });
    },
    options: { maxElevation: () => "privileged" },
  },
  "lease.extended": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const { grant, ...job } = await granted(scene, wire);
      await job.client.v10?.ask("lease.refresh", { lease_id: grant.leaseId, requested_seconds: 120 });
      const facts = { lease_id: grant.leaseId, permission: REFUND.permission, by: "client", expires_at: text };
      return ofJob(job, facts);
    },
  },
  "lease.revoked": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const { grant, ...job } = await granted(scene, wire);
      await job.client.v10?.ask("lease.revoked", { lease_id: grant.leaseId, reason: "no more" });
      return ofJob(job, { lease_id: grant.leaseId, permission: REFUND.permission, by: "client", reason: "no more" });
    },
  },
  "lease.refused": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const { grant, jobId } = await granted(scene, wire);
      const other = await scene.connect(wire, "mallory");
      await other.v10?.ask("lease.revoked", { lease_id: grant.leaseId });
      const facts = { lease_id: grant.leaseId, permission: REFUND.permission, reason: "owner" };
      return { ...ofClient(other, facts), job: jobId };
    },
  },

  "credential.issued": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId } = await withCredential(scene, wire);
      return { job: jobId, facts: CREDENTIAL };
    },
  },
  "credential.rotated": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId } = await withCredential(scene, wire);
      const [issued] = await scene.rowsOf("credential.issued");
      await scene.harness.server.rotateCredential(jobId as never, issued?.facts.credential_id);
      return { job: jobId, facts: { ...CREDENTIAL, by: "operator" } };
    },
  },
  "credential.revoked": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId, run } = await withCredential(scene, wire);
      run.finish();
      return { principal: "", job: jobId, facts: CREDENTIAL };
    },
  },
  "credential.revocation_failed": {
    on: BOTH,
    act: async (scene, wire) => {
      const { jobId, run } = await withCredential(scene, wire);
      scene.mint.beforeRevoke = () => Promise.reject(new Error(`no: ${CANARY}`));
      run.finish();
      await until(() => scene.mint.revocations.length > 0, "an attempt");
      await settle();
      scene.mint.beforeRevoke = async () => {};
      await inTime(scene.clock, () => scene.mint.live.length === 0);
      return { principal: "", job: jobId, facts: { ...CREDENTIAL, error: text } };
    },
  },
  "credential.emitted": {
    on: BOTH,
    act: async (scene, wire) => {
      const job = await withCredential(scene, wire);
      await job.run.context.log("info", `the key is ${scene.mint.values[0]}`);
      return ofJob(job, { agent: "puppet@0.0.0" });
    },
  },

  "artifact.put": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      const artifact_id = await put(scene, client);
      return ofClient(client, { artifact_id, owner: "alice", media_type: "text/plain", size: 6, sha256: text });
    },
  },
  "artifact.fetched": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const artifact_id = await put(scene, await scene.connect(wire));
      const bob = await scene.connect(wire, "bob");
      await scene.ask(bob, ["artifact.fetch", { artifact_id }]);
      return ofClient(bob, { artifact_id, owner: "alice" });
    },
    options: { artifactReadPolicy: (_artifact, principal) => principal === "bob" },
  },
  "artifact.released": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const artifact_id = await put(scene, await scene.connect(wire));
      // By another session than the one that put it.
      const client = await scene.connect(wire);
      await scene.ask(client, ["artifact.release", { artifact_id }]);
      return ofClient(client, { artifact_id, owner: "alice" });
    },
  },
  "artifact.refused": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const artifact_id = await put(scene, await scene.connect(wire));
      const other = await scene.connect(wire, "mallory");
      await scene.ask(other, ["artifact.fetch", { artifact_id }]);
      return ofClient(other, { artifact_id, owner: "alice", act: "fetch" });
    },
  },

  "schedule.made": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      const answer = await client.v10?.ask("job.schedule", scheduled("puppet", 90));
      return ofClient(client, { schedule_id: answer?.job_id, agent: "puppet", when: expect.anything() });
    },
  },
  "schedule.cancelled": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      const answer = await client.v10?.ask("job.schedule", scheduled("puppet", 90));
      await cancel(scene, client, String(answer?.job_id));
      return ofClient(client, { schedule_id: answer?.job_id });
    },
  },
  "schedule.refused": {
    on: ["1.0"],
    act: async (scene, wire) => {
      const client = await scene.connect(wire);
      for (let n = 0; n < 2; n += 1) await client.v10?.ask("job.schedule", scheduled("puppet", 90));
      return ofClient(client, { agent: "puppet", code: text });
    },
    options: { scheduleLimits: { maxSchedulesPerPrincipal: 1 } },
  },

  "webhook.given_up": {
    on: BOTH,
    act: async (scene, wire) => {
      const { job, webhook } = await givenUp(scene, wire);
      return { job: job.jobId, facts: { endpoint: "nobody", type: "job.ended", webhook_id: webhook.id, attempts: 1 } };
    },
    options: { webhooks: NOBODY_LISTENS },
  },
  "webhook.retried": {
    on: BOTH,
    act: async (scene, wire) => {
      const { job, webhook } = await givenUp(scene, wire);
      await retryWebhooks(scene.store, [webhook], scene.clock.now());
      return { job: job.jobId, facts: { endpoint: "nobody", type: "job.ended", webhook_id: webhook.id } };
    },
    options: { webhooks: NOBODY_LISTENS },
  },
  "webhook.forgotten": {
    on: BOTH,
    act: async (scene, wire) => {
      const { job, webhook } = await givenUp(scene, wire);
      await forgetWebhooks(scene.store, [webhook], scene.clock.now());
      return { job: job.jobId, facts: { endpoint: "nobody", type: "job.ended", webhook_id: webhook.id } };
    },
    options: { webhooks: NOBODY_LISTENS },
  },
};

const RUNTIME = { kind: "other", version: "1", fingerprint: "sha256:cccc" };
const SEEN_11 = { owner: "alice", allowed: true };
const SEEN_10 = { subscription_id: text, allowed: true };

function elevation(level: string): typeof REFUND {
  return { permission: `trust.elevate.${level}`, resource: "production", operation: "migrate" };
}

function refusedJob(scene: Scene, client: Client): Promise<unknown> {
  const payload = { agent: "nobody", input: CANARY };
  return scene.ask(client, ["job.submit", payload], ["tool.invoke", { tool: "nobody", arguments: { secret: CANARY } }]);
}

function cancel(scene: Scene, client: Client, jobId: string, reason?: string): Promise<unknown> {
  const members = reason === undefined ? {} : { reason };
  const of10 = { target: "job", target_id: jobId, ...members };
  return scene.ask(client, ["job.cancel", members, { job_id: jobId }], ["cancel", of10]);
}

const watch = (scene: Scene, client: Client, jobId: string): Promise<{ readonly payload: unknown }> =>
  scene.ask(client, ["job.subscribe", { job_id: jobId }], ["subscribe", { filter: { job_id: [jobId] } }]);

/** The session that is asked about first may answer, and no other. */
function onlyTheFirst(): InteractionPolicy {
  const first = new Map<string, string>();
  return (question, session) => {
    if (!first.has(question.id)) first.set(question.id, session.sessionId);
    return first.get(question.id) === session.sessionId;
  };
}

const all = Object.entries(CASES).flatMap(([action, { on, act, options }]) =>
  on.map((wire) => ({ action, wire, act, options })),
);

describe("who did what", () => {
  test.each(all)("$action over wire $wire", async ({ action, wire, act, options }) => {
    await using scene = new Scene(options);
    const { facts, principal = "alice", session, job } = await act(scene, wire);
    const row = (await scene.rowsOf(action)).at(-1);
    const { seq: _, ...told } = row ?? ({ seq: 0 } as Partial<Told>);
    expect(told).toEqual({ action, principal, session, job, facts });
    expect(await scene.leaked()).toEqual([]);
  });
});

describe("an operation that is held back", () => {
  test("by its budget is told, and once", async () => {
    await using scene = new Scene();
    const job = await scene.job("1.1", { "tool.call": ["search"], "cost.budget": ["USD:1.00"] });
    const search = (amount: number) =>
      job.run.context.operation("tool.call", "search", swallow, { cost: { USD: amount } }).catch(swallow);
    await search(0.5);
    expect(await scene.rowsOf("operation.refused")).toEqual([]);
    await search(5);
    const facts = { capability: "tool.call", target: "search", code: "BUDGET_EXHAUSTED" };
    expect(await scene.rowsOf("operation.refused")).toMatchObject([{ job: job.jobId, facts }]);
  });

  test("by what its agent throws is the journal's alone", async () => {
    await using scene = new Scene();
    const job = await scene.job("1.1", { "tool.call": ["search"] });
    const fail = (): never => {
      throw new Error("out of order");
    };
    await job.run.context.operation("tool.call", "search", fail).catch(swallow);
    expect(await scene.rowsOf("operation.refused")).toEqual([]);
  });
});

describe("an answer", () => {
  test.each([
    ["none", {}],
    ["digest", { answer_sha256: text }],
    ["value", { answer: "yes" }],
  ] as const)("is told as the operator wants it: %s", async (answers, told) => {
    await using scene = new Scene({ audit: { answers } });
    const { client } = await asking(scene, "1.0");
    await scene.answer(client, "human.input.response", { value: "yes" });
    const [row] = await scene.rowsOf("question.answered");
    const { question_id, question, outcome, responded_by, responded_at, ...rest } = row?.facts ?? {};
    expect(rest).toEqual(told);
  });
});

describe("who is refused again and again", () => {
  const FLOOD = 2_000;

  test.each(BOTH)("is told of a few times, and then by number, over wire %s", async (wire) => {
    await using scene = new Scene();
    const flooder = await scene.connect(wire, "mallory");
    const before = (await scene.rows()).length;
    for (let n = 0; n < FLOOD; n += 1) await refusedJob(scene, flooder);
    expect((await scene.rows()).length - before).toBe(20);
    // Somebody else is heard of as if nothing had happened.
    const other = await scene.connect(wire);
    await refusedJob(scene, other);
    expect((await scene.rows()).at(-1)).toMatchObject({ action: "job.refused", session: other.sessionId });
    scene.clock.advance(60_000);
    expect((await scene.rows()).at(-1)).toMatchObject({
      ...{ action: "audit.suppressed", principal: "mallory" },
      facts: { action: "job.refused", rows: FLOOD - 20 },
    });
    expect(await scene.leaked()).toEqual([]);
  });

  test("has a ration, whatever is refused", () => {
    const refusals = Object.keys(CASES).filter((action) => /\.(refused|invalid_answer|ignored_answer)$/.test(action));
    expect([...RATIONED].sort()).toEqual(refusals.sort());
  });

  test("at the door cannot hide what principals have refused", async () => {
    const clock = new ManualClock();
    const rows: AuditRecord[] = [];
    const audit = new Audit({
      journal: { addAudit: (record) => void rows.push(record) },
      ...{ clock, policy: DEFAULT_AUDIT_POLICY, runtime: { name: "test-runtime", version: "1" } },
    });
    for (let n = 0; n < 20_000; n += 1) {
      const remoteAddress = `10.${n % 7}.${n % 251}.${n % 241}`;
      audit.record("session.refused", { principal: "", remoteAddress }, { wire: "1.1", code: "UNAUTHENTICATED" });
    }
    expect(rows).toHaveLength(1 + 500);
    audit.record("job.refused", { principal: "alice" }, { agent: "x", code: "AGENT_NOT_AVAILABLE" });
    expect(rows.at(-1)).toMatchObject({ action: "job.refused", principal: "alice" });
    // A few of them are named, and the others counted.
    clock.advance(60_000);
    const told = rows.filter(({ action }) => action === "audit.suppressed");
    expect(told).toHaveLength(16 + 1);
    const counts = told.map(({ facts }) => (JSON.parse(facts) as { readonly rows: number }).rows);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(20_000 - 500);
    audit.abort();
  });
});
