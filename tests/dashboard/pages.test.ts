import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import type { AgentHandler } from "@arcp/runtime";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { agents } from "../../examples/dashboard/agents.ts";
import { type OpenedPage, reasonForNoChromium, usePages } from "../support/pages.ts";
import { buildPages, DashboardRuntime } from "./runtime.ts";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Waits for the signal, and says what it was told. */
const patient: AgentHandler = async (_input, ctx) => {
  await ctx.progress(1, { total: 4, message: "waiting" });
  await new Promise((_, reject) =>
    ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason), { once: true }),
  );
};

/** Two events, a question that outlives the runtime, and two more. */
const durableAsker: AgentHandler = async (_input, ctx) => {
  await ctx.log("info", "before 1");
  await ctx.log("info", "before 2");
  const { value } = await ctx.requestHumanInput({ prompt: "Which branch?", responseSchema: { type: "string" } });
  await ctx.log("info", `after ${value}`);
  return { value };
};

const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();

/** One event, and another one when it may. */
const gated: AgentHandler = async (_input, ctx) => {
  await ctx.log("info", "the first");
  await mayGoOn;
  await ctx.log("info", "the second");
  await ctx.log("info", "the third");
};

const echo: AgentHandler = async (input) => ({ heard: input });

describe.skipIf(reasonForNoChromium() !== undefined)("the dashboard in Chromium", { timeout: 60_000 }, () => {
  const openPage = usePages();
  let runtime: DashboardRuntime;
  /** Written while other tests run. */
  let flood: string;
  beforeAll(async () => {
    await buildPages();
    runtime = await DashboardRuntime.start({ ...agents, patient, gated, echo });
    // Whoever has submitted it need not read it: that is for the page to do.
    const client = await runtime.connect("alice");
    const { jobId } = await client.submit({ agent: "flood", input: { events: 100_000 } });
    flood = jobId;
    await client.close();
    return () => runtime[Symbol.asyncDispose]();
  }, 60_000);

  /** Signed in as `principal`, by a link as `arcp serve` prints it. */
  async function signedIn(principal: string, of = runtime): Promise<OpenedPage> {
    const opened = await openPage();
    await opened.page.goto(`${of.url}#token=${principal}`);
    await opened.page.getByRole("navigation").waitFor();
    return opened;
  }

  const submitted = async (principal: string, agent: string, input: unknown = null): Promise<string> => {
    const client = await runtime.connect(principal);
    const job = await client.submit({ agent, input });
    return job.jobId;
  };

  /** Without a request: the place is behind `#`. */
  const show = (page: Page, place: string, of = runtime): Promise<unknown> => page.goto(of.url + place);

  test("a token in the fragment signs in, leaves the address at once, and is in no request", async () => {
    const { page, problems } = await openPage();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(`${request.url()} ${JSON.stringify(request.headers())}`));
    await page.goto(`${runtime.url}#token=alice`);
    await page.getByRole("navigation").waitFor();
    expect(page.url()).toBe(`${runtime.url}#/`);
    expect(asked.length).toBeGreaterThan(3);
    expect(asked.filter((request) => request.includes("alice"))).toEqual([]);
    await page.reload();
    await page.getByRole("navigation").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token").fill("wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("does not take this token").waitFor();
    expect(problems).toEqual([]);
  });

  test("a job is submitted, followed and rendered", async () => {
    const { page, problems } = await signedIn("alice");
    await page.getByRole("link", { name: "Submit", exact: true }).click();
    // Until the form is there, the board has a field of that name.
    await page.getByLabel("Version").waitFor();
    await page.getByLabel("Agent").selectOption("echo");
    await page.getByLabel("Input, as JSON").fill("{");
    await page.getByText("Not JSON yet").waitFor();
    await page.getByLabel("Input, as JSON").fill('{"question":"still there?"}');
    await page.getByRole("button", { name: "Add a capability" }).click();
    await page.getByLabel("Patterns of fs.read").fill("/srv/app/**");
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    await page.getByRole("heading", { name: "Result" }).waitFor();
    for (const name of ["Result", "Input"]) {
      await page.getByRole("region", { name, exact: true }).getByText('"question": "still there?"').waitFor();
    }
    await page.getByText("/srv/app/**").waitFor();
    expect(problems).toEqual([]);
  });

  test("a denial says which pattern would have allowed it", async () => {
    const jobId = await submitted("alice", "tidy");
    const { page } = await signedIn("alice");
    await show(page, `#/jobs/${jobId}`);
    await page.getByRole("region", { name: "Error" }).getByText("The lease would need fs.read: /etc/passwd").waitFor();
    await page.getByText("fs.read", { exact: false }).first().waitFor();
  });

  test("reasoning is folded, calls stand with their results, and what was delegated and spent is told", async () => {
    const client = await runtime.connect("alice");
    const job = await client.submit({
      agent: "research",
      leaseRequest: { "tool.call": ["search"], "agent.delegate": ["review"], "cost.budget": ["USD:5.00"] },
    });
    await job.done;
    const { page, problems } = await signedIn("alice");
    await show(page, `#/jobs/${job.jobId}`);
    await page.getByRole("heading", { name: "Why checkout became slow" }).waitFor();
    await page.getByRole("cell", { name: "2.9 s" }).waitFor();
    await page
      .getByRole("region", { name: "Authority" })
      .getByText(/^3\.\d+ USD$/)
      .waitFor();
    await page.getByRole("region", { name: "Delegated jobs" }).getByText("review@1.0.0").waitFor();
    const search = page.getByLabel("Search the events");
    // Five pairs of thoughts: each pair is one line, until the lines are wanted.
    const thoughts = page.locator("button.event:has(.kind-thought)");
    await page
      .getByRole("button", { name: /^(log|progress|metric|delegate|tool)/ })
      .first()
      .waitFor();
    for (const kind of ["log", "progress", "metric", "delegate", "tool", "stream", "checkpoint", "artifact"]) {
      await page.getByRole("group", { name: "Kinds" }).getByRole("button", { name: kind }).click();
    }
    await expect.poll(() => thoughts.count()).toBe(5);
    await page.getByText("+ 1 more").first().waitFor();
    await page.getByRole("button", { name: "Fold reasoning" }).click();
    await expect.poll(() => thoughts.count()).toBe(10);
    await page.getByRole("group", { name: "Kinds" }).getByRole("button", { name: "tool" }).click();
    await expect.poll(() => page.locator("button.event:has(.outcome.ok)").count()).toBe(5);
    await page.locator("button.event:has(.outcome.ok)").first().click();
    const detail = page.getByRole("complementary", { name: "The chosen event" });
    await detail.getByRole("heading", { name: /^Result after/ }).waitFor();
    await detail.getByText('"hits": 3').waitFor();
    await search.fill("the incident report");
    await expect.poll(() => page.locator("button.event").count()).toBe(2);
    expect(problems).toEqual([]);
  });

  test("a stream that is paused tells how much has come since, and shows it when it is followed", async () => {
    const jobId = await submitted("alice", "gated");
    const { page } = await signedIn("alice");
    await show(page, `#/jobs/${jobId}`);
    await page.getByText("the first").waitFor();
    await page.getByRole("button", { name: "Following" }).click();
    goOn();
    await page.getByRole("button", { name: "Follow (2 new)" }).waitFor();
    expect(await page.getByText("the third").count()).toBe(0);
    await page.getByRole("button", { name: "Follow (2 new)" }).click();
    await page.getByText("the third").waitFor();
  });

  test("a running job is on the board without a reload, and is cancelled only after it was asked", async () => {
    const { page, problems } = await signedIn("alice");
    const jobId = await submitted("alice", "patient");
    const row = page.locator(`a[href="#/jobs/${jobId}"]`);
    await row.getByText("running").waitFor();
    await row.locator(".count").getByText("25 %").waitFor();
    await row.click();
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Cancel this job?" });
    await dialog.getByRole("button", { name: "Go back" }).click();
    await expect.poll(() => page.getByRole("heading", { name: "How it ended" }).count()).toBe(0);
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await dialog.getByRole("button", { name: "Cancel the job" }).click();
    await page.getByRole("region", { name: "Error" }).getByText("CANCELLED").waitFor();
    await page.getByRole("link", { name: "arcp, all jobs" }).click();
    await row.getByText("cancelled").waitFor();
    expect(problems).toEqual([]);
  });

  test("questions are answered, permissions granted and denied, with what silence means in sight", async () => {
    const { page, problems } = await signedIn("alice");
    const [fix, first, second] = [
      await submitted("alice", "fix"),
      await submitted("alice", "deploy"),
      await submitted("alice", "deploy"),
    ];
    const client = await runtime.connect("alice");
    const cardOf = (jobId: string) =>
      page.getByRole("article").filter({ has: page.locator(`a[href="#/jobs/${jobId}"]`) });
    await page.getByRole("link", { name: /^Inbox/ }).click();
    await cardOf(first).getByText("Without an answer in time it is denied.").waitFor();
    await cardOf(first).getByLabel("Grant it for at most, in seconds").fill("100000");
    await expect.poll(() => cardOf(first).getByRole("button", { name: "Grant" }).isDisabled()).toBe(true);
    await cardOf(first).getByLabel("Grant it for at most, in seconds").fill("60");
    await cardOf(first).getByRole("button", { name: "Grant" }).click();
    await cardOf(second).getByLabel("If you deny it: why").fill("not on a Friday");
    await cardOf(second).getByRole("button", { name: "Deny" }).click();
    await cardOf(fix).getByLabel("Branch").fill("fix/cache");
    await cardOf(fix).getByRole("button", { name: "Answer" }).click();
    await expect.poll(() => page.getByRole("article").count()).toBe(0);
    const endOf = async (jobId: string): Promise<unknown> =>
      (await client.subscribe(jobId, { history: true })).done.then(({ result }) => result, String);
    expect(await endOf(first)).toEqual({ rolledOut: "5 %" });
    expect(await endOf(second)).toContain("it was denied");
    expect(await endOf(fix)).toEqual({ branch: "fix/cache", reviewers: 2 });
    expect(problems).toEqual([]);
  });

  test("what belongs to another principal is not there", async () => {
    const jobId = await submitted("bob", "fix");
    const bob = await signedIn("bob");
    await bob.page.locator(`a[href="#/jobs/${jobId}"]`).waitFor();
    const { page } = await signedIn("alice");
    await page.locator("a.row").first().waitFor();
    expect(await page.locator(`a[href="#/jobs/${jobId}"]`).count()).toBe(0);
    await show(page, "#/inbox");
    await expect.poll(() => page.getByRole("heading", { level: 1 }).textContent()).toBe("Inbox");
    expect(await page.locator(`a[href="#/jobs/${jobId}"]`).count()).toBe(0);
    await show(page, `#/jobs/${jobId}`);
    await page.getByText("There is no such job").waitFor();
  });

  test("what an agent says is text, and what it hides is shown", async () => {
    const { page, problems } = await signedIn("alice");
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    const jobId = await submitted("alice", "hostile");
    await show(page, `#/jobs/${jobId}`);
    await page.getByRole("heading", { name: "<img src=x onerror=\"document.title='owned'\">" }).waitFor();
    await page.getByText("[link: javascript:document.title='owned']").waitFor();
    await page.getByText("[image, not loaded: https://evil.test/beacon?c=1]").waitFor();
    const text = await page.locator("main").innerText();
    expect(text).toContain("\\u{1b}]52;c;cm0gLXJmIC8=\\u{7}");
    expect(text).toContain("pay 10\\u{202e}00 DSU to \\u{200b}mallory");
    expect(text).not.toMatch(/[\u001b\u202e\u200b]/);
    expect(await page.locator("main img, main script, main iframe, main a[href^='javascript:']").count()).toBe(0);
    await show(page, "#/");
    await page.locator(`a[href="#/jobs/${jobId}"]`).waitFor();
    await show(page, `#/wire?q=${jobId}`);
    await page.locator("button.event").first().waitFor();
    expect(await page.title()).not.toBe("owned");
    expect(asked.filter((url) => !url.startsWith(runtime.url) && !url.startsWith("ws://127.0.0.1"))).toEqual([]);
    expect(problems).toEqual([]);
  });

  // Long limits: a machine that does much else needs its time for as many.
  test("100,000 events are followed, searched and scrolled, and few of them exist", { timeout: 240_000 }, async () => {
    const count = 100_000;
    const jobId = flood;
    const { page, problems } = await signedIn("alice");
    await show(page, `#/jobs/${jobId}`);
    await page.getByText("100,000 of 100,000 events").waitFor({ timeout: 200_000 });
    await page.getByText(`event ${count} of ${count}`).waitFor();
    expect(await page.locator("button.event").count()).toBeLessThan(100);
    await page.getByLabel("Search the events").fill("event 77777 of");
    await page.getByText("1 of 100,000 events").waitFor();
    await page.getByText(`event 77777 of ${count}`).click();
    await page.getByRole("complementary", { name: "The chosen event" }).getByText(`event 77777 of ${count}`).waitFor();
    expect(problems).toEqual([]);
  });

  test("keys alone do: the palette, the pages, the rows", async () => {
    const jobId = await submitted("alice", "echo");
    const { page } = await signedIn("alice");
    await page.locator(`a[href="#/jobs/${jobId}"]`).waitFor();
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").getByRole("combobox").fill(jobId.slice(-8));
    await page.keyboard.press("Enter");
    await expect.poll(() => page.url()).toContain(jobId);
    await page.keyboard.press("g");
    await page.keyboard.press("i");
    await expect.poll(() => page.url()).toContain("#/inbox");
    await page.keyboard.press("g");
    await page.keyboard.press("j");
    await page.getByRole("searchbox").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type(jobId.slice(-6));
    await expect.poll(() => page.url()).toContain(`#/?q=${jobId.slice(-6)}`);
    await expect.poll(() => page.locator("a.row").count()).toBe(1);
  });

  test.each(["light", "dark"] as const)("no page breaks a rule of accessibility (%s)", async (colorScheme) => {
    const jobId = await submitted("alice", "hostile");
    // Its first call is refused: it was given no lease.
    const research = await submitted("alice", "research");
    await submitted("alice", "fix");
    const { page } = await openPage({ colorScheme, reducedMotion: "reduce" });
    const violations = async (): Promise<unknown> => {
      // The page's own policy forbids scripts of others; a world of its own has none.
      const session = await page.context().newCDPSession(page);
      const { frameTree } = await session.send("Page.getFrameTree");
      const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", {
        frameId: frameTree.frame.id,
        worldName: "axe",
      });
      const run = `${axeSource}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
        .then(({ violations }) => JSON.stringify(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])])))`;
      const { result } = await session.send("Runtime.evaluate", { expression: run, contextId, awaitPromise: true });
      return JSON.parse(String(result.value));
    };
    await page.goto(runtime.url);
    await page.getByLabel("Token").waitFor();
    expect(await violations()).toEqual([]);
    await page.goto(`${runtime.url}#token=alice`);
    await page.locator("a.row").first().waitFor();
    expect(await violations()).toEqual([]);
    for (const [place, ready] of [
      [`#/jobs/${jobId}`, "button.event"],
      [`#/jobs/${research}?view=trace`, ".trace-tool"],
      [`#/jobs/${research}?view=streams`, ".stream-content"],
      ["#/inbox", "article"],
      ["#/submit", "textarea"],
      ["#/wire", "button.event"],
    ] as const) {
      await show(page, place);
      await page.locator(ready).first().waitFor();
      expect([place, await violations()]).toEqual([place, []]);
    }
  });

  test("a runtime that was restarted is found again, and nothing is missed or told twice", async () => {
    await using restarted = await DashboardRuntime.start({ "durable-asker": durableAsker });
    const client = await restarted.connect("alice");
    const { jobId } = await client.submit({ agent: "durable-asker" });
    const { page } = await signedIn("alice", restarted);
    await show(page, `#/jobs/${jobId}`, restarted);
    await page.getByText("Which branch?").first().waitFor();
    await restarted.stop();
    await page.getByText("The connection is lost.").waitFor();
    await restarted.start();
    await page.getByText("The connection is lost.").waitFor({ state: "detached" });
    const card = page.getByRole("article");
    await card.getByLabel("Answer").fill("main");
    await card.getByRole("button", { name: "Answer" }).click();
    await page.getByRole("heading", { name: "Result" }).waitFor();
    const told = await page.locator(".event .event-text").allInnerTexts();
    expect(told.filter((line) => /^(before|after)/.test(line))).toEqual(["before 1", "before 2", "after main"]);
    await client.close();
  });

  test("the first page is small", async () => {
    const html = await (await fetch(runtime.url)).text();
    const names = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, name]) => name ?? "");
    const files = await Promise.all(
      names.map(async (name) => [name, await (await fetch(runtime.url + name)).bytes()] as const),
    );
    const bytes = files.reduce((sum, [, file]) => sum + gzipSync(file, { level: 9 }).length, gzipSync(html).length);
    console.log(`the dashboard's first page: ${(bytes / 1024).toFixed(1)} KiB of ${names.length + 1} files, gzip`);
    expect(names.length).toBeGreaterThan(1);
    expect(bytes).toBeLessThan(120 * 1000);
  });
});
