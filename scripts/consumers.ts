/** Programs of others, with the packages as they are published: TypeScript in both ways to find modules, and JavaScript. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type CommandResult, runCommand } from "./command.ts";
import type { PackedPackage } from "./pack.ts";
import { repositoryRoot } from "./repository-files.ts";

/** What their users have of their own. */
const HOSTS = ["express", "fastify", "hono", "@types/node", "@types/express"];

const SETTINGS = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  target: "ES2024",
  skipLibCheck: true,
  types: ["node"],
};
const LIBRARIES = ["ES2024", "ESNext.Disposable", "DOM"];
const WAYS = {
  nodenext: { module: "NodeNext", moduleResolution: "NodeNext" },
  bundler: { module: "ESNext", moduleResolution: "Bundler" },
} as const;

export interface Consumption {
  readonly name: string;
  readonly problem: string | undefined;
}

/** In `project`, where `@arcp/sdk` is installed: every entrance of every package. */
export async function consume(
  project: string,
  env: NodeJS.ProcessEnv,
  packages: readonly PackedPackage[],
): Promise<readonly Consumption[]> {
  const names = packages.map(({ name, version }) => `${name}@${version}`);
  // Hosts are there already, below: their peers need not be looked for.
  const installed = await run("npm", ["install", "--legacy-peer-deps", "--loglevel=error", ...names], project, env);
  if (installed !== undefined) return [{ name: "npm install of every package", problem: installed }];
  for (const host of HOSTS) {
    const place = join(project, "node_modules", host);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(repositoryRoot, "node_modules", host), place, "junction");
  }
  const entrances = packages.flatMap(({ name, manifest }) =>
    Object.keys(manifest.exports ?? {})
      .filter((path) => !path.includes("*") && !path.endsWith(".json"))
      .map((path) => name + path.slice(1)),
  );
  const imports = entrances.map((entrance, index) => `import * as m${index} from "${entrance}";`);
  const all = `[${entrances.map((_, index) => `m${index}`).join(", ")}]`;
  const tools = join(project, "consumer");
  mkdirSync(tools);
  writeFileSync(
    join(tools, "program.ts"),
    `${[...imports, `export const counts: readonly number[] = ${all}.map((each) => Object.keys(each).length);`, USE].join("\n")}\n`,
  );
  writeFileSync(
    join(tools, "program.js"),
    `${[...imports, `if (${all}.some((each) => Object.keys(each).length === 0)) throw new Error("an entrance has nothing");`, `console.log(${all}.length, typeof m0);`].join("\n")}\n`,
  );
  const results: Consumption[] = [{ name: `npm install of ${packages.length} packages`, problem: undefined }];
  const compiler = join(repositoryRoot, "node_modules", "typescript", "bin", "tsc");
  for (const [way, settings] of Object.entries(WAYS)) {
    const file = join(tools, `tsconfig.${way}.json`);
    writeFileSync(
      file,
      JSON.stringify({ compilerOptions: { ...SETTINGS, ...settings, lib: LIBRARIES }, files: ["program.ts"] }),
    );
    results.push({
      name: `TypeScript, ${way}: ${entrances.length} entrances`,
      problem: await run("node", [compiler, "-p", file], project, env),
    });
  }
  results.push({
    name: "TypeScript of arcp init",
    problem: await run("node", [compiler, "-p", project], project, env),
  });
  results.push({
    name: `JavaScript: ${entrances.length} entrances`,
    problem: await run("node", [join(tools, "program.js")], project, env),
  });
  return results;
}

/** What they are used for, with its types. */
const USE = `
import { ARCPClient, ARCPServer, type JobContext, pairMemoryTransports, StaticBearerVerifier } from "@arcp/sdk";
export async function greet(): Promise<unknown> {
  const server = new ARCPServer({
    runtime: { name: "consumer", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map([["token", { principal: "me" }]])),
  });
  server.registerAgent("echo", async (input: unknown, job: JobContext) => {
    await job.progress(1, { total: 1 });
    return { echoed: input };
  });
  const [near, far] = pairMemoryTransports();
  void server.accept(far);
  const client = new ARCPClient({ token: "token", client: { name: "consumer", version: "1.0.0" } });
  await client.connect(near);
  const job = await client.submit({ agent: "echo", input: 1 });
  // @ts-expect-error a job has no such member
  job.nonsense;
  return (await job.done).result;
}
`;

async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const { succeeded, output }: CommandResult = await runCommand(command, args, { cwd, env });
  return succeeded ? undefined : output.trim() || `${command} failed`;
}
