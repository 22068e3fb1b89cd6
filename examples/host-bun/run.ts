/** Runs `server.ts` under Bun, if it runs on this machine: `node examples/host-bun/run.ts`. */
import { execFileSync, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const architecture = process.arch === "arm64" ? "aarch64" : process.arch;
const path = `../../node_modules/@oven/bun-${process.platform}-${architecture}/bin/bun`;
const bun = fileURLToPath(new URL(path, import.meta.url));

if (spawnSync(bun, ["--version"]).status === 0) {
  execFileSync(bun, [fileURLToPath(new URL("server.ts", import.meta.url))], { stdio: "inherit" });
} else console.error("Bun does not run on this machine: nothing was shown");
