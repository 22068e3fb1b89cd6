/** A dashboard that comes late: `node examples/observer/run.ts`. */
import { withRuntime } from "../runtime.ts";
import build from "./agent.ts";
import { observer } from "./client.ts";

await withRuntime({ build }, (connect) => observer(connect, console.log));
