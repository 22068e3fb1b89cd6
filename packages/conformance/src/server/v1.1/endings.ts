/** §7.3 and §12: how jobs end, and how they fail. */
import type { Frame } from "../../frame.ts";
import { aBoolean, is, oneOf, perhaps, shape, shown, someText, such } from "../../matcher.ts";
import { jobOf, type ServerContext } from "../context.ts";
import { isEndOf, type Peer } from "../peer.ts";
import { begun, cancel, v11 } from "./case.ts";

/** What each way to end looks like. */
async function endings(
  context: ServerContext,
  peer: Peer,
): Promise<readonly { readonly jobId: string; readonly end: Frame; readonly status: string }[]> {
  const success = await context.submit(peer, "echo", 1);
  const failed = await context.submit(peer, "fail");
  const cancelled = await context.submit(peer, "hold");
  const timedOut = await context.submit(peer, "hold", null, { max_runtime_sec: 1 });
  await begun(peer, jobOf(cancelled));
  await cancel(peer, jobOf(cancelled));
  const expected = [
    [success, "success"],
    [failed, "error"],
    [cancelled, "cancelled"],
    [timedOut, "timed_out"],
  ] as const;
  return Promise.all(
    expected.map(async ([accepted, status]) => ({
      jobId: jobOf(accepted),
      end: await peer.end("V11-7.3-02", jobOf(accepted)),
      status,
    })),
  );
}

/** What every error says (§12). */
const AN_ERROR = {
  code: someText,
  message: such("a string", (value) => typeof value === "string"),
  retryable: aBoolean,
};

export const lifecycleCases = [
  v11(
    "lifecycle/ends",
    "every job ends once, and says how",
    ["7.3-01", "7.3-02", "7.3-03", "7.3-04", "7.3-05", "7.3-07", "12-01"],
    ["echo", "fail", "hold"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const ends = await endings(context, peer);
      await peer.quiet();
      const listed = await context.jobs(peer);
      for (const { jobId, end, status } of ends) {
        const isSuccess = status === "success";
        judge.expect(
          "V11-7.3-02",
          `the last message of the job with ${status}`,
          end.type,
          is(isSuccess ? "job.result" : "job.error"),
        );
        if (isSuccess)
          judge.expect("V11-7.3-04", "final_status of job.result", end.payload?.final_status, is("success"));
        else {
          judge.expect("V11-7.3-05", "final_status of job.error", end.payload?.final_status, is(status));
          judge.expect("V11-7.3-05", "job.error.payload", end.payload, shape(AN_ERROR));
          judge.expect(
            "V11-12-01",
            "job.error.payload",
            end.payload,
            shape({ ...AN_ERROR, details: perhaps(shape({})) }),
          );
        }
        if (status === "timed_out")
          judge.expect("V11-7.3-07", "the code of a job that took too long", end.payload?.code, is("TIMEOUT"));
        const messages = peer.ofJob(jobId);
        judge.expect(
          "V11-7.3-02",
          "how many last messages",
          messages.filter((frame) => isEndOf(frame, jobId)).length,
          is(1),
        );
        judge.expect(
          "V11-7.3-03",
          "what comes after the last message",
          messages.slice(messages.indexOf(end) + 1),
          is([]),
        );
        judge.expect(
          "V11-7.3-01",
          "its status in session.jobs",
          listed.find(({ job_id }) => job_id === jobId)?.["status"],
          is(status),
        );
      }
    },
  ),
  v11("lifecycle/running", "a job that is at work is running", ["7.3-01"], ["hold"], async (context) => {
    const peer = await context.session();
    const jobId = jobOf(await context.submit(peer, "hold"));
    await begun(peer, jobId);
    const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
    context.judge.expect("V11-7.3-01", "its status in session.jobs", listed?.["status"], is("running"));
    await cancel(peer, jobId);
  }),
];

export const errorCases = [
  v11("errors/own-code", "an agent's own code comes through", ["12-03"], ["fail_with"], async (context) => {
    const peer = await context.session();
    const accepted = await context.submit(peer, "fail_with", { code: "ACME_QUOTA", message: "no more today" });
    const end = await peer.end("V11-12-03", jobOf(accepted));
    context.judge.expect("V11-12-03", "the code", end.payload?.code, is("ACME_QUOTA"));
  }),
  v11(
    "errors/fault",
    "what an agent throws is INTERNAL_ERROR, without a stack",
    ["12-07", "12-01"],
    ["fail"],
    async (context) => {
      const peer = await context.session();
      const end = await peer.end("V11-12-07", jobOf(await context.submit(peer, "fail")));
      context.judge.expect(
        "V11-12-07",
        "job.error.payload",
        end.payload,
        shape({ code: is("INTERNAL_ERROR"), retryable: is(true) }),
      );
      context.judge.that(
        "V11-12-07",
        "no stack",
        !/\n\s+at /.test(JSON.stringify(end.payload).replaceAll("\\n", "\n")),
        end.payload,
      );
      context.judge.expect(
        "V11-12-01",
        "job.error.payload",
        end.payload,
        shape({ code: someText, retryable: aBoolean }),
      );
    },
  ),
  v11(
    "errors/codes",
    "refusals have the specification's codes, and say everything",
    ["12-01", "12-02"],
    ["echo"],
    async (context) => {
      const peer = await context.session();
      const agent = context.agent("echo");
      const requests: readonly (readonly [string, object])[] = [
        ["job.submit", { agent: "suite.no-such-agent" }],
        ["job.submit", { agent: "A" }],
        ["job.submit", { agent, lease_request: [] }],
        ["job.cancel", { job_id: "job_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["job.subscribe", { job_id: "job_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["session.list_jobs", { limit: "many" }],
      ];
      for (const [type, payload] of requests) {
        const answer = await peer.ask("V11-12-01", type, payload);
        context.judge.expect(
          "V11-12-01",
          `the refusal of ${type} ${shown(payload)}`,
          answer.payload,
          shape({
            code: someText,
            message: such("a string", (value) => typeof value === "string"),
            retryable: aBoolean,
            details: perhaps(shape({})),
          }),
        );
        context.judge.expect("V11-12-02", "its code", answer.payload?.code, oneOf(...CODES));
      }
    },
  ),
];

const CODES = [
  ...["PERMISSION_DENIED", "LEASE_SUBSET_VIOLATION", "JOB_NOT_FOUND", "DUPLICATE_KEY", "AGENT_NOT_AVAILABLE"],
  ...[
    "AGENT_VERSION_NOT_AVAILABLE",
    "CANCELLED",
    "TIMEOUT",
    "RESUME_WINDOW_EXPIRED",
    "HEARTBEAT_LOST",
    "LEASE_EXPIRED",
  ],
  ...["BUDGET_EXHAUSTED", "INVALID_REQUEST", "UNAUTHENTICATED", "INTERNAL_ERROR"],
];
