/** What may wait waits for what may not, and not for ever (RFC §6.5). */
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";

/** Something that takes its time, so that what follows has to wait. */
const busy = (client: RawClient10): string =>
  client.send("artifact.put", { media_type: "text/plain", data: "eA==" }, { priority: "critical" });

/** The names of pings in the order of their answers. */
async function answered(client: RawClient10, count: number): Promise<string[]> {
  await client.sees(() => client.ofType("pong").length === count);
  return client.ofType("pong").map(({ payload }) => payload.nonce);
}

describe("commands that wait", () => {
  test("are carried out by priority, and in the order of their coming within one", async () => {
    covers("V10-6.5-01", "V10-6.5-02", "V10-6.1.1-12");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    busy(client);
    for (const [nonce, priority] of [
      ["a", "low"],
      ["b", undefined],
      ["c", "normal"],
      ["d", "high"],
      ["e", "low"],
      ["f", "critical"],
    ]) {
      client.send("ping", { nonce }, priority === undefined ? {} : { priority });
    }
    expect(await answered(client, 6)).toEqual(["f", "d", "b", "c", "a", "e"]);
  });

  test("do not starve: every tenth turn is that of whoever has waited longest", async () => {
    covers("V10-6.5-02");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    busy(client);
    for (let n = 0; n < 4; n += 1) client.send("ping", { nonce: `low ${n}` }, { priority: "low" });
    for (let n = 0; n < 40; n += 1) client.send("ping", { nonce: `high ${n}` }, { priority: "high" });
    const order = await answered(client, 44);
    const places = order.flatMap((nonce, place) => (nonce.startsWith("low") ? [place] : []));
    expect(places).toEqual([8, 18, 28, 38]);
    expect(order.filter((nonce) => nonce.startsWith("high"))).toEqual(
      Array.from({ length: 40 }, (_, n) => `high ${n}`),
    );
  });

  test("about one job keep their order, whatever their priority", async () => {
    covers("V10-6.5-04", "V10-6.4-08");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    busy(client);
    const about = { job_id: "job_x" };
    client.send("ping", { nonce: "first" }, { ...about, priority: "low" });
    client.send("ping", { nonce: "second" }, { ...about, priority: "critical" });
    client.send("ping", { nonce: "other" }, { priority: "normal" });
    expect(await answered(client, 3)).toEqual(["other", "first", "second"]);
  });

  test("that are all critical are not", async () => {
    covers("V10-6.5-06");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    for (let n = 0; n < 60; n += 1) client.send("ping", { nonce: "before" }, { priority: "critical" });
    await answered(client, 60);
    busy(client);
    client.send("ping", { nonce: "high" }, { priority: "high" });
    client.send("ping", { nonce: "critical" }, { priority: "critical" });
    expect((await answered(client, 62)).slice(-2)).toEqual(["high", "critical"]);
  });
});

test("critical is what ends a job, and nothing else that it says", async () => {
  covers("V10-6.5-05");
  await using harness = startHarness({ agents: { talker: (_input, context) => context.log("info", "x") } });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("talker");
  await client.ending(job_id);
  const critical = client.ofJob(job_id).filter(({ priority }) => priority !== undefined);
  expect(critical.map(({ type, priority }) => [type, priority])).toEqual([["tool.result", "critical"]]);
});
