/** A link to one question, as `arcp respond --link` prints it, on a phone. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ARCPClient } from "@arcp/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RunningCommand } from "../cli/arcp.ts";
import { reasonForNoChromium, usePages } from "../support/pages.ts";
import { buildPages, DashboardRuntime } from "./runtime.ts";

describe.skipIf(reasonForNoChromium() !== undefined)("a link in Chromium", { timeout: 120_000 }, () => {
  const openPage = usePages();
  const phone = { viewport: { width: 390, height: 800 } };
  let runtime: DashboardRuntime;
  let client: ARCPClient;
  beforeAll(async () => {
    await buildPages();
    runtime = await DashboardRuntime.start({
      deploys: async (_input, ctx) =>
        ctx.requestHumanInput({
          ...{ prompt: "Which <b>branch</b>, \u202eniam?", responseSchema: { type: "string" } },
        }),
    });
    client = await runtime.connect("alice");
  }, 60_000);
  afterAll(() => runtime[Symbol.asyncDispose]());

  /** A new job that waits, and its question. */
  async function asked(): Promise<{
    readonly jobId: string;
    readonly questionId: string;
    readonly answer: Promise<unknown>;
  }> {
    const job = await client.submit({ agent: "deploys" });
    await expect.poll(() => client.questions.some(({ jobId }) => jobId === job.jobId), { timeout: 60_000 }).toBe(true);
    const questionId = client.questions.find(({ jobId }) => jobId === job.jobId)?.id ?? "";
    const answer = job.done.then(({ result }) => result);
    // Not every job is answered before the runtime stops.
    answer.catch(() => {});
    return { jobId: job.jobId, questionId, answer };
  }

  const linkTo = async (questionId: string, expiresInSeconds?: number): Promise<string> => {
    const { token } = await client.createAnswerLink(
      questionId,
      expiresInSeconds === undefined ? {} : { expiresInSeconds },
    );
    return `${runtime.url}#/answer?link=${token}`;
  };

  test("from the command line: the question and nothing else; answered once, and told so after that", async () => {
    const { jobId, answer } = await asked();
    const other = await asked();
    const directory = mkdtempSync(join(tmpdir(), "arcp-link-"));
    const socket = `${runtime.url.replace("http", "ws")}arcp`;
    const command = new RunningCommand(["respond", jobId, "--link", "--expires", "600", "--url", socket], directory, {
      ARCP_TOKEN: "alice",
    });
    const { url } = await command.sees(({ type }) => type === "link");
    rmSync(directory, { recursive: true });
    const { page, problems } = await openPage(phone);
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(String(url));
    const card = page.getByRole("article");
    await card.getByText("Which <b>branch</b>, \\u{202e}niam?").waitFor();
    await card.getByText("Without an answer in time the job is told that nobody answered.").waitFor();
    // The token has left the address, and was in no request; there is no way to anything else.
    expect(page.url()).toBe(`${runtime.url}#/answer`);
    expect(requests.filter((each) => each.includes("link="))).toEqual([]);
    expect(await page.getByRole("navigation").count()).toBe(0);
    expect(await page.getByRole("link").count()).toBe(0);
    expect(await page.getByRole("article").count()).toBe(1);
    await page.goto(`${runtime.url}#/jobs/${other.jobId}`);
    await card.waitFor();
    expect(await page.getByText(other.jobId).count()).toBe(0);
    // Looked at again, and answered.
    const again = await openPage(phone);
    await again.page.goto(String(url));
    await again.page.reload();
    await again.page.getByRole("article").getByLabel("Answer").fill("main");
    await again.page.getByRole("button", { name: "Answer" }).click();
    await again.page.getByRole("heading", { name: "This question is answered" }).waitFor();
    expect(await answer).toMatchObject({ value: "main" });
    await page.getByRole("heading", { name: "This question is answered" }).waitFor();
    await again.page.reload();
    await again.page.getByRole("heading", { name: "This link was used" }).waitFor();
    expect([...problems, ...again.problems]).toEqual([]);
  });

  test("that is over, or none, has a page of its own", async () => {
    const { questionId } = await asked();
    const unused = await linkTo(questionId);
    const short = await linkTo(questionId, 1);
    const { page } = await openPage(phone);
    await page.goto(`${unused.slice(0, -8)}AAAAAAAA`);
    await page.getByRole("heading", { name: "This link is not valid" }).waitFor();
    await expect
      .poll(
        async () => {
          await page.goto("about:blank");
          await page.goto(short);
          await page.getByRole("heading").waitFor();
          return page.getByRole("heading").textContent();
        },
        { timeout: 60_000 },
      )
      .toBe("This link has expired");
    await client.respond(questionId, { value: "main" });
    await page.goto("about:blank");
    await page.goto(unused);
    await page.getByRole("heading", { name: "This question is answered" }).waitFor();
  });
});
