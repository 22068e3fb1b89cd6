/** Where a host itself is in the way of what is asked of the others, and why. */
export interface HostLimits {
  /** It answers these in its own way, by the names of `REFUSED_UPGRADES`; 101: what is wrong cannot be seen. */
  readonly refusals?: Readonly<Record<string, number>>;
  /** It bears these, by the names of `VIOLATIONS`. */
  readonly bears?: readonly string[];
  /** Is compression its adapter's to turn on? Default: true. */
  readonly compresses?: boolean;
  /** Does it answer requests that ask for upgrades to something else as if they did not? Default: true. */
  readonly ignoresOtherUpgrades?: boolean;
  /** What a path answers when its runtime was closed: 404 if it is the host's again. Default: 404. */
  readonly statusWhenClosed?: number;
  /** Does one runtime of several end alone? Default: true. */
  readonly closesOneByOne?: boolean;
}

/** A request of the Fetch standard has no version and no header twice; Hono chooses the route by the path that is meant. */
export const HONO_FETCH: HostLimits = {
  refusals: {
    ...{ "two Hosts": 101, "two Authorizations": 101, "HTTP/1.0": 101 },
    ...{ "a path below ours": 101, "a path in another spelling": 101 },
  },
  // The host negotiates, and knows of no adapter.
  compresses: false,
  ignoresOtherUpgrades: false,
  statusWhenClosed: 503,
};

export const BUN: HostLimits = {
  refusals: {
    ...{ "HTTP/1.0": 101, "a path below ours": 101, "an old version": 426, "bare line feeds": 505 },
  },
  // Bun puts fragments together by itself, up to the size of a frame.
  bears: ["65 fragments, unfinished", "131,070 fragments"],
  statusWhenClosed: 503,
};
