/** A handshake, a ping, a close: `node examples/minimal-session/run.ts`. */
import { withRuntime } from "../runtime.ts";
import { minimalSession } from "./client.ts";

await withRuntime({}, (connect) => minimalSession(connect, console.log));
