/**
 * Pages for tests: one browser for a file of tests, and for each test a context of its own, without cookies and storage of
 * others. Without Chromium these tests are skipped and say why; with CI=true they fail.
 */
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { chromiumPath, launchChromium, NO_CHROMIUM } from "./chromium.ts";

/** Launching, and everything that a page waits for. */
const LONG_MS = 60_000;

/** Why no page can be had; `undefined` if one can. For `describe.skipIf(reasonForNoChromium() !== undefined)`. */
export function reasonForNoChromium(): string | undefined {
  if (chromiumPath() !== undefined) return undefined;
  if (process.env["CI"] === "true") throw new Error(NO_CHROMIUM);
  console.warn(`skipped: ${NO_CHROMIUM}`);
  return NO_CHROMIUM;
}

export interface OpenedPage {
  readonly page: Page;
  /** What the page threw and nobody caught, and what it wrote to the console as an error, so far. */
  readonly problems: readonly string[];
}

/** Call it once in a `describe`. The function opens a page that is closed when the test is over. */
export function usePages(): (options?: BrowserContextOptions) => Promise<OpenedPage> {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launchChromium();
  }, LONG_MS);
  afterAll(async () => {
    await browser?.close();
  }, LONG_MS);
  return async (options = {}) => {
    if (browser === undefined) throw new Error("pages are opened in tests");
    const context = await browser.newContext(options);
    onTestFinished(() => context.close());
    context.setDefaultTimeout(LONG_MS);
    // What a page's policy has stopped is told to nobody else.
    await context.addInitScript(
      "addEventListener('securitypolicyviolation', (told) => console.error('policy:', told.violatedDirective, told.blockedURI));",
    );
    const problems: string[] = [];
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(error.stack ?? error.message));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    return { page, problems };
  };
}
