/** What the supervisor and the runtime under test have agreed on. */
import type { ClockOffset } from "./moved-clock.ts";
import type { StoreSettings } from "./stores.ts";

export interface RuntimeSettings {
  /** Of one episode, for all lives of its runtimes. */
  readonly directory: string;
  readonly store: StoreSettings;
  /** Which of several over one store it is; `undefined` if it is the only one. */
  readonly node?: string | undefined;
  /** 1 for the first process, and one more for each that follows it. */
  readonly life: number;
  readonly effectsUrl: string;
  readonly upstream: { readonly url: string; readonly masterKey: string };
  readonly clock: ClockOffset;
  /** A seeded bug, by name. */
  readonly mutant?: string | undefined;
}

export type ParentMessage = { readonly tell: "clock"; readonly offset: ClockOffset };
export type RuntimeMessage =
  | { readonly tell: "ready"; readonly port: number }
  | { readonly tell: "memory"; readonly rssBytes: number; readonly queuedBytes: number }
  /** It is to be killed, a little later than now. */
  | { readonly tell: "shoot" }
  /** The runtime says itself that something is as it must never be. */
  | { readonly tell: "invariant"; readonly line: string };

/** In the directory of an episode. */
export const FILES = {
  ledger: "ledger.jsonl",
  history: "history.jsonl",
  log: "runtime.log",
} as const;

/** Whose token is their name. */
export const PRINCIPALS = ["alice", "bob", "mallory"] as const;

/** What only jobs of `principal` say. */
export const secretOf = (principal: string): string => `secret-of-${principal}`;

/** By so much a client goes beyond what it was sent when it says that it has more: there are never so many. */
export const OVERCLAIM = 1_000_000;

/** A node that is silent for so long is declared dead. */
export const NODE_TTL_MS = 2_000;

export const HEARTBEAT_SECONDS = 5;
export const CANCEL_GRACE_MS = 1_000;
