/** The signatures of the public contract, on the roots of the packages. */
import type * as client from "@arcp/client";
import type { ARCPClient, JobHandle, JobResult, JobSubscription, ResumeInfo, WelcomePayload } from "@arcp/client";
import type {
  ArtifactRefBody,
  BearerVerifier,
  Capabilities,
  DelegateBody,
  Envelope,
  ErrorPayload,
  EventLog,
  EventSeq,
  Identity,
  JobId,
  Lease,
  LeaseConstraints,
  Logger,
  MessageId,
  MetricPayload,
  PendingRegistry,
  SessionId,
  SessionState,
  ToolCallBody,
  ToolResultBody,
  TraceId,
  Transport,
} from "@arcp/core";
import * as core from "@arcp/core";
import type * as runtime from "@arcp/runtime";
import type {
  AgentHandler,
  ARCPServer,
  ARCPServerOptions,
  Job,
  JobContext,
  JobManager,
  ResultStream,
  RuntimeIdentity,
  SessionCaps,
  SessionContext,
  ThoughtOptions,
} from "@arcp/runtime";
import type * as sdk from "@arcp/sdk";
import { describe, expectTypeOf, test } from "vitest";

describe("@arcp/core", () => {
  test("envelopes are one union, discriminated on type", () => {
    expectTypeOf<Envelope["type"]>().toExtend<string>();
    expectTypeOf<"session.hello" | "job.submit" | "job.event" | "job.result" | "job.error">().toExtend<
      Envelope["type"]
    >();
    const read = (message: Envelope) => (message.type === "job.submit" ? message.payload.agent : undefined);
    expectTypeOf(read).returns.toEqualTypeOf<string | undefined>();
    expectTypeOf(core.isPreSessionType).toEqualTypeOf<(type: string) => boolean>();
    const built = core.buildEnvelope({ type: "session.ack", payload: { last_processed_seq: 1 }, session_id: "s" });
    expectTypeOf(built.id).toExtend<MessageId>();
    expectTypeOf(built.payload.last_processed_seq).toEqualTypeOf<number>();
    expectTypeOf(core.messageEnvelope).toBeFunction();
  });

  test("ids are not to be mixed up", () => {
    expectTypeOf<JobId>().not.toExtend<SessionId>();
    expectTypeOf<SessionId>().not.toExtend<JobId>();
    expectTypeOf<MessageId>().not.toExtend<TraceId>();
    expectTypeOf<string>().not.toExtend<JobId>();
    expectTypeOf<number>().not.toExtend<EventSeq>();
    expectTypeOf<JobId>().toExtend<string>();
    expectTypeOf<EventSeq>().toExtend<number>();
  });

  test("errors have one base and one payload", () => {
    expectTypeOf<core.ARCPError>().toExtend<Error>();
    expectTypeOf<core.ARCPError["toWire"]>().returns.toEqualTypeOf<ErrorPayload>();
    expectTypeOf<ErrorPayload["retryable"]>().toEqualTypeOf<boolean>();
    expectTypeOf<core.LeaseExpiredError["code"]>().toEqualTypeOf<"LEASE_EXPIRED">();
    expectTypeOf<(typeof core.ERROR_CODES)[number]>().toEqualTypeOf<core.ErrorCode>();
  });

  test("transports, state, requests, history, credentials and features", () => {
    expectTypeOf<core.MemoryTransport>().toExtend<Transport>();
    expectTypeOf<core.StdioTransport>().toExtend<Transport>();
    expectTypeOf<core.WebSocketTransport>().toExtend<Transport>();
    expectTypeOf(core.pairMemoryTransports).returns.toEqualTypeOf<[core.MemoryTransport, core.MemoryTransport]>();
    expectTypeOf(core.startWebSocketServer).returns.resolves.toEqualTypeOf<core.RunningWebSocketServer>();
    expectTypeOf<SessionState["phase"]>().toEqualTypeOf<"pre-handshake" | "awaiting-welcome" | "accepted" | "closed">();
    expectTypeOf<PendingRegistry<number>["wait"]>().returns.resolves.toEqualTypeOf<number>();
    expectTypeOf<EventLog["entries"]>().toBeFunction();
    expectTypeOf<BearerVerifier["verify"]>().returns.resolves.toEqualTypeOf<Identity>();
    expectTypeOf<core.StaticBearerVerifier>().toExtend<BearerVerifier>();
    expectTypeOf<ConstructorParameters<typeof core.StaticBearerVerifier>>().toEqualTypeOf<
      [tokens: ReadonlyMap<string, Identity>]
    >();
    expectTypeOf(core.negotiateCapabilities).returns.toEqualTypeOf<readonly string[]>();
    expectTypeOf(core.V1_1_FEATURES).toExtend<readonly string[]>();
  });
});

describe("@arcp/client", () => {
  test("ARCPClient has the methods of the contract", () => {
    expectTypeOf<ARCPClient["connect"]>().toBeCallableWith({} as Transport);
    expectTypeOf<ARCPClient["connect"]>().returns.resolves.toEqualTypeOf<WelcomePayload>();
    expectTypeOf<ARCPClient["resume"]>().toBeCallableWith({} as Transport, {} as ResumeInfo);
    expectTypeOf<ARCPClient["submit"]>().toBeCallableWith({ agent: "a", input: {} });
    expectTypeOf<ARCPClient["submit"]>().returns.resolves.toEqualTypeOf<JobHandle>();
    expectTypeOf<JobHandle["done"]>().resolves.toEqualTypeOf<JobResult>();
    expectTypeOf<ARCPClient["subscribe"]>().toBeCallableWith("job_1", { history: true });
    expectTypeOf<ARCPClient["subscribe"]>().returns.resolves.toEqualTypeOf<JobSubscription>();
    expectTypeOf<ARCPClient["listJobs"]>().toBeCallableWith({ agent: "a" });
    expectTypeOf<ARCPClient["cancelJob"]>().toBeCallableWith("job_1");
    expectTypeOf<ARCPClient["ack"]>().toEqualTypeOf<(seq: number) => void>();
  });
});

describe("@arcp/runtime", () => {
  test("ARCPServerOptions has every field of the contract, and two of them are required", () => {
    expectTypeOf<ARCPServerOptions["runtime"]>().toEqualTypeOf<RuntimeIdentity>();
    expectTypeOf<RuntimeIdentity>().toEqualTypeOf<{ readonly name: string; readonly version: string }>();
    expectTypeOf<ARCPServerOptions["capabilities"]>().toEqualTypeOf<Capabilities>();
    expectTypeOf({ encodings: ["json"], agents: ["echo"], extensions: [] as string[] }).toExtend<Capabilities>();
    expectTypeOf<{ runtime: RuntimeIdentity; capabilities: Capabilities }>().toExtend<ARCPServerOptions>();
    type Optional = Required<ARCPServerOptions>;
    expectTypeOf<Optional["bearer"]>().toEqualTypeOf<BearerVerifier>();
    expectTypeOf<Optional["eventLog"]>().toExtend<EventLog>();
    expectTypeOf<Optional["logger"]>().toEqualTypeOf<Logger>();
    expectTypeOf<Optional["heartbeatIntervalSeconds"]>().toEqualTypeOf<number>();
    expectTypeOf<Optional["resumeWindowSeconds"]>().toEqualTypeOf<number>();
    expectTypeOf<Optional["cancelGraceMs"]>().toEqualTypeOf<number>();
    expectTypeOf<Optional["idempotencyTtlMs"]>().toEqualTypeOf<number>();
    expectTypeOf<SessionCaps>().toExtend<Optional["caps"]>();
    expectTypeOf<Optional["features"]>().toEqualTypeOf<readonly string[]>();
    expectTypeOf<(job: Job, principal: string) => boolean>()
      .parameter(0)
      .toExtend<Parameters<Optional["jobAuthorizationPolicy"]>[0]>();
    expectTypeOf<Optional["jobAuthorizationPolicy"]>().returns.toEqualTypeOf<boolean>();
    expectTypeOf<Optional["backPressureThreshold"]>().toEqualTypeOf<number>();
    expectTypeOf<keyof SessionCaps>().toEqualTypeOf<"maxBufferedEvents" | "maxBufferedBytes" | "maxConcurrentJobs">();
  });

  test("ARCPServer has the members of the contract", () => {
    expectTypeOf<ConstructorParameters<typeof runtime.ARCPServer>>().toEqualTypeOf<[options: ARCPServerOptions]>();
    expectTypeOf<ARCPServer["accept"]>().toEqualTypeOf<(transport: Transport) => Promise<SessionContext>>();
    expectTypeOf<ARCPServer["registerAgent"]>().toBeCallableWith("a@v1", async (input, context) => {
      expectTypeOf(input).toEqualTypeOf<unknown>();
      expectTypeOf(context).toEqualTypeOf<JobContext>();
      return { ok: true };
    });
    expectTypeOf<(input: unknown, context: JobContext) => Promise<unknown>>().toExtend<AgentHandler>();
    expectTypeOf<ARCPServer["subscribers"]>().toEqualTypeOf<Map<JobId, Set<SessionContext>>>();
    expectTypeOf<ARCPServer["eventLog"]>().toExtend<EventLog>();
  });

  test("JobContext has the facts and emitters of the contract", () => {
    expectTypeOf<JobContext["jobId"]>().toEqualTypeOf<JobId>();
    expectTypeOf<JobContext["sessionId"]>().toEqualTypeOf<SessionId>();
    expectTypeOf<JobContext["agent"]>().toEqualTypeOf<string>();
    expectTypeOf<JobContext["agentVersion"]>().toEqualTypeOf<string | null>();
    expectTypeOf<JobContext["agentRef"]>().toEqualTypeOf<string>();
    expectTypeOf<JobContext["lease"]>().toEqualTypeOf<Lease>();
    expectTypeOf<Required<JobContext>["leaseConstraints"]>().toEqualTypeOf<LeaseConstraints>();
    expectTypeOf<JobContext["budget"]>().toEqualTypeOf<ReadonlyMap<string, number>>();
    expectTypeOf<Required<JobContext>["traceId"]>().toEqualTypeOf<TraceId>();
    expectTypeOf<JobContext["signal"]>().toEqualTypeOf<AbortSignal>();
    expectTypeOf<JobContext["logger"]>().toEqualTypeOf<Logger>();
    type Emitted = Promise<void>;
    expectTypeOf<JobContext["log"]>().toEqualTypeOf<
      (level: string, message: string, attributes?: Record<string, unknown>) => Emitted
    >();
    expectTypeOf<JobContext["thought"]>().toEqualTypeOf<(text: string, options?: ThoughtOptions) => Emitted>();
    expectTypeOf<JobContext["status"]>().toEqualTypeOf<(phase: string, message?: string) => Emitted>();
    expectTypeOf<JobContext["metric"]>().toEqualTypeOf<(metric: MetricPayload) => Emitted>();
    expectTypeOf<JobContext["toolCall"]>().toEqualTypeOf<(body: ToolCallBody) => Emitted>();
    expectTypeOf<JobContext["toolResult"]>().toEqualTypeOf<(body: ToolResultBody) => Emitted>();
    expectTypeOf<JobContext["artifactRef"]>().toEqualTypeOf<(body: ArtifactRefBody) => Emitted>();
    expectTypeOf<JobContext["delegate"]>().toExtend<(body: DelegateBody) => Emitted>();
    expectTypeOf<JobContext["progress"]>().toBeCallableWith(1, { total: 2, units: "files", message: "a" });
    expectTypeOf<JobContext["resultChunk"]>().toBeCallableWith({ data: "a", encoding: "utf8", more: true });
    expectTypeOf<JobContext["streamResult"]>().toBeCallableWith({});
    expectTypeOf<JobContext["streamResult"]>().toBeCallableWith({ resultId: "res_1" });
    expectTypeOf<JobContext["streamResult"]>().returns.toEqualTypeOf<ResultStream>();
    expectTypeOf<JobContext["emitEvent"]>().toEqualTypeOf<(kind: string, body: unknown) => Emitted>();
  });

  test("a tool's error may be what an ARCPError says of itself", () => {
    expectTypeOf({ call_id: "c", error: {} as ErrorPayload }).toExtend<ToolResultBody>();
    expectTypeOf({ call_id: "c", result: 1 }).toExtend<ToolResultBody>();
  });

  test("ResultStream writes and finalizes", () => {
    expectTypeOf<ResultStream["write"]>().toBeCallableWith("a", { encoding: "utf8" });
    expectTypeOf<ResultStream["write"]>().toBeCallableWith(new Uint8Array(), { encoding: "base64" });
    expectTypeOf<ResultStream["finalize"]>().toBeCallableWith(undefined, { summary: "s", resultSize: 1 });
    expectTypeOf<ResultStream["finalize"]>().returns.toEqualTypeOf<Promise<void>>();
  });

  test("Job has the fields of the contract", () => {
    expectTypeOf<Job["jobId"]>().toEqualTypeOf<JobId>();
    expectTypeOf<Job["sessionId"]>().toEqualTypeOf<SessionId>();
    expectTypeOf<Job["agent"]>().toEqualTypeOf<string>();
    expectTypeOf<Job["agentVersion"]>().toExtend<string | null>();
    expectTypeOf<Job["agentRef"]>().toEqualTypeOf<string>();
    expectTypeOf<Job["lease"]>().toEqualTypeOf<Lease>();
    expectTypeOf<Job["leaseConstraints"]>().toEqualTypeOf<LeaseConstraints | undefined>();
    expectTypeOf<Job["parentJobId"]>().toEqualTypeOf<JobId | undefined>();
    expectTypeOf<Job["traceId"]>().toExtend<TraceId | undefined>();
    expectTypeOf<Job["createdAt"]>().toEqualTypeOf<string>();
    expectTypeOf<Job["budget"]>().toEqualTypeOf<Map<string, number>>();
    expectTypeOf<Job["submitterPrincipal"]>().toExtend<string | undefined>();
    expectTypeOf<Job["state"]>().toEqualTypeOf<
      "pending" | "running" | "success" | "error" | "cancelled" | "timed_out"
    >();
    expectTypeOf<Job["signal"]>().toEqualTypeOf<AbortSignal>();
    expectTypeOf<Job["isTerminal"]>().toEqualTypeOf<boolean>();
  });

  test("SessionContext has the members of the contract", () => {
    expectTypeOf<SessionContext["state"]>().toEqualTypeOf<SessionState>();
    expectTypeOf<SessionContext["jobs"]>().toEqualTypeOf<JobManager>();
    expectTypeOf<SessionContext["pending"]>().toEqualTypeOf<PendingRegistry<core.JsonObject>>();
    expectTypeOf<SessionContext["nextEventSeq"]>().returns.toEqualTypeOf<number>();
    expectTypeOf<SessionContext["registerHandler"]>().toBeCallableWith("x-vendor.acme.ask", () => {});
    expectTypeOf<SessionContext["send"]>().toBeCallableWith({ type: "x-vendor.acme.tell", payload: {} });
    expectTypeOf<SessionContext["emitSessionError"]>().toBeCallableWith(new core.InternalError("broken"));
    expectTypeOf<SessionContext["emitJobError"]>().toBeCallableWith({} as JobId, {} as ErrorPayload);
    expectTypeOf<SessionContext["negotiatedFeatures"]>().toEqualTypeOf<string[]>();
    expectTypeOf<SessionContext["lastAckedEventSeq"]>().toEqualTypeOf<number>();
  });

  test("leases can be checked", () => {
    expectTypeOf<typeof runtime.validateLeaseShape>().returns.toEqualTypeOf<Lease>();
    expectTypeOf<typeof runtime.validateLeaseConstraints>().toBeFunction();
    expectTypeOf<typeof runtime.isValidCapabilityName>().toEqualTypeOf<(name: string) => boolean>();
    expectTypeOf<typeof runtime.isReservedCapabilityName>().toEqualTypeOf<(name: string) => boolean>();
    expectTypeOf<typeof runtime.initialBudgetFromLease>().parameter(0).toEqualTypeOf<Lease>();
  });
});

test("@arcp/sdk is the three of them under one name", () => {
  expectTypeOf<typeof sdk>().toExtend<Omit<typeof core, "default">>();
  expectTypeOf<typeof sdk>().toExtend<Omit<typeof client, "default">>();
  expectTypeOf<typeof sdk>().toExtend<Omit<typeof runtime, "default">>();
});
