/**
 * How clients of other SDKs differ from the specification's form, by the look of their first frame. What is not in this
 * table is the same for everybody (PROTOCOL.md, Peers).
 */
import type { JsonObject } from "@arcp/core";

export interface Profile {
  readonly name: string;
  /** The client finds a reply by its envelope id, which repeats the request's. */
  readonly repliesReuseId: boolean;
  /** The client finds a reply by `payload.reply_to`. */
  readonly readsReplyTo: boolean;
  /** The client takes the id that it put on its hello for the session's. */
  readonly namesSession: boolean;
  /** The client writes a lease as a list of capability names. */
  readonly writesLeaseList: boolean;
  /** The client writes UTC as an offset of zero. */
  readonly writesOffsets: boolean;
  /** Payloads that the client wants otherwise, by message type. */
  readonly reshape: Readonly<Record<string, Reshape>>;
}

/** What a payload may have to repeat of its message. */
export interface MessageFacts {
  readonly sessionId: string | undefined;
  /** When what the message tells of happened. RFC 3339. */
  readonly timestamp: string;
}

type Reshape = (payload: JsonObject, facts: MessageFacts) => JsonObject;

/** The specification's form. */
export const STANDARD: Profile = {
  name: "standard",
  repliesReuseId: false,
  readsReplyTo: false,
  namesSession: false,
  writesLeaseList: false,
  writesOffsets: false,
  reshape: {},
};

/** Ruby: flat names in the welcome, and a lease with an id and a list of names. */
const RUBY_SHAPES: Profile["reshape"] = {
  "session.welcome": (payload) => {
    const runtime = payload["runtime"] as JsonObject;
    return { ...payload, runtime_name: runtime["name"], runtime_version: runtime["version"] };
  },
  "job.accepted": (payload) => {
    const lease = payload["lease"] as JsonObject;
    return { ...payload, lease: { id: `lse_${payload["job_id"]}`, capabilities: Object.keys(lease), ...lease } };
  },
};

/** Go: an inline result is read as `output`. */
const GO_SHAPES: Profile["reshape"] = {
  "job.result": (payload) => ({ ...payload, output: payload["result"] }),
};

/**
 * Python: its models require members that the specification does not have, a budget of `CUR:amount` strings, and
 * `final_status: "error"` on every `job.error`; a payload that does not fit ends the client's reader.
 */
const PYTHON_SHAPES: Profile["reshape"] = {
  "session.welcome": (payload, { sessionId, timestamp }) => ({
    ...payload,
    session_id: sessionId,
    accepted_at: timestamp,
  }),
  "job.accepted": ({ budget, ...payload }) =>
    budget === undefined ? payload : { ...payload, budget: amountsOf(budget as JsonObject) },
  "session.jobs": (payload) => ({
    ...payload,
    jobs: (payload["jobs"] as JsonObject[]).map((job) => ({ ...job, submitted_at: job["created_at"] })),
  }),
  "job.result": (payload, { timestamp }) => ({ ...payload, completed_at: timestamp }),
  "job.error": (payload, { timestamp }) => ({ ...payload, final_status: "error", completed_at: timestamp }),
};

const amountsOf = (budget: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(budget).map(([currency, amount]) => [currency, `${currency}:${amount}`]));

const BARE_ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

interface Row {
  readonly profile: Profile;
  readonly matches: (first: {
    readonly id: string;
    readonly payload: JsonObject;
    readonly sessionId: unknown;
  }) => boolean;
}

const TABLE: readonly Row[] = [
  {
    profile: {
      ...STANDARD,
      name: "ruby",
      readsReplyTo: true,
      namesSession: true,
      writesLeaseList: true,
      reshape: RUBY_SHAPES,
    },
    matches: ({ payload }) => typeof payload["client_name"] === "string" && payload["client"] === undefined,
  },
  {
    profile: { ...STANDARD, name: "python", reshape: PYTHON_SHAPES },
    matches: ({ id, payload }) =>
      BARE_ULID.test(id) && Array.isArray((payload["capabilities"] as JsonObject | undefined)?.["agents"]),
  },
  {
    profile: { ...STANDARD, name: "fsharp", repliesReuseId: true, writesOffsets: true },
    matches: ({ id }) => BARE_ULID.test(id),
  },
  {
    profile: { ...STANDARD, name: "go", reshape: GO_SHAPES },
    matches: ({ id, sessionId }) => UUID_V7.test(id) && sessionId === undefined,
  },
];

/** The profile of the client that sent `first`, a `session.hello` or `session.resume` that has not been validated. */
export function profileOf(first: JsonObject): Profile {
  const payload = (first["payload"] ?? {}) as JsonObject;
  const id = typeof first["id"] === "string" ? first["id"] : "";
  const shape = { id, payload, sessionId: first["session_id"] };
  return TABLE.find((row) => row.matches(shape))?.profile ?? STANDARD;
}

/** A frame of the client in the specification's form. */
export function asSpecified(profile: Profile, frame: JsonObject): JsonObject {
  if (frame["type"] !== "job.submit") return frame;
  if (profile.writesLeaseList) return { ...frame, payload: withLeaseMap(frame["payload"]) };
  return profile.writesOffsets ? { ...frame, payload: withZ(frame["payload"]) } : frame;
}

/** F#: an instant in UTC ends in an offset of zero. */
function withZ(payload: unknown): unknown {
  const submit = (payload ?? {}) as JsonObject;
  const constraints = submit["lease_constraints"] as JsonObject | undefined;
  const expiry = constraints?.["expires_at"];
  if (typeof expiry !== "string" || !expiry.endsWith("+00:00")) return payload;
  return { ...submit, lease_constraints: { ...constraints, expires_at: `${expiry.slice(0, -"+00:00".length)}Z` } };
}

/**
 * What a frame says may be anything: an object without a text of its own, or the one name that makes no member. Neither
 * names a capability, and the empty name is refused.
 */
const textOf = (name: unknown): string => (typeof name === "string" && name !== "__proto__" ? name : "");

/**
 * Ruby: a lease is a list of capability names, with two namespaces and the expiry beside it. A name without patterns
 * asks for nothing that could be granted: it stays in the lease, and covers nothing.
 */
function withLeaseMap(payload: unknown): unknown {
  const { lease_request: lease, ...submit } = (payload ?? {}) as JsonObject;
  if (typeof lease !== "object" || lease === null || !Array.isArray((lease as JsonObject)["capabilities"]))
    return payload;
  const { capabilities, expires_at, id: _id, issued_at: _issuedAt, ...patterns } = lease as JsonObject;
  const named = Object.fromEntries((capabilities as unknown[]).map((name) => [textOf(name), []]));
  const constraints = submit["lease_constraints"] as JsonObject | undefined;
  const expiry = constraints?.["expires_at"] ?? expires_at;
  return {
    ...submit,
    lease_request: { ...named, ...patterns },
    ...(expiry !== undefined && { lease_constraints: { ...constraints, expires_at: expiry } }),
  };
}
