import "./quiet-zod.ts";
import { Commands, carryOut, type Order } from "./commands.ts";

const commands = new Commands();

globalThis.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  void carryOut(commands, data).then((report) => globalThis.postMessage(report));
});
