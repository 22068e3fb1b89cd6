/** Questions, choices and permissions. */
import type { Frame } from "../../frame.ts";
import { anObject, aTimestamp, is, nothing, oneOf, shape, someText, such } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { asked, ending, isEnd, isNack, ofJob, v10 } from "./case.ts";

export const peopleCases = [
  v10(
    "people/input",
    "a person is asked, and only what keeps the schema counts",
    ["12.1-01", "12.1-04", "12.1-05", "12.1-06", "12.4-01"],
    ["ask"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const response_schema = { type: "object", required: ["n"], properties: { n: { type: "integer" } } };
      const { jobId, question } = await asked(context, peer, "ask", { response_schema }, "V10-12.1-01");
      judge.expect("V10-12.4-01", "expires_at", question.payload?.expires_at, aTimestamp);
      judge.expect(
        "V10-12.1-01",
        "human.input.request",
        question,
        shape({
          job_id: is(jobId),
          payload: shape({ prompt: someText, response_schema: anObject, expires_at: aTimestamp }),
        }),
      );
      const answer = (value: unknown, claim: string): Promise<Frame> =>
        peer.ask(claim, "human.input.response", { value, responded_by: "suite" }, { correlation_id: question.id });
      isNack(
        context,
        "V10-12.1-05",
        await answer({ n: "one" }, "V10-12.1-05"),
        ["INVALID_ARGUMENT"],
        "the answer to a value that does not keep the schema",
      );
      await peer.quiet();
      judge.expect("V10-12.1-04", "the end of the job", peer.frames.find(isEnd(jobId)), nothing);
      const taken = await answer({ n: 1 }, "V10-12.1-06");
      judge.that("V10-12.1-06", "a value that keeps the schema to be taken", taken.type !== "nack", taken);
      const end = await ending(peer, jobId, "V10-12.1-06");
      judge.that("V10-12.1-06", "the value that keeps the schema", JSON.stringify(end.payload).includes('"n":1'), end);
    },
  ),
  v10(
    "people/choice",
    "one of the options is chosen, and nothing else",
    ["12.2-01", "12.2-03"],
    ["choose"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const options = [
        { id: "a", label: "A" },
        { id: "b", label: "B" },
      ];
      const { jobId, question } = await asked(context, peer, "choose", { options }, "V10-12.2-01");
      judge.expect(
        "V10-12.2-01",
        "human.choice.request.payload",
        question.payload,
        shape({
          prompt: someText,
          expires_at: aTimestamp,
          options: such(
            "the two options",
            (value) => Array.isArray(value) && value.length === 2 && value[1].id === "b",
          ),
        }),
      );
      const answer = (choice_id: string): Promise<Frame> =>
        peer.ask(
          "V10-12.2-03",
          "human.choice.response",
          { choice_id, responded_by: "suite" },
          { correlation_id: question.id },
        );
      isNack(context, "V10-12.2-03", await answer("c"), ["INVALID_ARGUMENT"], "the answer to what is no option");
      await answer("b");
      const end = await ending(peer, jobId, "V10-12.2-03");
      judge.that("V10-12.2-03", "the choice", JSON.stringify(end.payload).includes('"b"'), end);
    },
  ),
  v10(
    "people/first",
    "the first answer counts, and whoever else was asked is told",
    ["12.3-01", "12.3-03", "12.3-04"],
    ["ask", "connections"],
    async (context) => {
      const { judge } = context;
      const one = (await context.open10()).peer;
      const two = (await context.open10()).peer;
      const { jobId, question } = await asked(context, one, "ask", {}, "V10-12.3-01");
      const same = await two.sees(
        "V10-12.3-03",
        "the question in the other session",
        ({ type, payload, job_id }) => type === "human.input.request" && (job_id ?? payload?.job_id) === jobId,
      );
      await one.ask(
        "V10-12.3-01",
        "human.input.response",
        { value: "first", responded_by: "one" },
        { correlation_id: question.id },
      );
      await two.ask(
        "V10-12.3-01",
        "human.input.response",
        { value: "second", responded_by: "two" },
        { correlation_id: same.id },
      );
      const end = await ending(one, jobId, "V10-12.3-01");
      judge.that("V10-12.3-01", "the first answer", JSON.stringify(end.payload).includes("first"), end);
      const told = await two.sees(
        ["V10-12.3-03", "V10-12.3-04"],
        "news of the end of the question",
        ({ type, correlation_id, causation_id, payload }) =>
          type === "human.input.cancelled" ||
          (type === "event.emit" && [correlation_id, causation_id, payload?.data?.request_id].includes(same.id)),
      );
      judge.expect("V10-12.3-04", "it", told.type, oneOf("human.input.cancelled", "event.emit"));
    },
  ),
  v10(
    "people/expiry",
    "a question that nobody answers ends at its time",
    ["12.4-02", "12.4-03", "12.4-04", "12.4-05"],
    ["ask"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const { jobId, question } = await asked(context, peer, "ask", { expires_in_ms: 400 }, "V10-12.4-02");
      const withDefault = jobOf(await context.invoke(peer, "ask", { expires_in_ms: 400, default: "fallback" }));
      const isAbout = ({ correlation_id, causation_id, payload }: Frame): boolean =>
        [correlation_id, causation_id, payload?.request_id].includes(question.id);
      const over = await peer.sees(
        "V10-12.4-02",
        "human.input.cancelled",
        (frame) => frame.type === "human.input.cancelled" && (isAbout(frame) || frame.job_id === jobId),
      );
      judge.expect("V10-12.4-04", "its code", over.payload?.code, is("DEADLINE_EXCEEDED"));
      const end = await ending(peer, jobId, "V10-12.4-04");
      judge.that("V10-12.4-04", "the job to fail", end.type === "tool.error" || end.type === "job.failed", end);
      const late = await peer.ask(
        "V10-12.4-05",
        "human.input.response",
        { value: "late", responded_by: "suite" },
        { correlation_id: question.id },
      );
      judge.that(
        "V10-12.4-05",
        "no answer that is applied",
        late.type === "nack" || late.payload?.status === "ignored",
        late,
      );
      const fallback = await ending(peer, withDefault, "V10-12.4-03");
      judge.that("V10-12.4-03", "the default", JSON.stringify(fallback.payload).includes("fallback"), fallback);
    },
  ),
  v10(
    "people/permission",
    "what a person grants may be done, by a lease that ends",
    ["12-01", "15.1-01", "15.4-01", "15.4-02", "15.4-05", "15.4-06", "15.5-01"],
    ["permit"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const input = {
        permission: "filesystem.read",
        resource: "/site/a",
        operation: "read",
        capability: "fs.read",
        target: "/site/a",
      };
      const { jobId, question } = await asked(context, peer, "permit", input, "V10-15.4-01");
      judge.expect(
        "V10-15.4-02",
        "permission.request",
        question,
        shape({
          job_id: is(jobId),
          payload: shape({ permission: is("filesystem.read"), resource: someText, operation: someText }),
        }),
      );
      peer.send(
        "permission.grant",
        {
          permission: "filesystem.read",
          resource: question.payload.resource,
          operation: "read",
          lease_seconds: 30,
          responded_by: "suite",
        },
        { correlation_id: question.id },
      );
      const human = ofJob(peer, jobId).filter(({ type }) => type.startsWith("human."));
      judge.expect("V10-12-01", "questions of other kinds about a permission", human, is([]));
      const lease = await peer.sees("V10-15.5-01", "lease.granted", ({ type }) => type === "lease.granted");
      judge.expect(
        "V10-15.5-01",
        "lease.granted.payload",
        lease.payload,
        shape({
          lease_id: someText,
          permission: someText,
          resource: someText,
          operation: someText,
          expires_at: aTimestamp,
        }),
      );
      judge.expect(
        "V10-15.4-06",
        "what it is bound to",
        lease.payload,
        shape({ resource: is(question.payload.resource), operation: is("read"), expires_at: aTimestamp }),
      );
      const end = await ending(peer, jobId, "V10-15.4-05");
      judge.that(
        "V10-15.4-05",
        "an operation that was performed",
        JSON.stringify(end.payload).includes('"performed":true'),
        end,
      );
      const other = { ...input, resource: "/site/b", target: "/site/b" };
      const denied = await asked(context, peer, "permit", other, "V10-15.4-01");
      peer.send("permission.deny", { reason: "no", responded_by: "suite" }, { correlation_id: denied.question.id });
      const refused = await ending(peer, denied.jobId, "V10-15.4-05");
      judge.that(
        "V10-15.4-05",
        "PERMISSION_DENIED",
        JSON.stringify(refused.payload).includes("PERMISSION_DENIED"),
        refused,
      );
      judge.that(
        "V10-15.1-01",
        "nothing to follow from another grant",
        JSON.stringify(refused.payload).includes('"performed":false'),
        refused,
      );
    },
  ),
];
