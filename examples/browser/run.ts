/**
 * The page in a Chromium without a window: `node examples/browser/run.ts`. It submits a job, loses the network in the
 * middle, gets it back, is loaded again, and shows 1 to N. Exits with 1 if it does not.
 */
import type { Page } from "playwright-core";
import { chromiumPath, launchChromium, NO_CHROMIUM } from "../../tests/support/chromium.ts";
import { startService } from "./service.ts";

const startedAt = performance.now();

async function tell(what: string, page: Page): Promise<void> {
  const shown = async (id: string): Promise<string> => (await page.locator(`#${id}`).textContent()) ?? "";
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(5);
  console.log(`${seconds} s  ${what}`);
  console.log(
    `         Connection: ${await shown("connection")} | Job: ${await shown("job")} | ${await shown("summary")}`,
  );
}

const numbersOf = (page: Page): Promise<string[]> => page.locator("#numbers li").allTextContents();

/** Resolves when the page shows so many numbers. */
const shows = (page: Page, count: number): Promise<void> =>
  page
    .locator("#numbers li")
    .nth(count - 1)
    .waitFor();

/** Lets the agent count as far as it is told, and says how far it has come: then the cut is always in the middle. */
class Beat {
  #limit = 0;
  #at = 0;
  #onChange = new Set<() => void>();

  readonly pause = async (n: number): Promise<void> => {
    this.#at = n - 1;
    this.#changed();
    await this.#until(() => this.#limit >= n);
  };

  /** Resolves when the job has said `n`. */
  async countTo(n: number): Promise<void> {
    this.#limit = n;
    this.#changed();
    await this.#until(() => this.#at >= n);
  }

  /** The job ends. */
  finish(): void {
    this.#limit = Number.POSITIVE_INFINITY;
    this.#changed();
  }

  #changed(): void {
    for (const tell of this.#onChange) tell();
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onChange.add(resolve);
      await promise;
      this.#onChange.delete(resolve);
    }
  }
}

async function main(): Promise<void> {
  const beat = new Beat();
  await using service = await startService({ pause: beat.pause });
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(service.url);
    await page.getByRole("button", { name: "Submit a job" }).click();
    await beat.countTo(7);
    await shows(page, 7);
    await tell("The page has submitted a job, and shows what it says.", page);

    await page.getByRole("button", { name: "Cut the network" }).click();
    await page.getByText("reconnecting").waitFor();
    await beat.countTo(18);
    await tell("The network is gone. The job is at 18, and the page does not know.", page);
    if ((await numbersOf(page)).length !== 7) throw new Error("the network was not cut");

    await page.getByRole("button", { name: "Bring the network back" }).click();
    await shows(page, 18);
    await beat.countTo(23);
    await shows(page, 23);
    await tell("The network is back.", page);

    await page.reload();
    await beat.countTo(31);
    await shows(page, 31);
    await tell("The page was loaded again.", page);

    beat.finish();
    await page.getByText("success").waitFor();
    await tell("The job has ended.", page);
    const numbers = await numbersOf(page);
    console.log(`\nThe page shows: ${numbers.join(" ")}`);
    if (numbers.join() !== Array.from({ length: 40 }, (_, index) => index + 1).join()) {
      throw new Error("numbers are missing, or came twice");
    }
    if (problems.length > 0) throw new Error(`the page had problems: ${problems.join("; ")}`);
    console.log("1 to 40, each once, through a cut and a reload.");
  } finally {
    beat.finish();
    await browser.close();
  }
}

if (chromiumPath() === undefined) {
  console.error(NO_CHROMIUM);
  if (process.env["CI"] === "true") process.exitCode = 1;
} else await main();
