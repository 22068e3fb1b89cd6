import { fileURLToPath } from "node:url";
import type { AgentHandler } from "@arcp/runtime";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { reasonForNoChromium, usePages } from "../support/pages.ts";
import { bundle, type Files } from "./bundle.ts";
import type { Outcome, Report } from "./page/commands.ts";
import { Site } from "./site.ts";

const upTo = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index + 1));

/** Counts to `half`, waits until it may go on, and counts to the double. */
function pausingCounter(half: number): { readonly agent: AgentHandler; readonly goOn: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const agent: AgentHandler = async (_input, ctx) => {
    for (let n = 1; n <= 2 * half; n += 1) {
      if (n === half + 1) await promise;
      await ctx.log("info", String(n));
    }
    return { counted: 2 * half };
  };
  return { agent, goOn: resolve };
}

type Place = "page" | "worker";

/** The entrance of the page, from outside. */
async function tell<Value>(page: Page, place: Place, name: string, ...args: readonly unknown[]): Promise<Value> {
  const report = await page.evaluate(
    (order) => {
      const { arcpTest } = globalThis as unknown as { arcpTest: { order(...given: unknown[]): Promise<Report> } };
      return arcpTest.order(...order);
    },
    [place, name, args] as const,
  );
  if ("error" in report) throw new Error(report.error);
  return report.value as Value;
}

describe.skipIf(reasonForNoChromium() !== undefined)("the client in Chromium", () => {
  const openPage = usePages();
  let files: Files;
  beforeAll(async () => {
    files = await bundle(fileURLToPath(new URL("page", import.meta.url)));
  });

  async function start(agents: Readonly<Record<string, AgentHandler>>) {
    const harness = startHarness({ agents });
    onTestFinished(() => harness[Symbol.asyncDispose]());
    const site = await Site.start({ files, accept: (transport) => harness.server.accept(transport) });
    onTestFinished(() => site[Symbol.asyncDispose]());
    const opened = await openPage();
    await opened.page.goto(site.origin);
    return { harness, site, ...opened };
  }

  describe.each(["page", "worker"] as const)("in a %s", (place) => {
    test.each(["websocket", "http"] as const)("over %s: submits, and follows a job to its end", async (carrier) => {
      const { agent, goOn } = pausingCounter(3);
      goOn();
      const { page, site } = await start({ counter: agent });
      await tell(page, place, "connect", { url: site.url(carrier), token: "alice" });
      const jobId = await tell<string>(page, place, "submit", "counter", null);
      const outcome = await tell<Outcome>(page, place, "ended", jobId);
      expect(outcome).toMatchObject({ logged: upTo(6), result: { counted: 6 } });
      await tell(page, place, "close");
    });
  });
});
