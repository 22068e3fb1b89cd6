/** §7.1 and §7.2: submission, and keys that stand for one. */
import type { Frame } from "../../frame.ts";
import { aTimestamp, aTraceId, is, perhaps, shape, someText, such } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { isEndOf, type Peer } from "../peer.ts";
import { begun, cancel, newKey, v11 } from "./case.ts";

const inAnHour = (): string => new Date(Date.now() + 3_600_000).toISOString();

/** Submits as often as there are `payloads`, and returns what each was answered. */
const submitAll = (peers: readonly Peer[], requirement: string, payload: object): Promise<readonly Frame[]> =>
  Promise.all(peers.map((peer) => peer.ask(requirement, "job.submit", payload)));

export const submissionCases = [
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

export const idempotencyCases = [
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
