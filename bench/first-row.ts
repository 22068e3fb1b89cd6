/**
 * How long the dashboard takes from nothing to its first live row: `node bench/first-row.ts [--runs 7]`. See README.md.
 *
 * Each run is a context of its own, with an empty cache, in a Chromium that runs already. The page's own clock counts from the
 * beginning of the navigation to the first row of the board in its document; rows come over the page's session, and change with it.
 */
import { parseArgs } from "node:util";
import { openStage, play } from "../examples/dashboard/stage.ts";
import { launchChromium } from "../tests/support/chromium.ts";
import { median } from "./scenarios.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "7" } } });
const TARGET_MS = 1_000;

/** In the page, before anything of its own: notes when the first row is there. */
const WATCH = `
  new MutationObserver((_, observer) => {
    if (document.querySelector("a.row") === null) return;
    observer.disconnect();
    window.firstRowAt = performance.now();
  }).observe(document, { childList: true, subtree: true });
`;

await using stage = await openStage();
await play(stage);
const browser = await launchChromium();
const taken: number[] = [];
for (let run = 0; run < Number(values.runs); run += 1) {
  const context = await browser.newContext();
  await context.addInitScript(WATCH);
  const page = await context.newPage();
  await page.goto(`${stage.url}#token=${stage.token}`, { waitUntil: "commit" });
  await page.locator("a.row").first().waitFor();
  taken.push(await page.evaluate("window.firstRowAt"));
  await context.close();
}
await browser.close();
const ms = (value: number): string => `${Math.round(value)} ms`;
const middle = median(taken);
console.log(`first row of the dashboard: ${ms(middle)} (median of ${taken.length}: ${taken.map(ms).join(", ")})`);
console.log(`target ${ms(TARGET_MS)}: ${middle <= TARGET_MS ? "met" : "missed"}`);
