/** Every seeded bug: those that one runtime can have by itself, and those that take several. */
import { AGENT_BUGS } from "./agent-bugs.ts";
import { CLUSTER_BUGS } from "./cluster-bugs.ts";
import type { SeededBug } from "./mutant.ts";
import { STORE_BUGS } from "./store-bugs.ts";
import { WIRE_BUGS } from "./wire-bugs.ts";

export const MUTANTS_ALONE: Readonly<Record<string, SeededBug>> = { ...STORE_BUGS, ...WIRE_BUGS, ...AGENT_BUGS };
export const MUTANTS_TOGETHER: Readonly<Record<string, SeededBug>> = CLUSTER_BUGS;
export const MUTANTS: Readonly<Record<string, SeededBug>> = { ...MUTANTS_ALONE, ...MUTANTS_TOGETHER };

/** Bugs that are known and not seeded here, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  fencing: "jobs and sessions that change hands need several nodes: see --store postgres",
  "pooled-socket": "a pooled socket serves another lease: needs names whose addresses change; see tests/operations",
  "ack-before-fsync": "what was acknowledged is not synced: see --power-loss, which has it as synchronous=NORMAL",
};
