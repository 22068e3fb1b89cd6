/** How a client of wire 1.0 answers for people (RFC §12, §15). */
import { aTimestamp, is, shape, someText } from "../../matcher.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { asked, inAMinute, type Job10, openSession10, type Session10 } from "./session.ts";

/** A question of a running job, and the client's answer, which is taken. */
async function answered(session: Session10, job: Job10, type: string, payload: JsonObject, answer: string) {
  const id = job.send(type, { expires_at: inAMinute(), ...payload }, { correlation_id: undefined });
  const response = await session.caller.next(undefined, ...answer.split("|"));
  session.caller.send("ack", { ack_for: response.id }, { correlation_id: response.id });
  return { id, response };
}

export const people10: readonly ClientCase[] = [
  {
    id: "people/input",
    wire: "1.0",
    requirements: ["V10-12.1-03"],
    title: "an answer names its question, who gave it and when",
    async run(stage) {
      const session = await openSession10(stage, { terms: { answers: { input: { branch: "main" } } } });
      const job = await session.job();
      const question = { prompt: "Which branch?", response_schema: { type: "object" } };
      const { id, response } = await answered(session, job, "human.input.request", question, "human.input.response");
      stage.judge.expect("V10-12.1-03", "human.input.response.correlation_id", response.correlation_id, is(id));
      const payload = shape({ value: is({ branch: "main" }), responded_by: someText, responded_at: aTimestamp });
      stage.judge.expect("V10-12.1-03", "human.input.response.payload", response.payload, payload);
      job.result("done");
      await job.wait();
    },
  },
  {
    id: "people/choice",
    wire: "1.0",
    requirements: ["V10-12.2-02"],
    title: "a choice names its question, the option, who chose and when",
    async run(stage) {
      const session = await openSession10(stage, { terms: { answers: { choice: "skip" } } });
      const job = await session.job();
      const question = {
        prompt: "How?",
        options: [
          { id: "fix", label: "Fix" },
          { id: "skip", label: "Skip" },
        ],
      };
      const { id, response } = await answered(session, job, "human.choice.request", question, "human.choice.response");
      stage.judge.expect("V10-12.2-02", "human.choice.response.correlation_id", response.correlation_id, is(id));
      const payload = shape({ choice_id: is("skip"), responded_by: someText, responded_at: aTimestamp });
      stage.judge.expect("V10-12.2-02", "human.choice.response.payload", response.payload, payload);
      job.result("done");
      await job.wait();
    },
  },
  {
    id: "people/permission",
    wire: "1.0",
    requirements: ["V10-15.4-04"],
    title: "a request for permission is granted or denied, by name",
    async run(stage) {
      const wanted = { permission: "fs.write", resource: "/srv/app", operation: "write", requested_lease_seconds: 60 };
      const terms = (granted: boolean) => ({ terms: { answers: { permission: { granted, lease_seconds: 30 } } } });
      for (const granted of [true, false]) {
        const session = await openSession10(stage, terms(granted));
        const job = await session.job();
        const types = "permission.grant|permission.deny";
        const { id, response } = await answered(session, job, "permission.request", wanted, types);
        const type = granted ? "permission.grant" : "permission.deny";
        stage.judge.expect("V10-15.4-04", "the answer's type", response.type, is(type));
        stage.judge.expect("V10-15.4-04", `${type}.correlation_id`, response.correlation_id, is(id));
        job.result("done");
        await job.wait();
      }
    },
  },
  {
    id: "people/lease",
    wire: "1.0",
    requirements: ["V10-15.5-04"],
    title: "a lease can be extended while it lasts; what the runtime refuses is reported",
    async run(stage) {
      const session = await openSession10(stage);
      const { caller, client } = session;
      const job = await session.job();
      const lease = { lease_id: "lease_1", permission: "fs.write", resource: "/srv", operation: "write" };
      job.send("lease.granted", { ...lease, expires_at: inAMinute() });
      await caller.fence();
      const expires_at = new Date(Date.now() + 120_000).toISOString();
      const doing = client.starts("refresh", { lease_id: "lease_1", seconds: 120 });
      const { command } = await asked(session, "V10-15.5-04", doing, "lease.refresh", "lease.extended", {
        lease_id: "lease_1",
        expires_at,
      });
      stage.judge.expect("V10-15.5-04", "lease.refresh.payload.lease_id", command.payload?.lease_id, is("lease_1"));
      const failing = client.fails("V10-15.5-04", "refresh", { lease_id: "lease_1", seconds: 120 });
      const again = await caller.next("V10-15.5-04", "lease.refresh");
      caller.send(
        "nack",
        { code: "LEASE_EXPIRED", message: "too late", ack_for: again.id },
        { correlation_id: again.id },
      );
      const { code } = await failing;
      stage.judge.that(
        "V10-15.5-04",
        "LEASE_EXPIRED or PERMISSION_DENIED",
        code === "LEASE_EXPIRED" || code === "PERMISSION_DENIED",
        code,
      );
      job.result("done");
      await job.wait();
    },
  },
];
