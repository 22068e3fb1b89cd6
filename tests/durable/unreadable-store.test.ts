/** A store that can be written and not be read fails a runtime while it recovers: its durable jobs are the next one's. */
import type { Store } from "@arcp/runtime";
import { expect, test } from "vitest";
import { Lives, turns } from "./lives.ts";

/** Of its sessions only the first can be read. */
const unreadable = (store: Store): Store => {
  let reads = 0;
  const findSession: Store["findSession"] = (id) => {
    reads += 1;
    return reads === 1 ? store.findSession(id) : Promise.reject(new Error("the disk cannot be read"));
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === "findSession") return findSession;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
};

async function statuses(store: Store): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { status } of store.jobs()) found.push(status);
  return found;
}

test("durable jobs do not end with the runtime whose store failed", async () => {
  const gate = Promise.withResolvers<void>();
  await using lives = new Lives({
    main: {
      handler: async (_, context) => {
        await context.step("wait", () => gate.promise);
      },
    },
  });
  await lives.begin();
  await lives.submit("main");
  await lives.submit("main");
  await lives.end();
  await lives.begin(unreadable);
  expect(await statuses(lives.store)).toEqual(["running", "running"]);
  await lives.end();
  await lives.begin();
  gate.resolve();
  await turns();
  expect(await statuses(lives.store)).toEqual(["success", "success"]);
});
