/** `node examples/browser/start.ts [port]`: opens the page to everybody on this machine, until Ctrl-C. */
import { once } from "node:events";
import { startService } from "./service.ts";

await using service = await startService({ port: Number(process.argv[2] ?? "8080") });
console.log(`The page is at ${service.url}`);
await once(process, "SIGINT");
