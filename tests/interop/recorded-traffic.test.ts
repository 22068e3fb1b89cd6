import { setTimeout as sleep } from "node:timers/promises";
import type { Transport } from "@arcp/core";
import type { ARCPServerOptions, LeasePolicy } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { registerAgents } from "../../interop/agents.ts";
import { type Frame, problemsOf } from "../../interop/peers/rules.ts";
import { typescript } from "../../interop/peers/typescript.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { owed, ownSeq, type Row, readRecording, recordings } from "./recording.ts";

interface Deviation {
  readonly server?: Partial<ARCPServerOptions>;
  /** How long the client stays away before it resumes. Default: 20 ms. */
  readonly awayMs?: number;
  /** What this runtime owes instead of the last frame, or after it. */
  readonly last?: { readonly type: string; readonly payload: object };
  readonly more?: readonly string[];
  /** Frames may come in another order than recorded. */
  readonly anyOrder?: true;
}

/** A decision, where the request itself is none. */
const grantAll: LeasePolicy = (request) => ({ ...request });

/** Where the recorded runtime was set up otherwise than by default, or was wrong. */
const DEVIATIONS: Readonly<Record<string, Deviation>> = {
  "cancel-stubborn": { server: { cancelGraceMs: 100 } },
  heartbeat: { server: { heartbeatIntervalSeconds: 1 } },
  "resume-window-expired": { server: { resumeWindowSeconds: 1 }, awayMs: 1_600 },
  // It refused a resume that missed nothing.
  "resume-nothing-missed": { last: { type: "session.welcome", payload: {} } },
  // It lost what happened while nobody was connected.
  "resume-running-job": { more: [...Array.from({ length: 8 }, () => "job.event"), "job.result"] },
  // The third submission comes after the end, which is told again.
  "idempotent-same": { more: ["job.result"] },
  // It did not know session.close.
  "session-close": { last: { type: "session.closed", payload: {} } },
  // It kept quiet about text that is no envelope.
  "malformed-envelope": { more: ["session.error", "session.error"] },
  // The client asks for patterns that cover everything, which the operator has to grant.
  "budget-exhaustion": { server: { leasePolicy: grantAll } },
  "budget-within": { server: { leasePolicy: grantAll } },
  "event-kinds": { server: { leasePolicy: grantAll }, anyOrder: true },
  // The child's acceptance and the parent's event are told as they come.
  "delegation-ok": { anyOrder: true },
  // Three cancellations at once.
  "list-jobs": { anyOrder: true },
};

class Connection {
  readonly transport: Transport;
  readonly frames: Frame[] = [];
  readonly taken = new Set<Frame>();
  readonly requests = new Map<string, string>();
  #wake: (() => void)[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
    transport.onFrame((text) => {
      this.frames.push(JSON.parse(text) as Frame);
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  async take(matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find((frame) => !this.taken.has(frame) && matches(frame));
      if (found) {
        this.taken.add(found);
        return found;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

class Replay {
  readonly #harness: Harness;
  readonly #rows: readonly Row[];
  readonly #deviation: Deviation;
  readonly connections = new Map<string, Connection>();
  /** Ids, tokens and cursors of the recording, and what they are called here. */
  readonly #names = new Map<string, string>();
  readonly expected = new Map<string, string[]>();

  constructor(harness: Harness, rows: readonly Row[], deviation: Deviation) {
    this.#harness = harness;
    this.#rows = rows;
    this.#deviation = deviation;
  }

  async run(): Promise<void> {
    const { last, more = [] } = this.#deviation;
    const rows = owed(this.#rows);
    for (const [index, row] of rows.entries()) {
      if (row.from === "client") await this.#send(row);
      else if (last && index === rows.length - 1) await this.#receive(row.on, last.type, () => true);
      else await this.#expect(row);
    }
    const end = rows.at(-1)?.on ?? "A";
    for (const type of more) await this.#receive(end, type, () => true);
  }

  async #connection(on: string): Promise<Connection> {
    const open = this.connections.get(on);
    if (open) return open;
    const connection = new Connection(await this.#harness.transport());
    this.connections.set(on, connection);
    this.expected.set(on, []);
    return connection;
  }

  async #send({ on, frame, text }: Row): Promise<void> {
    if (frame?.payload?.resume) {
      for (const { transport } of this.connections.values()) transport.abort("cut");
      await sleep(this.#deviation.awayMs ?? 20);
    }
    const { transport, requests } = await this.#connection(on);
    if (frame) requests.set(frame.id, frame.type);
    transport.send(frame ? JSON.stringify(this.#renamed(frame, "")) : (text ?? ""));
  }

  /** The value with this runtime's ids, numbers and times. */
  #renamed(value: unknown, name: string): unknown {
    if (typeof value === "string") {
      const delay = name === "expires_at" ? /^after (\d+) ms$/.exec(value) : null;
      return delay ? new Date(Date.now() + Number(delay[1])).toISOString() : (this.#names.get(value) ?? value);
    }
    if (name === "last_event_seq" || name === "last_processed_seq") return ownSeq(this.#rows, value as number);
    if (Array.isArray(value)) return value.map((item) => this.#renamed(item, name));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#renamed(inner, key)]));
  }

  async #receive(on: string, type: string, matches: (frame: Frame) => boolean): Promise<Frame> {
    const connection = await this.#connection(on);
    this.expected.get(on)?.push(type);
    return connection.take((frame) => frame.type === type && matches(frame));
  }

  async #expect({ on, frame }: Row): Promise<void> {
    if (!frame) return;
    const recorded = frame.payload;
    const jobId = this.#names.get(frame.job_id ?? "");
    const got = await this.#receive(
      on,
      frame.type,
      ({ job_id, payload }) =>
        (jobId === undefined || job_id === jobId) && (recorded.kind === undefined || payload.kind === recorded.kind),
    );
    this.#learn(frame, got);
    for (const member of ["code", "final_status", "result", "summary", "result_size", "lease", "budget"]) {
      if (member in recorded) expect(got.payload[member], `${frame.type} ${member}`).toEqual(recorded[member]);
    }
    if (frame.type === "job.accepted") expect(nameOf(got.payload.agent)).toBe(nameOf(recorded.agent));
    if (frame.type === "session.jobs") {
      const ids = (jobs: { job_id: string }[]): string[] => jobs.map(({ job_id }) => job_id);
      expect(ids(got.payload.jobs)).toEqual(ids(recorded.jobs).map((id) => this.#names.get(id)));
    }
  }

  #learn(recorded: Frame, got: Frame): void {
    const pairs: readonly (readonly [unknown, unknown])[] = [
      [recorded.session_id, got.session_id],
      [recorded.job_id, got.job_id],
      [recorded.payload.resume_token, got.payload.resume_token],
      [recorded.payload.nonce, got.payload.nonce],
      [recorded.payload.next_cursor, got.payload.next_cursor],
    ];
    for (const [from, to] of pairs) if (typeof from === "string" && typeof to === "string") this.#names.set(from, to);
  }
}

const nameOf = (agent: string): string => agent.split("@")[0] as string;

describe.concurrent("the recorded traffic of the TypeScript SDK's client", () => {
  test.each(recordings)("%s", async (name) => {
    const deviation = DEVIATIONS[name] ?? {};
    await using harness = startHarness(deviation.server === undefined ? {} : { server: deviation.server });
    registerAgents(harness.server);
    const replay = new Replay(harness, readRecording(name), deviation);
    await replay.run();
    await sleep(20);
    for (const [on, connection] of replay.connections) {
      const { taken, requests } = connection;
      // On a slow machine there is time for more heartbeats than were recorded.
      const frames = connection.frames.filter((frame) => frame.type !== "session.ping" || taken.has(frame));
      const problems = frames.flatMap((frame) => problemsOf(typescript.rules, frame, { requests }));
      expect(problems, `what the client on ${on} would not take`).toEqual([]);
      expect(frames.filter((frame) => !taken.has(frame)).map(({ type, payload }) => [type, payload])).toEqual([]);
      const types = frames.map(({ type }) => type);
      const expected = replay.expected.get(on) ?? [];
      if (deviation.anyOrder) expect(types.toSorted()).toEqual(expected.toSorted());
      else expect(types).toEqual(expected);
    }
  });
});
