/** Questions of durable jobs: asked once, answered before, while or after the runtime is restarted, over both wires. */
import { CanonicalError } from "@arcp/core/v1.0";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { asked, choose, closingsOf, deny, grant, requestsOf, respond } from "../interactions/asking.ts";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import type { Frame10, RawClient10 } from "../support/raw-client-10.ts";
import type { Durable } from "./crash-images.ts";
import { Lives, turns } from "./lives.ts";

let clock: ManualClock;
let lives: Lives;
const effects: string[] = [];

const agents: Readonly<Record<string, Durable>> = {
  asker: {
    handler: async (_input, context) => {
      await context.step("before", () => effects.push("before"));
      const { value } = await context.requestHumanInput<number>({
        prompt: "How many?",
        responseSchema: { type: "number" },
        expiresInMs: 60_000,
      });
      await context.step("between", () => effects.push(`between ${value}`));
      const { choiceId } = await context.requestHumanChoice({
        prompt: "Which?",
        options: [
          { id: "red", label: "Red" },
          { id: "blue", label: "Blue" },
        ],
      });
      return { value, choiceId };
    },
  },
  again: {
    handler: async (_input, context) => {
      if (context.restored === undefined) {
        const { value } = await context.requestHumanInput({ prompt: "first" });
        await context.checkpoint({ first: value });
      }
      const { value } = await context.requestHumanInput({ prompt: "second" });
      return value;
    },
  },
  eager: {
    handler: async (_input, context) => {
      context.requestHumanInput({ prompt: "first" }).catch(() => {});
      await context.flush();
      await context.checkpoint({});
      const { value } = await context.requestHumanInput({ prompt: "second" });
      return value;
    },
  },
  lonely: {
    handler: async (_input, context) => {
      const refusal = await context
        .requestHumanInput({ prompt: "Is anybody there?" })
        .catch((error: CanonicalError) => `${error.canonicalCode}, ${error instanceof CanonicalError}`);
      await context.step("after", () => effects.push("after"));
      await context.sleep(1_000);
      return refusal;
    },
  },
  patient: {
    handler: async (_input, context) => {
      const { value, isDefault } = await context.requestHumanInput({
        prompt: "In time?",
        expiresInMs: 60_000,
        default: "none",
      });
      return { value, isDefault };
    },
  },
  careful: {
    handler: async (_input, context) => {
      const lease = await context.requestPermission({
        permission: "tool.call",
        resource: "drop-table",
        operation: "invoke",
        reason: "it is in the way",
      });
      await context.step("granted", () => effects.push(`granted ${lease !== undefined}`));
      return await context.callTool("drop-table");
    },
  },
};

beforeEach(async () => {
  effects.splice(0);
  clock = new ManualClock();
  lives = new Lives(agents, { clock }, (server) => server.registerTool("drop-table", { handler: () => "dropped" }));
  await lives.begin();
});
afterEach(() => lives[Symbol.asyncDispose]());

/** The runtime is killed, and another one begins. */
async function restart(): Promise<void> {
  await lives.kill();
  await lives.begin();
}

/** The question with `prompt`, now or later. A session that is new is shown those that are open. */
const prompted = (client: RawClient10, prompt: string): Promise<Frame10> =>
  client.sees((frame) => frame.payload?.prompt === prompt, prompt);

const start = async (client: RawClient10, agent: string): Promise<string> => {
  const { job_id } = await client.invoke(agent);
  return String(job_id);
};

describe("a question that is open when the runtime is killed", () => {
  test("is answered after the restart, by its id, and was asked once", async () => {
    covers("V10-4.3-01", "V10-10.2-04");
    const before = await lives.session10();
    const jobId = await start(before, "asker");
    const request = await asked(before);
    await restart();
    const after = await lives.resumed10(before);
    expect(await respond(after, request, 3)).toMatchObject({ type: "ack" });
    const choice = await prompted(after, "Which?");
    await restart();
    const last = await lives.resumed10(after);
    await choose(last, choice, "blue");
    expect(await last.ending(jobId)).toMatchObject({
      type: "tool.result",
      payload: { value: { value: 3, choiceId: "blue" } },
    });
    expect(effects).toEqual(["before", "between 3"]);
    const ids = [before, after, last].flatMap((client) => requestsOf(client).map(({ id }) => id));
    expect(new Set(ids)).toEqual(new Set([request.id, choice.id]));
    expect(closingsOf(last, request.id)).toEqual([]);
  });

  test("is answered before the agent is there again", async () => {
    const before = await lives.session10();
    const jobId = await start(before, "asker");
    const request = await asked(before);
    await lives.kill();
    const { asker, ...others } = agents;
    await lives.begin((store) => store, others);
    const meanwhile = await lives.resumed10(before);
    expect(await respond(meanwhile, request, 5)).toMatchObject({ type: "ack" });
    await restart();
    const after = await lives.resumed10(meanwhile);
    await choose(after, await prompted(after, "Which?"), "red");
    expect(await after.ending(jobId)).toMatchObject({ payload: { value: { value: 5, choiceId: "red" } } });
    expect(effects).toEqual(["before", "between 5"]);
  });

  test("and was answered just before is not asked again", async () => {
    const before = await lives.session10();
    const jobId = await start(before, "asker");
    await respond(before, await asked(before), 7);
    const choice = await prompted(before, "Which?");
    await restart();
    const after = await lives.resumed10(before);
    await choose(after, choice, "red");
    expect(await after.ending(jobId)).toMatchObject({ payload: { value: { value: 7, choiceId: "red" } } });
    expect(requestsOf(after).map(({ id }) => id)).toEqual([choice.id]);
  });

  test("expires when it would have expired: with its default, or as a failure", async () => {
    const before = await lives.session10();
    const patient = await start(before, "patient");
    await asked(before);
    const asker = await start(before, "asker");
    await asked(before, 1);
    await lives.kill();
    clock.advance(59_000);
    await lives.begin();
    const after = await lives.resumed10(before);
    await after.fence();
    expect(after.ofJob(patient).some(({ type }) => type === "tool.result")).toBe(false);
    clock.advance(1_000);
    expect(await after.ending(patient)).toMatchObject({ payload: { value: { value: "none", isDefault: true } } });
    expect(await after.ending(asker)).toMatchObject({ type: "tool.error", payload: { code: "DEADLINE_EXCEEDED" } });
  });

  test("and has expired meanwhile is over when the runtime is back", async () => {
    const before = await lives.session10();
    const patient = await start(before, "patient");
    await asked(before);
    await lives.kill();
    clock.advance(3_600_000);
    await lives.begin();
    clock.advance(0);
    const after = await lives.resumed10(before);
    expect(await after.ending(patient)).toMatchObject({ payload: { value: { isDefault: true } } });
  });

  test("of a job of wire 1.1 is answered by whoever can, over wire 1.0", async () => {
    const submitter = await lives.session();
    const phone = await lives.session10();
    const { payload } = await submitter.submit("asker");
    const request = await asked(phone);
    await restart();
    const again = await lives.resumed(submitter);
    const phoneAgain = await lives.resumed10(phone);
    await respond(phoneAgain, request, 2);
    await choose(phoneAgain, await prompted(phoneAgain, "Which?"), "red");
    expect(await again.ended(payload.job_id)).toMatchObject({ payload: { result: { value: 2, choiceId: "red" } } });
    const numbers = [...submitter.numbered, ...again.numbered].map(({ event_seq }) => event_seq);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });
});

test("a question after a checkpoint is another one than the question before it", async () => {
  const client = await lives.session10();
  const jobId = await start(client, "again");
  await respond(client, await asked(client), "one");
  await respond(client, await asked(client, 1), "two");
  expect(await client.ending(jobId)).toMatchObject({ payload: { value: "two" } });
});

test("a question after a checkpoint is another one than one that is still open", async () => {
  const client = await lives.session10();
  const jobId = await start(client, "eager");
  await respond(client, await prompted(client, "second"), "two");
  expect(await client.ending(jobId)).toMatchObject({ payload: { value: "two" } });
});

test("that nobody could be asked is remembered: nobody is asked later in its place", async () => {
  const before = await lives.session();
  const { payload } = await before.submit("lonely");
  await turns();
  expect(effects).toEqual(["after"]);
  await restart();
  const somebody = await lives.session10();
  await turns();
  clock.advance(1_000);
  const after = await lives.resumed(before);
  expect(await after.ended(payload.job_id)).toMatchObject({ payload: { result: "FAILED_PRECONDITION, true" } });
  expect(requestsOf(somebody)).toEqual([]);
  expect(effects).toEqual(["after"]);
});

describe("a permission", () => {
  test("that was asked for is asked for anew after a restart", async () => {
    const before = await lives.session10();
    const jobId = await start(before, "careful");
    const first = await asked(before);
    await restart();
    const after = await lives.resumed10(before);
    const second = await asked(after);
    expect(second.id).not.toBe(first.id);
    expect(await grant(after, first)).toMatchObject({ type: "nack" });
    await grant(after, second);
    expect(await after.ending(jobId)).toMatchObject({ payload: { value: "dropped" } });
    expect(effects).toEqual(["granted true"]);
  });

  test("that was granted is asked for anew, too: what people have granted does not outlive the process", async () => {
    const before = await lives.session10();
    const jobId = await start(before, "careful");
    lives.server.registerTool("drop-table", { handler: () => new Promise(() => {}) });
    await grant(before, await asked(before));
    await turns();
    await restart();
    const after = await lives.resumed10(before);
    await deny(after, await asked(after));
    expect(await after.ending(jobId)).toMatchObject({ type: "tool.error", payload: { code: "PERMISSION_DENIED" } });
    expect(effects).toEqual(["granted true"]);
  });
});
