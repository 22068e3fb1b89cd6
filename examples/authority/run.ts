/**
 * `npm run demo -- authority [bound …]`, or `node examples/authority/run.ts`: agents that try to do more than their leases
 * say.
 *
 * Real files, real servers on this machine, a runtime on an SQLite file, a client over a WebSocket. Each line is an
 * attempt and what came of it; the lines that say "verified" look behind the runtime. Exits with 1 if one is wrong.
 */
import { boundDelegation } from "./delegation.ts";
import { boundTime } from "./expiry.ts";
import { boundFiles } from "./files.ts";
import { boundModels, startModels } from "./models.ts";
import { boundMoney } from "./money.ts";
import { boundNetwork } from "./network.ts";
import { Proof } from "./proof.ts";
import { ShiftedClock } from "./shifted-clock.ts";
import { Stage } from "./stage.ts";
import { boundTools } from "./tools.ts";

const proof = new Proof();

/** Shows the bounds that are named, or all of them. */
async function show(names: readonly string[]): Promise<void> {
  const clock = new ShiftedClock();
  // Every name leads to this machine, as one may that an attacker owns.
  const operations = { network: { resolve: async () => ["127.0.0.1"] } };
  await using models = await startModels();
  await using stage = await Stage.open({ clock, operations, credentialProvisioners: [models.provisioner] });
  const bounds: Readonly<Record<string, () => Promise<void>>> = {
    files: () => boundFiles(stage, proof),
    network: () => boundNetwork(stage, proof),
    tools: () => boundTools(stage, proof),
    delegation: () => boundDelegation(stage, clock, proof),
    money: () => boundMoney(stage, proof),
    models: () => boundModels(stage, models, proof),
    time: () => boundTime(stage, clock, proof),
  };
  for (const name of names.length > 0 ? names : Object.keys(bounds)) {
    const bound = Object.hasOwn(bounds, name) ? bounds[name] : undefined;
    if (bound === undefined) throw new Error(`there is no bound ${name}: choose of ${Object.keys(bounds).join(", ")}`);
    await bound();
  }
}

try {
  await show(process.argv.slice(2));
  console.log(`\n${proof.summary}`);
  process.exitCode = proof.hasFailed ? 1 : 0;
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
