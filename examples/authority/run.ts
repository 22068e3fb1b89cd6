/**
 * `npm run demo -- authority`, or `node examples/authority/run.ts`: agents that try to do more than their leases say.
 *
 * Real files, real servers on this machine, a runtime on an SQLite file, a client over a WebSocket. Each line is an
 * attempt and what came of it; the lines that say "verified" look behind the runtime. Exits with 1 if one is wrong.
 */
import { boundFiles } from "./files.ts";
import { Proof } from "./proof.ts";
import { Stage } from "./stage.ts";

const proof = new Proof();
{
  await using stage = await Stage.open();
  await boundFiles(stage, proof);
}
console.log(`\n${proof.summary}`);
process.exitCode = proof.hasFailed ? 1 : 0;
