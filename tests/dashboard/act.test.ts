/** What people do in the dashboard: each act over the wire, with its permission, and in the audit. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ARCPClient } from "@arcp/client";
import { createLogger, type RunningWebSocketServer, startWebSocketServer } from "@arcp/core";
import { dashboard } from "@arcp/dashboard";
import { type AgentHandler, ARCPServer, auditRows, sqliteStore } from "@arcp/runtime";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { reasonForNoChromium, usePages } from "../support/pages.ts";
import { buildPages } from "./runtime.ts";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const echo: AgentHandler = async (input) => ({ heard: input });

/** Goes on until it is cancelled. */
const patient: AgentHandler = (_input, { signal }) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

const asks: AgentHandler = async (_input, ctx) => {
  const { choiceId } = await ctx.requestHumanChoice({
    prompt: "<b>What now?</b>",
    options: [
      { id: "ship", label: "Release it" },
      { id: "wait", label: "Wait" },
    ],
  });
  return { choiceId };
};

const wants: AgentHandler = async (_input, ctx) => {
  const grant = await ctx.requestPermission({
    ...{ permission: "filesystem.read", resource: "/etc/hosts", operation: "read" },
    ...{ reason: "to look", requestedLeaseSeconds: 600 },
  });
  return { expiresAt: grant.expiresAt };
};

const SCHEMA = {
  type: "object",
  properties: {
    title: { type: "string", title: "Title", description: "<img src=x onerror=alert(1)>", minLength: 3 },
    depth: { type: "integer", title: "Depth", minimum: 1, maximum: 5, default: 2 },
    mode: { enum: ["fast", "thorough"], title: "Mode" },
    isUrgent: { type: "boolean", title: "Urgent" },
    site: { type: "string", format: "uri", title: "Site" },
    contact: {
      type: "object",
      title: "Contact",
      properties: { name: { type: "string", title: "Name" }, mail: { type: "string", format: "email", title: "Mail" } },
      required: ["name"],
    },
    tags: { type: "array", title: "Tags", items: { type: "string", title: "Tag" }, maxItems: 3 },
    target: {
      title: "Where to",
      oneOf: [
        {
          title: "A file",
          type: "object",
          properties: { path: { type: "string", title: "Path" } },
          required: ["path"],
        },
        { title: "Nowhere", type: "null" },
      ],
    },
    code: { type: "string", title: "Code", pattern: "^[A-Z]+$" },
  },
  required: ["title"],
};

describe.skipIf(reasonForNoChromium() !== undefined)("acting in the dashboard", { timeout: 120_000 }, () => {
  const openPage = usePages();
  const store = sqliteStore();
  let listener: RunningWebSocketServer;
  let url: string;

  beforeAll(async () => {
    await buildPages();
    const server = new ARCPServer({
      runtime: { name: "test", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: {
        verify: async (token) => ({
          principal: token.split("-")[0] ?? "",
          ...(token.endsWith("-reader") && { permissions: ["observe:own"] as const }),
        }),
      },
      cancelAuthority: "principal",
      leasePolicy: ({ "net.fetch": _network, ...others }) => others,
      eventLog: store,
      logger: createLogger(() => {}, "error"),
    });
    server.registerAgent("echo@1.0.0", echo, { inputSchema: SCHEMA, description: "Says it again" });
    server.registerAgent("echo@2.0.0", echo, { isDefault: true });
    for (const [name, handler] of Object.entries({ patient, asks, wants })) server.registerAgent(name, handler);
    const pages = dashboard();
    listener = await startWebSocketServer({
      onTransport: (transport) => void server.accept(transport).catch(() => {}),
      onRequest: (request, response) => pages.handle(request, response),
    });
    url = `http://127.0.0.1:${listener.port}/`;
    return async () => {
      await server.close("over", { drainMs: 0 });
      await listener.close();
      await store.close();
    };
  }, 120_000);

  /** Signed in with a link as `arcp serve` prints it. */
  async function signedIn(token: string, place = "#/", options = {}) {
    const opened = await openPage(options);
    await opened.page.goto(`${url}#token=${token}`);
    await opened.page.getByRole("navigation").waitFor();
    await opened.page.goto(url + place);
    return opened;
  }

  async function submitted(agent: string, principal = "alice"): Promise<string> {
    const client = await ARCPClient.connect(listener.url, { token: principal });
    const { jobId } = await client.submit({ agent, input: "GIVEN", leaseRequest: { "fs.read": ["/srv/**"] } });
    await client.close();
    return jobId;
  }

  /** The actions that the audit has of a job. */
  const actionsOf = async (jobId: string): Promise<readonly string[]> => {
    const actions: string[] = [];
    for await (const row of auditRows(store)) if (row.jobId === jobId) actions.push(row.action);
    return actions;
  };

  const jobOf = (page: Page): string => /job_\w+/.exec(page.url())?.[0] ?? "";

  const jsonOf = async (page: Page): Promise<unknown> =>
    JSON.parse(await page.getByLabel("Input, as JSON").inputValue());

  test("a form is made of the schema; what is wrong is said at its place, by the page and by the runtime", async () => {
    const { page, problems } = await signedIn("alice", "#/submit?agent=echo%401.0.0");
    await page.getByText("Says it again").waitFor();
    await page.getByText("<img src=x onerror=alert(1)>").waitFor();
    expect(await page.getByLabel("Depth").inputValue()).toBe("2");
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    await expect.poll(() => page.getByLabel("Title").getAttribute("aria-invalid")).toBe("true");
    await page.getByText("This is needed.", { exact: true }).waitFor();
    await page.getByLabel("Title").fill("again");
    await page.getByLabel("Depth").fill("9");
    await page.getByText("This is 5 at most.").waitFor();
    await page.getByLabel("Depth").fill("4");
    await page.getByLabel("Mode").selectOption("thorough");
    await page.getByLabel("Urgent").selectOption("no");
    await page.getByLabel("Site").fill("https://a.example/");
    await page.getByRole("button", { name: "Add Contact" }).click();
    await page.getByLabel("Name").fill("Ada");
    await page.getByRole("button", { name: "Add Tags" }).click();
    await page.getByLabel("Tag required").fill("one");
    await page.getByRole("button", { name: "Add Tags" }).click();
    await page.getByRole("button", { name: "Remove Tags 2" }).click();
    await page.getByLabel("Where to: which").selectOption("A file");
    await page.getByLabel("Path").fill("/srv/out");
    await page.getByLabel("Code").fill("abc");
    const filled = {
      ...{ title: "again", depth: 4, mode: "thorough", isUrgent: false, site: "https://a.example/" },
      ...{ contact: { name: "Ada" }, tags: ["one"], target: { path: "/srv/out" } },
    };
    await page.getByText("As JSON", { exact: true }).click();
    expect(await jsonOf(page)).toEqual({ ...filled, code: "abc" });
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    // A pattern may never end: the runtime alone tries it.
    await page.locator("label", { hasText: "Code" }).getByText('must match pattern "^[A-Z]+$"').waitFor();
    await page.getByLabel("Input, as JSON").fill(JSON.stringify({ ...filled, code: "ABC" }));
    expect(await page.getByLabel("Code").inputValue()).toBe("ABC");
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    await page.getByRole("heading", { name: "Result" }).waitFor();
    await page.getByText('"path": "/srv/out"').first().waitFor();
    expect(await actionsOf(jobOf(page))).toContain("job.submitted");

    // Again, with changes: agent, version, input and lease are there.
    await page.getByRole("link", { name: "Submit again with changes" }).click();
    await page.getByRole("heading", { name: "Submit again, with changes" }).waitFor();
    await expect.poll(() => page.getByLabel("Version").inputValue()).toBe("1.0.0");
    expect(await page.getByLabel("Name").inputValue()).toBe("Ada");
    await page.getByLabel("Title").fill("changed");
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    await page.getByText('"title": "changed"').first().waitFor();
    expect(problems).toEqual([]);
  });

  test("a lease is built, tried, and checked by the runtime before there is a job", async () => {
    const { page, problems } = await signedIn("alice", `#/submit?from=${await submitted("patient")}`);
    // The lease of the job that is run again.
    await expect.poll(() => page.getByLabel("Patterns of fs.read").inputValue()).toBe("/srv/**");
    // It was submitted elsewhere: the runtime tells what it was given.
    await expect.poll(() => page.getByLabel("Input, as JSON").inputValue()).toContain("GIVEN");
    const answer = page.locator(".dry-run").getByRole("status");
    await page.getByLabel("Target").fill("/srv/app/../app/main.ts");
    await answer.getByText("Yes: fs.read /srv/app/main.ts").waitFor();
    await page.getByLabel("Target").fill("/etc/hosts");
    await answer.getByText("No: ").waitFor();
    await answer.getByRole("button", { name: "Add /etc/hosts" }).click();
    await answer.getByText("Yes: fs.read /etc/hosts").waitFor();
    await page.getByRole("button", { name: "Add a capability" }).click();
    await page.getByLabel("Capability").last().selectOption("net.fetch");
    await page.getByLabel("Patterns of net.fetch").fill("example.com");
    await page.getByText("not a canonical url pattern").waitFor();
    await page.getByLabel("Patterns of net.fetch").fill("https://api.example.com/**");
    await page.getByLabel("Its lease ends after, in minutes").fill("30");
    await page.getByRole("button", { name: "Check without submitting" }).click();
    const checked = page.locator(".checked");
    await checked.getByText("It would be taken").waitFor();
    await checked.getByText("net.fetch: https://api.example.com/**").waitFor();
    await page.getByLabel("Idempotency key").fill("once");
    await page.getByLabel("It runs at most, in seconds").fill("60");
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    const authority = page.getByRole("region", { name: "Authority" });
    await authority.getByText("/etc/hosts").waitFor();
    expect(await authority.getByText("net.fetch").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  test("acts are in the audit: cancel, choose, grant, deny", async () => {
    const { page, problems } = await signedIn("alice");
    const [stopped, chosen, granted, denied] = [
      ...[await submitted("patient"), await submitted("asks")],
      ...[await submitted("wants"), await submitted("wants")],
    ] as [string, string, string, string];
    const cardOf = (jobId: string) =>
      page.getByRole("article").filter({ has: page.locator(`a[href="#/jobs/${jobId}"]`) });
    await page.goto(`${url}#/inbox`);
    await cardOf(chosen).getByRole("button", { name: "Release it" }).click();
    await cardOf(granted).getByLabel("Grant it for at most, in seconds").fill("60");
    await cardOf(granted)
      .getByText(/^Would be granted: filesystem\.read of \/etc\/hosts to this job alone, until /)
      .waitFor();
    await cardOf(granted).getByRole("button", { name: "Grant" }).click();
    await cardOf(denied).getByRole("button", { name: "Deny" }).click();
    await expect.poll(() => cardOf(denied).count()).toBe(0);
    await page.goto(`${url}#/jobs/${stopped}`);
    // By keys alone.
    await page.getByRole("button", { name: "Cancel", exact: true }).waitFor();
    await page.keyboard.press("x");
    await page
      .getByRole("dialog", { name: "Cancel this job?" })
      .getByRole("button", { name: "Cancel the job" })
      .click();
    await page.getByRole("region", { name: "Error" }).getByText("CANCELLED").waitFor();
    await expect.poll(() => actionsOf(stopped)).toContain("job.cancelled");
    expect(await actionsOf(chosen)).toContain("question.answered");
    expect(await actionsOf(granted)).toEqual(expect.arrayContaining(["question.answered", "permission.granted"]));
    expect(await actionsOf(denied)).toEqual(expect.arrayContaining(["question.answered", "permission.denied"]));
    expect(problems).toEqual([]);
  });

  test("what credentials do not permit is not offered, with the reason", async () => {
    const jobId = await submitted("patient");
    const question = await submitted("asks");
    const { page } = await signedIn("alice-reader", `#/jobs/${jobId}`);
    const cancel = page.getByRole("button", { name: "Cancel", exact: true });
    await cancel.waitFor();
    expect(await cancel.isDisabled()).toBe(true);
    expect(await page.getByRole("link", { name: "Submit again with changes" }).count()).toBe(0);
    await page.getByText("Your credentials do not permit to submit or cancel jobs").waitFor();
    await page.goto(`${url}#/submit`);
    await page.getByText("Your credentials do not permit to submit or cancel jobs").waitFor();
    expect(await page.getByRole("button", { name: "Submit", exact: true }).isDisabled()).toBe(true);
    await page.goto(`${url}#/jobs/${question}`);
    await page.getByText("Your credentials do not permit to answer").waitFor();
    expect(await page.getByRole("button", { name: "Release it", exact: true }).isDisabled()).toBe(true);
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").getByRole("combobox").fill("submit");
    await page.getByRole("option", { name: "Submit a job" }).waitFor();
    expect(await page.getByRole("option", { name: /^Submit to/ }).count()).toBe(0);
  });

  test("a tab in the background tells that somebody waits, once it was asked to, and not what for", async () => {
    const { page } = await openPage({ permissions: ["notifications"] });
    await page.addInitScript(`
      globalThis.told = [];
      globalThis.Notification = class { constructor(title, options) { told.push([title, options.body]); }
        static permission = "default";
        static requestPermission = async () => { told.push("asked"); return (Notification.permission = "granted"); } };
      Object.defineProperty(document, "hidden", { get: () => globalThis.isAway === true });`);
    await page.goto(`${url}#token=dora`);
    await page.getByRole("navigation").waitFor();
    const told = (): Promise<unknown> => page.evaluate("told");
    await page.evaluate("isAway = true");
    await submitted("asks", "dora");
    await expect.poll(() => page.title()).toMatch(/^\(1\) /);
    expect(await told()).toEqual([]);
    await page.evaluate("isAway = false");
    await page.goto(`${url}#/inbox`);
    await page.getByRole("button", { name: "Notify me in the background" }).click();
    await page.getByRole("button", { name: "Notifying you in the background" }).waitFor();
    await page.evaluate("isAway = true");
    await submitted("asks", "dora");
    await expect.poll(told).toEqual(["asked", ["An agent asks for a choice", "2 open"]]);
    await expect.poll(() => page.title()).toMatch(/^\(2\) /);
  });

  test("the palette submits to an agent; the form breaks no rule of accessibility, on a phone either", async () => {
    const { page } = await signedIn("alice", "#/", { viewport: { width: 390, height: 800 }, reducedMotion: "reduce" });
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").getByRole("combobox").fill("submit to echo");
    await page.keyboard.press("Enter");
    await page.getByLabel("Version").selectOption("1.0.0");
    await page.getByRole("button", { name: "Add Contact" }).click();
    await page.getByRole("button", { name: "Add a capability" }).click();
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    await page.getByText("This is needed.").first().waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    const session = await page.context().newCDPSession(page);
    const { frameTree } = await session.send("Page.getFrameTree");
    const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", {
      ...{ frameId: frameTree.frame.id, worldName: "axe" },
    });
    const expression = `${axeSource}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
      .then(({ violations }) => JSON.stringify(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])))`;
    const { result } = await session.send("Runtime.evaluate", { expression, contextId, awaitPromise: true });
    expect(JSON.parse(String(result.value))).toEqual([]);
  });
});
