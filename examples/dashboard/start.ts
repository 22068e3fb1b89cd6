/** `npm run demo -- dashboard [PORT]`: the dashboard with something to see, until Ctrl-C. */
import { once } from "node:events";
import { openStage, play } from "./stage.ts";

const DEFAULT_PORT = 7780;

await using stage = await openStage(Number(process.argv[2] ?? DEFAULT_PORT));
console.log(`\n  ${stage.url}#token=${stage.token}\n\nSubmitting the jobs of the demo …`);
await play(stage);
console.log("They are there; some work until they are cancelled. Ctrl-C ends it.");
await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
