/**
 * How clients of other SDKs differ from the specification's form, by the look of their first frame. What is not in this
 * table is the same for everybody (PROTOCOL.md, Peers).
 */
import type { JsonObject } from "@arcp/core";

export interface Profile {
  readonly name: string;
  /** The client finds a reply by its envelope id, which repeats the request's. */
  readonly repliesReuseId: boolean;
  /** The client finds a reply by `payload.reply_to`, and reads flat names in the welcome. */
  readonly isFlat: boolean;
  /** The client reads an inline result under `output` as well. */
  readonly mirrorsOutput: boolean;
  /** The client takes the id that it put on its hello for the session's, and its lease has another shape. */
  readonly namesSession: boolean;
}

const STANDARD: Profile = {
  name: "standard",
  repliesReuseId: false,
  isFlat: false,
  mirrorsOutput: false,
  namesSession: false,
};

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
    profile: { ...STANDARD, name: "ruby", isFlat: true, namesSession: true },
    matches: ({ payload }) => typeof payload["client_name"] === "string" && payload["client"] === undefined,
  },
  {
    profile: { ...STANDARD, name: "fsharp", repliesReuseId: true },
    matches: ({ id, sessionId }) => BARE_ULID.test(id) && sessionId === undefined,
  },
  {
    profile: { ...STANDARD, name: "go", mirrorsOutput: true },
    matches: ({ id, sessionId }) => UUID_V7.test(id) && sessionId === undefined,
  },
];

/** The profile of the client that sent `first`, a decoded `session.hello` or `session.resume`. */
export function profileOf(first: JsonObject): Profile {
  const payload = (first["payload"] ?? {}) as JsonObject;
  const shape = { id: String(first["id"] ?? ""), payload, sessionId: first["session_id"] };
  return TABLE.find((row) => row.matches(shape))?.profile ?? STANDARD;
}
