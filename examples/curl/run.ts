/** A job with curl alone, through two cuts: `node examples/curl/run.ts`. Says so and does nothing where there is no curl. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

async function main(): Promise<void> {
  const hasCurl = await run("curl", ["--version"]).catch(() => undefined);
  if (hasCurl === undefined) {
    console.error("There is no curl on this machine.");
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), "arcp-curl-"));
  const agent = `counter=${here("agent.ts")}`;
  const serve = ["serve", "--port", "0", "--db", ":memory:", "--json", "--log-level", "error", "--agent", agent];
  const server = spawn(process.execPath, [here("../../packages/sdk/bin/arcp.js"), ...serve], {
    cwd: directory,
    env: { ...process.env, ARCP_TOKEN: "demo-token" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = (await once(createInterface({ input: server.stdout }), "line")) as [string];
    const { url } = JSON.parse(line) as { readonly url: string };
    const env = { ...process.env, ARCP_URL: new URL(url.replace(/^ws/, "http")).origin, ARCP_TOKEN: "demo-token" };
    const { stdout, stderr } = await run("sh", [here("follow.sh"), "counter", '{"to":6}'], { env });
    console.log(stdout + stderr);
    const numbers = stdout
      .trim()
      .split("\n")
      .map((text) => Number.parseInt(text, 10));
    const cuts = stderr.match(/^-- cut/gm)?.length ?? 0;
    const isWhole = numbers.length > 4 && numbers.every((n, index) => n === index + 1);
    if (!isWhole || cuts !== 2 || !stdout.includes('"job.result"'))
      throw new Error("events are missing, or came twice");
    console.log(`Events 1 to ${numbers.length}, each once, through ${cuts} cuts.`);
  } finally {
    server.kill("SIGTERM");
    await once(server, "close");
    rmSync(directory, { recursive: true });
  }
}

await main();
