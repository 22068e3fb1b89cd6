/** `npm run contract`: which tests every store must pass, and by which stores each is run. Fails if they are not the same for all. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { repositoryRoot } from "./repository-files.ts";

const FILES = ["tests/store/contract-sqlite", "tests/store/contract-postgres", "tests/postgres/pooler"];
/** Of a test's whole name: which store it is about, and what it says of that. */
const NAME = /(?:^| > )a store: (?<store>[^>]+) > (?<test>.+)$/;

/** Which stores run each test. */
function contractOf(names: readonly string[]): Map<string, Set<string>> {
  const tests = new Map<string, Set<string>>();
  for (const name of names) {
    const { store, test } = NAME.exec(name)?.groups ?? {};
    if (store === undefined || test === undefined) continue;
    tests.set(test, (tests.get(test) ?? new Set()).add(store));
  }
  return tests;
}

async function listed(): Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), "arcp-contract-"));
  const file = join(directory, "tests.json");
  try {
    const args = ["list", "--no-static-parse", "--typecheck=false", `--json=${file}`, ...FILES];
    const { succeeded, output } = await runCommand("vitest", args, { cwd: repositoryRoot });
    if (!succeeded) throw new Error(output);
    return (JSON.parse(readFileSync(file, "utf8")) as readonly { readonly name: string }[]).map(({ name }) => name);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const tests = contractOf(await listed());
const stores = [...new Set([...tests.values()].flatMap((of) => [...of]))];
const partial = [...tests].filter(([, of]) => of.size < stores.length);
for (const test of tests.keys()) console.log(test);
console.log(`\n${tests.size} tests of ${stores.length} stores: ${stores.join(", ")}`);
for (const [test, of] of partial) console.log(`not of all of them: ${test} (${[...of].join(", ")})`);
process.exitCode = partial.length === 0 && stores.length > 1 ? 0 : 1;
