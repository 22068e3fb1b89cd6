/** What the TypeScript SDK's client of wire 1.0 said to its own runtime, said to this one. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Transport } from "@arcp/core";
import { type ARCPServerOptions, jwtVerifier } from "@arcp/runtime";
import { SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import { registerTools10 } from "../../interop/agents-10.ts";
import type { Frame } from "../../interop/peers/rules.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { type Row, readRecording10, recordings10 } from "./recording.ts";

interface Deviation {
  readonly server?: Partial<ARCPServerOptions>;
  /** Instead of the recorded runtime's messages of these types, which it should not have sent. */
  readonly instead?: Readonly<Record<string, string>>;
  /** Rows of the recorded runtime that this one does not owe, by place. */
  readonly skips?: readonly number[];
  /** This runtime's codes for the recorded ones. */
  readonly codes?: Readonly<Record<string, string>>;
  /** Takes the place of a tool. */
  readonly tool?: string;
}

const AUDIENCE = "typescript-runtime";
const SECRET = "a-secret-of-thirty-two-characters";
const jwt = jwtVerifier({ audience: AUDIENCE, jwks: { secret: SECRET } });

/** Where the recorded runtime was set up otherwise than by default, or was wrong. */
const DEVIATIONS: Readonly<Record<string, Deviation>> = {
  // It knew no such message.
  backpressure: { skips: [8] },
  // It made nothing of the default.
  "human-input-default-on-expiry": { instead: { "tool.error": "tool.result" } },
  // Its tools could emit events of any name.
  "log-metric-trace-span": { skips: [9] },
  // It could not go on after an interrupt.
  interrupt: { instead: { "tool.error": "tool.result" } },
  // A tool that is not there is not found (PROTOCOL.md, Errors).
  "unknown-tool": { codes: { UNIMPLEMENTED: "NOT_FOUND" } },
  "heartbeat-lost": { tool: "slow-watched" },
  "signed-jwt": { server: { authSchemes: [jwt] } },
  "signed-jwt-wrong-aud": { server: { authSchemes: [jwt] } },
};

/** What may come beside what was recorded: clients read over it. */
const BESIDE: ReadonlySet<string> = new Set([
  ...["metric", "trace.span", "event.emit", "job.heartbeat", "log", "ack", "human.input.cancelled"],
  ...["human.input.response", "stream.open", "stream.chunk", "stream.close"],
]);
/** Members that are this runtime's own words, times and sizes. */
const OWN: ReadonlySet<string> = new Set([
  ...[
    "message",
    "details",
    "fingerprint",
    "version",
    "trust_level",
    "deadline_ms",
    "capabilities",
    "runtime",
    "reason",
  ],
  ...["received_at", "accepted_at", "started_at", "expires_at", "responded_at", "start_time", "end_time", "event"],
  ...["span_id", "parent_span_id", "percent", "retryable", "duration_ms", "attributes", "response_schema", "encoding"],
  ...["requested_lease_seconds", "sha256", "lease", "trace_id"],
]);

class Connection {
  readonly transport: Transport;
  readonly frames: Frame[] = [];
  readonly taken = new Set<Frame>();
  #wake: (() => void)[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
    transport.onFrame((text) => {
      this.frames.push(JSON.parse(text) as Frame);
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  async take(type: string, matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find((frame) => !this.taken.has(frame) && frame.type === type && matches(frame));
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
  readonly #deviation: Deviation;
  readonly connections = new Map<string, Connection>();
  /** Ids of the recording, and what they are here. */
  readonly #names = new Map<string, string>();

  constructor(harness: Harness, deviation: Deviation) {
    this.#harness = harness;
    this.#deviation = deviation;
  }

  async run(rows: readonly Row[]): Promise<void> {
    for (const [place, row] of rows.entries()) {
      if (this.#deviation.skips?.includes(place)) continue;
      if (row.from === "client") await this.#send(row);
      else await this.#expect(row);
    }
  }

  async #connection(on: string): Promise<Connection> {
    const open = this.connections.get(on);
    if (open) return open;
    const connection = new Connection(await this.#harness.transport());
    this.connections.set(on, connection);
    return connection;
  }

  async #send({ on, frame, text }: Row): Promise<void> {
    const { transport } = await this.#connection(on);
    if (!frame) {
      transport.send(text ?? "");
      return;
    }
    const own = this.#renamed(frame) as Frame & {
      payload: { tool?: string; auth?: { scheme?: string; token?: string } };
    };
    if (own.payload.auth?.scheme === "signed_jwt") own.payload.auth.token = await this.#token();
    if (own.payload.tool !== undefined) Object.assign(own.payload, { tool: this.#deviation.tool ?? own.payload.tool });
    transport.send(JSON.stringify(own));
  }

  #token(): Promise<string> {
    const isWrong = expect.getState().currentTestName?.includes("wrong-aud") === true;
    return new SignJWT({})
      .setProtectedHeader({ alg: "HS256" })
      .setSubject("alice")
      .setAudience(isWrong ? "another" : AUDIENCE)
      .setExpirationTime("10m")
      .sign(new TextEncoder().encode(SECRET));
  }

  #renamed(value: unknown): unknown {
    if (typeof value === "string") return this.#named(value);
    if (Array.isArray(value)) return value.map((item) => this.#renamed(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#renamed(inner)]));
  }

  /** Ids stand alone, or within addresses. */
  #named(text: string): string {
    return this.#names.get(text) ?? text.replace(/[a-z]+_[0-9A-HJKMNP-TV-Z]{26}/g, (id) => this.#names.get(id) ?? id);
  }

  async #expect({ on, frame }: Row): Promise<void> {
    if (!frame) return;
    const connection = await this.#connection(on);
    const type = this.#deviation.instead?.[frame.type] ?? frame.type;
    const jobId = this.#names.get(frame.job_id ?? "");
    const recorded = frame.payload;
    const got = await connection.take(
      type,
      ({ job_id, payload }) =>
        (jobId === undefined || job_id === jobId) &&
        ["sequence", "name", "kind"].every((member) => !(member in recorded) || payload[member] === recorded[member]),
    );
    this.#learn(frame, got);
    const code = this.#deviation.codes?.[recorded.code] ?? recorded.code;
    const owed = code === undefined ? recorded : { ...recorded, code };
    if (type === frame.type) this.#compare(owed, got.payload, frame.type);
  }

  /** Ids that stand in the same places. */
  #learn(recorded: unknown, got: unknown): void {
    if (typeof recorded === "string" && typeof got === "string") {
      if (/^[a-z]+_[0-9A-HJKMNP-TV-Z]{26}$/.test(recorded)) this.#names.set(recorded, got);
    } else if (typeof recorded === "object" && recorded !== null && typeof got === "object" && got !== null) {
      for (const [key, inner] of Object.entries(recorded)) this.#learn(inner, (got as Record<string, unknown>)[key]);
    }
  }

  #compare(recorded: unknown, got: unknown, where: string): void {
    if (typeof recorded !== "object" || recorded === null) {
      expect(got, where).toEqual(typeof recorded === "string" ? this.#named(recorded) : recorded);
      return;
    }
    expect(got, where).toBeTypeOf("object");
    for (const [key, inner] of Object.entries(recorded)) {
      if (!OWN.has(key)) this.#compare(inner, (got as Record<string, unknown>)[key], `${where}.${key}`);
    }
  }
}

/** What that client drops instead of reading it, because its schemas say so. */
function problemsOf({ type, payload, ...envelope }: Frame): string[] {
  const problems: string[] = [];
  const needs = (isThere: unknown, what: string): void => {
    if (!isThere) problems.push(`${type}: ${what}`);
  };
  const members = envelope as Record<string, unknown>;
  needs(typeof members["timestamp"] === "string", "timestamp");
  needs(!Object.values(members).includes(null), "an envelope member is null");
  if (["session.accepted", "job.accepted", "pong", "ack", "artifact.ref", "cancel.accepted"].includes(type)) {
    needs(members["correlation_id"], "correlation_id");
  }
  if (type === "job.accepted") needs(payload.job_id && payload.accepted_at, "job_id and accepted_at");
  if (type === "nack") needs(payload.ack_for && payload.code && payload.message, "ack_for, code and message");
  if (type.startsWith("stream.")) needs(members["stream_id"], "stream_id");
  if (type === "stream.chunk") needs(typeof payload.sequence === "number", "sequence");
  if (type === "human.input.request") needs(typeof payload.response_schema === "object", "response_schema");
  if (type === "metric") needs(typeof payload.unit === "string", "unit");
  if (type === "cancel.refused") {
    needs(["not_cancellable", "already_terminal", "not_found"].includes(payload.reason), "a known reason");
  }
  return problems;
}

describe.concurrent("the recorded traffic of the TypeScript SDK's client of wire 1.0", () => {
  test.each(recordings10)("%s", async (name) => {
    const deviation = DEVIATIONS[name] ?? {};
    await using harness = startHarness(deviation.server === undefined ? {} : { server: deviation.server });
    registerTools10(harness.server);
    const replay = new Replay(harness, deviation);
    await replay.run(readRecording10(name));
    await sleep(20);
    for (const [on, { frames, taken }] of replay.connections) {
      expect(frames.flatMap(problemsOf), `what the client on ${on} would not take`).toEqual([]);
      const beside = frames.filter((frame) => !taken.has(frame) && !BESIDE.has(frame.type));
      expect(beside.map(({ type, payload }) => [type, payload])).toEqual([]);
    }
  });
});
