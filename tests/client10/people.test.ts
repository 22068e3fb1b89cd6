/** Questions, permissions and their leases, as the client answers them (RFC §10.5, §12, §15). */
import type { LeaseChange, ToolQuestion } from "@arcp/client";
import { ARCPError, PermissionDeniedError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import { toolClient } from "./support.ts";

const BRANCH = { type: "object", properties: { branch: { type: "string", minLength: 1 } }, required: ["branch"] };
const REFUND = { permission: "payment.refund.create", resource: "order:ord_4812", operation: "refund" };

async function asking(carrier: (typeof CARRIERS)[number] = "memory", isTimed = false) {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({ carrier, agents: { puppet: puppet.handler }, server: isTimed ? { clock } : {} });
  const client = await toolClient(harness, { respondedBy: "desk", ...(isTimed && { clock }) });
  const invocation = client.invoke("puppet");
  const run: Run = await puppet.next();
  return {
    ...{ harness, clock, client, invocation, run },
    async [Symbol.asyncDispose]() {
      run.finish();
      await settle();
      await client.close();
      await harness[Symbol.asyncDispose]();
    },
  };
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("questions are put to their handlers, and answered", async () => {
    covers("V10-12.1-03", "V10-12.2-02", "V10-15.4-04", "V10-15.5-01");
    await using job = await asking(carrier, true);
    const { client, run } = job;
    const questions: ToolQuestion[] = [];
    client.onHumanInput((question) => {
      questions.push(question);
      return { value: { branch: "fix/jwt" } };
    });
    client.onHumanChoice((question) => {
      questions.push(question);
      return { choiceId: question.options[1]?.id ?? "", respondedBy: "phone" };
    });
    client.onPermission((question) => {
      questions.push(question);
      return question.operation === "refund" ? { granted: true, leaseSeconds: 10 } : { granted: false, reason: "no" };
    });
    const changes: LeaseChange[] = [];
    client.on("lease", (change) => void changes.push(change));
    const input = await run.context.requestHumanInput({ prompt: "Which branch?", responseSchema: BRANCH });
    expect(input).toMatchObject({ value: { branch: "fix/jwt" }, respondedBy: "desk" });
    const options = [
      { id: "fix", label: "Fix and re-run" },
      { id: "skip", label: "Skip and continue" },
    ];
    const choice = await run.context.requestHumanChoice({ prompt: "How to proceed?", options });
    expect(choice).toMatchObject({ choiceId: "skip", respondedBy: "phone" });
    const grant = await run.context.requestPermission({ ...REFUND, requestedLeaseSeconds: 60 });
    expect(await grant.perform(() => "refunded")).toBe("refunded");
    const denied = run.context.requestPermission({ ...REFUND, operation: "void" });
    await expect(denied).rejects.toBeInstanceOf(PermissionDeniedError);
    expect(questions).toMatchObject([
      { kind: "input", prompt: "Which branch?", responseSchema: BRANCH, jobId: run.context.jobId, refusal: undefined },
      { kind: "choice", prompt: "How to proceed?", options },
      { kind: "permission", ...REFUND, requestedLeaseSeconds: 60 },
      { kind: "permission", operation: "void" },
    ]);
    await client.ping();
    expect(client.questions).toEqual([]);
    expect(changes).toMatchObject([{ change: "granted", lease: { ...REFUND, jobId: run.context.jobId } }]);
    const [lease] = client.leases.active;
    const extended = await client.leases.refresh(lease?.leaseId ?? "", 30);
    expect(Date.parse(extended.expiresAt ?? "") - job.clock.now()).toBe(30_000);
    expect(changes.map(({ change }) => change)).toEqual(["granted", "extended"]);
    await client.leases.revoke(lease?.leaseId ?? "", "changed my mind");
    await client.ping();
    expect(client.leases.active).toEqual([]);
    expect(client.leases.get(lease?.leaseId ?? "")?.revokedBecause).toBe("changed my mind");
    await expect(grant.perform(() => "again")).rejects.toBeInstanceOf(ARCPError);
  });
});

test("an answer that the runtime refuses is asked for again, and the refusal is told", async () => {
  covers("V10-12.1-05", "V10-12.1-06");
  await using job = await asking();
  const { client, run } = job;
  const refusals: (string | undefined)[] = [];
  const problems: string[] = [];
  client.on("problem", ({ code }) => void problems.push(code));
  client.onHumanInput(({ refusal }) => {
    refusals.push(refusal?.code);
    return { value: refusal ? { branch: "main" } : {} };
  });
  const answer = await run.context.requestHumanInput({ prompt: "?", responseSchema: BRANCH });
  expect(answer.value).toEqual({ branch: "main" });
  expect(refusals).toEqual([undefined, "INVALID_REQUEST"]);
  expect(problems).toEqual(["INVALID_REQUEST"]);
});

test("a question waits for its handler, and one that throws leaves it to others", async () => {
  await using job = await asking();
  const { client, run, harness } = job;
  const input = run.context.requestHumanInput({ prompt: "?" });
  await client.ping();
  expect(client.questions).toMatchObject([{ kind: "input", prompt: "?" }]);
  const problems: ARCPError[] = [];
  client.on("problem", (problem) => void problems.push(problem));
  const stop = client.onHumanInput(() => {
    throw new Error("out to lunch");
  });
  await settle();
  expect(problems.map(({ cause }) => (cause as Error).message)).toEqual(["out to lunch"]);
  expect(() => client.onHumanInput(() => undefined)).toThrow("there is a handler");
  stop();
  await using other = await toolClient(harness);
  other.onHumanInput(() => ({ value: 7, respondedBy: "phone" }));
  expect(await input).toMatchObject({ value: 7, respondedBy: "phone" });
  await client.ping();
  expect(client.questions).toEqual([]);
});

test("who is asked learns that there is nothing to answer any more", async () => {
  covers("V10-12.3-03", "V10-12.3-04", "V10-12.4-04");
  await using job = await asking("memory", true);
  const { client, run, clock, invocation } = job;
  const reasons: string[] = [];
  client.onHumanInput(({ prompt }, signal) => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    signal.addEventListener("abort", () => {
      reasons.push(`${prompt} ${(signal.reason as ARCPError).code}`);
      resolve(undefined);
    });
    return promise;
  });
  const stop = new AbortController();
  const withdrawn = run.context.requestHumanInput({ prompt: "withdrawn", signal: stop.signal });
  await client.ping();
  stop.abort();
  await expect(withdrawn).rejects.toThrow();
  await client.ping();
  expect(reasons).toEqual(["withdrawn CANCELLED"]);
  const expired = run.context.requestHumanInput({ prompt: "expired", timeoutMs: 1_000 } as never);
  expired.catch(() => {});
  await client.ping();
  const [question] = client.questions;
  clock.advance(Date.parse(question?.expiresAt ?? "") - clock.now() + 1);
  await settle();
  expect(reasons[1]).toMatch(/^expired (TIMEOUT|CANCELLED)$/);
  run.context.requestHumanInput({ prompt: "over" }).catch(() => {});
  await client.ping();
  run.finish();
  await invocation.done;
  await settle();
  expect(reasons[2]).toBe("over CANCELLED");
  expect(client.questions).toEqual([]);
});

test("a question outlives its connection, and so does its answer", async () => {
  covers("V10-19-01");
  await using job = await asking();
  const { client, run, harness } = job;
  const input = run.context.requestHumanInput({ prompt: "?" });
  await client.ping();
  let asked = 0;
  const gate = Promise.withResolvers<void>();
  client.onHumanInput(async () => {
    asked += 1;
    await gate.promise;
    return { value: "late" };
  });
  harness.cutAll();
  await client.ping();
  harness.cutAll();
  gate.resolve();
  expect(await input).toMatchObject({ value: "late" });
  await client.ping();
  expect([asked, client.questions]).toEqual([1, []]);
});

test("a job is interrupted, takes guidance, and goes on", async () => {
  covers("V10-10.5-01", "V10-10.5-02");
  await using job = await asking();
  const { client, run, invocation } = job;
  client.onHumanInput(({ prompt }) => ({ value: { guidance: `noted: ${prompt}` } }));
  const guided = Promise.withResolvers<unknown>();
  run.context.onInterrupt(guided.resolve);
  await invocation.interrupt("Stop and ask first.");
  expect(await guided.promise).toMatchObject({ guidance: "noted: Stop and ask first." });
  run.finish("after all");
  expect((await invocation.done).value).toBe("after all");
});

test("where interrupts were not negotiated, the job can be cancelled instead", async () => {
  covers("V10-10.5-04");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  await using client = await toolClient(harness, { capabilities: { interrupt: false } });
  const invocation = client.invoke("puppet");
  const run = await puppet.next();
  run.context.signal.addEventListener("abort", () => run.fail(run.context.signal.reason));
  await expect(invocation.interrupt("wait")).rejects.toMatchObject({ canonicalCode: "UNIMPLEMENTED" });
  await invocation.interrupt({ prompt: "wait", orCancel: true });
  await expect(invocation.done).rejects.toMatchObject({ code: "CANCELLED" });
});
