/** Threats H01 to H04 of a runtime that is hostile itself: what it calls its jobs, agents and errors, in the built command. */
import { startWebSocketServer } from "@arcp/core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { MARKUP, RAW, TERMINAL_TEXTS } from "../hostile/text-of-others.ts";
import { ALL_FEATURES } from "../support/raw-client.ts";
import { Workspace } from "./arcp.ts";

/** As much of it as a name may hold. */
const NAME = TERMINAL_TEXTS.slice(0, 8)
  .map(({ text }) => text)
  .join(" ");
/** All of it, in one line. */
const ALL = [...TERMINAL_TEXTS, ...MARKUP].map(({ text }) => text).join(" ");
const SHOWN = String.raw`\u{1b}]52;c;cm0gLXJmIC8=\u{7} \u{1b}[2K\u{1b}[1AAPPROVED by alice`;

let listener: Awaited<ReturnType<typeof startWebSocketServer>>;
let workspace: Workspace;

beforeAll(async () => {
  workspace = await Workspace.create();
  listener = await startWebSocketServer({
    onTransport: (transport) => {
      transport.onFrame((text) => {
        const { id, type } = JSON.parse(text) as { readonly id: string; readonly type: string };
        const send = (name: string, payload: object): void =>
          void transport.send(
            JSON.stringify({ arcp: "1.1", id: `m_${id}`, type: name, session_id: "sess_1", payload }),
          );
        if (type === "session.hello") {
          const capabilities = {
            encodings: ["json"],
            features: ALL_FEATURES,
            agents: [{ name: NAME, versions: [NAME] }],
          };
          const resumption = { resume_token: "rt_1", resume_window_sec: 600, heartbeat_interval_sec: 30 };
          send("session.welcome", { runtime: { name: NAME, version: NAME }, ...resumption, capabilities });
        } else if (type === "session.list_jobs") {
          const named = { job_id: ALL, agent: ALL, status: ALL, trace_id: ALL, parent_job_id: ALL };
          send("session.jobs", { request_id: id, jobs: [named] });
        } else if (type === "session.close") send("session.closed", {});
        else send("session.error", { code: "INVALID_REQUEST", message: ALL, retryable: false, request_id: id });
      });
    },
  });
});
afterAll(async () => {
  await workspace[Symbol.asyncDispose]();
  await listener.close();
});

it.each([
  ["jobs", ["jobs", "--no-json"], 0, "stdout"],
  ["jobs, as JSON", ["jobs", "--json"], 0, undefined],
  ["top, where there is no terminal", ["top"], 0, "stdout"],
  ["agents", ["agents", "--no-json"], 0, "stdout"],
  ["a refusal", ["cancel", "job_01M7XX9Z2YG10HKHMBJ5MC076N"], 1, "stderr"],
] as const)("%s", { timeout: 60_000 }, async (_name, args, code, shows) => {
  const env = { ARCP_URL: listener.url, ARCP_TOKEN: "any", ARCP_DEBUG: "1" };
  const ended = await workspace.run([...args], { env });
  expect(ended.code).toBe(code);
  expect(ended.stdout + ended.stderr).not.toMatch(RAW);
  if (shows !== undefined) expect(ended[shows]).toContain(SHOWN);
  else expect(JSON.stringify(ended.lines)).toContain(JSON.stringify(ALL).slice(1, -1));
});
