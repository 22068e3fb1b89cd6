/** What a client of wire 1.0 must survive, and how it ends a session. */
import { is, oneOf, perhaps } from "../../matcher.ts";
import type { ClientCase } from "../stage.ts";
import { type Job10, openSession10, type Session10 } from "./session.ts";

export const hostile10: readonly ClientCase[] = [
  ...(
    [
      [
        "no-json",
        "frames that are no JSON, or no object",
        ({ caller }) => {
          for (const one of ["{", "", "[]", "null", "42", '"x"', "{}", '{"type":5}']) caller.sendText(one);
        },
      ],
      [
        "depth",
        "a frame of ten thousand brackets",
        ({ caller }) => {
          caller.sendText(`{"payload":${"[".repeat(10_000)}${"]".repeat(10_000)}}`);
        },
      ],
      [
        "wrong-members",
        "messages whose members are of the wrong type",
        ({ caller }, job) => {
          for (const payload of [null, [], "x", 7]) caller.send("log", payload, { job_id: job.id });
          caller.send("job.progress", { percent: "much" }, { job_id: job.id });
          caller.send("stream.chunk", { sequence: -1 }, { job_id: job.id, stream_id: "str_none" });
          caller.send("tool.result", { value: "forged" }, { correlation_id: 17 });
        },
      ],
      [
        "stray",
        "answers, endings, chunks and permissions of what is not there",
        ({ caller }) => {
          const nobody = { correlation_id: "msg_nobody" };
          for (const type of [
            "ack",
            "pong",
            "job.accepted",
            "tool.result",
            "cancel.accepted",
            "artifact.ref",
            "subscribe.closed",
          ]) {
            caller.send(type, { value: 1, job_id: "job_stray", target: "job", target_id: "job_stray" }, nobody);
          }
          caller.send("stream.chunk", { sequence: 0, data: "x" }, { stream_id: "str_stray" });
          caller.send("human.input.cancelled", { code: "CANCELLED", message: "whose?" }, nobody);
          caller.send("lease.revoked", { lease_id: "lease_stray", reason: "none" });
        },
      ],
      [
        "second-accepted",
        "a second session.accepted, and a rejection that comes too late",
        ({ caller }) => {
          caller.send(
            "session.accepted",
            { session_id: "sess_forged", runtime: { kind: "x", version: "1" }, capabilities: {} },
            { session_id: "sess_forged" },
          );
        },
      ],
      [
        "large",
        "a log of two mebibytes",
        (_session, job) => job.send("event.emit", { name: "acme.blob", data: "x".repeat(2 * 1024 * 1024) }),
      ],
    ] as readonly (readonly [string, string, (session: Session10, job: Job10) => unknown])[]
  ).map(
    ([id, title, send]): ClientCase => ({
      id: `hostile/${id}`,
      wire: "1.0",
      requirements: ["V10-21.3-04", "V10-4.4-01"],
      title,
      async run(stage) {
        const session = await openSession10(stage);
        const job = await session.job();
        job.log("before");
        await session.caller.fence();
        send(session, job);
        const members = await session.goesOn("V10-21.3-04");
        job.log("after", members);
        job.result("done", members);
        const { logs, result } = await job.wait("V10-21.3-04");
        stage.judge.that("V10-21.3-04", "the job to end as ever", logs.join() === "before,after" && result === "done", {
          logs,
          result,
        });
        const next = await session.job();
        next.result("next");
        const ended = await next.wait("V10-4.4-01");
        stage.judge.that("V10-4.4-01", "the next job to end as ever", ended.result === "next", ended);
      },
    }),
  ),
  {
    id: "close/said",
    wire: "1.0",
    requirements: ["V10-6.1.1-04"],
    title: "a client says session.close before it hangs up, in its session",
    async run(stage) {
      const { client, caller, id } = await openSession10(stage);
      const closing = client.starts("close", { reason: "done here" });
      const close = await caller.next("V10-6.1.1-04", "session.close");
      stage.judge.expect("V10-6.1.1-04", "session.close.session_id", close.session_id, is(id));
      stage.judge.expect(
        "V10-6.1.1-04",
        "session.close.payload.reason",
        close.payload?.reason,
        perhaps(oneOf("done here")),
      );
      caller.close(1000);
      await closing;
    },
  },
];
