import { describe, expect, test } from "vitest";
import { Interview } from "../../packages/sdk/src/cli/interview.ts";
import type { ChoicePrompt, Prompter, TextPrompt } from "../../packages/sdk/src/cli/question-prompt.ts";
import { Terminal } from "../../packages/sdk/src/cli/terminal.ts";
import { toolClient } from "../client10/support.ts";
import { startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { Screen } from "./screen.ts";

type Prompt = TextPrompt | ChoicePrompt;

/** A person at the prompts: \`say\` decides on each, and may take its time. */
const person = (say: (prompt: Prompt, signal: AbortSignal) => Promise<string | undefined>): Prompter => ({
  text: say,
  choose: say,
});

async function asking() {
  const puppet = new Puppet();
  const harness = startHarness({ agents: { puppet: puppet.handler } });
  const client = await toolClient(harness);
  const other = await toolClient(harness);
  const invocation = client.invoke("puppet");
  const run = await puppet.next();
  const stop = new AbortController();
  const screen = new Screen(200);
  const hold = (prompter: Prompter, isWatching = false) =>
    new Interview({ client, signal: stop.signal, isWatching }).hold(prompter, new Terminal(screen));
  return {
    ...{ harness, client, other, invocation, run, stop, screen, hold },
    async [Symbol.asyncDispose]() {
      run.finish();
      await settle();
      await client.close();
      await other.close();
      await harness[Symbol.asyncDispose]();
    },
  };
}

const BRANCH = {
  type: "object",
  properties: { branch: { type: "string", enum: ["main", "dev"] } },
  required: ["branch"],
};
const NAME = { type: "string", pattern: "^[a-z]+$" };

describe("an interview", () => {
  test("lets a person pick, the most urgent first, and the job has the answers", async () => {
    await using job = await asking();
    const { run, client, screen, hold } = job;
    const answers = [
      run.context.requestHumanInput({ prompt: "Which branch?", responseSchema: BRANCH, expiresInMs: 3_600_000 }),
      run.context.requestHumanChoice({
        prompt: "And now?",
        options: [{ id: "go", label: "Go on" }],
        expiresInMs: 60_000,
      }),
      // Wire 1.0 does not say until when.
      run.context.requestPermission({ permission: "email.send", resource: "alice", operation: "send" }),
    ];
    while (client.questions.length < 3) await settle();
    const lists: (readonly string[])[] = [];
    const prompter = person(async (prompt) => {
      if (!("options" in prompt) || !prompt.message.endsWith("Which one?")) return replies.shift();
      lists.push(prompt.options.map(({ label }) => label.replace(/\d+:\d\d/, "m:ss")));
      expect(prompt.options[0]?.hint).toMatch(/^job_/);
      return prompt.options.at(-1)?.value;
    });
    const replies = ["grant", "1", "go"];
    expect(await hold(prompter)).toBe(0);
    expect(await Promise.all(answers)).toMatchObject([
      { value: { branch: "dev" } },
      { choiceId: "go" },
      { permission: "email.send", isActive: true },
    ]);
    const timed = ["And now?", "Which branch?"].map((text) => `${text} · m:ss left, then nobody has answered`);
    expect(lists).toEqual([[...timed, "may it send alice? · denied when nobody answers"], timed]);
    expect(screen.text).toMatch(/^\? msg_\w+ input, job_\w+ · \d+:\d\d left, then nobody has answered$/m);
    expect(screen.text).toContain("  Which branch?");
  });

  test("says why an answer was refused, and asks again", async () => {
    await using job = await asking();
    const { run, client, screen, hold } = job;
    const answer = run.context.requestHumanInput({ prompt: "A name?", responseSchema: NAME });
    while (client.questions.length < 1) await settle();
    const replies = ["NOT LOWER CASE", "lower"];
    expect(await hold(person(async () => replies.shift()))).toBe(0);
    expect(await answer).toMatchObject({ value: "lower" });
    expect(screen.text).toMatch(/must match pattern/);
  });

  test("takes a question back that somebody else has answered, and goes on", async () => {
    await using job = await asking();
    const { run, client, other, screen, hold } = job;
    const first = run.context.requestHumanInput({ prompt: "First?" });
    const second = run.context.requestHumanInput({ prompt: "Second?" });
    while (client.questions.length < 2) await settle();
    const prompter = person(async ({ message }, signal) => {
      if (message === "Second?") return "two";
      // The list of both is taken back, too.
      expect(message).toBe("2 open questions. Which one?");
      other.onHumanInput(({ prompt }) => (prompt === "First?" ? { value: "elsewhere" } : undefined));
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return undefined;
    });
    expect(await hold(prompter)).toBe(0);
    expect(await first).toMatchObject({ value: "elsewhere" });
    expect(await second).toMatchObject({ value: "two" });
    expect(screen.text).toMatch(/answered/);
  });

  test("ends at Ctrl-C, and leaves what was not answered open", async () => {
    await using job = await asking();
    const { run, client, hold } = job;
    void run.context.requestHumanInput({ prompt: "First?" }).catch(() => {});
    while (client.questions.length < 1) await settle();
    expect(await hold(person(async () => undefined))).toBe(130);
    expect(client.questions).toHaveLength(1);
  });

  test("waits for what is asked later, if it is told to, and ends with the client", async () => {
    await using job = await asking();
    const { run, hold, stop } = job;
    const held = hold(
      person(async () => "yes"),
      true,
    );
    for (const prompt of ["One?", "Two?"]) {
      expect(await run.context.requestHumanInput({ prompt })).toMatchObject({ value: "yes" });
    }
    stop.abort();
    expect(await held).toBe(130);
  });

  test("says that there is nothing to ask", async () => {
    await using job = await asking();
    expect(await job.hold(person(async () => undefined))).toBe(0);
    expect(job.screen.text).toBe("no open questions");
  });
});
