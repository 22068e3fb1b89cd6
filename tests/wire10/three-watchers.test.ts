/** One job, which asks a person, seen by observers of both wires and by the command line: one journal, three spellings. */
import type { JobEvent, JobSubscription } from "@arcp/client";
import { type JobId, V1_1_FEATURES } from "@arcp/core";
import { expect, test } from "vitest";
import { type JsonLine, Workspace } from "../cli/arcp.ts";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet, type Run } from "../support/puppet.ts";
import type { Frame10, RawClient10 } from "../support/raw-client-10.ts";

/** `plain`: wire 1.1 without the extension, so that the session that asked for the job is not shown all of it. */
type Wire = "1.0" | "1.1" | "1.1 plain";

const ANSWER = { branch: "main" };
const QUESTION = {
  prompt: "Which branch?",
  responseSchema: { type: "object", properties: { branch: { type: "string" } }, required: ["branch"] },
};

/** What the observer of wire 1.0 asks for: everything but signs of life, measures, and what only tells of beginnings. */
const TYPES = [
  ...["log", "job.progress", "stream.open", "stream.chunk", "stream.close", "job.checkpoint"],
  ...["human.input.request", "event.emit", "tool.result", "job.completed"],
];

/** One event of the job, in words that belong to no wire, and when it happened. */
type Seen = readonly [what: string, at: string | undefined];

test.each<{ readonly asked: Wire; readonly answered: Wire }>([
  { asked: "1.0", answered: "1.1" },
  { asked: "1.1", answered: "1.0" },
  { asked: "1.1 plain", answered: "1.0" },
])("a job of wire $asked, answered over wire $answered, is the same to three watchers", async ({ asked, answered }) => {
  covers("V10-13.1-02", "V10-13.3-02", "V10-12.3-01", "V10-6.3-04");
  const puppet = new Puppet();
  await using harness = startHarness({ carrier: "websocket", agents: { puppet: puppet.handler } });
  await using workspace = await Workspace.create();
  const answerer = answered === "1.0" ? await answering10(harness) : await answering11(harness);
  const jobId = asked === "1.0" ? await invoke(harness) : await submit(harness, asked);
  const run = await puppet.next();

  // They come one after another, while the job writes: before the question, and while it is open.
  await emitLogs(run, 5);
  const [subscription] = await Promise.all([subscribe(harness, jobId), emitLogs(run, 5, 6)]);
  const input = run.context.requestHumanInput(QUESTION);
  const tail = workspace.start(["tail", jobId, "--json", "--url", await harness.url()], { ARCP_TOKEN: "alice" });
  await answerer.asked();
  const observer = await harness.rawSession10();
  const observing = observer.ask("subscribe", { filter: { job_id: [jobId], types: TYPES }, since: {} });
  const [accepted] = await Promise.all([observing, emitLogs(run, 5, 11)]);
  expect(accepted.type).toBe("subscribe.accepted");
  await tail.sees(({ kind }) => kind === "x-vendor.arcp.question");

  await answerer.answer();
  expect((await input).value).toEqual(ANSWER);
  await workFurther(run);
  run.finish("done");

  const [atClient, atTail] = await Promise.all([seenBy(subscription), tail.end()]);
  await observer.sees(({ payload }) => ENDINGS.includes(payload.event?.type), "the end of the job");
  expect(atTail).toMatchObject({ code: 0, stderr: "" });
  const seenByTail = atTail.lines.flatMap(seenAtTail);
  expect(seenByTail.map(([what]) => what)).toEqual(EXPECTED);
  expect(seenByTail).toEqual(atClient);
  expect(observedBy(observer)).toEqual(atClient);
});

/** Everything that the job writes after the answer. */
async function workFurther(run: Run): Promise<void> {
  const { context } = run;
  await emitLogs(run, 3, 16);
  await context.progress(1, { total: 2 });
  const stream = context.openStream({ kind: "text" });
  for (const word of ["as ", "seen"]) await stream.write(word);
  await stream.close();
  await context.emitEvent("x-vendor.acme.note", { n: 1 });
  await context.progress(2, { total: 2 });
}

const logs = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, index) => `log ${first + index}`);

const EXPECTED = [
  ...[...logs(1, 10), "question Which branch?", "state blocked"],
  ...[...logs(11, 15), "answer answered", "state running"],
  ...logs(16, 18),
  ...["progress 1", "stream text", "chunk as ", "chunk seen", "stream closed", "x-vendor.acme.note", "progress 2"],
  "end done",
];

// ---------------------------------------------------------------------------------------------- asking and answering

async function invoke(harness: Harness): Promise<string> {
  const { job_id } = await (await harness.rawSession10()).invoke("puppet");
  return String(job_id);
}

async function submit(harness: Harness, wire: Wire): Promise<string> {
  const client = await harness.client(wire === "1.1" ? {} : { features: V1_1_FEATURES });
  const { jobId } = await client.submit({ agent: "puppet" });
  return jobId;
}

interface Answerer {
  /** Resolves when it was asked. */
  readonly asked: () => Promise<unknown>;
  /** Answers the question that it was asked, now or later. */
  readonly answer: () => Promise<void>;
}

async function answering10(harness: Harness): Promise<Answerer> {
  const client = await harness.rawSession10();
  const asked = () => client.sees(({ type }) => type === "human.input.request", "a question");
  return {
    asked,
    async answer() {
      const { id } = await asked();
      const reply = await client.ask("human.input.response", { value: ANSWER }, { correlation_id: id });
      expect(reply.type).toBe("ack");
    },
  };
}

async function answering11(harness: Harness): Promise<Answerer> {
  const client = await harness.client();
  const asked = new Promise<string>((resolve) => client.on("question", ({ id }) => resolve(id)));
  return {
    asked: () => asked,
    async answer() {
      expect(await client.respond(await asked, { value: ANSWER })).toBe("applied");
    },
  };
}

// ---------------------------------------------------------------------------------------------------------- watching

const ENDINGS = ["tool.result", "job.completed"];

async function subscribe(harness: Harness, jobId: string): Promise<JobSubscription> {
  return (await harness.client()).subscribe(jobId as JobId, { history: true });
}

/** Everything that comes, to the end. */
async function seenBy(subscription: JobSubscription): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const event of subscription) seen.push(...seenAtClient(event));
  const { result } = await subscription.done;
  return [...seen, [`end ${result}`, undefined]];
}

const seenAtClient = (event: JobEvent): Seen[] =>
  inWords(event.kind === "vendor" ? event.name : event.kind, event.body, event.ts);

function seenAtTail({ type, kind, body, ts, result }: JsonLine): Seen[] {
  if (type === "job.result") return [[`end ${result}`, undefined]];
  return type === "job.event" ? inWords(String(kind), body, String(ts)) : [];
}

function observedBy(observer: RawClient10): Seen[] {
  const events = observer.ofType("subscribe.event").map(({ payload }): Frame10 => payload.event);
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
  return events.flatMap(seenByObserver);
}

function seenByObserver({ type, payload, timestamp }: Frame10): Seen[] {
  if (ENDINGS.includes(type)) return [[`end ${payload.value}`, undefined]];
  if (type !== "event.emit") return inWords(KINDS[type] ?? type, payload, timestamp);
  if (payload.name === "subscription.backfill_complete") return [];
  return inWords(KINDS[payload.name] ?? payload.name, payload.data, timestamp);
}

/** What wire 1.0 calls otherwise. */
const KINDS: Readonly<Record<string, string>> = {
  "job.progress": "progress",
  "human.input.request": "x-vendor.arcp.question",
  "human.input.resolved": "x-vendor.arcp.answer",
  "job.state": "x-vendor.arcp.state",
  "stream.open": "x-vendor.arcp.stream.open",
  "stream.chunk": "x-vendor.arcp.stream.chunk",
  "stream.close": "x-vendor.arcp.stream.close",
};

/** Nothing for what the observer's filter leaves out. */
// biome-ignore lint/suspicious/noExplicitAny: the members of any body
function inWords(kind: string, body: any, at: string | undefined): Seen[] {
  const words: Readonly<Record<string, () => string>> = {
    log: () => `log ${body.message}`,
    progress: () => `progress ${body.current}`,
    "x-vendor.arcp.question": () => `question ${body.prompt}`,
    "x-vendor.arcp.answer": () => `answer ${body.outcome}`,
    "x-vendor.arcp.state": () => `state ${body.state}`,
    "x-vendor.arcp.stream.open": () => `stream ${body.kind}`,
    "x-vendor.arcp.stream.chunk": () => `chunk ${body.data}`,
    "x-vendor.arcp.stream.close": () => "stream closed",
  };
  if (kind === "metric" || kind === "x-vendor.arcp.span") return [];
  return [[words[kind]?.() ?? kind, at]];
}
