/** Runs `server.ts` under Bun, if its package is for this machine: `node examples/host-bun/run.ts`. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const architecture = process.arch === "arm64" ? "aarch64" : process.arch;
const path = `../../node_modules/@oven/bun-${process.platform}-${architecture}/bin/bun`;
const bun = fileURLToPath(new URL(path, import.meta.url));

if (existsSync(bun)) {
  execFileSync(bun, [fileURLToPath(new URL("server.ts", import.meta.url))], { stdio: "inherit" });
} else console.log("there is no Bun for this machine: nothing was run");
