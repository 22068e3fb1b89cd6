/** What is measured, in which unit, and how good it has to be. Data only; `scenarios.ts` has the code. */

export const SCENARIO_IDS = ["1", "2", "3", "3c", "3d", "4", "5", "6", "7", "8", "9", "10", "11"] as const;
export type ScenarioId = (typeof SCENARIO_IDS)[number];

export type Target =
  /** At least this share of what the limit server does. */
  | { readonly kind: "share-of-limit"; readonly atLeast: number }
  /** At most this many times what the limit server takes. */
  | { readonly kind: "times-limit"; readonly atMost: number }
  | { readonly kind: "absolute"; readonly atMost: number };

export interface Measure {
  /** The member of the scenario's result. */
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly target?: Target;
}

export interface Scenario {
  readonly title: string;
  readonly measures: readonly Measure[];
}

const shareOfLimit = (atLeast: number): Target => ({ kind: "share-of-limit", atLeast });
const timesLimit = (atMost: number): Target => ({ kind: "times-limit", atMost });
const absolute = (atMost: number): Target => ({ kind: "absolute", atMost });

const serverCpu = (each: string, target?: Target): Measure => ({
  key: "serverCpuMicros",
  label: `server CPU per ${each}`,
  unit: "us",
  ...(target && { target }),
});

export const SCENARIOS: Readonly<Record<ScenarioId, Scenario>> = {
  "1": {
    title: "echo job, one at a time",
    measures: [
      { key: "p50Ms", label: "submit to result, p50", unit: "ms", target: timesLimit(1.5) },
      { key: "p99Ms", label: "submit to result, p99", unit: "ms" },
      serverCpu("job"),
    ],
  },
  "2": {
    title: "echo jobs, 64 in flight",
    measures: [{ key: "perSecond", label: "jobs", unit: "/s", target: shareOfLimit(0.6) }, serverCpu("job")],
  },
  "3": {
    title: "one job, many log events",
    measures: [
      { key: "perSecond", label: "events", unit: "/s", target: shareOfLimit(0.7) },
      serverCpu("event", absolute(25)),
    ],
  },
  "3c": {
    title: "the same through the client library",
    measures: [
      { key: "clientCpuMicros", label: "client CPU per event", unit: "us", target: absolute(15) },
      { key: "perSecond", label: "events", unit: "/s" },
    ],
  },
  "3d": {
    title: "the same by a durable agent, a step every 1,000 events",
    measures: [
      { key: "costPercent", label: "server CPU beyond that of one that is not", unit: "%", target: absolute(10) },
      { key: "slowerPercent", label: "time beyond", unit: "%", target: absolute(10) },
      { key: "perSecond", label: "events", unit: "/s" },
    ],
  },
  "4": {
    title: "50 sessions, one job each",
    measures: [
      { key: "perSecond", label: "events", unit: "/s", target: shareOfLimit(0.7) },
      { key: "lastToFirst", label: "last to finish / first", unit: "x", target: absolute(2) },
      serverCpu("event"),
    ],
  },
  "5": {
    title: "one job, 50 subscribers",
    measures: [{ key: "perSecond", label: "deliveries", unit: "/s", target: shareOfLimit(0.7) }, serverCpu("delivery")],
  },
  "6": {
    title: "resume, replay from disk",
    measures: [
      { key: "perSecond", label: "events replayed", unit: "/s", target: shareOfLimit(0.7) },
      { key: "welcomeMs", label: "hello to welcome", unit: "ms", target: absolute(10) },
      serverCpu("event"),
    ],
  },
  "7": {
    title: "10,000 idle sessions",
    measures: [
      { key: "rssKilobytes", label: "server RSS per session", unit: "KB", target: absolute(22) },
      { key: "perSecond", label: "sessions opened", unit: "/s" },
    ],
  },
  "8": {
    title: "streamed result, 256 KiB chunks",
    measures: [
      { key: "megabytesPerSecond", label: "result", unit: "MB/s", target: shareOfLimit(0.85) },
      serverCpu("chunk"),
    ],
  },
  "9": {
    title: "ping while another session's job streams",
    measures: [
      { key: "p99Ms", label: "ping to pong, p99", unit: "ms", target: absolute(25) },
      { key: "p50Ms", label: "ping to pong, p50", unit: "ms" },
    ],
  },
  "10": {
    title: "cancel while the job streams",
    measures: [
      { key: "worstMs", label: "cancel to terminal message, worst", unit: "ms", target: absolute(50) },
      { key: "p50Ms", label: "cancel to terminal message, p50", unit: "ms" },
    ],
  },
  "11": {
    title: "one million events with acks",
    measures: [
      { key: "rssGrowthMegabytes", label: "server RSS growth after warm-up, peak", unit: "MB", target: absolute(50) },
      { key: "rssGrowthFromStartMegabytes", label: "server RSS growth since its start, peak", unit: "MB" },
      { key: "heldGrowthMegabytes", label: "growth of what is held after collection", unit: "MB" },
      { key: "longestGapMs", label: "longest gap between events", unit: "ms", target: absolute(1_000) },
      { key: "perSecond", label: "events", unit: "/s" },
      serverCpu("event"),
    ],
  },
};

export const isScenarioId = (id: string): id is ScenarioId => (SCENARIO_IDS as readonly string[]).includes(id);

/** What the comparison is about; `undefined` where only an absolute figure counts or a side is missing. */
export function ratioOf(product: number | undefined, limit: number | undefined): number | undefined {
  return product === undefined || limit === undefined || limit === 0 ? undefined : product / limit;
}

/** `undefined` where there is nothing to meet, or nothing to compare with. */
export function isMet(
  target: Target | undefined,
  product: number | undefined,
  ratio: number | undefined,
): boolean | undefined {
  if (target === undefined || product === undefined) return undefined;
  if (target.kind === "absolute") return product <= target.atMost;
  if (ratio === undefined) return undefined;
  return target.kind === "share-of-limit" ? ratio >= target.atLeast : ratio <= target.atMost;
}

export function describeTarget(target: Target | undefined, unit: string): string {
  if (target === undefined) return "";
  if (target.kind === "share-of-limit") return `>= ${Math.round(target.atLeast * 100)} % of limit`;
  if (target.kind === "times-limit") return `<= ${target.atMost} x limit`;
  return `<= ${target.atMost} ${unit}`;
}
