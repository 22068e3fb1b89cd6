/** What happens to one of several runtimes over one PostgreSQL, and to that. */
import type { Random } from "../fuzz/random.ts";
import type { ChaosDatabase, StopMode } from "./database.ts";
import type { FaultProxy } from "./proxy.ts";
import { NODE_TTL_MS } from "./runtime-settings.ts";
import { pause } from "./visitors.ts";

/**
 * How a node and the database are parted. `refuse`: connections break, and none is made. `silent`: nothing comes through, and all
 * of it does when it is over; `deaf` and `mute`: only what the node is told, or says.
 */
export type Parting = "refuse" | "silent" | "deaf" | "mute";

export type ClusterFault =
  /** `SIGSTOP`, for longer than a node may be silent: others go on with what it had, and it does not know when it goes on. */
  | { readonly do: "freeze"; readonly forMs: number }
  | { readonly do: "part from database"; readonly way: Parting; readonly forMs: number }
  /** The next statement of the node that calls `what` is carried out, and the connection ends before the answer. */
  | { readonly do: "lose answer"; readonly what: string }
  /** The node is not told of what others commit. */
  | { readonly do: "deafen"; readonly forMs: number }
  | { readonly do: "cut from database" }
  /** `pg_terminate_backend` of some of the node's connections. */
  | { readonly do: "terminate backends"; readonly count: number }
  | { readonly do: "restart database"; readonly mode: StopMode; readonly awayMs: number }
  /** Its clients cannot reach the node, and it can reach everything. */
  | { readonly do: "part from clients"; readonly forMs: number }
  /** What `arcp drain` does: somebody asks the node to stop. */
  | { readonly do: "ask to drain" };

const ANSWERED = [
  ...["commit_batch(", "commit_batch(", "commit_batch(", "claim_jobs(", "take_session(", "bind_key(", ".beat("],
  ...["claim_credentials(", "SET node = NULL", ".leave("],
] as const;

/** Around the time after which a node is declared dead, on both sides of it. */
const aroundTtl = (random: Random): number => NODE_TTL_MS / 2 + random.below(NODE_TTL_MS * 1.5);

export function anyClusterFault(random: Random): ClusterFault {
  const roll = random.below(100);
  if (roll < 24) return { do: "freeze", forMs: aroundTtl(random) };
  if (roll < 46) {
    const forMs = random.oneIn(3) ? 100 + random.below(800) : aroundTtl(random);
    return { do: "part from database", way: random.pick(["refuse", "silent", "silent", "deaf", "mute"]), forMs };
  }
  if (roll < 60) return { do: "lose answer", what: random.pick(ANSWERED) };
  if (roll < 66) return { do: "deafen", forMs: 500 + random.below(3_000) };
  if (roll < 71) return { do: "cut from database" };
  if (roll < 82) return { do: "terminate backends", count: 1 + random.below(8) };
  if (roll < 89) {
    return { do: "restart database", mode: random.oneIn(4) ? "fast" : "immediate", awayMs: random.below(1_500) };
  }
  if (roll < 96) return { do: "part from clients", forMs: 200 + random.below(2_000) };
  return { do: "ask to drain" };
}

/** What a fault acts on. */
export interface Part {
  readonly name: string;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Between its clients and it. */
  readonly proxy: FaultProxy;
  /** Between it and the database. */
  readonly line: FaultProxy;
  readonly database: ChaosDatabase;
  readonly schema: string;
}

/** Resolves when it is over. */
export async function applyToCluster(fault: ClusterFault, part: Part, signal: AbortSignal): Promise<void> {
  const { line, proxy, database } = part;
  switch (fault.do) {
    case "freeze":
      part.signal("SIGSTOP");
      await pause(fault.forMs, signal);
      part.signal("SIGCONT");
      return;
    case "part from database":
      if (fault.way === "refuse") line.refuse(true);
      if (fault.way === "silent" || fault.way === "mute") line.hold("client");
      if (fault.way === "silent" || fault.way === "deaf") line.hold("runtime");
      await pause(fault.forMs, signal);
      line.refuse(false);
      line.release();
      return;
    case "lose answer":
      line.loseAnswer(fault.what);
      return;
    case "deafen":
      line.deafen(true);
      await pause(fault.forMs, signal);
      line.deafen(false);
      return;
    case "cut from database":
      line.cutAll("reset");
      return;
    case "terminate backends":
      await database.terminate(part.name, fault.count);
      return;
    case "restart database":
      await database.restart(fault.mode, fault.awayMs);
      return;
    case "part from clients":
      proxy.refuse(true);
      await pause(fault.forMs, signal);
      proxy.refuse(false);
      return;
    case "ask to drain":
      await database
        .ask(`UPDATE "${part.schema}".node SET must_drain = true WHERE is_up AND facts::json->>'name' = $1`, [
          part.name,
        ])
        .catch(() => {
          // It is not there at the moment.
        });
  }
}

const CLUSTER_FAULTS = {
  freeze: true,
  "part from database": true,
  "lose answer": true,
  deafen: true,
  "cut from database": true,
  "terminate backends": true,
  "restart database": true,
  "part from clients": true,
  "ask to drain": true,
} satisfies Record<ClusterFault["do"], true>;

export const isClusterFault = (fault: { readonly do: string }): fault is ClusterFault => fault.do in CLUSTER_FAULTS;
