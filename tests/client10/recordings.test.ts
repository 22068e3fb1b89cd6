/** What the TypeScript SDK's runtime of wire 1.0 said to its own client, said to this one. */
import { ARCPToolClient, type Invocation, type ToolEvent } from "@arcp/client";
import { type ARCPError, silentLogger, systemClock } from "@arcp/core";
import { codeOf10, RUNTIME_TYPES } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../interop/peers/rules.ts";
import { readRecording10, recordings10 } from "../interop/recording.ts";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import { ScriptedRuntime } from "./scripted-runtime.ts";
import { collect } from "./support.ts";

/** What the recorded client did and this one does not. */
const NEVER_DONE: ReadonlySet<string> = new Set([
  // It sends no message that is neither core nor an extension's.
  "unknown-core-type",
  // It does not resume a session that it has not left.
  "resume-after-message-id",
]);

/** When the recording was made: its questions and leases are open then. */
const NOW = Date.parse("2026-11-20T23:58:00Z");
const clock = { ...systemClock, now: () => NOW };

interface Outcome {
  readonly value?: unknown;
  readonly code?: string;
}

class Replay {
  readonly outcomes: Promise<Outcome>[] = [];
  readonly events: Promise<ToolEvent[]>[] = [];
  readonly problems: ARCPError[] = [];
  readonly invocations: Invocation[] = [];
  /** What the client sent, by the id of what was recorded in its place. */
  readonly #ids = new Map<string, string>();
  readonly #peers = new Map<string, ScriptedRuntime>();
  readonly #said: unknown[] = [];
  #client: ARCPToolClient | undefined;

  async run(rows: ReturnType<typeof readRecording10>): Promise<void> {
    for (const { from, on, frame } of rows) {
      if (frame === undefined) continue;
      if (from === "client") await this.#do(on, frame);
      else this.#tell(on, frame);
      await settle(4);
    }
  }

  get client(): ARCPToolClient | undefined {
    return this.#client;
  }

  /** Resolves when everything that was asked for has settled. */
  async close(): Promise<void> {
    for (const peer of this.#peers.values()) peer.drop();
    this.#client?.abort();
    await Promise.all(this.outcomes);
    await Promise.all(this.events);
  }

  #tell(on: string, frame: Frame): void {
    const known = (id: unknown): unknown => (typeof id === "string" ? (this.#ids.get(id) ?? id) : id);
    const { correlation_id, causation_id, ...rest } = frame as Frame & {
      correlation_id?: string;
      causation_id?: string;
    };
    const { payload } = rest;
    this.#peers.get(on)?.sendFrame({
      ...rest,
      ...(correlation_id !== undefined && { correlation_id: known(correlation_id) }),
      ...(causation_id !== undefined && { causation_id: known(causation_id) }),
      payload: "ack_for" in payload ? { ...payload, ack_for: known(payload.ack_for) } : payload,
    });
  }

  /** Has the client do what the recorded one did, and waits for its message. */
  async #do(on: string, frame: Frame): Promise<void> {
    if (frame.type === "session.open") await this.#connect(on, frame);
    else if (frame.type !== "resume") this.#act(frame);
    const peer = this.#peers.get(on);
    const sent = await peer?.next(frame.type);
    if (sent) this.#ids.set(frame.id, sent.id);
  }

  async #connect(on: string, frame: Frame): Promise<void> {
    const { auth, client } = frame.payload;
    const known = [...this.#peers.values()];
    const peer = new ScriptedRuntime();
    this.#peers.set(on, peer);
    if (known.length > 0 && auth.token === "alice") {
      known.at(-1)?.drop();
      this.#next.resolve(peer);
      return;
    }
    this.#next.resolve(peer);
    const opening = ARCPToolClient.open(() => this.#dial(), {
      ...{ auth, client, logger: silentLogger, clock, silenceMs: 5, reconnect: { random: () => 0 } },
    });
    opening.then(
      (open) => this.#watch(open),
      (error) => this.outcomes.push(Promise.resolve({ code: codeOf10(error) })),
    );
  }

  #next = Promise.withResolvers<ScriptedRuntime>();

  async #dial() {
    const peer = await this.#next.promise;
    this.#next = Promise.withResolvers<ScriptedRuntime>();
    return peer.clientTransport;
  }

  #watch(client: ARCPToolClient): void {
    this.#client = client;
    client.closed.catch(() => {});
    client.on("problem", (problem) => void this.problems.push(problem));
    client.onHumanInput(() => this.#said.shift() as never);
    client.onHumanChoice(() => this.#said.shift() as never);
    client.onPermission(() => this.#said.shift() as never);
  }

  /** What the people that the recording is about are going to say. */
  foresee(rows: ReturnType<typeof readRecording10>): void {
    for (const { from, frame } of rows) {
      if (from !== "client" || frame === undefined) continue;
      const { payload } = frame;
      const respondedBy = payload.responded_by ?? payload.granted_by ?? payload.denied_by;
      if (frame.type === "human.input.response") this.#said.push({ value: payload.value, respondedBy });
      if (frame.type === "human.choice.response") this.#said.push({ choiceId: payload.choice_id, respondedBy });
      if (frame.type === "permission.grant") this.#said.push({ granted: true, respondedBy });
      if (frame.type === "permission.deny") this.#said.push({ granted: false, reason: payload.reason });
    }
  }

  #act({ type, payload, ...envelope }: Frame & { readonly extensions?: { readonly optional?: boolean } }): void {
    const client = this.#client as ARCPToolClient;
    switch (type) {
      case "tool.invoke": {
        const invocation = client.invoke(payload.tool, payload.arguments);
        this.invocations.push(invocation);
        this.#expect(invocation.done.then(({ value }) => ({ value })));
        this.events.push(collect(invocation).catch(() => []));
        return;
      }
      case "ping":
        this.#expect(client.ping().then(() => ({ value: "pong" })));
        return;
      case "cancel":
        this.#expect(
          client.cancelJob(payload.target_id, { reason: payload.reason }).then(() => ({ value: "cancelled" })),
        );
        return;
      case "interrupt":
        this.#expect(
          (this.invocations[0] as Invocation).interrupt(payload.prompt).then(() => ({ value: "interrupted" })),
        );
        return;
      case "artifact.put":
        this.#expect(
          client
            .putArtifact(Buffer.from(payload.data, "base64"), { mediaType: payload.media_type })
            .then(({ sha256, size }) => ({
              value: { sha256, size },
            })),
        );
        return;
      case "artifact.fetch":
        this.#expect(
          client.fetchArtifact(payload.artifact_id).then((bytes) => ({ value: new TextDecoder().decode(bytes) })),
        );
        return;
      case "artifact.release":
        client.releaseArtifact(payload.artifact_id).catch(() => {});
        return;
      case "lease.refresh":
        this.#expect(
          client.leases
            .refresh(payload.lease_id, payload.requested_seconds)
            .then(({ expiresAt }) => ({ value: expiresAt })),
        );
        return;
      case "subscribe": {
        const { session_id: sessionId, types } = payload.filter;
        const since = payload.since?.after_message_id;
        this.#expect(
          client
            .openSubscription({ sessionId, ...(types && { types }) }, since === undefined ? {} : { since })
            .then(async (subscription) => {
              this.#subscription = subscription;
              return { value: (await collect(subscription)).map((event) => [event.type, event.isHistory]) };
            }),
        );
        return;
      }
      case "unsubscribe":
        void this.#subscription?.close();
        return;
      case "backpressure":
        void (async () => {
          for await (const stream of (this.invocations[0] as Invocation).streams()) {
            stream.backpressure({ ratePerSecond: payload.desired_rate_per_second });
            break;
          }
        })();
        return;
      case "session.close":
        void client.close({ reason: payload.reason });
        return;
      default:
        // The answers of people are sent by their handlers.
        if (type.includes("response") || type.startsWith("permission.")) return;
        this.#expect(
          client
            .sendExtension(type, payload, { optional: envelope.extensions?.optional === true })
            .then(() => ({ value: "sent" })),
        );
    }
  }

  #subscription: Awaited<ReturnType<ARCPToolClient["openSubscription"]>> | undefined;

  #expect(promise: Promise<Outcome>): void {
    this.outcomes.push(promise.catch((error) => ({ code: codeOf10(error) })));
  }
}

/** What the recorded runtime ended its invocations with. */
function endingsOf(rows: ReturnType<typeof readRecording10>): readonly Outcome[] {
  const seen = new Set<string>();
  return rows.flatMap(({ from, frame }): Outcome[] => {
    if (from !== "runtime" || frame === undefined || seen.has(frame.id)) return [];
    seen.add(frame.id);
    if (frame.type === "tool.result") return [{ value: frame.payload.value }];
    if (frame.type === "job.cancelled") return [{ code: "CANCELLED" }];
    return ["tool.error", "job.failed"].includes(frame.type) ? [{ code: frame.payload.code }] : [];
  });
}

/** Every outcome, in the order in which it was asked for, where it is not that of an invocation alone. */
const OUTCOMES: Readonly<Record<string, readonly Outcome[]>> = {
  "artifact-put-fetch-release": [
    { value: { size: 14, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } },
    { value: "hello artifact" },
    { code: "NOT_FOUND" },
  ],
  "bad-token": [{ code: "UNAUTHENTICATED" }],
  "cancel-refused": [{ code: "FAILED_PRECONDITION" }, { value: expect.anything() }, { code: "FAILED_PRECONDITION" }],
  cancel: [{ code: "CANCELLED" }, { value: "cancelled" }],
  // This client cannot send one id twice: of its two invocations, one was answered.
  "duplicate-id": [{ code: "CANCELLED" }, { value: { lines: 1 } }],
  interrupt: [{ code: "FAILED_PRECONDITION" }, { value: "interrupted" }],
  "lease-refresh": [{ value: expect.anything() }, { value: "2026-11-21T00:08:58.266Z" }],
  "minimal-session-ping": [{ value: "pong" }],
  "observer-subscription-backfill": [
    { value: { steps: 3 } },
    {
      value: [
        ...[
          ["job.progress", true],
          ["job.progress", true],
          ["job.progress", true],
          ["tool.result", true],
        ],
        ...[
          ["job.progress", false],
          ["job.progress", false],
          ["tool.result", false],
        ],
      ],
    },
    { value: { steps: 2 } },
  ],
  "signed-jwt-wrong-aud": [{ code: "UNAUTHENTICATED" }],
  "subscription-unauthorised": [{ code: "PERMISSION_DENIED" }],
  "unknown-extension-optional": [{ value: "sent" }, { value: "pong" }],
  "unknown-extension-required": [{ code: "UNIMPLEMENTED" }, { code: "UNIMPLEMENTED" }],
  "unknown-tool": [{ code: "UNIMPLEMENTED" }],
};

describe("the client does as the recorded one did, and is told what that was told", () => {
  test.each(recordings10.filter((name) => !NEVER_DONE.has(name)))("%s", async (name) => {
    covers("V10-4.4-01", "V10-6.3-04");
    const rows = readRecording10(name);
    const replay = new Replay();
    replay.foresee(rows);
    await replay.run(rows);
    await replay.close();
    expect(await Promise.all(replay.outcomes)).toEqual(OUTCOMES[name] ?? endingsOf(rows));
    // What is refused is told where it was asked for, or as a problem; nothing else is one.
    const refusals = rows.filter(({ from, frame }) => from === "runtime" && frame?.type === "nack").length;
    expect(replay.problems.length).toBeLessThanOrEqual(refusals);
  });

  test("every recorded message is one that the client reads", () => {
    const unread = recordings10.flatMap((name) =>
      readRecording10(name).flatMap(({ from, frame }) =>
        from === "runtime" && frame && !RUNTIME_TYPES.has(frame.type) ? [frame.type] : [],
      ),
    );
    expect(unread).toEqual([]);
  });
});

test("events are told in the order of the recording", async () => {
  const rows = readRecording10("log-metric-trace-span");
  const replay = new Replay();
  await replay.run(rows);
  await replay.close();
  const [events = []] = await Promise.all(replay.events);
  expect(events.map(({ kind }) => kind)).toEqual(["started", "log", "metric", "metric", "span", "event", "progress"]);
});
