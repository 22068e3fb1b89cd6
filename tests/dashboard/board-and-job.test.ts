/** The board with thousands of jobs and with jobs of others, and what a job's page shows beside the events. */
import { newJobId, newTraceId, type SessionId } from "@arcp/core";
import type { AgentHandler, JobRecord } from "@arcp/runtime";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { agents } from "../../examples/dashboard/agents.ts";
import { type OpenedPage, reasonForNoChromium, usePages } from "../support/pages.ts";
import { buildPages, DashboardRuntime } from "./runtime.ts";

const HOSTILE = `<img src=x onerror="document.title='owned'">\u202e\u001b]0;x\u0007`;
const SHOWN = `<img src=x onerror="document.title='owned'">\\u{202e}\\u{1b}]0;x\\u{7}`;

/** Goes on until it is cancelled, and says how far it is as often as it may. */
const ticking: AgentHandler = async (_input, ctx) => {
  for (let count = 0; !ctx.signal.aborted; count += 1) {
    await ctx.progress(count % 100, { total: 100, message: `tick ${count}` });
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw ctx.signal.reason;
};

/** Puts what means no good into everything that a job's page has a place for. */
const trickster: AgentHandler = async (_input, ctx) => {
  const stream = ctx.openStream({ kind: "text", contentType: "<script>document.title=1</script>" });
  await stream.write(`${HOSTILE}\n`);
  await stream.close();
  await ctx.checkpoint({ at: 1 }, { label: HOSTILE });
  await ctx.artifactRef({ uri: `https://evil.test/${HOSTILE}`, content_type: HOSTILE, byte_size: 1 });
  await ctx.artifactRef({ uri: `arcp://session/x/artifact/${HOSTILE}`, content_type: "image/svg+xml" });
  const page = await ctx.putArtifact("<script>document.title='owned'</script>", { mediaType: "text/html" });
  await ctx.artifactRef({ uri: page.uri, content_type: "text/html", byte_size: page.size });
  await ctx.toolCall({ call_id: "1", tool: HOSTILE, args: {} });
  await ctx.log("error", HOSTILE);
  throw new Error(HOSTILE);
};

const granted: AgentHandler = async (_input, ctx) => {
  await ctx.requestPermission({
    ...{ permission: "deploy.production", resource: "eu-west", operation: "roll out", requestedLeaseSeconds: 600 },
  });
  await ctx.metric({ name: "cost.inference", value: 1, unit: "USD" });
  await ctx.metric({ name: "cost.inference", value: 0.5, unit: "USD" });
};

const COUNT = 5_000;
const STATUSES = ["success", "error", "cancelled", "timed_out"] as const;

/** Long over; `tree-…` is a tree of three. */
const kept = (): readonly JobRecord[] => {
  const start = Date.now() - 3 * 86_400_000;
  const jobs: JobRecord[] = [];
  for (let index = 0; index < COUNT; index += 1) {
    const createdAt = start + index * 1_000;
    const isTree = index >= COUNT - 3;
    jobs.push({
      ...{ id: newJobId(), sessionId: "sess_gone" as SessionId, principal: index % 5 === 0 ? "bob" : "alice" },
      ...{
        agent: isTree ? "tree" : `agent-${index % 7}`,
        agentVersion: "1.0.0",
        createdAt,
        endedAt: createdAt + 4_200,
      },
      status: STATUSES[index % STATUSES.length] ?? "success",
      ...{
        lease: {},
        leaseConstraints: null,
        parentJobId: isTree ? (jobs.at(-1)?.id ?? null) : null,
        delegateId: null,
      },
      ...{ traceId: newTraceId(), budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
    });
  }
  return jobs.map((job, index) => (index === COUNT - 3 ? { ...job, parentJobId: null } : job));
};

describe.skipIf(reasonForNoChromium() !== undefined)("the board and the page of a job", { timeout: 120_000 }, () => {
  const openPage = usePages();
  let runtime: DashboardRuntime;
  beforeAll(async () => {
    await buildPages();
    runtime = await DashboardRuntime.start({ ...agents, ticking, trickster, granted });
    return () => runtime[Symbol.asyncDispose]();
  }, 60_000);

  async function signedIn(token: string, place = ""): Promise<OpenedPage> {
    const opened = await openPage();
    await opened.page.goto(`${runtime.url}#token=${token}`);
    await opened.page.getByRole("navigation").waitFor();
    if (place !== "") await opened.page.goto(runtime.url + place);
    return opened;
  }

  async function ended(token: string, agent: string, leaseRequest = {}): Promise<string> {
    const client = await runtime.connect(token);
    const job = await client.submit({ agent, leaseRequest });
    await job.done.catch(() => {
      // Some are made to fail.
    });
    return job.jobId;
  }

  const shownCount = (page: Page) => page.locator(".filters [role=status]");

  test("a job's page: trace, streams, artifacts, checkpoints and the budget", async () => {
    const jobId = await ended("alice", "research", {
      ...{ "tool.call": ["search"], "agent.delegate": ["review"], "cost.budget": ["USD:5.00"] },
    });
    const { page, problems } = await signedIn("alice", `#/jobs/${jobId}?view=trace`);
    const trace = page.getByRole("region", { name: "Trace", exact: true });
    // Its own five calls, and the two of the job that it delegated to.
    await trace.locator(".trace-tool").nth(6).waitFor();
    expect(await trace.locator(".trace-tool").count()).toBe(7);
    await trace.getByRole("link", { name: "review@1.0.0" }).waitFor();
    const widths = await trace
      .locator(".trace-job .trace-bar")
      .evaluateAll((bars) =>
        bars.map((bar) => Number.parseFloat((bar as unknown as { style: { width: string } }).style.width)),
      );
    expect(widths[0]).toBe(100);
    expect(widths[1]).toBeLessThan(100);
    await page.getByRole("button", { name: "Streams 1" }).click();
    expect(page.url()).toContain("view=streams");
    await page.getByText("two interviews: 3 hits").waitFor();
    const side = page.getByRole("complementary", { name: "About the job" });
    await side.getByRole("region", { name: "Checkpoints" }).getByText("all sources read").waitFor();
    await side.getByText("1.67 of 5 USD spent").waitFor();
    expect(await side.locator(".chart polyline").count()).toBe(1);
    const artifacts = side.getByRole("region", { name: "Artifacts" });
    const picture = artifacts.getByRole("listitem").filter({ hasText: "p99-by-hour.png" });
    await picture.getByRole("button", { name: "Show" }).click();
    const image = picture.getByRole("img", { name: "The artifact" });
    await expect
      .poll(() => image.evaluate((element) => (element as unknown as { naturalWidth: number }).naturalWidth))
      .toBe(216);
    const table = artifacts.getByRole("listitem").filter({ hasText: "p99-by-hour.csv" });
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      table.getByRole("button", { name: "Download" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("p99-by-hour.csv");
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toMatch(/^hour,p99\n0,0\.14\n/);
    await side.getByText(`arcp replay --job ${jobId}`).waitFor();
    // The envelope of an event, as it came.
    await page.getByRole("button", { name: "Events" }).click();
    await page.locator("button.event", { hasText: "reviewed" }).click();
    await page.getByRole("button", { name: "Show the envelope" }).click();
    await page.locator(".detail pre", { hasText: '"type": "job.event"' }).getByText(jobId).waitFor();
    expect(problems).toEqual([]);
  });

  test("what people granted stands beside the lease, with its end", async () => {
    const client = await runtime.connect("alice");
    const job = await client.submit({ agent: "granted", leaseRequest: { "cost.budget": ["USD:2.00"] } });
    const { page } = await signedIn("alice", "#/inbox");
    const card = page.getByRole("article").filter({ has: page.locator(`a[href="#/jobs/${job.jobId}"]`) });
    await card.getByRole("button", { name: "Grant" }).click();
    await job.done;
    await page.goto(`${runtime.url}#/jobs/${job.jobId}`);
    const authority = page.getByRole("region", { name: "Authority" });
    await authority.getByText("deploy.production").waitFor();
    await authority.getByText("1.5 of 2 USD spent").waitFor();
  });

  test("hostile words are words in every place of a job's page", async () => {
    const jobId = await ended("alice", "trickster");
    const { page, problems } = await signedIn("alice", `#/jobs/${jobId}`);
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    const side = page.getByRole("complementary", { name: "About the job" });
    await side.getByRole("region", { name: "Checkpoints" }).getByText(SHOWN).waitFor();
    await side.getByText(`https://evil.test/${SHOWN}`).waitFor();
    expect(await side.getByText("It is kept elsewhere, and not fetched from here.").count()).toBe(2);
    await side.getByRole("button", { name: "Show" }).click();
    await side.getByText("<script>document.title='owned'</script>").waitFor();
    await page.getByRole("region", { name: "Error" }).getByText("What went wrong before (1)").click();
    await page.getByRole("button", { name: "Streams 1" }).click();
    await page.locator(".stream-content").getByText(SHOWN).waitFor();
    await page.getByRole("button", { name: "Trace" }).click();
    await page.locator(".trace-tool").getByText(SHOWN).waitFor();
    expect(await page.locator("main").innerText()).not.toMatch(/[\u001b\u202e]/);
    expect(await page.locator("main img, main script, main iframe, main a[href^='https:']").count()).toBe(0);
    expect(await page.title()).not.toBe("owned");
    expect(asked.filter((url) => !url.startsWith(runtime.url) && !url.startsWith("ws://127.0.0.1"))).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("owners can be chosen by those who may observe others' jobs, and by nobody else", async () => {
    const [mine, theirs] = [await ended("alice", "tidy"), await ended("bob", "tidy")];
    await ended("acme-alice", "tidy");
    const { page } = await signedIn("overseer");
    await page.locator(`a[href="#/jobs/${mine}"]`).getByText("alice").waitFor();
    expect(await page.getByLabel("Tenant").count()).toBe(0);
    await page.getByLabel("Owner", { exact: true }).selectOption("bob");
    await expect.poll(() => page.locator(`a[href="#/jobs/${mine}"]`).count()).toBe(0);
    await page.locator(`a[href="#/jobs/${theirs}"]`).waitFor();
    expect(page.url()).toContain("owner=bob");
    await page.reload();
    await page.locator(`a[href="#/jobs/${theirs}"]`).waitFor();
    expect(await page.locator(`a[href="#/jobs/${mine}"]`).count()).toBe(0);
    const acme = await signedIn("acme-overseer");
    await acme.page.getByLabel("Tenant").selectOption("acme");
    await acme.page.locator("a.row").getByText("acme").waitFor();
    expect(await acme.page.locator("a.row").count()).toBe(1);
    const alice = await signedIn("alice");
    await alice.page.locator(`a[href="#/jobs/${mine}"]`).waitFor();
    expect(await alice.page.getByLabel("Owner", { exact: true }).count()).toBe(0);
  });

  test("5,000 jobs are listed, filtered and scrolled while others change, and few rows exist", async () => {
    await runtime.keep(kept());
    const client = await runtime.connect("alice");
    const live = await client.submit({ agent: "ticking" });
    const { page, problems } = await signedIn("overseer");
    await page.evaluate(`window.slow = 0; window.most = 0;
      new PerformanceObserver((list) => { window.slow += list.getEntries().length; }).observe({ type: "longtask" });
      (function look() { window.most = Math.max(window.most, document.querySelectorAll("a.row").length); requestAnimationFrame(look); })();`);
    const progress = page.locator(`a[href="#/jobs/${live.jobId}"]`).locator(".count");
    await shownCount(page)
      .getByText(/^5,\d\d\d of 5,\d\d\d jobs$/)
      .waitFor();
    // From here to there and back, picture by picture, while one of them tells of its progress.
    const scrolled = await page.evaluate(`new Promise((done) => {
      const list = document.querySelector(".virtual");
      let [steps, gaps] = [0, 0];
      const step = () => {
        const box = list.getBoundingClientRect();
        if (!document.elementFromPoint(box.left + 40, box.top + box.height / 2)?.closest("a.row")) gaps += 1;
        steps += 1;
        list.scrollTop = steps * 4_000;
        if (list.scrollTop + list.clientHeight < list.scrollHeight - 1 && steps < 200) requestAnimationFrame(step);
        else done({ steps, gaps, end: list.scrollTop });
      };
      requestAnimationFrame(step);
    })`);
    const { steps, gaps, end } = scrolled as { steps: number; gaps: number; end: number };
    expect(end).toBeGreaterThan(COUNT * 50);
    // Each picture has rows where the list is looked at, however far it was scrolled since the one before.
    expect(gaps).toBeLessThan(5);
    await page.locator("a.row").last().waitFor();
    await page.evaluate(`document.querySelector(".virtual").scrollTop = 0`);
    const before = await progress.innerText();
    await expect.poll(() => progress.innerText()).not.toBe(before);
    const search = page.getByRole("searchbox");
    await search.fill("tree");
    await shownCount(page).getByText("3 of 5,").waitFor();
    expect(
      await page.locator("a.row .cell-agent").evaluateAll((cells) => cells.map(({ className }) => className)),
    ).toEqual([...["cell-agent depth-0", "cell-agent depth-1", "cell-agent depth-2"]]);
    await search.fill("");
    await page.getByLabel("Agent", { exact: true }).selectOption("agent-3");
    await page
      .getByRole("region", { name: "Counts" })
      .getByRole("button", { name: /error$/ })
      .click();
    await shownCount(page)
      .getByText(/^17\d of 5,/)
      .waitFor();
    await page.getByLabel("Time").selectOption("1h");
    await page.getByText("Nothing matches").waitFor();
    await page.getByRole("button", { name: "Show all jobs" }).click();
    await page.getByLabel("Time").selectOption("between");
    await page.getByLabel("To").fill("2001-01-01T00:00");
    await page.getByText("Nothing matches").waitFor();
    const most = Number(await page.evaluate("window.most"));
    const slow = Number(await page.evaluate("window.slow"));
    console.log(
      `5,000 jobs: at most ${most} rows at once, ${steps} steps to the end with ${gaps} gaps, ${slow} tasks over 50 ms`,
    );
    expect(most).toBeLessThan(60);
    await client.cancelJob(live.jobId);
    expect(problems).toEqual([]);
  });
});
