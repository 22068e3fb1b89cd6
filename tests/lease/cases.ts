import { readFileSync } from "node:fs";

interface Cases {
  readonly operations: readonly {
    readonly capability: string;
    readonly pattern: string;
    readonly target: string;
    readonly outcome: "allowed" | "PERMISSION_DENIED" | "INVALID_REQUEST";
  }[];
  readonly refusedPatterns: readonly { readonly capability: string; readonly pattern: string }[];
  readonly coverage: readonly {
    readonly capability: string;
    readonly parent: string;
    readonly child: string;
    readonly isCovered: boolean;
  }[];
}

/** The semantics of leases as a table. */
export const CASES: Cases = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf8"));
