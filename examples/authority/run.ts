/**
 * `npm run demo -- authority`, or `node examples/authority/run.ts`: agents that try to do more than their leases say.
 *
 * Real files, real servers on this machine, a runtime on an SQLite file, a client over a WebSocket. Each line is an
 * attempt and what came of it; the lines that say "verified" look behind the runtime. Exits with 1 if one is wrong.
 */
import { boundTime } from "./expiry.ts";
import { boundFiles } from "./files.ts";
import { boundModels, startModels } from "./models.ts";
import { boundMoney } from "./money.ts";
import { boundNetwork } from "./network.ts";
import { Proof } from "./proof.ts";
import { ShiftedClock } from "./shifted-clock.ts";
import { Stage } from "./stage.ts";

const proof = new Proof();
{
  const clock = new ShiftedClock();
  // Every name leads to this machine, as one may that an attacker owns.
  const operations = { network: { resolve: async () => ["127.0.0.1"] } };
  await using models = await startModels();
  await using stage = await Stage.open({ clock, operations, credentialProvisioners: [models.provisioner] });
  await boundFiles(stage, proof);
  await boundNetwork(stage, proof);
  await boundMoney(stage, proof);
  await boundModels(stage, models, proof);
  await boundTime(stage, clock, proof);
}
console.log(`\n${proof.summary}`);
process.exitCode = proof.hasFailed ? 1 : 0;
