/** Whatever comes together, in whatever order: a question ends once, and so does what waits for it (RFC §12.3, §12.4). */
import { EXTENSION_FEATURE } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import type { RawClient } from "../support/raw-client.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";
import { asked, askingJob, choose, closingsOf, deny, grant, requestsOf, watched } from "./asking.ts";

/** What may happen while a question is open. */
type Step =
  | { readonly kind: "answer"; readonly by: number; readonly value: string }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "cancel" | "finish" | "withdraw" | "restart the connection" | "pause" };

const EXPIRES_MS = 10_000;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("answer"), by: fc.nat(2), value: fc.constantFrom("a", "b", "c") }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait"), ms: fc.constantFrom(1, 5_000, 9_999, 10_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("cancel", "finish", "withdraw", "restart the connection") }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pause") }) },
) as fc.Arbitrary<Step>;

/** The journal of a job, as a session sees it that follows it from the beginning. */
const endingsIn = (client: RawClient, jobId: string): readonly string[] =>
  client
    .ofJob(jobId)
    .filter(({ payload }) => payload.kind === "x-vendor.arcp.answer")
    .map(({ payload }) => payload.body.outcome);

describe("any interleaving of answers, time, and the end of the job", () => {
  test("closes a question once, settles its agent once, and both agree", async () => {
    covers("V10-12.3-01", "V10-12.4-05", "V10-10.2-03");
    await using first = await askingJob({ jobAuthorizationPolicy: (_job, principal) => principal === "oscar" });
    const { harness, puppet, clock } = first;
    const clients = [first.client, await harness.rawSession10(), await harness.rawSession10()];
    const observer = await harness.rawSession(["subscribe", EXTENSION_FEATURE], "oscar");
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), async (steps, hasDefault) => {
        const client = clients[0] as RawClient10;
        const { job_id: jobId } = await client.invoke("puppet");
        const run = await puppet.next();
        const known = requestsOf(client).length;
        const stop = new AbortController();
        const fallback = hasDefault ? { default: "a" } : {};
        const options = [
          { id: "a", label: "A" },
          { id: "b", label: "B" },
        ];
        const question = { prompt: "?", options, expiresInMs: EXPIRES_MS, signal: stop.signal, ...fallback };
        const outcome = watched(run.context.requestHumanChoice(question));
        const request = await asked(client, known);
        const replies: Promise<unknown>[] = [];
        let isOver = false;
        for (const one of steps) {
          if (one.kind === "answer") {
            const by = clients[one.by] as RawClient10;
            replies.push(choose(by, request, one.value).catch(() => undefined));
          } else if (one.kind === "wait") clock.advance(one.ms);
          else if (one.kind === "pause") await settle(2);
          else if (one.kind === "withdraw") stop.abort(new Error("withdrawn"));
          else if (one.kind === "cancel") {
            replies.push(client.ask("cancel", { target: "job", target_id: jobId }).catch(() => undefined));
          } else if (one.kind === "finish") {
            isOver = true;
            run.finish("over");
          } else {
            clients[1]?.cut();
            clients[1] = await harness.rawSession10();
          }
        }
        await Promise.all(replies);
        if (!isOver) run.finish();
        const end = await client.ending(jobId);
        await settle();
        const closings = closingsOf(client, request.id);
        const kinds = closings.map(({ type }) => type).filter((type) => type !== "event.emit");
        // An answer is told as an event to whoever gave it, and beside the word that it is stale to everybody else.
        expect(closings.length - kinds.length + (kinds.length === 0 ? 0 : 1)).toBeGreaterThan(0);
        expect(kinds.length).toBeLessThanOrEqual(1);
        expect(outcome.times).toBe(1);
        expect(client.frames.indexOf(closings[0] as typeof end)).toBeLessThan(client.frames.indexOf(end));
        observer.send("job.subscribe", { job_id: jobId, history: true });
        await observer.end(String(jobId));
        const endings = endingsIn(observer, String(jobId));
        expect(endings).toHaveLength(1);
        const isAnswer = endings[0] === "answered" || endings[0] === "default";
        expect(outcome.value !== undefined).toBe(isAnswer);
        if (outcome.value !== undefined) expect(outcome.value.isDefault).toBe(endings[0] === "default");
      }),
      { numRuns: 60 },
    );
  });

  test("grants a permission once or not at all", async () => {
    covers("V10-15.4-05", "V10-15.5-01");
    const decisions = fc.array(
      fc.record({ by: fc.nat(2), isGrant: fc.boolean(), isForSomethingElse: fc.boolean(), waits: fc.boolean() }),
      { minLength: 1, maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(decisions, async (given) => {
        await using job = await askingJob();
        const { harness, client, run } = job;
        const clients = [client, await harness.rawSession10(), await harness.rawSession10()];
        const what = { permission: "email.send", resource: "to:x", operation: "send" };
        const outcome = watched(run.context.requestPermission(what));
        const request = await asked(client);
        const replies = [];
        for (const { by, isGrant, isForSomethingElse, waits } of given) {
          const decide = isGrant ? grant : deny;
          const payload = isForSomethingElse ? { resource: "to:y" } : {};
          replies.push(decide(clients[by] as RawClient10, request, payload));
          if (waits) await settle(2);
        }
        const said = await Promise.all(replies);
        await settle();
        const applied = said.filter(({ payload }) => payload.status === "applied");
        const valid = given.filter(({ isForSomethingElse }) => !isForSomethingElse);
        expect(applied).toHaveLength(valid.length > 0 ? 1 : 0);
        expect(outcome.times).toBe(valid.length > 0 ? 1 : 0);
        expect(client.ofType("lease.granted")).toHaveLength(outcome.value === undefined ? 0 : 1);
        if (outcome.value !== undefined) {
          await expect(outcome.value.perform(() => "sent")).resolves.toBe("sent");
          await expect(run.context.operation("x-vendor.permission.email.send", "to:y", () => "sent")).rejects.toThrow();
        }
      }),
      { numRuns: 30 },
    );
  });
});
