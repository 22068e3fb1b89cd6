/** A runtime is killed as soon as it has welcomed a client back: the next one knows what that client may have been sent. */
import { pairMemoryTransports } from "@arcp/core";
import { type JobContext, sqliteStore } from "@arcp/runtime";
import { expect, test } from "vitest";
import { CrashImages, serverOn } from "../durable/crash-images.ts";
import { RawClient } from "../support/raw-client.ts";

test("who was sent what came while it was away can go on from there after a kill", async () => {
  using images = new CrashImages();
  let phase = "before";
  const store = images.store(() => phase);
  const server = serverOn(store, {});
  const talking = Promise.withResolvers<JobContext>();
  const stop = Promise.withResolvers<void>();
  server.registerAgent("talker", async (_, context) => {
    talking.resolve(context);
    await stop.promise;
  });
  const connected = async (): Promise<RawClient> => {
    const [left, right] = pairMemoryTransports();
    await server.accept(right);
    return new RawClient(left);
  };

  const client = await connected();
  await client.hello();
  await client.submit("talker");
  const context = await talking.promise;
  await context.log("info", "while it is there");
  const { event_seq: last = 0 } = await client.nextWhere(({ payload }) =>
    JSON.stringify(payload).includes("it is there"),
  );
  client.cut();
  await client.transport.closed;
  await context.log("info", "while it is away");
  await context.flush();
  phase = "back";
  const again = await connected();
  expect((await again.resume(client, last)).type).toBe("session.welcome");
  await again.nextWhere(({ event_seq }) => event_seq === last + 1);
  const killed = images.images.filter(({ mark }) => mark === "back");
  stop.resolve();
  await server.close();

  expect(killed.length).toBeGreaterThan(0);
  for (const { path } of killed) {
    const left = sqliteStore({ path });
    const next = serverOn(left, {});
    const [near, far] = pairMemoryTransports();
    await next.accept(far);
    expect((await new RawClient(near).resume(again, last + 1)).type).toBe("session.welcome");
    await next.close();
    await left.close();
  }
});
