/** A tool with progress and a stream: `node examples/tool-with-progress-and-stream/run.ts`. */
import { withRuntime } from "../runtime.ts";
import read from "./agent.ts";
import { toolWithProgressAndStream } from "./client.ts";

await withRuntime({ read }, (connect) => toolWithProgressAndStream(connect, console.log));
