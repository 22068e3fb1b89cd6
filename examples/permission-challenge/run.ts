/** A permission is asked for, granted, used, extended and taken back: `node examples/permission-challenge/run.ts`. */
import { withRuntime } from "../runtime.ts";
import refund from "./agent.ts";
import { permissionChallenge } from "./client.ts";

await withRuntime({ refund }, (connect) => permissionChallenge(connect, console.log));
