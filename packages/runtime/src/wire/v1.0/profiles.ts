/** How the clients of wire 1.0 that there are differ from the specification (PROTOCOL.md, Peers). */
import type { JsonObject } from "@arcp/core";

export interface Profile10 {
  readonly name: string;
  /** How a tool's job ends for a client that waits for nothing else. */
  readonly mode: "tool" | "durable";
  /** The number of a stream's first chunk. */
  readonly firstSequence: 0 | 1;
  /** Reads names of kinds and priorities as `{"type": name}`. */
  readonly wrapsNames: boolean;
  /** Answers `artifact.fetch` with `artifact.ref`, the content beside it. */
  readonly fetchesRef: boolean;
  /** Hears of a refused invocation by `job.failed` and not by `nack`. */
  readonly failsRefused: boolean;
  /** Resumes by a number that every message of a job carries, and with a token (as wire 1.1 does). */
  readonly numbers: boolean;
  /** Reads what any chunk brings from `data`, and no chunk without it. */
  readonly needsData: boolean;
  /** Calls the times of a span `started_at` and `ended_at`. */
  readonly startsSpans: boolean;
  /** Is told of a job's lease when that is accepted, in the form of its own request. */
  readonly readsLease: boolean;
  /** Reads the reference of `artifact.ref` from a member of that. */
  readonly nestsRef: boolean;
  /** Ends at an error code that is not of the table, and at the id of a message without `msg_`. */
  readonly isStrict: boolean;
  /** Types that it does not know and cannot skip: it is told of them by `event.emit`. */
  readonly unread: ReadonlySet<string>;
}

const NOTHING: ReadonlySet<string> = new Set();

const STANDARD: Profile10 = {
  ...{ name: "standard", mode: "tool", firstSequence: 0, wrapsNames: false },
  ...{ fetchesRef: false, failsRefused: false, numbers: false, needsData: false, startsSpans: false, unread: NOTHING },
  ...{ readsLease: false, nestsRef: false, isStrict: false },
};

const PROFILES: readonly Profile10[] = [
  STANDARD,
  {
    ...{ ...STANDARD, name: "rust", mode: "durable", failsRefused: true, numbers: true, needsData: true },
    ...{ readsLease: true, nestsRef: true, isStrict: true },
    unread: new Set([
      ...["job.checkpoint", "agent.handoff", "human.input.request", "human.choice.request", "human.input.response"],
      ...["human.choice.response", "human.input.cancelled"],
    ]),
  },
  { ...STANDARD, name: "ruby", firstSequence: 1, fetchesRef: true },
  {
    ...{ ...STANDARD, name: "fsharp", mode: "durable", firstSequence: 1, wrapsNames: true, failsRefused: true },
    ...{ needsData: true, startsSpans: true },
  },
];

const BARE_ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** The client that begins with `frame`. */
export function profileOf10(frame: JsonObject): Profile10 {
  const payload = (frame["payload"] ?? {}) as JsonObject;
  if (typeof payload["arcp"] === "string" || BARE_ULID.test(String(frame["id"]))) return profileNamed("fsharp");
  if (frame["arcp"] === "1.1") return profileNamed("rust");
  // Microseconds, as no other client writes them.
  return /\.\d{6}(Z|[+-])/.test(String(frame["timestamp"])) ? profileNamed("ruby") : STANDARD;
}

/** The profile of that name: what a session was opened with, it keeps. */
export const profileNamed = (name: string): Profile10 => PROFILES.find((profile) => profile.name === name) ?? STANDARD;
