/**
 * Runs one scenario under the processor profiler and prints the functions that the time goes to:
 *
 *     node bench/profile.ts --scenario 3 [--server product|limit] [--of server|load] [--sync FULL] [--scale 1]
 *                           [--top 30] [--keep DIR]
 *
 * The whole life of the process is profiled, with start and warm-up. Scenario 3c profiles the load process unless told
 * otherwise, because the client is there.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runLoad } from "./load-process.ts";
import { SERVER_NAMES } from "./server-process.ts";
import { isScenarioId } from "./targets.ts";

/** What Node writes with `--cpu-prof`, as far as it is read here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Microseconds by function, without what it calls. */
function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  samples.forEach((id, i) => {
    const name = names.get(id) ?? "?";
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i] ?? 0));
  });
  return times;
}

function nameOf({ functionName, url, lineNumber }: CpuProfile["nodes"][number]["callFrame"]): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  if (url === "") return name;
  const path = url.startsWith("file://") ? relative(ROOT, fileURLToPath(url)) : url;
  return `${name}  ${path}:${lineNumber + 1}`;
}

function print(file: string, top: number): void {
  const times = selfTimes(JSON.parse(readFileSync(file, "utf8")) as CpuProfile);
  const idle = times.get("(idle)") ?? 0;
  times.delete("(idle)");
  const busy = [...times.values()].reduce((sum, micros) => sum + micros, 0);
  const ms = (micros: number): string => (micros / 1_000).toFixed(0).padStart(8);
  process.stdout.write(`busy ${ms(busy).trim()} ms, idle ${ms(idle).trim()} ms\n\n self ms      %  function\n`);
  for (const [name, micros] of [...times].sort((a, b) => b[1] - a[1]).slice(0, top)) {
    process.stdout.write(`${ms(micros)}  ${((micros / busy) * 100).toFixed(1).padStart(5)}  ${name}\n`);
  }
}

const { values } = parseArgs({
  options: {
    scenario: { type: "string", default: "3" },
    server: { type: "string", default: "product" },
    of: { type: "string" },
    sync: { type: "string", default: "NORMAL" },
    scale: { type: "string", default: "1" },
    top: { type: "string", default: "30" },
    keep: { type: "string" },
  },
});

async function main(): Promise<void> {
  const { scenario, sync } = values;
  const server = SERVER_NAMES.find((name) => name === values.server);
  if (server === undefined) throw new Error("--server takes limit or product");
  if (!isScenarioId(scenario)) throw new Error(`there is no scenario "${scenario}"`);
  if (sync !== "NORMAL" && sync !== "FULL") throw new Error("--sync takes NORMAL or FULL");
  const of = values.of ?? (scenario === "3c" ? "load" : "server");
  if (of !== "server" && of !== "load") throw new Error("--of takes server or load");
  if (values.keep !== undefined) mkdirSync(values.keep, { recursive: true });
  const directory = mkdtempSync(join(values.keep ?? tmpdir(), "arcp-profile-"));
  try {
    const figures = await runLoad({
      server,
      scenario,
      synchronous: sync,
      scale: Number(values.scale),
      directory,
      profile: { directory, of },
    });
    const files = readdirSync(directory).filter((name) => name.endsWith(".cpuprofile"));
    if (files.length === 0) throw new Error("the process wrote no profile");
    process.stdout.write(`scenario ${scenario}, ${server}, ${of} process: ${JSON.stringify(figures)}\n`);
    for (const name of files) print(join(directory, name), Number(values.top));
    if (values.keep !== undefined) process.stdout.write(`\nkept in ${directory}\n`);
  } finally {
    if (values.keep === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
