/** The driver of the client of wire 1.0; see `conformance-driver.ts`. */
import {
  ARCPToolClient,
  type ChoiceAnswer,
  type IncomingStream,
  type InputAnswer,
  type Invocation,
  type PermissionAnswer,
  type Schedule,
  type Subscription,
  type ToolEvent,
} from "@arcp/client";
import { ARCPError, type JsonObject, type Logger } from "@arcp/core";
import { codeOf10 } from "@arcp/core/v1.0";
import {
  type Driven,
  dialOf,
  endOf,
  type Followed,
  followed,
  jsonOf,
  QUICK,
  type Steps,
  type Terms,
} from "./conformance-steps.ts";

export async function drive10(terms: Terms, logger: Logger): Promise<Driven> {
  const { scheme, fingerprint, pinned, challenge_response, required, extensions } = terms;
  const client = await ARCPToolClient.open(dialOf(terms), {
    client: { kind: "arcp-client", version: "0.1.0", ...(fingerprint && { fingerprint }) },
    ...(scheme === "mtls" || scheme === "none" ? { auth: { scheme } } : { token: terms.token }),
    ...(pinned && { pinnedFingerprint: pinned }),
    ...(required && { required }),
    ...(extensions && { extensions }),
    ...(challenge_response !== undefined && { onChallenge: () => challenge_response }),
    reconnect: { ...QUICK, onDataLoss: terms.on_data_loss ?? "fail" },
    handshakeTimeoutMs: 60_000,
    silenceMs: 300,
    pingIntervalMs: 0,
    logger,
  });
  answerWith(client, terms.answers ?? {});
  const heard: JsonObject[] = [];
  client.on("extension", ({ type, payload }) => heard.push({ type, payload }));
  const ended = client.closed.then(
    () => ({}),
    (error: unknown) => ({ error: errorOf10(error) }),
  );
  const jobs = new Map<string, Followed>();
  const invocations = new Map<string, Invocation>();
  const streams = new Map<string, Promise<JsonObject>[]>();
  const schedules = new Map<string, Schedule>();
  const subscriptions = new Map<
    string,
    { readonly subscription: Subscription; readonly seen: Promise<JsonObject[]> }
  >();
  const follow = async (invocation: Invocation, isReading: boolean): Promise<JsonObject> => {
    const read: Promise<JsonObject>[] = [];
    if (isReading) void readStreams(invocation, read);
    const job = followed(reported(invocation), endingOf(invocation), (thrown) => failureOf(invocation, thrown));
    const { jobId = "" } = await invocation.accepted;
    jobs.set(jobId, job);
    invocations.set(jobId, invocation);
    streams.set(jobId, read);
    return { job_id: jobId };
  };
  client.on("work", (work) => void follow(work, false).catch(() => {}));
  const steps: Steps = {
    connected: async () => ({ session_id: client.session.sessionId }),
    submit: async ({ agent, input, idempotency_key, trace_id, streams: isReading, retry, priority }) => {
      const invocation = client.invoke(agent, input ?? {}, {
        ...(idempotency_key && { idempotencyKey: idempotency_key }),
        ...(trace_id && { traceId: trace_id }),
        ...(priority && { priority }),
        ...(retry && { retry: { attempts: 3, initialDelayMs: 10 } }),
      });
      return follow(invocation, isReading === true);
    },
    wait: async ({ job_id }) => ({
      ...(await endOf(jobs.get(job_id))),
      streams: await Promise.all(streams.get(job_id) ?? []),
    }),
    cancel: async ({ job_id, reason, deadline_ms }) => {
      await client.cancelJob(job_id, { reason, ...(deadline_ms && { deadlineMs: deadline_ms }) });
      return {};
    },
    interrupt: async ({ job_id, prompt, or_cancel }) => {
      await invocations.get(job_id)?.interrupt({ prompt, orCancel: or_cancel === true });
      return {};
    },
    schedule: async ({ agent, input, when }) => {
      const schedule = client.schedule({ tool: agent, arguments: input ?? {} }, when);
      const { jobId = "" } = await schedule.accepted;
      schedules.set(jobId, schedule);
      return { job_id: jobId };
    },
    subscribe: async ({ filter = {}, since }) => {
      const { types, min_priority, job_id, session_id, stream_id, trace_id } = filter;
      const wanted = {
        ...(types && { types }),
        ...(min_priority && { minPriority: min_priority }),
        ...(job_id && { jobId: job_id }),
        ...(session_id && { sessionId: session_id }),
        ...(stream_id && { streamId: stream_id }),
        ...(trace_id && { traceId: trace_id }),
      };
      const subscription = await client.openSubscription(wanted, { ...(since && { since }) });
      const id = subscription.subscriptionId ?? "";
      subscriptions.set(id, { subscription, seen: collected(subscription) });
      return { subscription_id: id };
    },
    unsubscribe: async ({ subscription_id }) => {
      const open = subscriptions.get(subscription_id);
      await open?.subscription.close();
      return { events: await open?.seen };
    },
    refresh: async ({ lease_id, seconds }) => {
      const { expiresAt } = await client.leases.refresh(lease_id, seconds);
      return { expires_at: expiresAt };
    },
    put: async ({ base64, media_type }) => {
      const ref = await client.putArtifact(Buffer.from(base64, "base64"), { mediaType: media_type });
      return { artifact_id: ref.artifact_id };
    },
    fetch: async ({ artifact_id }) => ({
      base64: Buffer.from(await client.fetchArtifact(artifact_id)).toString("base64"),
    }),
    release: async ({ artifact_id }) => {
      await client.releaseArtifact(artifact_id);
      return {};
    },
    extension: async ({ type, payload, optional }) => {
      await client.sendExtension(type, payload, { optional: optional === true });
      return {};
    },
    heard: async () => ({ extensions: heard }),
    ping: async () => {
      await client.ping();
      return {};
    },
    ended: () => ended,
    close: async ({ reason }) => {
      await client.close({ reason });
      return {};
    },
  };
  return { steps, errorOf: errorOf10, abort: () => client.abort() };
}

export function errorOf10(thrown: unknown): JsonObject {
  const error = ARCPError.from(thrown);
  return { code: codeOf10(error), message: error.message, retryable: error.retryable };
}

interface Answers {
  readonly input?: InputAnswer["value"];
  readonly choice?: ChoiceAnswer["choiceId"];
  readonly permission?: { readonly granted: boolean; readonly lease_seconds?: number; readonly reason?: string };
}

/** Answers whatever people are asked as the suite wants it. */
function answerWith(client: ARCPToolClient, { input, choice, permission }: Answers): void {
  if (input !== undefined) client.onHumanInput(() => ({ value: input }));
  if (choice !== undefined) client.onHumanChoice(() => ({ choiceId: choice }));
  if (permission === undefined) return;
  const { granted, lease_seconds, reason = "no" } = permission;
  const answer: PermissionAnswer = granted
    ? { granted, ...(lease_seconds !== undefined && { leaseSeconds: lease_seconds }) }
    : { granted, reason };
  client.onPermission(() => answer);
}

/** The events, without streams: these are reported for themselves. */
async function* reported(invocation: Invocation): AsyncGenerator<ToolEvent> {
  for await (const event of invocation) {
    if (event.kind !== "stream") yield event;
  }
}

async function endingOf(invocation: Invocation): Promise<JsonObject> {
  const { value, ref } = await invocation.done;
  return {
    status: "success",
    ...(value !== undefined && { result: jsonOf(value) }),
    ...(ref !== undefined && { artifact_id: ref.artifact_id }),
  };
}

function failureOf(invocation: Invocation, thrown: unknown): JsonObject {
  const error = errorOf10(thrown);
  const isCancelled = invocation.state === "cancelled";
  return { status: isCancelled ? "cancelled" : "error", error };
}

async function readStreams(invocation: Invocation, read: Promise<JsonObject>[]): Promise<void> {
  try {
    for await (const stream of invocation.streams()) read.push(contentOf(stream));
  } catch {
    // Why they end is told with the end of the work.
  }
}

async function contentOf(stream: IncomingStream): Promise<JsonObject> {
  const { id, kind } = stream;
  try {
    const chunks: unknown[] = [];
    for await (const { data, sequence } of stream) chunks.push({ sequence, data: jsonOf(data) });
    return { id, kind, chunks };
  } catch (thrown) {
    return { id, kind, error: errorOf10(thrown) };
  }
}

async function collected(subscription: Subscription): Promise<JsonObject[]> {
  const seen: JsonObject[] = [];
  try {
    for await (const { type, jobId, payload } of subscription) seen.push({ type, job_id: jobId, payload });
  } catch {
    // What was seen until then is reported.
  }
  return seen;
}
