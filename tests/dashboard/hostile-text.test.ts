/** Threats J01 to J04, J09 and H04 in Chromium: everything that an agent can say, on every page that shows it. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { AgentHandler } from "@arcp/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLOBBERING, MARKDOWN, MARKUP, RAW, shownOf, TERMINAL_TEXTS } from "../hostile/text-of-others.ts";
import { reasonForNoChromium, usePages } from "../support/pages.ts";
import { buildPages, DashboardRuntime } from "./runtime.ts";

const TEXTS = [...MARKUP, ...TERMINAL_TEXTS];
const ALL = TEXTS.map(({ text }) => text).join("\n");
const members = (of: (name: string) => unknown) =>
  Object.fromEntries([...CLOBBERING, ...TEXTS.map(({ text }) => text)].map((name) => [name, of(name)]));

/** Each text in each kind of event, and then Markdown. */
const says: AgentHandler = async (_input, ctx) => {
  for (const { text } of TEXTS) {
    await ctx.log("info", text, { [text]: text });
    await ctx.thought(text);
    await ctx.status(text, text);
    await ctx.progress(1, { total: 2, message: text, units: text });
    await ctx.metric({ name: text, value: 1, unit: text });
    await ctx.toolCall({ tool: text, args: { [text]: text }, call_id: text });
    await ctx.toolResult({ call_id: text, result: { [text]: text } });
    await ctx.emitEvent("x-vendor.acme.note", { [text]: text });
  }
  await ctx.log(
    "info",
    "the last",
    members(() => "x"),
  );
  return MARKDOWN.map(({ text }) => text).join("\n\n");
};

/** Each text in each kind of question. */
const asks: AgentHandler = (_input, ctx) =>
  Promise.all([
    ctx.requestHumanInput({
      prompt: ALL,
      responseSchema: {
        type: "object",
        properties: members((title) => ({ type: "string", title, description: title })),
      },
    }),
    ctx.requestHumanChoice({
      prompt: ALL,
      options: TEXTS.map(({ text }, at) => ({ id: CLOBBERING[at] ?? `option-${at}`, label: text })),
    }),
    ctx.requestPermission({ permission: "email.send", resource: "alice", operation: "send", reason: ALL }),
  ]);

/** What the page has that it did not make itself. */
const FOREIGN = `JSON.stringify({
  elements: [...document.querySelectorAll("main img, main script, main iframe, main style, main link, main base, main meta, main template, main svg[onload], main form[action], main [onclick], main [onerror], main a:not([href^='#'])")].map((it) => it.outerHTML),
  names: [...document.querySelectorAll("main [id], main [name]")].flatMap((it) => [it.id, it.getAttribute("name")]),
  own: [typeof document.cookie, typeof document.getElementById, document.body.tagName, document.forms instanceof HTMLCollection, location === document.location],
  title: document.title,
})`;

describe.skipIf(reasonForNoChromium() !== undefined)("what others say, in Chromium", { timeout: 120_000 }, () => {
  const openPage = usePages();
  let runtime: DashboardRuntime;
  beforeAll(async () => {
    await buildPages();
    runtime = await DashboardRuntime.start({ says, asks });
  }, 60_000);
  afterAll(() => runtime[Symbol.asyncDispose]());

  test("is text on every page, asks nothing of anybody, and stands before nothing of the page's own", async () => {
    const client = await runtime.connect("alice");
    const said = await client.submit({ agent: "says" });
    await said.done;
    const asked = await client.submit({ agent: "asks" });
    const { page, problems } = await openPage();
    const requested: string[] = [];
    page.context().on("request", (request) => requested.push(request.url()));
    await page.goto(`${runtime.url}#token=alice`);
    await page.getByRole("navigation").waitFor();

    const expectOwn = async (): Promise<string> => {
      const found = JSON.parse(String(await page.evaluate(FOREIGN)));
      expect(found).toMatchObject({ elements: [], own: ["string", "function", "BODY", true, true] });
      expect(found.title).toMatch(/ · arcp$/);
      for (const name of CLOBBERING) expect(found.names).not.toContain(name);
      const html = String(await page.evaluate("document.documentElement.outerHTML"));
      expect(html).not.toMatch(RAW);
      return page.locator("main").innerText();
    };

    await page.goto(`${runtime.url}#/inbox`);
    await expect.poll(() => page.getByRole("article").count(), { timeout: 60_000 }).toBe(3);
    await expectOwn();
    for (const card of await page.getByRole("article").all()) {
      const text = await card.innerText();
      for (const each of TEXTS) expect(text).toContain(shownOf(each));
    }

    await page.goto(`${runtime.url}#/jobs/${said.jobId}`);
    await page.getByText("the last").waitFor();
    const result = page.getByRole("region", { name: "Result" });
    await result.getByText("[link:").first().waitFor();
    const text = await result.innerText();
    for (const each of MARKDOWN) expect(text).toContain(shownOf(each));
    await expectOwn();
    await page.getByText("the last").click();
    const detail = page.getByRole("complementary", { name: "The chosen event" });
    await detail.getByText('"getElementById": "x"').waitFor();
    await expectOwn();
    const search = page.getByLabel("Search the events");
    for (const each of [...MARKUP.slice(0, 2), ...TERMINAL_TEXTS.slice(0, 2)]) {
      await search.fill(each.text);
      await page.getByText(shownOf(each)).first().waitFor();
      await expectOwn();
    }
    for (const [place, ready] of [
      [`#/jobs/${said.jobId}?view=trace`, ".trace-tool"],
      [`#/jobs/${asked.jobId}`, "article"],
      [`#/wire?q=${said.jobId}`, "button.event"],
      ["#/", "a.row"],
    ] as const) {
      await page.goto(`${runtime.url}${place}`);
      await page.locator(ready).first().waitFor();
      await expectOwn();
    }
    const own = [runtime.url, runtime.url.replace("http", "ws"), "blob:"];
    expect(requested.filter((url) => !own.some((start) => url.startsWith(start)))).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("no page of others has it in a frame, or a hand on its window", async () => {
    const { page } = await openPage();
    const evil = createServer((_request, response) =>
      response
        .setHeader("content-type", "text/html")
        .end(`<!doctype html><title>evil</title><iframe src="${runtime.url}"></iframe>`),
    );
    evil.listen(0, "127.0.0.1");
    await once(evil, "listening");
    try {
      // Another name is another site.
      await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`);
      await expect.poll(() => page.frames()[1]?.url(), { timeout: 60_000 }).toBe("chrome-error://chromewebdata/");
      const opening = page.waitForEvent("popup");
      await page.evaluate(`window.opened = open(${JSON.stringify(runtime.url)}), 0`);
      const popup = await opening;
      await popup.getByLabel("Token").waitFor();
      expect(await popup.evaluate("window.opener")).toBeNull();
      await expect.poll(() => page.evaluate("window.opened.closed"), { timeout: 60_000 }).toBe(true);
    } finally {
      evil.close().closeAllConnections();
    }
  });
});
