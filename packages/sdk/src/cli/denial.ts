/** What would have allowed what a lease refused (§9, §12). */
import type { ErrorPayload } from "@arcp/core";

/**
 * A line for below the refusal; `undefined` for what is no refusal of a lease, or says no more than its message. It is
 * written as a lease shows itself and not as a command: what an agent asked for must not be pasted into a shell.
 */
export function remedyFor({ code, details = {} }: Pick<ErrorPayload, "code" | "details">): string | undefined {
  const text = (name: string): string | undefined => {
    const value = details[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
  switch (code) {
    case "PERMISSION_DENIED":
      return pattern("it would take", text("capability"), text("needed"));
    case "LEASE_SUBSET_VIOLATION":
      return (
        pattern("the parent would need", text("capability"), text("pattern")) ??
        amount("the parent has", text("remaining"), text("currency"))
      );
    case "BUDGET_EXHAUSTED":
      return amount("it would take more than", text("remaining"), text("currency"));
    case "LEASE_EXPIRED": {
      const end = text("expires_at");
      return end === undefined ? undefined : `it would take a lease beyond ${end}`;
    }
    default:
      return undefined;
  }
}

const pattern = (words: string, capability: string | undefined, target: string | undefined): string | undefined =>
  capability === undefined || target === undefined ? undefined : `${words} ${capability}: ${target}`;

const amount = (words: string, left: string | undefined, currency: string | undefined): string | undefined =>
  left === undefined || currency === undefined ? undefined : `${words} ${left} ${currency}`;
