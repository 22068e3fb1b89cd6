/** A vocabulary for what a client requires of a runtime's frames. A problem is a sentence; no problems: acceptable. */

/** A message as it is on the wire. */
export interface Frame {
  readonly arcp: string;
  readonly id: string;
  readonly type: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly trace_id?: string;
  readonly event_seq?: number;
  // biome-ignore lint/suspicious/noExplicitAny: a rule reads any member of a payload
  readonly payload: any;
}

/** What a frame may be the answer to: the client's requests by id. */
export interface Exchange {
  readonly requests: ReadonlyMap<string, string>;
}

export type Rule = (frame: Frame, exchange: Exchange) => readonly string[];

export interface Rules {
  /** For every frame. */
  readonly every: Rule;
  /** By message type. A type that is not here is ignored by the client. */
  readonly byType: Readonly<Record<string, Rule>>;
}

export function problemsOf(rules: Rules, frame: Frame, exchange: Exchange): readonly string[] {
  const found = [...rules.every(frame, exchange), ...(rules.byType[frame.type]?.(frame, exchange) ?? [])];
  return found.map((problem) => `${frame.type}: ${problem}`);
}

export const all =
  (...rules: readonly Rule[]): Rule =>
  (frame, exchange) =>
    rules.flatMap((rule) => rule(frame, exchange));

/** Kinds of JSON values, by the name that a problem gives them. */
const KINDS = {
  text: (value: unknown) => typeof value === "string",
  "non-empty text": (value: unknown) => typeof value === "string" && value !== "",
  number: (value: unknown) => typeof value === "number",
  "whole number": (value: unknown) => Number.isInteger(value),
  "positive whole number": (value: unknown) => Number.isInteger(value) && (value as number) > 0,
  boolean: (value: unknown) => typeof value === "boolean",
  object: isObject,
  list: Array.isArray,
  "list of texts": (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === "string"),
  anything: (value: unknown) => value !== undefined,
} as const;

export type Kind = keyof typeof KINDS;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a dotted path; budget-like names with dots are not reached by it. */
const at = (value: unknown, path: string): unknown =>
  path.split(".").reduce((inner, name) => (isObject(inner) ? inner[name] : undefined), value);

/** These members of the frame must be there. `payload.jobs[]` checks a member of every item: see {@link items}. */
export const requires =
  (members: Readonly<Record<string, Kind>>): Rule =>
  (frame) =>
    Object.entries(members).flatMap(([path, kind]) => {
      const value = at(frame, path);
      return KINDS[kind](value) ? [] : [`${path} is ${JSON.stringify(value)}, not ${kind}`];
    });

/** The same for members that may be absent. */
export const optional =
  (members: Readonly<Record<string, Kind>>): Rule =>
  (frame) =>
    Object.entries(members).flatMap(([path, kind]) => {
      const value = at(frame, path);
      return value === undefined || KINDS[kind](value) ? [] : [`${path} is ${JSON.stringify(value)}, not ${kind}`];
    });

/** Members of every item of a list. */
export const items =
  (path: string, members: Readonly<Record<string, Kind>>): Rule =>
  (frame) => {
    const list = at(frame, path);
    if (!Array.isArray(list)) return [];
    return list.flatMap((item, index) =>
      Object.entries(members).flatMap(([name, kind]) => {
        const value = isObject(item) ? item[name] : undefined;
        return KINDS[kind](value) ? [] : [`${path}[${index}].${name} is ${JSON.stringify(value)}, not ${kind}`];
      }),
    );
  };

export const matches =
  (path: string, pattern: RegExp): Rule =>
  (frame) => {
    const value = at(frame, path);
    return value === undefined || (typeof value === "string" && pattern.test(value))
      ? []
      : [`${path} is ${JSON.stringify(value)}, which does not match ${pattern}`];
  };

export const oneOf =
  (path: string, values: readonly unknown[]): Rule =>
  (frame) => {
    const value = at(frame, path);
    return values.includes(value) ? [] : [`${path} is ${JSON.stringify(value)}, not one of ${JSON.stringify(values)}`];
  };

/** The member names one of the client's requests. */
export const answers =
  (path: string, ...types: readonly string[]): Rule =>
  (frame, { requests }) => {
    const type = requests.get(String(at(frame, path)));
    return type !== undefined && types.includes(type) ? [] : [`${path} does not name a ${types.join(" or ")}`];
  };

/** No member is `null`, except those of these names. */
export const noNulls =
  (...allowed: readonly string[]): Rule =>
  (frame) =>
    nullPaths(frame, [])
      .filter((path) => !allowed.includes(path.at(-1) ?? ""))
      .map((path) => `${path.join(".")} is null`);

/** What an agent or a vendor says is not the protocol's. */
const CONTENT: readonly string[] = ["result", "output", "body", "input"];

function nullPaths(value: unknown, path: readonly string[]): readonly (readonly string[])[] {
  if (CONTENT.includes(path.at(-1) ?? "")) return [];
  if (value === null) return [path];
  if (Array.isArray(value)) return value.flatMap((item) => nullPaths(item, path));
  return isObject(value) ? Object.entries(value).flatMap(([name, inner]) => nullPaths(inner, [...path, name])) : [];
}

/** The fifteen codes of §12. */
export const CODES: readonly string[] = [
  "PERMISSION_DENIED",
  "LEASE_SUBSET_VIOLATION",
  "JOB_NOT_FOUND",
  "DUPLICATE_KEY",
  "AGENT_NOT_AVAILABLE",
  "AGENT_VERSION_NOT_AVAILABLE",
  "CANCELLED",
  "TIMEOUT",
  "RESUME_WINDOW_EXPIRED",
  "HEARTBEAT_LOST",
  "LEASE_EXPIRED",
  "BUDGET_EXHAUSTED",
  "INVALID_REQUEST",
  "UNAUTHENTICATED",
  "INTERNAL_ERROR",
];

export const TRACE_ID: RegExp = /^[0-9a-f]{32}$/;
