/** `npm run screenshots`: every page of the dashboard, light, dark and narrow, with the data of the demo, into docs/images. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { openStage, play } from "../examples/dashboard/stage.ts";
import { launchChromium } from "../tests/support/chromium.ts";
import { repositoryRoot } from "./repository-files.ts";

const directory = join(repositoryRoot, "docs", "images");
mkdirSync(directory, { recursive: true });

const VIEWS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 800 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  { name: "narrow", colorScheme: "light", viewport: { width: 390, height: 844 } },
] as const;

await using stage = await openStage();
const ids = await play(stage);
const browser = await launchChromium();

/** Each page: where it is, and what has to be there before it is worth looking at. */
const PLACES: readonly {
  readonly name: string;
  readonly hash: string;
  readonly ready: (page: Page) => Promise<void>;
}[] = [
  { name: "board", hash: "#/", ready: (page) => page.locator("a.row .count").first().waitFor({ state: "attached" }) },
  {
    name: "job",
    hash: `#/jobs/${ids.get("research")}`,
    ready: (page) => page.locator(".markdown h3").first().waitFor(),
  },
  {
    name: "trace",
    hash: `#/jobs/${ids.get("research")}?view=trace`,
    ready: async (page) => {
      await page.locator(".trace-tool").nth(6).waitFor();
      await page.locator(".trace").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "running",
    hash: `#/jobs/${ids.get("crawl")}`,
    ready: (page) => page.locator(".kind-progress").nth(2).waitFor(),
  },
  {
    name: "denial",
    hash: `#/jobs/${ids.get("tidy")}`,
    ready: async (page) => {
      await page.locator("button.event:has(.outcome.failed)").first().click();
      await page.locator(".detail .remedy").waitFor();
    },
  },
  {
    name: "hostile",
    hash: `#/jobs/${ids.get("hostile")}`,
    ready: (page) => page.locator(".markdown h3").first().waitFor(),
  },
  { name: "inbox", hash: "#/inbox", ready: (page) => page.locator("article").nth(2).waitFor() },
  {
    name: "submit",
    hash: "#/submit",
    ready: (page) => page.getByRole("button", { name: "Add a capability" }).click(),
  },
  {
    name: "envelopes",
    hash: "#/wire",
    ready: async (page) => {
      await page.locator("button.event").last().click();
      await page.locator(".detail").waitFor();
    },
  },
  {
    name: "commands",
    hash: "#/",
    ready: async (page) => {
      await page.locator("a.row").first().waitFor();
      await page.keyboard.press("Control+k");
      await page.locator("#palette-0").waitFor();
    },
  },
];

for (const { name, ...options } of VIEWS) {
  const context = await browser.newContext({ ...options, reducedMotion: "reduce", locale: "en-GB" });
  const page = await context.newPage();
  const shoot = (place: string): Promise<unknown> => page.screenshot({ path: join(directory, `${place}-${name}.png`) });
  await page.goto(stage.url);
  await page.getByLabel("Token").waitFor();
  await shoot("sign-in");
  await page.goto(`${stage.url}#token=${stage.token}`);
  await page.getByRole("navigation").waitFor();
  for (const { name: place, hash, ready } of PLACES) {
    await page.goto(stage.url + hash);
    await ready(page);
    // Two pictures later, what has just come is drawn.
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    await shoot(place);
  }
  await context.close();
}
await browser.close();
console.log(`${VIEWS.length * (PLACES.length + 1)} pictures in ${directory}`);
