/** The scenarios: each drives one freshly started server and returns its figures by the keys of `targets.ts`. */
import { setTimeout as delay } from "node:timers/promises";
import { clientLibraryStream } from "./client-library.ts";
import type { StreamInput } from "./server-control.ts";
import type { ServerName, ServerProcess } from "./server-process.ts";
import type { ScenarioId } from "./targets.ts";
import { WireSession } from "./wire-client.ts";

export type Figures = Record<string, number>;

export interface Scene {
  readonly server: ServerProcess;
  readonly serverName: ServerName;
  /** What counts are multiplied with: 1, or less for a quick look. */
  readonly scale: number;
}

const EVENT_BYTES = 100;
const BYTES_PER_MEGABYTE = 1e6;

/** What compiled code needs: done before anything is measured, on every server alike. */
const WARM_UP_EVENTS = 5_000;
const WARM_UP_JOBS = 300;
const WARM_UP_SESSIONS = 500;
const DURABLE_ROUNDS = 3;

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * share) - 1, 0)] ?? Number.NaN;
}
export const median = (values: readonly number[]): number => percentile(values, 0.5);

const scaled = (scene: Scene, count: number): number => Math.max(Math.round(count * scene.scale), 1);

/** Runs `work` and returns what it took: seconds here, processor time there. */
async function measure(
  { server }: Scene,
  work: () => Promise<void>,
): Promise<{ seconds: number; serverCpuMicros: number }> {
  const before = await server.usage();
  const startedAt = performance.now();
  await work();
  const seconds = (performance.now() - startedAt) / 1_000;
  const after = await server.usage();
  return { seconds, serverCpuMicros: after.cpuMicros - before.cpuMicros };
}

/** Submits one job of `count` events and reads all of it. Fails when an event is missing. */
async function stream(session: WireSession, input: StreamInput, agent = "stream"): Promise<void> {
  session.submit(agent, input);
  await receiveStream(session, input.count);
}

async function receiveStream(session: WireSession, count: number, onEvent?: () => void): Promise<void> {
  let logs = 0;
  await session.until(({ type, payload }) => {
    if (type === "job.event" && payload.kind === "log") {
      logs += 1;
      onEvent?.();
    }
    return type === "job.result";
  });
  if (logs !== count) throw new Error(`${logs} of ${count} events arrived`);
}

/** Submits `count` echo jobs, `inFlight` at a time, and returns how long each took. */
async function echo(session: WireSession, count: number, inFlight: number): Promise<number[]> {
  const sentAt: number[] = [];
  const latencies: number[] = [];
  const submit = (): void => {
    sentAt.push(performance.now());
    session.submit("echo", { n: sentAt.length, text: "hello" });
  };
  const done = session.until(({ type }) => {
    if (type !== "job.result") return false;
    latencies.push(performance.now() - (sentAt[latencies.length] ?? 0));
    if (sentAt.length < count) submit();
    return latencies.length === count;
  });
  for (let i = 0; i < Math.min(inFlight, count); i += 1) submit();
  await done;
  return latencies;
}

async function oneAtATime(scene: Scene): Promise<Figures> {
  const session = await WireSession.open(scene.server.url);
  await echo(session, WARM_UP_JOBS, 1);
  const count = scaled(scene, 3_000);
  let latencies: number[] = [];
  const { serverCpuMicros } = await measure(scene, async () => {
    latencies = await echo(session, count, 1);
  });
  return {
    p50Ms: median(latencies),
    p99Ms: percentile(latencies, 0.99),
    serverCpuMicros: serverCpuMicros / count,
  };
}

async function manyInFlight(scene: Scene): Promise<Figures> {
  const session = await WireSession.open(scene.server.url);
  await echo(session, WARM_UP_JOBS, 64);
  const count = scaled(scene, 20_000);
  const { seconds, serverCpuMicros } = await measure(scene, async () => {
    await echo(session, count, 64);
  });
  return { perSecond: count / seconds, serverCpuMicros: serverCpuMicros / count };
}

async function longStream(scene: Scene): Promise<Figures> {
  const session = await WireSession.open(scene.server.url);
  await stream(session, { count: WARM_UP_EVENTS, bytes: EVENT_BYTES });
  const count = scaled(scene, 100_000);
  const { seconds, serverCpuMicros } = await measure(scene, () => stream(session, { count, bytes: EVENT_BYTES }));
  return { perSecond: count / seconds, serverCpuMicros: serverCpuMicros / count };
}

/** The limit's figure is the plain client of this directory against the limit server: what any client must spend. */
async function longStreamThroughClient(scene: Scene): Promise<Figures> {
  const count = scaled(scene, 100_000);
  let streamOnce: (count: number) => Promise<void>;
  let close = async (): Promise<void> => {};
  if (scene.serverName === "limit") {
    const session = await WireSession.open(scene.server.url);
    streamOnce = (events) => stream(session, { count: events, bytes: EVENT_BYTES });
  } else {
    const client = await clientLibraryStream(scene.server.url);
    streamOnce = (events) => client.stream({ count: events, bytes: EVENT_BYTES });
    close = client.close;
  }
  await streamOnce(WARM_UP_EVENTS);
  const before = process.cpuUsage();
  const startedAt = performance.now();
  await streamOnce(count);
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(before);
  await close();
  return { clientCpuMicros: (user + system) / count, perSecond: count / seconds };
}

/** Both kinds of agents in turns in one server, so that what else the machine does meets them alike. */
async function longStreamDurable(scene: Scene): Promise<Figures> {
  if (scene.serverName === "limit") return {};
  const session = await WireSession.open(scene.server.url);
  const count = scaled(scene, 100_000);
  const rounds = { stream: [] as Figures[], "durable-stream": [] as Figures[] };
  const agents = ["stream", "durable-stream"] as const;
  for (const agent of agents) await stream(session, { count: WARM_UP_EVENTS, bytes: EVENT_BYTES }, agent);
  for (let round = 0; round < DURABLE_ROUNDS; round += 1) {
    for (const agent of agents) {
      const { seconds, serverCpuMicros } = await measure(scene, () =>
        stream(session, { count, bytes: EVENT_BYTES }, agent),
      );
      rounds[agent].push({ seconds, serverCpuMicros });
    }
  }
  const beyond = (key: string): number => {
    const [plain = Number.NaN, durable = Number.NaN] = agents.map((agent) =>
      median(rounds[agent].map((round) => round[key] ?? Number.NaN)),
    );
    return (durable / plain - 1) * 100;
  };
  const seconds = median(rounds["durable-stream"].map((round) => round["seconds"] ?? Number.NaN));
  return {
    costPercent: beyond("serverCpuMicros"),
    slowerPercent: beyond("seconds"),
    perSecond: count / seconds,
  };
}

async function manySessions(scene: Scene): Promise<Figures> {
  const sessions = await openSessions(scene, 50);
  await Promise.all(sessions.map((session) => stream(session, { count: 100, bytes: EVENT_BYTES })));
  // Not scaled down further: the first job to arrive would be over before the others have begun.
  const each = Math.max(scaled(scene, 2_000), 1_000);
  const finishedAfter: number[] = [];
  const { seconds, serverCpuMicros } = await measure(scene, async () => {
    const startedAt = performance.now();
    await Promise.all(
      sessions.map(async (session) => {
        await stream(session, { count: each, bytes: EVENT_BYTES });
        finishedAfter.push(performance.now() - startedAt);
      }),
    );
  });
  const events = each * sessions.length;
  return {
    perSecond: events / seconds,
    lastToFirst: Math.max(...finishedAfter) / Math.min(...finishedAfter),
    serverCpuMicros: serverCpuMicros / events,
  };
}

async function openSessions(scene: Scene, count: number): Promise<WireSession[]> {
  return Promise.all(Array.from({ length: count }, () => WireSession.open(scene.server.url)));
}

async function manySubscribers(scene: Scene): Promise<Figures> {
  const owner = await WireSession.open(scene.server.url);
  await stream(owner, { count: WARM_UP_EVENTS, bytes: EVENT_BYTES });
  const count = scaled(scene, 20_000);
  owner.submit("stream", { count, bytes: EVENT_BYTES, gated: true } satisfies StreamInput);
  let jobId = "";
  await owner.until(({ type, job_id, payload }) => {
    if (type !== "job.accepted") return false;
    jobId = payload.job_id ?? job_id ?? "";
    return true;
  });
  const subscribers = await openSessions(scene, 50);
  await Promise.all(
    subscribers.map(async (session) => {
      session.send("job.subscribe", `{"job_id":"${jobId}","history":false}`);
      await session.until(({ type }) => type === "job.subscribed");
    }),
  );
  const { seconds, serverCpuMicros } = await measure(scene, async () => {
    const all = [owner, ...subscribers].map((session) => receiveStream(session, count));
    await scene.server.release();
    await Promise.all(all);
  });
  const deliveries = count * subscribers.length;
  return { perSecond: deliveries / seconds, serverCpuMicros: serverCpuMicros / deliveries };
}

async function resume(scene: Scene): Promise<Figures> {
  const count = scaled(scene, 9_000);
  let session = await WireSession.open(scene.server.url);
  await stream(session, { count, bytes: EVENT_BYTES });
  const rates: number[] = [];
  const welcomes: number[] = [];
  const cpu: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    const { sessionId, resumeToken } = session;
    session.drop();
    const { seconds, serverCpuMicros } = await measure(scene, async () => {
      session = await WireSession.open(scene.server.url, { resume: { sessionId, resumeToken, lastEventSeq: 0 } });
      if (session.sessionId !== sessionId) throw new Error("the server opened another session");
      await receiveStream(session, count);
    });
    rates.push(count / seconds);
    welcomes.push(session.welcomeMs);
    cpu.push(serverCpuMicros / count);
  }
  return { perSecond: median(rates), welcomeMs: median(welcomes), serverCpuMicros: median(cpu) };
}

async function idleSessions(scene: Scene): Promise<Figures> {
  const batch = 100;
  const openInBatches = async (count: number): Promise<void> => {
    for (let open = 0; open < count; open += batch) await openSessions(scene, Math.min(batch, count - open));
  };
  await openInBatches(WARM_UP_SESSIONS);
  const before = await scene.server.settledUsage();
  const count = scaled(scene, 10_000);
  const startedAt = performance.now();
  await openInBatches(count);
  const seconds = (performance.now() - startedAt) / 1_000;
  await delay(1_000);
  const after = await scene.server.settledUsage();
  return { rssKilobytes: (after.rssBytes - before.rssBytes) / 1_000 / count, perSecond: count / seconds };
}

async function largeResult(scene: Scene): Promise<Figures> {
  const chunkBytes = 256 * 1024;
  const session = await WireSession.open(scene.server.url);
  const receive = async (chunks: number): Promise<void> => {
    session.submit("chunks", { chunks, chunkBytes });
    let bytes = 0;
    await session.until(({ type, payload }) => {
      if (payload.kind === "result_chunk") bytes += Buffer.byteLength(payload.body?.data ?? "", "base64");
      return type === "job.result";
    });
    if (bytes !== chunks * chunkBytes) throw new Error(`${bytes} of ${chunks * chunkBytes} bytes arrived`);
  };
  await receive(8);
  const chunks = scaled(scene, 256);
  const { seconds, serverCpuMicros } = await measure(scene, () => receive(chunks));
  return {
    megabytesPerSecond: (chunks * chunkBytes) / BYTES_PER_MEGABYTE / seconds,
    serverCpuMicros: serverCpuMicros / chunks,
  };
}

async function pingWhileStreaming(scene: Scene): Promise<Figures> {
  const pingEveryMs = 10;
  const [streaming, pinging] = await Promise.all([
    WireSession.open(scene.server.url),
    WireSession.open(scene.server.url),
  ]);
  await stream(streaming, { count: WARM_UP_EVENTS, bytes: EVENT_BYTES });
  const latencies: number[] = [];
  const sentAt: number[] = [];
  let isOver = false;
  const ping = (): void => {
    pinging.send("session.ping", `{"nonce":"${sentAt.length}","sent_at":"${new Date().toISOString()}"}`);
    sentAt.push(performance.now());
  };
  const answered = pinging.until(({ type, payload }) => {
    if (type !== "session.pong") return false;
    latencies.push(performance.now() - (sentAt[Number(payload.ping_nonce)] ?? Number.NaN));
    return isOver && latencies.length === sentAt.length;
  });
  // Pings go out on time whether or not the last one was answered, so that a stall counts as often as it should.
  const timer = setInterval(ping, pingEveryMs);
  try {
    await stream(streaming, { count: scaled(scene, 400_000), bytes: EVENT_BYTES });
  } finally {
    clearInterval(timer);
  }
  isOver = true;
  ping();
  await answered;
  return { p50Ms: median(latencies), p99Ms: percentile(latencies, 0.99), pings: latencies.length };
}

async function cancelWhileStreaming(scene: Scene): Promise<Figures> {
  const session = await WireSession.open(scene.server.url);
  const latencies: number[] = [];
  const cancelAfter = scaled(scene, 10_000);
  for (let round = 0; round < 5; round += 1) {
    session.submit("stream", { count: 2_000_000, bytes: EVENT_BYTES });
    let jobId = "";
    let logs = 0;
    await session.until(({ type, job_id, payload }) => {
      if (type === "job.accepted") jobId = payload.job_id ?? job_id ?? "";
      if (payload.kind === "log") logs += 1;
      return logs === cancelAfter;
    });
    const sentAt = performance.now();
    session.send("job.cancel", `{"job_id":"${jobId}"}`);
    await session.until(({ type }) => type === "job.error");
    latencies.push(performance.now() - sentAt);
  }
  return { p50Ms: median(latencies), worstMs: Math.max(...latencies) };
}

async function millionEvents(scene: Scene): Promise<Figures> {
  const ackEvery = 1_000;
  const sampleEveryMs = 250;
  const { server } = scene;
  const session = await WireSession.open(server.url, { acks: true });
  const { rssBytes: atStart } = await server.usage();
  let lastAt = performance.now();
  let longestGapMs = 0;
  const onEvent = (): void => {
    const now = performance.now();
    if (now - lastAt > longestGapMs) longestGapMs = now - lastAt;
    lastAt = now;
    if (session.lastEventSeq % ackEvery === 0) {
      session.send("session.ack", `{"last_processed_seq":${session.lastEventSeq}}`);
    }
  };
  const run = async (count: number): Promise<void> => {
    session.submit("stream", { count, bytes: EVENT_BYTES });
    lastAt = performance.now();
    await receiveStream(session, count, onEvent);
  };
  await run(scaled(scene, 100_000));
  longestGapMs = 0;
  const { rssBytes: baseline, heldBytes } = await server.settledUsage();
  let peak = baseline;
  let sampling = Promise.resolve();
  const timer = setInterval(() => {
    sampling = sampling.then(async () => {
      peak = Math.max(peak, (await server.usage()).rssBytes);
    });
    sampling.catch(() => {});
  }, sampleEveryMs);
  const count = scaled(scene, 1_000_000);
  try {
    const { seconds, serverCpuMicros } = await measure(scene, () => run(count));
    clearInterval(timer);
    await sampling;
    const atEnd = await server.settledUsage();
    return {
      rssGrowthMegabytes: (peak - baseline) / BYTES_PER_MEGABYTE,
      rssGrowthFromStartMegabytes: (peak - atStart) / BYTES_PER_MEGABYTE,
      heldGrowthMegabytes: (atEnd.heldBytes - heldBytes) / BYTES_PER_MEGABYTE,
      longestGapMs,
      perSecond: count / seconds,
      serverCpuMicros: serverCpuMicros / count,
    };
  } finally {
    clearInterval(timer);
  }
}

/**
 * Flags of Node for the server, where a scenario needs some. V8 doubles the young generation of its heap, up to a hundred
 * megabytes of RSS, at moments of its own choice; where growth is what is measured, it has a fixed and small size.
 */
export const SERVER_FLAGS: Partial<Record<ScenarioId, readonly string[]>> = { "11": ["--max-semi-space-size=8"] };

export const RUN: Readonly<Record<ScenarioId, (scene: Scene) => Promise<Figures>>> = {
  "1": oneAtATime,
  "2": manyInFlight,
  "3": longStream,
  "3c": longStreamThroughClient,
  "3d": longStreamDurable,
  "4": manySessions,
  "5": manySubscribers,
  "6": resume,
  "7": idleSessions,
  "8": largeResult,
  "9": pingWhileStreaming,
  "10": cancelWhileStreaming,
  "11": millionEvents,
};
