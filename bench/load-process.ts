/** Starts a load process and reads its figures. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Figures } from "./scenarios.ts";
import type { ServerSettings } from "./server-control.ts";
import type { ServerName } from "./server-process.ts";
import type { ScenarioId } from "./targets.ts";

export interface LoadRequest {
  readonly server: ServerName;
  readonly scenario: ScenarioId;
  readonly synchronous: ServerSettings["synchronous"];
  readonly scale: number;
  /** Where the server's own temporary directory is made. */
  readonly directory: string;
  /** Where to write a processor profile, and of which of the two processes. */
  readonly profile?: { readonly directory: string; readonly of: "server" | "load" };
}

/** The load process gives up by itself well before this. */
const KILL_AFTER_MS = 360_000;
const PROGRAM = fileURLToPath(new URL("./load.ts", import.meta.url));

/** Rejects with what the process wrote to its standard error when it fails. */
export function runLoad(request: LoadRequest, signal?: AbortSignal): Promise<Figures> {
  const { server, scenario, synchronous, scale, directory, profile } = request;
  const options = { server, scenario, sync: synchronous, scale: String(scale), directory };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  if (profile?.of === "server") args.push("--profile-dir", profile.directory);
  const child = fork(PROGRAM, args, {
    execArgv: profile?.of === "load" ? ["--cpu-prof", `--cpu-prof-dir=${profile.directory}`] : [],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    ...(signal && { signal }),
  });
  const killer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  let out = "";
  let complaint = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  return new Promise((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new Error(`scenario ${scenario} against the ${server} server: ${why}\n${complaint}`.trimEnd()));
    child.once("error", (error) => fail(error.message));
    child.once("close", (code, endedBy) => {
      clearTimeout(killer);
      if (code === 0) resolve(JSON.parse(out) as Figures);
      else fail(endedBy === null ? "failed" : `ended by ${endedBy}`);
    });
  });
}
