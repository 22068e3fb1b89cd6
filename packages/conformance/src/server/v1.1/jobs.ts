/** §7.1 to §7.5: submission, idempotency, how jobs end, cancellation, versions of agents. */
import type { Frame } from "../../frame.ts";
import {
  aBoolean,
  aTimestamp,
  aTraceId,
  is,
  oneOf,
  perhaps,
  shape,
  shown,
  someText,
  such,
  text,
} from "../../matcher.ts";
import { jobOf, type ServerContext } from "../context.ts";
import { isEndOf, type Peer } from "../peer.ts";
import { v11 } from "./case.ts";

let keys = 0;
/** A key that nobody has used. */
const newKey = (): string => {
  keys += 1;
  return `suite-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}-${keys}`;
};

const inAnHour = (): string => new Date(Date.now() + 3_600_000).toISOString();

/** Waits for the first event of a job. */
function begun(peer: Peer, jobId: string): Promise<Frame> {
  return peer.sees(
    undefined,
    `the first event of ${jobId}`,
    ({ job_id, event_seq }) => job_id === jobId && event_seq !== undefined,
  );
}

async function cancel(peer: Peer, jobId: string, requirement?: string): Promise<Frame> {
  const answer = await peer.ask(requirement, "job.cancel", { job_id: jobId, reason: "suite" }, { job_id: jobId });
  return answer;
}

/** Submits as often as there are `payloads`, and returns what each was answered. */
const submitAll = (peers: readonly Peer[], requirement: string, payload: object): Promise<readonly Frame[]> =>
  Promise.all(peers.map((peer) => peer.ask(requirement, "job.submit", payload)));

const submissionCases = [
  v11(
    "submit/accepted",
    "an acceptance says everything, and comes before anything else of its job",
    ["7.1-02", "7.1-05", "7.1-08", "7.1-09", "7.1-10", "7.1-11"],
    ["count"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const { accepted, jobId } = await context.perform(peer, "count", { n: 3 });
      judge.expect(
        "V11-7.1-02",
        "job.accepted.payload",
        accepted.payload,
        shape({ job_id: someText, lease: shape({}), accepted_at: aTimestamp, trace_id: aTraceId }),
      );
      judge.expect("V11-7.1-05", "the lease of a job that asked for none", accepted.payload.lease, is({}));
      judge.expect(
        "V11-7.1-08",
        "lease_constraints of a job that asked for none",
        accepted.payload.lease_constraints ?? {},
        such("without expires_at", (value) => (value as { expires_at?: unknown }).expires_at == null),
      );
      judge.expect("V11-7.1-09", "budget of a job without cost.budget", accepted.payload.budget ?? {}, is({}));
      judge.expect(
        "V11-7.1-10",
        "credentials of a job that asked for nothing",
        accepted.payload.credentials,
        perhaps(such("a list", Array.isArray)),
      );
      const first = peer.frames.findIndex((frame) => frame.job_id === jobId || frame.payload?.job_id === jobId);
      judge.expect("V11-7.1-11", "the first message about the job", peer.frames[first]?.type, is("job.accepted"));
    },
  ),
  v11(
    "submit/lease",
    "what was granted is told, and is no more than was asked for",
    ["7.1-03", "7.1-04", "7.1-05", "7.1-06", "7.1-07", "9.6-02"],
    ["operate"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const expires_at = inAnHour();
      const lease_request = {
        "tool.call": ["suite.tool", "suite.other.*"],
        "fs.read": ["/site/**"],
        "cost.budget": ["USD:5.00", "credits:1000"],
      };
      const operations = [
        { capability: "tool.call", target: "suite.tool" },
        { capability: "fs.read", target: "/elsewhere/x" },
      ];
      const { accepted, result } = await context.perform(
        peer,
        "operate",
        { operations },
        { lease_request, lease_constraints: { expires_at } },
      );
      const { lease, lease_constraints, budget } = accepted.payload;
      for (const [capability, patterns] of Object.entries<readonly string[]>(lease)) {
        const asked: readonly string[] = lease_request[capability as keyof typeof lease_request] ?? [];
        const more = patterns.filter((pattern) => !asked.includes(pattern) && capability !== "cost.budget");
        judge.expect("V11-7.1-05", `patterns of ${capability} that nobody asked for`, more, is([]));
        judge.that("V11-7.1-05", "no capability that nobody asked for", asked.length > 0, capability);
      }
      judge.looksAt("V11-7.1-04");
      judge.that(
        "V11-7.1-06",
        `lease_constraints.expires_at ${expires_at}`,
        Date.parse(lease_constraints?.expires_at) === Date.parse(expires_at),
        lease_constraints,
      );
      if (lease["cost.budget"] !== undefined) {
        judge.expect("V11-7.1-07", "budget", budget, is({ USD: 5, credits: 1000 }));
        judge.expect("V11-9.6-02", "a counter for each currency", budget, is({ USD: 5, credits: 1000 }));
      }
      const covered = (lease["tool.call"] ?? []).includes("suite.tool");
      judge.expect(
        "V11-7.1-03",
        "whether what the lease covers was performed, and what it does not cover",
        result?.outcomes?.map(({ performed }: { performed: boolean }) => performed),
        is([covered, false]),
      );
    },
  ),
  v11("submit/refused", "what is refused starts no job", ["7.1-12"], ["echo"], async (context) => {
    const peer = await context.session();
    const agent = context.agent("echo");
    const marker = newKey();
    const bad = [
      { agent: "suite.no-such-agent" },
      { agent, lease_request: { "fs.read": "not a list" } },
      { agent, lease_constraints: { expires_at: "2001-01-01T00:00:00Z" } },
    ];
    const types: string[] = [];
    for (const payload of bad)
      types.push((await peer.ask("V11-7.1-12", "job.submit", { input: marker, ...payload })).type);
    context.judge.that("V11-7.1-12", "no job.accepted", !types.includes("job.accepted"), types);
    await peer.quiet();
    const told = peer.frames.filter(
      ({ type }) => type === "job.accepted" || type === "job.event" || type === "job.result",
    );
    context.judge.expect("V11-7.1-12", "messages of jobs that were refused", told, is([]));
  }),
];

const idempotencyCases = [
  v11(
    "idempotency/same",
    "the same submission under the same key is one job",
    ["7.2-01", "7.2-06", "7.2-08"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const idempotency_key = newKey();
      const agent = context.agent("echo");
      const lease_request = { "fs.read": ["/a/**"], "tool.call": ["suite.tool"] };
      const first = await peer.ask(undefined, "job.submit", {
        agent,
        input: { a: 1, b: [1, 2] },
        lease_request,
        idempotency_key,
      });
      const second = await peer.ask("V11-7.2-01", "job.submit", {
        agent,
        input: { a: 1, b: [1, 2] },
        lease_request,
        idempotency_key,
      });
      const essence = ({ job_id, lease, accepted_at, trace_id, agent }: Frame["payload"]): object => ({
        job_id,
        lease,
        accepted_at,
        trace_id,
        agent,
      });
      judge.expect("V11-7.2-01", "the second answer", second.type, is("job.accepted"));
      judge.expect(
        "V11-7.2-01",
        "the payload of the second answer",
        essence(second.payload),
        is(essence(first.payload)),
      );
      const turned = { "tool.call": ["suite.tool"], "fs.read": ["/a/**"] };
      peer.sendText(
        `{"arcp":"1.1","id":"${newKey()}","type":"job.submit","session_id":"${peer.sessionId}","payload":{ "idempotency_key":"${idempotency_key}", "input": {"b": [1, 2],\t"a": 1}, "lease_request": ${JSON.stringify(turned)}, "agent":"${agent}" }}`,
      );
      await peer.end(undefined, jobOf(first));
      const answers = (): readonly Frame[] => peer.frames.filter(({ type }) => type === "job.accepted");
      await peer.sees("V11-7.2-08", "a third job.accepted", () => answers().length === 3);
      const jobs = new Set(answers().map(jobOf));
      judge.that("V11-7.2-08", "one job, in whatever order the members are", jobs.size === 1, [...jobs]);
      const fresh = context.target.isShared ? await context.session() : peer;
      const before = fresh.numbered.length;
      const again = await fresh.ask("V11-7.2-06", "job.submit", {
        agent,
        input: { a: 1, b: [1, 2] },
        lease_request,
        idempotency_key,
      });
      judge.expect("V11-7.2-06", "the job", jobOf(again), is(jobOf(first)));
      const isNew = (frame: Frame): boolean => isEndOf(frame, jobOf(first)) && fresh.numbered.indexOf(frame) >= before;
      const end = await fresh.sees("V11-7.2-06", "the last message of the job once more", isNew);
      judge.expect("V11-7.2-06", "what it says", end.payload?.result, is({ a: 1, b: [1, 2] }));
    },
  ),
  v11(
    "idempotency/other-session",
    "a key is the principal's, in whatever session",
    ["7.2-02", "7.2-05"],
    ["count", "connections"],
    async (context) => {
      const one = await context.session();
      const two = await context.session();
      const payload = { agent: context.agent("count"), input: { n: 100_000, delay_ms: 40 }, idempotency_key: newKey() };
      const first = await one.ask(undefined, "job.submit", payload);
      await begun(one, jobOf(first));
      const second = await two.ask("V11-7.2-02", "job.submit", payload);
      context.judge.expect("V11-7.2-02", "the job of the second session's submission", jobOf(second), is(jobOf(first)));
      const isEvent = ({ type, job_id }: Frame): boolean => type === "job.event" && job_id === jobOf(first);
      await two.sees("V11-7.2-05", "events of the running job", isEvent);
      await cancel(one, jobOf(first));
      const end = await two.end("V11-7.2-05", jobOf(first));
      context.judge.expect("V11-7.2-05", "its end", end.payload?.code, is("CANCELLED"));
    },
  ),
  v11(
    "idempotency/other-principal",
    "the same key of another principal is another job",
    ["7.2-03"],
    ["echo", "connections", "principals"],
    async (context) => {
      const one = await context.session();
      const two = await context.session({ token: context.tokenB });
      const key = newKey();
      const first = await one.ask(undefined, "job.submit", {
        agent: context.agent("echo"),
        input: 1,
        idempotency_key: key,
      });
      const second = await two.ask("V11-7.2-03", "job.submit", {
        agent: context.agent("echo"),
        input: 2,
        idempotency_key: key,
      });
      context.judge.expect("V11-7.2-03", "the answer to the other principal", second.type, is("job.accepted"));
      context.judge.that("V11-7.2-03", "another job", jobOf(first) !== jobOf(second), jobOf(second));
    },
  ),
  v11(
    "idempotency/conflict",
    "a key that stands for something else is refused",
    ["7.2-07", "9.5-08"],
    ["echo", "count"],
    async (context) => {
      const peer = await context.session();
      const idempotency_key = newKey();
      const base = {
        agent: context.agent("echo"),
        input: 1,
        lease_request: { "fs.read": ["/a/*"] },
        lease_constraints: { expires_at: inAnHour() },
        max_runtime_sec: 60,
        idempotency_key,
      };
      const first = await peer.ask(undefined, "job.submit", base);
      context.judge.expect(undefined, "the first answer", first.type, is("job.accepted"));
      const variations = [
        { agent: context.agent("count") },
        { input: 2 },
        { lease_request: { "fs.read": ["/a/**"] } },
        { max_runtime_sec: 61 },
      ];
      for (const variation of variations) {
        await context.refused("V11-7.2-07", peer, "job.submit", { ...base, ...variation }, ["DUPLICATE_KEY"]);
      }
      const later = { lease_constraints: { expires_at: new Date(Date.now() + 7_200_000).toISOString() } };
      await context.refused("V11-9.5-08", peer, "job.submit", { ...base, ...later }, ["DUPLICATE_KEY"]);
    },
  ),
  v11(
    "idempotency/at-once",
    "twenty submissions at once under one key are one job",
    ["7.2-09"],
    ["echo", "connections"],
    async (context) => {
      const peers = await Promise.all(Array.from({ length: 4 }, () => context.session()));
      const payload = { agent: context.agent("echo"), input: "once", idempotency_key: newKey() };
      const asked = Array.from({ length: 5 }, () => submitAll(peers, "V11-7.2-09", payload));
      const answers = (await Promise.all(asked)).flat();
      for (const { type } of answers) context.judge.expect("V11-7.2-09", "an answer", type, is("job.accepted"));
      const jobs = new Set(answers.map(jobOf));
      context.judge.that("V11-7.2-09", "one job", jobs.size === 1, [...jobs]);
    },
  ),
  v11(
    "idempotency/redelivered",
    "an envelope that comes twice is carried out once",
    ["7.2-10"],
    ["count"],
    async (context) => {
      const peer = await context.session();
      const envelope = JSON.stringify({
        arcp: "1.1",
        id: newKey(),
        type: "job.submit",
        session_id: peer.sessionId,
        payload: { agent: context.agent("count"), input: { n: 1 } },
      });
      peer.sendText(envelope);
      peer.sendText(envelope);
      await peer.sees(undefined, "the job's end", ({ type }) => type === "job.result");
      await peer.quiet();
      const jobs = new Set(peer.numbered.map(({ job_id }) => job_id));
      context.judge.that("V11-7.2-10", "one job", jobs.size === 1, [...jobs]);
    },
  ),
];

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

const lifecycleCases = [
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
          judge.expect(
            "V11-7.3-05",
            "job.error.payload",
            end.payload,
            shape({
              code: someText,
              message: such("a string", (value) => typeof value === "string"),
              retryable: aBoolean,
            }),
          );
          judge.expect(
            "V11-12-01",
            "job.error.payload",
            end.payload,
            shape({
              code: someText,
              message: such("a string", (value) => typeof value === "string"),
              retryable: aBoolean,
              details: perhaps(shape({})),
            }),
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

const cancellationCases = [
  v11(
    "cancel/acknowledged",
    "a cancellation is acknowledged, and ends the job",
    ["7.4-03", "7.4-04", "7.4-05", "7.4-06"],
    ["hold"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "hold"));
      await begun(peer, jobId);
      const answer = await cancel(peer, jobId, "V11-7.4-03");
      judge.expect("V11-7.4-03", "the answer to job.cancel", answer.type, is("job.cancelled"));
      judge.expect("V11-7.4-03", "the job that it names", answer.job_id ?? answer.payload?.job_id, is(jobId));
      const end = await peer.end("V11-7.4-06", jobId);
      judge.expect(
        "V11-7.4-04",
        "the last message",
        { type: end.type, code: end.payload?.code, final_status: end.payload?.final_status },
        is({ type: "job.error", code: "CANCELLED", final_status: "cancelled" }),
      );
      judge.that(
        "V11-7.4-05",
        "job.cancelled before job.error",
        peer.frames.indexOf(answer) < peer.frames.indexOf(end),
        "job.error came first",
      );
    },
  ),
  v11(
    "cancel/grace",
    "a job whose agent does not listen ends all the same, and says nothing more",
    ["7.4-07", "7.4-09", "7.3-03"],
    ["stubborn"],
    async (context) => {
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "stubborn", { ms: 33_000 }));
      await begun(peer, jobId);
      await cancel(peer, jobId);
      const end = await peer.end("V11-7.4-07", jobId, 31_000);
      context.judge.expect("V11-7.4-07", "final_status", end.payload?.final_status, is("cancelled"));
      await peer.quiet();
      const messages = peer.ofJob(jobId);
      context.judge.expect(
        "V11-7.4-09",
        "what comes after the last message",
        messages.slice(messages.indexOf(end) + 1),
        is([]),
      );
      context.judge.expect(
        "V11-7.3-03",
        "what comes after the last message",
        messages.slice(messages.indexOf(end) + 1),
        is([]),
      );
    },
    35_000,
  ),
  v11("cancel/unknown", "a job that does not exist cannot be cancelled", ["7.4-10"], [], async (context) => {
    const peer = await context.session();
    const answer = await cancel(peer, "job_01ARZ3NDEKTSV4RRFFQ69G5FAV", "V11-7.4-10");
    context.isRefusal("V11-7.4-10", answer, ["JOB_NOT_FOUND"], "the answer");
  }),
  v11(
    "cancel/other-principal",
    "a job of another principal cannot be cancelled",
    ["7.4-10"],
    ["hold", "connections", "principals"],
    async (context) => {
      const mine = await context.session();
      const other = await context.session({ token: context.tokenB });
      const jobId = jobOf(await context.submit(mine, "hold"));
      await begun(mine, jobId);
      context.isRefusal(
        "V11-7.4-10",
        await cancel(other, jobId, "V11-7.4-10"),
        ["JOB_NOT_FOUND", "PERMISSION_DENIED"],
        "the answer",
      );
      await mine.quiet();
      context.judge.that(
        "V11-7.4-10",
        "a job that goes on",
        mine.ofJob(jobId).every(({ type }) => type === "job.event"),
        jobId,
      );
      await cancel(mine, jobId);
    },
  ),
  v11("cancel/ended", "cancelling what has ended changes nothing", ["7.4-11"], ["echo"], async (context) => {
    const peer = await context.session();
    const { jobId } = await context.perform(peer, "echo", 1);
    for (let time = 0; time < 2; time += 1) await cancel(peer, jobId, "V11-7.4-11");
    await peer.quiet();
    const ends = peer.ofJob(jobId).filter((frame) => isEndOf(frame, jobId));
    context.judge.expect("V11-7.4-11", "how many last messages", ends.length, is(1));
    const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
    context.judge.expect("V11-7.4-11", "its status", listed?.["status"], is("success"));
  }),
];

const versionCases = [
  v11("versions/grammar", "names that are none are refused", ["7.5-02"], [], async (context) => {
    const peer = await context.session();
    for (const agent of ["Foo", "-a", "a@", "a@b@c", "a b", ""]) {
      await context.refused("V11-7.5-02", peer, "job.submit", { agent, input: 1 }, ["INVALID_REQUEST"]);
    }
    await context.refused("V11-7.5-02", peer, "job.submit", { agent: "suite.none_x-1@2.0.0+build.1" }, [
      "AGENT_NOT_AVAILABLE",
    ]);
  }),
  v11(
    "versions/default",
    "a bare name is the version that the welcome calls the default",
    ["7.5-03", "7.5-04", "7.5-10"],
    ["versioned"],
    async (context) => {
      const peer = await context.connect();
      const welcome = await context.greet(peer);
      const name = context.agent("versioned").split("@")[0] ?? "";
      const entry = welcome.payload?.capabilities?.agents?.find((agent: { name?: string }) => agent.name === name);
      const accepted = await peer.ask("V11-7.5-03", "job.submit", { agent: name });
      const expected =
        entry?.default === undefined
          ? oneOf(...(entry?.versions ?? []).map((version: string) => `${name}@${version}`))
          : is(`${name}@${entry.default}`);
      context.judge.expect(
        entry?.default === undefined ? "V11-7.5-04" : "V11-7.5-03",
        "agent in job.accepted",
        accepted.payload?.agent,
        expected,
      );
      context.judge.looksAt("V11-7.5-04");
      context.judge.expect(
        "V11-7.5-10",
        "agent in job.accepted",
        accepted.payload?.agent,
        text(/^[^@]+@[^@]+$/, "name@version"),
      );
      const end = await peer.end("V11-7.5-03", jobOf(accepted));
      context.judge.expect(
        "V11-7.5-03",
        "the version that ran",
        end.payload?.result?.agent,
        is(accepted.payload?.agent),
      );
    },
  ),
  v11(
    "versions/exact",
    "a version is taken by its name, and no other in its place",
    ["7.5-06", "7.5-07", "7.5-08"],
    ["versioned"],
    async (context) => {
      const peer = await context.session();
      const name = context.agent("versioned").split("@")[0] ?? "";
      for (const version of ["2.0.0", "banana"]) {
        const requirement = version === "banana" ? "V11-7.5-08" : "V11-7.5-06";
        const accepted = await peer.ask(requirement, "job.submit", { agent: `${name}@${version}` });
        context.judge.expect(requirement, "the answer", accepted.type, is("job.accepted"));
        const end = await peer.end(requirement, jobOf(accepted));
        context.judge.expect(requirement, "the version that ran", end.payload?.result?.agent, is(`${name}@${version}`));
      }
      const missing = await context.refused("V11-7.5-06", peer, "job.submit", { agent: `${name}@9.9.9` }, [
        "AGENT_VERSION_NOT_AVAILABLE",
      ]);
      context.judge.expect("V11-7.5-06", "retryable", missing.payload?.retryable, is(false));
      await context.refused("V11-7.5-08", peer, "job.submit", { agent: `${name}@1.0` }, [
        "AGENT_VERSION_NOT_AVAILABLE",
      ]);
      for (const agent of ["suite.no-such-agent", "suite.no-such-agent@1.0.0"]) {
        await context.refused("V11-7.5-07", peer, "job.submit", { agent }, ["AGENT_NOT_AVAILABLE"]);
      }
    },
  ),
];

const errorCases = [
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

export const jobCases = [
  ...submissionCases,
  ...idempotencyCases,
  ...lifecycleCases,
  ...cancellationCases,
  ...versionCases,
  ...errorCases,
];
