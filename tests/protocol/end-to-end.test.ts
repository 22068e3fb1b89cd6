import { describe, expect, test } from "vitest";
import { HOSTS } from "../adapters/hosts.ts";
import { HTTP_HOSTS } from "../adapters/http-hosts.ts";
import { CARRIERS, OTHER_CARRIERS, startHarness } from "../support/harness.ts";

/** What is done here works over everything that carries frames, whoever's server it is. */
const EVERYWHERE = [
  ...[...CARRIERS, ...OTHER_CARRIERS].map((name) => [name, name] as const),
  ...HOSTS.map((host) => [`WebSockets of ${host.name}`, host] as const),
  ...HTTP_HOSTS.map((host) => [`HTTP of ${host.name}`, host] as const),
];

describe.each(EVERYWHERE)("over %s", (_name, carrier) => {
  test("a job runs from submit to result", async () => {
    await using harness = startHarness({
      carrier,
      agents: {
        echo: async (input, context) => {
          await context.log("info", "working");
          await context.progress(1, { total: 1 });
          return { echoed: input };
        },
      },
    });
    const client = await harness.client();
    const job = await client.submit({ agent: "echo", input: { hello: "world" } });
    const kinds: string[] = [];
    for await (const event of job) kinds.push(event.kind);
    expect(kinds).toEqual(["log", "progress"]);
    expect((await job.done).result).toEqual({ echoed: { hello: "world" } });
  });

  test("a client that loses its connection misses nothing", async () => {
    const count = 500;
    let cutAt: (() => void) | undefined;
    await using harness = startHarness({
      carrier,
      agents: {
        chatter: async (_input, context) => {
          for (let n = 1; n <= count; n += 1) {
            await context.log("info", String(n));
            if (n % 100 === 0) {
              cutAt?.();
              await context.flush();
            }
          }
          return "done";
        },
      },
    });
    const client = await harness.persistentClient();
    cutAt = () => harness.cutAll();
    const job = await client.submit({ agent: "chatter" });
    const seen: number[] = [];
    const messages: string[] = [];
    for await (const event of job) {
      if (event.kind !== "log") continue;
      seen.push(event.seq ?? 0);
      messages.push(event.body.message);
    }
    expect(messages).toEqual(Array.from({ length: count }, (_, index) => String(index + 1)));
    expect(seen).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    expect((await job.done).result).toBe("done");
  });
});
