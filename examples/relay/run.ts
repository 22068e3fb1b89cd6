/** A question at three places, answered at one of them: `node examples/relay/run.ts`. */
import { withRuntime } from "../runtime.ts";
import release from "./agent.ts";
import { relay } from "./client.ts";

await withRuntime({ release }, (connect) => relay(connect, console.log));
