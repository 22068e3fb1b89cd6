/** Every seeded bug that one runtime can have by itself. */
import { AGENT_BUGS } from "./agent-bugs.ts";
import type { SeededBug } from "./mutant.ts";
import { STORE_BUGS } from "./store-bugs.ts";
import { WIRE_BUGS } from "./wire-bugs.ts";

export const MUTANTS: Readonly<Record<string, SeededBug>> = { ...STORE_BUGS, ...WIRE_BUGS, ...AGENT_BUGS };

/** Bugs that are known and not seeded here, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  "drops-the-fence": "a fence is dropped from an update: needs two nodes over one database",
  "fence-at-least": "fences are compared with >=: needs two nodes over one database",
  "notify-without-polling": "a notification that is lost is the last: needs a second node",
  "pooled-socket": "a pooled socket serves another lease: needs names whose addresses change; see tests/operations",
  "ack-before-fsync": "what was acknowledged is not synced: see --power-loss, which has it as synchronous=NORMAL",
};
