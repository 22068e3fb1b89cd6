/** What an operator lets people grant (RFC §15.4, §15.6). */
import type { TrustLevel } from "@arcp/core";

/** How long permissions last, and what they may cover (RFC §15.4, §15.5). */
export interface GrantPolicy {
  /** How long a grant lasts if its request does not say, in seconds. */
  readonly defaultSeconds: number;
  /** How long a grant may last at most, in seconds; also how far beyond that moment it can be extended. */
  readonly maxSeconds: number;
  /** May a request name a pattern, which covers more than one target? */
  readonly allowsPatterns: boolean;
}

/** How long permissions last, and what they may cover, where nothing else is said. */
export const DEFAULT_GRANT_POLICY: GrantPolicy = { defaultSeconds: 300, maxSeconds: 3_600, allowsPatterns: false };

/** The level up to which the jobs of a principal may be raised (RFC §15.6); `undefined`: they may not. */
export type MaxElevation = (principal: string) => TrustLevel | undefined;
