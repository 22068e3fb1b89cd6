/** Threat H10: a runtime that never stops sending, and the built command, which keeps its memory small and goes on answering. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWebSocketServer, type Transport } from "@arcp/core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ALL_FEATURES } from "../support/raw-client.ts";
import { Workspace } from "./arcp.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** What is on its way in two sockets. */
const SLACK = 16 * MIB;
const JOB = "job_01M7XX9Z2YG10HKHMBJ5MC076N";
const EVENTS = 20_000;
/** All events together are several times as large as the memory that the command has for objects. */
const HEAP = "--max-old-space-size=48";

let workspace: Workspace;
beforeAll(async () => {
  workspace = await Workspace.create();
});
afterAll(() => workspace[Symbol.asyncDispose]());

/** The bytes that went out to a peer before it hung up. It would get a gigabyte. */
async function sendWithoutEnd(socket: Socket): Promise<number> {
  const piece = Buffer.alloc(MIB, "x");
  socket.on("error", () => socket.destroy());
  while (!socket.destroyed && socket.bytesWritten < KIB * MIB) {
    if (socket.write(piece)) continue;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        socket.off("drain", go).off("close", go);
        resolve();
      };
      socket.on("drain", go).on("close", go);
    });
  }
  const left = socket.bytesWritten - socket.writableLength;
  socket.destroy();
  return left;
}

it.skipIf(process.platform === "win32")(
  "a line without an end is given up at 64 MiB, for good, and no more than as much is read after it",
  { timeout: 120_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "arcp-endless-"));
    const sent: Promise<number>[] = [];
    const server = createServer((socket) => sent.push(sendWithoutEnd(socket)));
    const path = join(directory, "s");
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const env = { ARCP_URL: `unix://${path}`, ARCP_TOKEN: "any", NODE_OPTIONS: HEAP };
    const ended = await workspace.run(["jobs"], { env });
    server.close();
    await rm(directory, { recursive: true });
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining("1009: line too long") });
    expect(sent).toHaveLength(1);
    expect(await sent[0]).toBeLessThan(2 * 64 * MIB + SLACK);
  },
);

/** A runtime that opens every session, closes it when asked to, and leaves the rest to `answer`. */
async function scripted(answer: (type: string, id: string, say: Say, transport: Transport) => void): Promise<Scripted> {
  let connections = 0;
  const { url, close } = await startWebSocketServer({
    onTransport: (transport) => {
      connections += 1;
      transport.onFrame((text) => {
        const { id, type, payload } = JSON.parse(text) as {
          id: string;
          type: string;
          payload: { last_processed_seq?: number };
        };
        const say: Say = (name, said, members = {}) => {
          const message = { arcp: "1.1", id: `m_${id}`, type: name, session_id: "sess_1", ...members, payload: said };
          transport.send(JSON.stringify(message));
        };
        if (type === "session.hello") {
          say("session.welcome", {
            runtime: { name: "endless", version: "1" },
            ...{ resume_token: "rt_1", resume_window_sec: 600, heartbeat_interval_sec: 30 },
            capabilities: { encodings: ["json"], features: ALL_FEATURES, agents: [] },
          });
        } else if (type === "session.close") say("session.closed", {});
        else if (type === "session.ack") scene.acknowledged = payload.last_processed_seq ?? 0;
        else answer(type, id, say, transport);
      });
    },
  });
  const scene: Scripted = { url, close, acknowledged: 0, connections: () => connections };
  return scene;
}

type Say = (type: string, payload: object, members?: object) => void;
interface Scripted {
  readonly url: string;
  readonly close: () => Promise<void>;
  readonly connections: () => number;
  /** As the command last said. */
  acknowledged: number;
}

it("a message of 65 MiB ends the command, which does not ask again", { timeout: 120_000 }, async () => {
  const runtime = await scripted((_type, _id, _say, transport) => transport.send("x".repeat(65 * MIB)));
  const env = { ARCP_URL: runtime.url, ARCP_TOKEN: "any", NODE_OPTIONS: HEAP };
  const ended = await workspace.run(["jobs"], { env });
  expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining("1009: the other side sent a frame larger") });
  expect(runtime.connections()).toBe(1);
  await runtime.close();
});

it("more events than memory are all printed, in order, and acknowledged", { timeout: 120_000 }, async () => {
  const message = "x".repeat(4 * KIB);
  const flood = async (say: Say, transport: Transport): Promise<void> => {
    const members = (seq: number): object => ({ id: `e_${seq}`, event_seq: seq, job_id: JOB });
    const ts = "2026-01-01T00:00:00Z";
    for (let seq = 1; seq < EVENTS; seq += 1) {
      say("job.event", { kind: "log", ts, body: { level: "info", message } }, members(seq));
      // As fast as they leave, whether they are read or not: this process keeps its memory, too.
      if (transport.bufferedBytes > MIB) await transport.drained();
    }
    say("job.result", { final_status: "success", result: null }, members(EVENTS));
  };
  const runtime = await scripted((type, id, say, transport) => {
    if (type !== "job.subscribe") return;
    say(
      "job.subscribed",
      {
        ...{ request_id: id, job_id: JOB, current_status: "running", agent: "endless@1", lease: {} },
        ...{ parent_job_id: null, trace_id: null, subscribed_from: 1, replayed: false },
      },
      { job_id: JOB },
    );
    void flood(say, transport);
  });
  const env = { ARCP_URL: runtime.url, ARCP_TOKEN: "any", NODE_OPTIONS: HEAP };
  const ended = await workspace.run(["tail", JOB, "--json"], { env });
  expect(ended.stderr).toBe("");
  expect(ended.code).toBe(0);
  const numbers = ended.lines.filter(({ type }) => type === "job.event").map((line) => line["event_seq"]);
  expect(numbers).toEqual(Array.from({ length: EVENTS - 1 }, (_, index) => index + 1));
  // The last of them may be lost with the session.
  expect(runtime.acknowledged).toBeGreaterThan(EVENTS - 2048);
  await runtime.close();
});
