import { fileURLToPath } from "node:url";
import type { Transport } from "@arcp/core";
import type { AgentHandler } from "@arcp/runtime";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { LineFault } from "../../chaos/proxy.ts";
import { bundle, type Files } from "../../examples/browser/bundle.ts";
import { startHarness } from "../support/harness.ts";
import { reasonForNoChromium, usePages } from "../support/pages.ts";
import type { Kept, Outcome, Report } from "./page/commands.ts";
import type { RawFollowing } from "./page/event-stream.ts";
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

describe.skipIf(reasonForNoChromium() !== undefined)("the client in Chromium", { timeout: 60_000 }, () => {
  const openPage = usePages();
  let files: Files;
  beforeAll(async () => {
    files = await bundle(fileURLToPath(new URL("page", import.meta.url)));
  }, 60_000);

  async function start(agents: Readonly<Record<string, AgentHandler>>) {
    const harness = startHarness({ agents });
    onTestFinished(() => harness[Symbol.asyncDispose]());
    const connections: Transport[] = [];
    const accept = (transport: Transport): Promise<unknown> => {
      connections.push(transport);
      return harness.server.accept(transport);
    };
    const site = await Site.start({ files, accept });
    onTestFinished(() => site[Symbol.asyncDispose]());
    const opened = await openPage();
    await opened.page.goto(site.origin);
    return { harness, site, connections, ...opened };
  }

  describe.each([
    ["page", "websocket"],
    ["page", "http"],
    ["worker", "websocket"],
    ["worker", "http"],
  ] as const)("in a %s over %s", (place, carrier) => {
    test("a wrong token is refused as such; with a right one, a job is followed although the network goes", async () => {
      const { agent, goOn } = pausingCounter(50);
      const { page, site, problems } = await start({ counter: agent });
      const refused = tell(page, place, "connect", { url: site.url(carrier), token: "nobody" });
      await expect(refused).rejects.toThrow("UNAUTHENTICATED");
      await tell(page, place, "connect", { url: site.url(carrier), token: "alice" });
      const jobId = await tell<string>(page, place, "submit", "counter", null);
      await tell(page, place, "logged", jobId, 50);
      site.cut();
      await tell(page, place, "phase", "reconnecting");
      // The second half is written while nobody can be told.
      goOn();
      site.restore();
      await tell(page, place, "phase", "connected");
      const outcome = await tell<Outcome>(page, place, "ended", jobId);
      expect(outcome).toMatchObject({ logged: upTo(100), result: { counted: 100 } });
      expect(outcome.numbers).toEqual(outcome.numbers.toSorted((a, b) => a - b));
      expect(new Set(outcome.numbers).size).toBe(outcome.numbers.length);
      // Longer than a close frame may be.
      await tell(page, place, "close", "é".repeat(100));
      // The browser itself tells of connections that failed, and of requests that were refused.
      expect(problems.filter((text) => !/ERR_|status of 401/.test(text))).toEqual([]);
    });
  });

  test.each(["websocket", "http"] as const)("over %s: connections that break again and again", async (carrier) => {
    const { agent, goOn } = pausingCounter(200);
    const { page, site } = await start({ counter: agent });
    const cut = (frames: number): LineFault => ({ kind: "tear", side: "runtime", frames, bytes: 40, way: "reset" });
    await tell(page, "page", "connect", { url: site.url(carrier), token: "alice" });
    const jobId = await tell<string>(page, "page", "submit", "counter", null);
    await tell(page, "page", "logged", jobId, 200);
    site.cut();
    await tell(page, "page", "phase", "reconnecting");
    goOn();
    // Within the handshake, and further and further into what was missed.
    site.disturb(...[0, 1, 2, 3, 5, 8, 13, 21].map(cut));
    site.restore();
    const outcome = await tell<Outcome>(page, "page", "ended", jobId);
    expect(outcome).toMatchObject({ logged: upTo(400), result: { counted: 400 } });
    expect(site.cuts).toBeGreaterThan(5);
  });

  test("a page that hears that the network is back does not wait any longer", async () => {
    const { agent, goOn } = pausingCounter(2);
    const { page, site } = await start({ counter: agent });
    const anHour = { url: site.url("websocket"), token: "alice", reconnectDelayMs: 3_600_000 };
    await tell(page, "page", "connect", anHour);
    const jobId = await tell<string>(page, "page", "submit", "counter", null);
    await tell(page, "page", "logged", jobId, 2);
    site.cut();
    await tell(page, "page", "phase", "reconnecting");
    await page.context().setOffline(true);
    site.restore();
    goOn();
    await page.context().setOffline(false);
    await tell(page, "page", "phase", "connected");
    expect(await tell<Outcome>(page, "page", "ended", jobId)).toMatchObject({ logged: upTo(4) });
  });

  test.each(["websocket", "http"] as const)(
    "over %s: a page that is loaded again goes on where it was",
    async (carrier) => {
      const { agent, goOn } = pausingCounter(3);
      const { page, site } = await start({ counter: agent });
      const connection = { url: site.url(carrier), token: "alice" };
      const session = await tell<string>(page, "page", "connect", connection);
      const jobId = await tell<string>(page, "page", "submit", "counter", null);
      await tell(page, "page", "logged", jobId, 3);
      await page.reload();
      goOn();
      const kept = await page.evaluate(
        () => (globalThis as unknown as { arcpTest: { kept(): Kept } }).arcpTest.kept(), // What the page itself keeps.
      );
      expect(kept).toMatchObject({ jobId, logged: upTo(3) });
      expect(await tell<string>(page, "page", "connect", { ...connection, resume: kept.resume })).toBe(session);
      await tell(page, "page", "take", jobId, kept.logged);
      const outcome = await tell<Outcome>(page, "page", "ended", jobId);
      expect(outcome).toMatchObject({ logged: upTo(6), result: { counted: 6 } });
    },
  );

  test("a job is cancelled, a question answered, a result comes in pieces", async () => {
    const { page, site, harness } = await start({
      patient: async (_input, ctx) => {
        await ctx.log("info", "waiting");
        await new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)));
      },
      asking: async (_input, ctx) => {
        const { value } = await ctx.requestHumanInput({ prompt: "Which colour?", responseSchema: { type: "string" } });
        return { colour: value };
      },
      streaming: async (_input, ctx) => {
        const result = ctx.streamResult();
        for (let n = 0; n < 20; n += 1) await result.write(new Uint8Array(1000).fill(n));
        await result.finalize();
      },
    });
    await tell(page, "worker", "connect", { url: site.url("http"), token: "alice" });
    await tell(page, "page", "connect", { url: site.url("websocket"), token: "alice" });
    for (const place of ["page", "worker"] as const) {
      const patient = await tell<string>(page, place, "submit", "patient", null);
      await tell(page, place, "logged", patient, 1);
      await tell(page, place, "cancel", patient, "enough");
      expect(await tell<Outcome>(page, place, "ended", patient)).toMatchObject({ error: "CANCELLED" });
      const streaming = await tell<string>(page, place, "submit", "streaming", null);
      expect(await tell<Outcome>(page, place, "ended", streaming)).toMatchObject({ result: 20_000 });
    }
    const asking = await tell<string>(page, "page", "submit", "asking", null);
    // Every session of the principal is asked; the one in the worker is quicker.
    expect(await tell(page, "worker", "answer", { value: "green" })).toEqual(["Which colour?", "applied"]);
    expect(await tell<Outcome>(page, "page", "ended", asking)).toMatchObject({ result: { colour: "green" } });
    expect(harness.errors).toEqual([]);
  });

  test.each(["websocket", "http"] as const)("over %s: the page is closed, and its job goes on", async (carrier) => {
    const { agent, goOn } = pausingCounter(1);
    const { page, site, harness, connections } = await start({ counter: agent });
    await tell(page, "page", "connect", { url: site.url(carrier), token: "alice" });
    const jobId = await tell<string>(page, "page", "submit", "counter", null);
    await tell(page, "page", "logged", jobId, 1);
    await page.close();
    expect(connections).toHaveLength(1);
    await connections[0]?.closed;
    expect(harness.server.runningJobs).toBe(1);
    goOn();
    const client = await harness.client();
    const subscription = await client.subscribe(jobId, { history: true });
    expect(await subscription.done).toMatchObject({ result: { counted: 2 } });
  });

  describe("a page of another origin", () => {
    /** A page from one port, and a runtime on another one that knows of it or not. */
    async function startElsewhere(isAllowed: boolean) {
      const { page, site: pages } = await start({});
      const { agent, goOn } = pausingCounter(2);
      goOn();
      const harness = startHarness({ agents: { counter: agent } });
      onTestFinished(() => harness[Symbol.asyncDispose]());
      let connections = 0;
      const accept = (transport: Transport): Promise<unknown> => {
        connections += 1;
        return harness.server.accept(transport);
      };
      const site = await Site.start({ files, accept, allowedOrigins: isAllowed ? [pages.origin] : [] });
      onTestFinished(() => site[Symbol.asyncDispose]());
      return { page, site, connections: () => connections };
    }

    test("may connect if it is named", async () => {
      const { page, site } = await startElsewhere(true);
      for (const carrier of ["websocket", "http"] as const) {
        await tell(page, "page", "connect", { url: site.url(carrier), token: "alice" });
        const jobId = await tell<string>(page, "page", "submit", "counter", null);
        expect(await tell<Outcome>(page, "page", "ended", jobId)).toMatchObject({ logged: upTo(4) });
      }
    });

    test("may not if it is not, whatever it knows", async () => {
      const { page, site, connections } = await startElsewhere(false);
      for (const carrier of ["websocket", "http"] as const) {
        const connecting = tell(page, "page", "connect", { url: site.url(carrier), token: "alice" });
        await expect(connecting).rejects.toThrow("INTERNAL_ERROR");
      }
      expect(connections()).toBe(0);
    });

    test("takes a stream of events up again with Last-Event-ID, by fetch alone", async () => {
      const { page, site } = await startElsewhere(true);
      const { ids, last } = await page.evaluate(
        (url) =>
          (
            globalThis as unknown as { arcpTest: { followByFetch(...given: unknown[]): Promise<RawFollowing> } }
          ).arcpTest // In the page.
            .followByFetch(url, "alice", "counter", 2),
        site.url("http"),
      );
      expect(ids).toEqual([upTo(2), upTo(5).slice(2)]);
      expect(last).toEqual(["job.event", "job.result"]);
    });
  });
});
