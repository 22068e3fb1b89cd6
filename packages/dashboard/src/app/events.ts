/** What an event says in one line, and what it says of its job. */
import type { JobEvent } from "@arcp/client";
import type { ErrorPayload } from "@arcp/core";

const MAX_SUMMARY = 400;

/** Kinds as filters name them. */
export const KINDS = [
  "log",
  "thought",
  "tool",
  "progress",
  "status",
  "metric",
  "delegate",
  "artifact",
  "result",
  "stream",
  "question",
  "checkpoint",
  "other",
] as const;
export type Kind = (typeof KINDS)[number];

/** What wire 1.0 has and wire 1.1 has no kinds for, as this runtime tells it. */
const OWN_KINDS: Readonly<Record<string, Kind>> = {
  "x-vendor.arcp.stream": "stream",
  "x-vendor.arcp.question": "question",
  "x-vendor.arcp.answer": "question",
  "x-vendor.arcp.lease": "question",
  "x-vendor.arcp.checkpoint": "checkpoint",
};

export function kindOf(event: JobEvent): Kind {
  switch (event.kind) {
    case "tool_call":
    case "tool_result":
      return "tool";
    case "artifact_ref":
      return "artifact";
    case "result_chunk":
      return "result";
    case "vendor":
      return OWN_KINDS[event.name.replace(/\.(open|chunk|close)$/, "")] ?? "other";
    default:
      return event.kind;
  }
}

/** Short JSON; anything that cannot be written is not worth a line. */
const brief = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "";
  return text.length > MAX_SUMMARY ? `${text.slice(0, MAX_SUMMARY)}…` : text;
};

export function summaryOf(event: JobEvent): string {
  const { kind, body } = event;
  switch (kind) {
    case "log":
      return cut(body.message);
    case "thought":
      return cut(body.text);
    case "tool_call":
      return `${cut(body.tool)} ${body.args === undefined ? "" : brief(body.args)}`;
    case "tool_result":
      return body.error === undefined ? brief(body.result ?? null) : cut(`${body.error.code}: ${body.error.message}`);
    case "status":
      return cut(body.message === undefined ? body.phase : `${body.phase}: ${body.message}`);
    case "metric":
      return cut(`${body.name} = ${body.value}${body.unit === undefined ? "" : ` ${body.unit}`}`);
    case "artifact_ref":
      return cut(`${body.uri} ${body.content_type}${body.byte_size === undefined ? "" : `, ${bytes(body.byte_size)}`}`);
    case "delegate":
      return cut(`to ${body.agent}`);
    case "progress":
      return cut(progressText(body));
    case "result_chunk":
      return `${body.result_id} #${body.chunk_seq}, ${body.data.length} characters${body.more ? "" : ", the last"}`;
    default:
      return ownSummary(event.name, body) ?? `${cut(event.name)} ${brief(body)}`;
  }
}

/** Nothing is taken for granted: other runtimes may call other things by these names. */
function ownSummary(name: string, body: unknown): string | undefined {
  const word = (member: string): string => {
    const value = (body as Readonly<Record<string, unknown>> | null)?.[member];
    return typeof value === "string" || typeof value === "number" ? cut(String(value)) : "";
  };
  const asked = word("prompt") || [word("permission"), word("resource"), word("operation")].filter(Boolean).join(" ");
  switch (name) {
    case "x-vendor.arcp.question":
      return `asks: ${asked}`;
    case "x-vendor.arcp.answer":
      return [word("outcome"), word("responded_by") && `by ${word("responded_by")}`, word("message")]
        .filter(Boolean)
        .join(" ");
    case "x-vendor.arcp.lease":
      return `${word("event")}: ${asked}${word("expires_at") && `, until ${word("expires_at")}`}`;
    case "x-vendor.arcp.checkpoint":
      return `${word("label") || "checkpoint"} ${word("checkpoint_id")}, ${bytes(Number(word("size")) || 0)}`;
    case "x-vendor.arcp.stream.open":
      return `opened ${word("kind")} ${word("content_type")} ${word("stream_id")}`;
    case "x-vendor.arcp.stream.chunk":
      return `#${word("sequence")} ${word("data") || brief(body)}`;
    case "x-vendor.arcp.stream.close":
      return `closed ${word("reason")} ${word("stream_id")}`;
    case "x-vendor.arcp.state":
      return [word("state"), word("reason")].filter(Boolean).join(": ");
    default:
      return undefined;
  }
}

const cut = (text: string): string => (text.length > MAX_SUMMARY ? `${text.slice(0, MAX_SUMMARY)}…` : text);

export interface Progress {
  readonly current: number;
  readonly total?: number | undefined;
  readonly units?: string | undefined;
  readonly message?: string | undefined;
}

export function progressText({ current, total, units, message }: Progress): string {
  const amount = `${current}${total === undefined ? "" : ` of ${total}`}${units === undefined ? "" : ` ${units}`}`;
  return message === undefined ? amount : `${amount}: ${message}`;
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  return size < 1024 * 1024 ? `${(size / 1024).toFixed(1)} KiB` : `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** What is left of a budget, by a `metric` event that says so. */
export function budgetOf(event: JobEvent): { readonly currency: string; readonly remaining: number } | undefined {
  if (event.kind !== "metric" || event.body.name !== "cost.budget.remaining") return undefined;
  return { currency: event.body.unit ?? "", remaining: event.body.value };
}

interface BudgetFacts {
  readonly remaining: number;
  /** What was spent since the first point, by the minute; 0 if that cannot be said. */
  readonly perMinute: number;
  /** How long what is left lasts at that rate. */
  readonly lastsMs: number | undefined;
}

const MINUTE_MS = 60_000;

/** What the counters of a budget say, oldest first. */
export function budgetFacts(
  points: readonly { readonly at: number; readonly remaining: number }[],
  total: number,
): BudgetFacts {
  const [first, last] = [points[0], points.at(-1)];
  const remaining = last?.remaining ?? total;
  const span = (last?.at ?? 0) - (first?.at ?? 0);
  const spent = (first?.remaining ?? 0) - remaining;
  if (points.length < 3 || span <= 0 || spent <= 0) return { remaining, perMinute: 0, lastsMs: undefined };
  return { remaining, perMinute: (spent / span) * MINUTE_MS, lastsMs: Math.max(0, remaining) * (span / spent) };
}

/** The budget that a lease grants, by currency: patterns `USD:5.00`. */
export function budgetTotals(lease: Readonly<Record<string, readonly string[]>>): ReadonlyMap<string, number> {
  const totals = new Map<string, number>();
  for (const pattern of lease["cost.budget"] ?? []) {
    const [currency = "", amount = ""] = pattern.split(":");
    const value = Number(amount);
    if (amount !== "" && Number.isFinite(value)) totals.set(currency, value);
  }
  return totals;
}

/** The part of a lease that would have allowed what was refused, as `lease_request` takes it. */
export function missingLease({
  code,
  details = {},
}: Pick<ErrorPayload, "code" | "details">): Readonly<Record<string, readonly string[]>> | undefined {
  const { capability, needed } = details;
  if (code !== "PERMISSION_DENIED" || typeof capability !== "string" || typeof needed !== "string") return undefined;
  return { [capability]: [needed] };
}

/** What would have allowed what a lease refused; `undefined` for what is no such refusal. */
export function remedyFor({ code, details = {} }: Pick<ErrorPayload, "code" | "details">): string | undefined {
  const text = (name: string): string | undefined => {
    const value = details[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
  const pattern = (words: string, target: string | undefined): string | undefined => {
    const capability = text("capability");
    return capability === undefined || target === undefined ? undefined : `${words} ${capability}: ${target}`;
  };
  const amount = (words: string): string | undefined => {
    const [left, currency] = [text("remaining"), text("currency")];
    return left === undefined || currency === undefined ? undefined : `${words} ${left} ${currency}`;
  };
  if (code === "PERMISSION_DENIED") return pattern("The lease would need", text("needed"));
  if (code === "BUDGET_EXHAUSTED") return amount("It would take more than");
  if (code === "LEASE_EXPIRED") {
    const end = text("expires_at");
    return end === undefined ? undefined : `It would take a lease beyond ${end}`;
  }
  if (code !== "LEASE_SUBSET_VIOLATION") return undefined;
  return pattern("The parent would need", text("pattern")) ?? amount("The parent has");
}
