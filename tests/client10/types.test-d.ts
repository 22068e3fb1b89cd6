import {
  type AcceptedWork,
  type ARCPToolClient,
  type Challenge,
  type ChoiceAnswer,
  type Credentials,
  type DataLoss,
  type ExtensionMessage,
  type IncomingStream,
  type InputAnswer,
  type Invocation,
  type InvokeOptions,
  type LeaseChange,
  type Leases,
  type ObservedEvent,
  ARCPToolClient as open,
  type PermissionAnswer,
  type Pong,
  type Schedule,
  type StreamChunk,
  type Subscription,
  type ToolConnectionState,
  type ToolEvent,
  type ToolEventOf,
  type ToolLease,
  type ToolOpenOptions,
  type ToolQuestion,
  type ToolResult,
  type ToolSessionFacts,
  type TransportFactory,
} from "@arcp/client";
import type { ARCPError, JsonObject, Transport } from "@arcp/core";
import type { ArtifactRef10, Capabilities10, JobState10, StreamKind } from "@arcp/core/v1.0";
import { expectTypeOf, test } from "vitest";

test("a session is opened over anything that carries it", () => {
  expectTypeOf(open.open).toBeCallableWith("wss://runtime.example.com/arcp");
  expectTypeOf(open.open).toBeCallableWith(new URL("ws://localhost/arcp"), { token: "t" });
  expectTypeOf(open.open).toBeCallableWith({} as Transport, { token: async () => "t" });
  expectTypeOf(open.open).toBeCallableWith({} as TransportFactory, {
    client: { kind: "k", version: "1", fingerprint: "f", principal: "p" },
    auth: { scheme: "signed_jwt", token: "a.b.c" },
    capabilities: { interrupt: false, binary_encoding: ["base64"] },
    required: ["artifacts"],
    extensions: ["arcpx.acme.note.v1"],
    pinnedFingerprint: "sha256:aa",
    onChallenge: ({ type }: Challenge) => type,
    reconnect: { initialDelayMs: 1, maxDelayMs: 2, maxAttempts: 3, giveUpAfterMs: 4, onDataLoss: "continue" },
    compat: { dialect: "fsharp" },
  });
  expectTypeOf(open.open).returns.resolves.toEqualTypeOf<ARCPToolClient>();
  expectTypeOf<{ scheme: "mtls" }>().toExtend<Credentials>();
  expectTypeOf<{ scheme: "bearer" }>().not.toExtend<Credentials>();
  expectTypeOf<{ onDataLoss: "guess" }>().not.toExtend<NonNullable<ToolOpenOptions["reconnect"]>>();
});

test("the client's methods are those of the contract", () => {
  type Client = ARCPToolClient;
  expectTypeOf<Client["invoke"]>().toBeCallableWith("tool");
  expectTypeOf<Client["invoke"]>().toBeCallableWith("tool", { n: 1 }, { priority: "high", retry: { attempts: 3 } });
  expectTypeOf<Client["invoke"]>().returns.toEqualTypeOf<Invocation>();
  expectTypeOf<Client["startWorkflow"]>().returns.toEqualTypeOf<Invocation>();
  expectTypeOf<Client["delegate"]>().toBeCallableWith("agent", { task: "t", context: { trace_id: "x", own: 1 } });
  expectTypeOf<Client["schedule"]>().toBeCallableWith({ tool: "t", arguments: {} }, { every: "FREQ=DAILY" });
  expectTypeOf<Client["schedule"]>().toBeCallableWith({ workflow: "w" }, { at: new Date() });
  expectTypeOf<Client["schedule"]>().returns.toEqualTypeOf<Schedule>();
  expectTypeOf<Client["restoreCheckpoint"]>().returns.toEqualTypeOf<Invocation>();
  expectTypeOf<Client["createCheckpoint"]>().returns.resolves.toEqualTypeOf<{
    readonly checkpointId: string | undefined;
  }>();
  expectTypeOf<Client["cancelJob"]>().toBeCallableWith("job_1", { reason: "r", deadlineMs: 5 });
  expectTypeOf<Client["ping"]>().returns.resolves.toEqualTypeOf<Pong>();
  expectTypeOf<Client["openSubscription"]>().toBeCallableWith({ jobId: "j", types: ["log"] }, { backfill: true });
  expectTypeOf<Client["openSubscription"]>().returns.resolves.toEqualTypeOf<Subscription>();
  expectTypeOf<Client["putArtifact"]>().toBeCallableWith(new Uint8Array(), { mediaType: "image/png", ttlSeconds: 1 });
  expectTypeOf<Client["putArtifact"]>().returns.resolves.toEqualTypeOf<ArtifactRef10>();
  expectTypeOf<Client["fetchArtifact"]>().toBeCallableWith({} as ArtifactRef10);
  expectTypeOf<Client["fetchArtifact"]>().toBeCallableWith("art_1");
  expectTypeOf<Client["fetchArtifact"]>().returns.resolves.toEqualTypeOf<Uint8Array>();
  expectTypeOf<Client["releaseArtifact"]>().returns.resolves.toBeVoid();
  expectTypeOf<Client["sendExtension"]>().toBeCallableWith("arcpx.acme.note.v1", {}, { optional: true });
  expectTypeOf<Client["close"]>().toBeCallableWith({ disposeJobs: "cancel", reason: "r" });
  expectTypeOf<Client["leases"]>().toEqualTypeOf<Leases>();
  expectTypeOf<Leases["refresh"]>().returns.resolves.toEqualTypeOf<ToolLease>();
  expectTypeOf<Client["session"]>().toEqualTypeOf<ToolSessionFacts>();
  expectTypeOf<ToolSessionFacts["capabilities"]>().toEqualTypeOf<Capabilities10>();
  expectTypeOf<Client["state"]>().toEqualTypeOf<ToolConnectionState>();
  expectTypeOf<Client["closed"]>().resolves.toBeVoid();
  expectTypeOf<Client>().toExtend<AsyncDisposable>();
  // @ts-expect-error there is no way to make one but `open`
  new open({}, {} as TransportFactory, undefined);
});

test("handlers answer what they are asked", () => {
  const client = {} as ARCPToolClient;
  const input = (question: ToolQuestion<"input">, signal: AbortSignal): InputAnswer | undefined => {
    expectTypeOf(question.responseSchema).toEqualTypeOf<JsonObject>();
    expectTypeOf(question.refusal).toEqualTypeOf<ARCPError | undefined>();
    return signal.aborted ? undefined : { value: null, respondedBy: "me" };
  };
  expectTypeOf(client.onHumanInput).toBeCallableWith(input);
  expectTypeOf(client.onHumanChoice).toBeCallableWith(async ({ options }) => ({ choiceId: options[0]?.id ?? "" }));
  expectTypeOf(client.onPermission).toBeCallableWith(() => ({ granted: true, leaseSeconds: 5 }));
  expectTypeOf(client.onPermission).toBeCallableWith(() => ({ granted: false, reason: "no" }));
  expectTypeOf<ChoiceAnswer>().toHaveProperty("choiceId");
  expectTypeOf<{ granted: false; leaseSeconds: 1 }>().toExtend<{ granted: PermissionAnswer["granted"] }>();
  // @ts-expect-error a choice is no value
  client.onHumanChoice(() => ({ value: 1 }));
});

test("reports have their types", () => {
  const client = {} as ARCPToolClient;
  client.on("state", (state) => expectTypeOf(state).toEqualTypeOf<ToolConnectionState>());
  client.on("problem", (error) => expectTypeOf(error).toEqualTypeOf<ARCPError>());
  client.on("event", (event) => expectTypeOf(event).toEqualTypeOf<ToolEvent>());
  client.on("work", (work) => expectTypeOf(work).toEqualTypeOf<Invocation>());
  client.on("lease", (change) => expectTypeOf(change).toEqualTypeOf<LeaseChange>());
  client.on("dataLoss", (loss) => expectTypeOf(loss).toEqualTypeOf<DataLoss>());
  client.on("extension", (message) => expectTypeOf(message).toEqualTypeOf<ExtensionMessage>());
  // @ts-expect-error there is no such report
  client.on("weather", () => {});
});

test("an invocation is followed, read and steered", () => {
  const invocation = {} as Invocation;
  expectTypeOf(invocation.accepted).resolves.toEqualTypeOf<AcceptedWork>();
  expectTypeOf(invocation.jobId).toEqualTypeOf<string | undefined>();
  expectTypeOf(invocation.state).toEqualTypeOf<JobState10>();
  expectTypeOf(invocation.done).resolves.toEqualTypeOf<ToolResult>();
  expectTypeOf(invocation.value()).resolves.toBeUnknown();
  expectTypeOf(invocation).toExtend<AsyncIterable<ToolEvent>>();
  expectTypeOf(invocation.streams()).toEqualTypeOf<AsyncIterableIterator<IncomingStream, undefined>>();
  expectTypeOf(invocation.cancel).toBeCallableWith("reason");
  expectTypeOf(invocation.cancel).toBeCallableWith({
    reason: "r",
    deadlineMs: 5,
    signal: new AbortController().signal,
  });
  expectTypeOf(invocation.interrupt).toBeCallableWith({ prompt: "p", orCancel: true });
  invocation.onProgress(({ percent }) => expectTypeOf(percent).toEqualTypeOf<number | undefined>());
  invocation.on("log", ({ body }) => expectTypeOf(body.message).toBeString());
  expectTypeOf<ToolEventOf<"stream">["body"]>().toEqualTypeOf<IncomingStream>();
  expectTypeOf<ToolEventOf<"thought">["body"]["redacted"]>().toBeBoolean();
  expectTypeOf<InvokeOptions>().toHaveProperty("idempotencyKey");
  const stream = {} as IncomingStream;
  expectTypeOf(stream.kind).toEqualTypeOf<StreamKind>();
  expectTypeOf(stream.chunks()).toEqualTypeOf<AsyncIterableIterator<StreamChunk, undefined>>();
  expectTypeOf(stream.text()).resolves.toBeString();
  expectTypeOf(stream.bytes()).resolves.toEqualTypeOf<Uint8Array>();
  expectTypeOf(stream.backpressure).toBeCallableWith({ ratePerSecond: 5, remainingBytes: 10, reason: "r" });
});

test("observers and schedules are iterated", () => {
  expectTypeOf<Subscription>().toExtend<AsyncIterable<ObservedEvent> & AsyncDisposable>();
  expectTypeOf<Subscription["backfillComplete"]>().resolves.toBeVoid();
  expectTypeOf<Schedule>().toExtend<AsyncIterable<Invocation>>();
  expectTypeOf<ObservedEvent["payload"]>().toEqualTypeOf<JsonObject>();
});
