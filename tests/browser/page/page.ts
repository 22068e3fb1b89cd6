import "./quiet-zod.ts";
import { Commands, carryOut, type Kept, type Order, type Report } from "./commands.ts";
import { followByFetch } from "./event-stream.ts";

const KEY = "kept";

const inPage = new Commands((kept) => sessionStorage.setItem(KEY, JSON.stringify(kept)));
const waiting = new Map<number, (report: Report) => void>();
let worker: Worker | undefined;
let orders = 0;

function toWorker(order: Order): Promise<Report> {
  if (worker === undefined) {
    worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Report>) => waiting.get(data.id)?.(data));
  }
  const { promise, resolve } = Promise.withResolvers<Report>();
  waiting.set(order.id, resolve);
  worker.postMessage(order);
  return promise;
}

/** What the tests call. */
const entrance = {
  order: (place: "page" | "worker", name: Order["name"], args: readonly unknown[]): Promise<Report> => {
    orders += 1;
    const order = { id: orders, name, args };
    return place === "worker" ? toWorker(order) : carryOut(inPage, order);
  },
  followByFetch,
  kept: (): Kept => JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Kept,
};

Object.assign(globalThis, { arcpTest: entrance });
