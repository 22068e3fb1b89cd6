/** The client of wire 1.1 and the questions of its jobs. */
import { ARCPClient, type Question, type QuestionEnd } from "@arcp/client";
import { describe, expect, test } from "vitest";
import { CARRIERS, type Carrier, type Harness, startHarness } from "../support/harness.ts";
import { Puppet, type Run } from "../support/puppet.ts";

interface Watching extends AsyncDisposable {
  readonly harness: Harness;
  readonly client: ARCPClient;
  readonly run: Run;
  readonly questions: Question[];
  readonly ends: QuestionEnd[];
  /** The next question, now or later. */
  readonly next: () => Promise<Question>;
  /** Resolves when so many questions have ended. */
  readonly ended: (count: number) => Promise<void>;
}

async function watching(carrier: Carrier = "memory"): Promise<Watching> {
  const puppet = new Puppet();
  const harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
  const client = await harness.client();
  const heard = listening(client);
  await client.submit({ agent: "puppet" });
  const run = await puppet.next();
  const dispose = () => harness[Symbol.asyncDispose]();
  return { harness, client, run, ...heard, [Symbol.asyncDispose]: dispose };
}

function listening(client: ARCPClient) {
  const questions: Question[] = [];
  const ends: QuestionEnd[] = [];
  let waiting: (() => void)[] = [];
  const wake = (): void => {
    const awake = waiting;
    waiting = [];
    for (const go of awake) go();
  };
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  client.on("question", (question) => {
    questions.push(question);
    wake();
  });
  client.on("questionEnd", (end) => {
    ends.push(end);
    wake();
  });
  let read = 0;
  const next = async (): Promise<Question> => {
    read += 1;
    await until(() => questions.length >= read);
    return questions[read - 1] as Question;
  };
  const ended = (count: number): Promise<void> => until(() => ends.length >= count);
  return { questions, ends, next, ended };
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a client is asked, and answers", async () => {
    await using job = await watching(carrier);
    const { client, run, ends } = job;
    const responseSchema = { type: "object", properties: { branch: { type: "string" } }, required: ["branch"] };
    const input = run.context.requestHumanInput({ prompt: "Which?", responseSchema, destinations: ["desk"] });
    const first = await job.next();
    expect(first).toMatchObject({
      ...{ kind: "input", prompt: "Which?", responseSchema, destinations: ["desk"], quorum: 1 },
      ...{ jobId: run.context.jobId, expiresAt: expect.any(String) },
    });
    expect(client.questions).toEqual([first]);
    await expect(client.respond(first.id, { value: {} })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    expect(await client.respond(first.id, { value: { branch: "x" }, respondedBy: "desk" })).toBe("applied");
    expect(await input).toMatchObject({ value: { branch: "x" }, respondedBy: "desk" });
    expect(await client.respond(first.id, { value: { branch: "y" } })).toBe("ignored");

    const options = [
      { id: "a", label: "A", description: "the first" },
      { id: "b", label: "B" },
    ];
    const choice = run.context.requestHumanChoice({ prompt: "One?", options, default: "a" });
    const second = await job.next();
    expect(second).toMatchObject({ kind: "choice", options, default: "a" });
    await client.respond(second.id, { choiceId: "b" });
    expect(await choice).toMatchObject({ choiceId: "b", respondedBy: "alice" });

    const what = { permission: "email.send", resource: "to:x", operation: "send", requestedLeaseSeconds: 30 };
    const permission = run.context.requestPermission({ ...what, reason: "it is late" });
    const third = await job.next();
    expect(third).toMatchObject({ kind: "permission", ...what, reason: "it is late" });
    expect(await client.respond(third.id, { granted: true, leaseSeconds: 10, respondedBy: "chief" })).toBe("applied");
    expect(await (await permission).perform(() => "sent")).toBe("sent");

    const another = run.context.requestPermission(what);
    const fourth = await job.next();
    await client.respond(fourth.id, { granted: false, reason: "not now" });
    await expect(another).rejects.toMatchObject({ details: { reason: "denied", denied_because: "not now" } });
    run.finish();
    await job.ended(4);
    expect(ends.map(({ id, outcome, respondedBy }) => [id, outcome, respondedBy])).toEqual([
      [first.id, "answered", "desk"],
      [second.id, "answered", "alice"],
      [third.id, "answered", "chief"],
      [fourth.id, "answered", "alice"],
    ]);
    expect(client.questions).toEqual([]);
  });
});

describe("a client that has nothing else to do with the job", () => {
  test("is asked too, hears of the end, and of nothing else", async () => {
    await using job = await watching();
    const { harness, client, run } = job;
    const phone = await harness.client();
    const { next, ends, ended } = listening(phone);
    const events: unknown[] = [];
    phone.on("event", (event) => void events.push(event));
    const input = run.context.requestHumanInput({ prompt: "?" });
    const question = await next();
    await run.context.log("info", "not for everybody");
    await client.respond(question.id, { value: 1 });
    await input;
    await ended(1);
    expect(ends).toMatchObject([{ id: question.id, jobId: run.context.jobId, outcome: "answered" }]);
    expect([phone.questions, events]).toEqual([[], []]);
  });

  test("is asked once, also when it is told the job's history afterwards", async () => {
    await using job = await watching();
    const { harness, client, run } = job;
    const phone = await harness.client();
    const { next, questions, ends, ended } = listening(phone);
    const input = run.context.requestHumanInput({ prompt: "first" });
    await client.respond((await next()).id, { value: 1 });
    await input;
    await ended(1);
    const choice = run.context.requestHumanChoice({ prompt: "second", options: [{ id: "a", label: "A" }] });
    const open = await next();
    const subscription = await phone.subscribe(run.context.jobId, { history: true });
    await run.context.log("info", "from here on it is new");
    for await (const { kind } of subscription) if (kind === "log") break;
    expect([questions.length, ends.length, phone.questions]).toEqual([2, 1, [open]]);
    await phone.respond(open.id, { choiceId: "a" });
    await choice;
    await ended(2);
    expect(phone.questions).toEqual([]);
  });

  // Threats J10.
  test("grants what it was shown, and nothing else", async () => {
    await using job = await watching();
    const { harness, run } = job;
    const transport = await harness.transport();
    const onFrame = transport.onFrame.bind(transport);
    Object.assign(transport, {
      onFrame: (handler: (frame: string) => void) =>
        onFrame((frame) => handler(frame.replace('"resource":"order:1"', '"resource":"order:2"'))),
    });
    const deceived = new ARCPClient({ token: "alice" });
    await deceived.connect(transport);
    const { next } = listening(deceived);
    const what = { permission: "payment.refund", resource: "order:1", operation: "refund" };
    const permission = run.context.requestPermission(what);
    const question = await next();
    expect(question).toMatchObject({ kind: "permission", resource: "order:2" });
    for (const granted of [true, false]) {
      await expect(deceived.respond(question.id, { granted })).rejects.toMatchObject({
        ...{ code: "INVALID_REQUEST", message: expect.stringContaining("resource") },
      });
    }
    const shown = await job.next();
    await job.client.respond(shown.id, { granted: true });
    expect(await (await permission).perform(() => "refunded")).toBe("refunded");
    await deceived.close();
    run.finish();
    await job.ended(1);
  });

  test("finds what is open when it comes", async () => {
    await using job = await watching();
    const { harness, run } = job;
    const input = run.context.requestHumanInput({ prompt: "?" });
    await job.next();
    const late = await harness.client();
    const { next } = listening(late);
    await late.listJobs();
    const [question] = late.questions.length > 0 ? late.questions : [await next()];
    expect(await late.respond(String(question?.id), { value: "late" })).toBe("applied");
    expect(await input).toMatchObject({ value: "late" });
  });
});

describe("an answer that cannot be given", () => {
  test("to a question that there is not, or that has ended without one", async () => {
    await using job = await watching();
    const { client, run } = job;
    await expect(client.respond("q_1", { value: 1 })).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
    const stop = new AbortController();
    run.context.requestHumanInput({ prompt: "?", signal: stop.signal }).catch(() => {});
    const { id } = await job.next();
    stop.abort();
    await expect(client.respond(id, { value: 1 })).rejects.toMatchObject({ details: { outcome: "cancelled" } });
  });

  test("in a session that has not agreed to be asked", async () => {
    await using job = await watching();
    const plain = await job.harness.client({ features: ["subscribe"] });
    await expect(plain.respond("q_1", { value: 1 })).rejects.toMatchObject({
      details: { feature: "x-vendor.arcp.rfc0001" },
    });
  });
});
