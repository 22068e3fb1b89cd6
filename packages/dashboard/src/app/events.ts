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
  "other",
] as const;
export type Kind = (typeof KINDS)[number];

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
      return "other";
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
      return `${cut(event.name)} ${brief(body)}`;
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
