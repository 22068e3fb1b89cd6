/** A job that asks a person: `node examples/human-input/run.ts`. */
import { withRuntime } from "../runtime.ts";
import fix from "./agent.ts";
import { humanInput } from "./client.ts";

await withRuntime({ fix }, (connect) => humanInput(connect, console.log));
