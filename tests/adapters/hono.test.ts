import { adapterContract } from "./contract.ts";
import { hosts } from "./hosts.ts";

adapterContract(hosts.honoNode);

/** A request of the Fetch standard has no version and no header twice; Hono chooses the route by the path that is meant. */
adapterContract(hosts.honoFetch, {
  refusals: {
    ...{ "two Hosts": 101, "two Authorizations": 101, "HTTP/1.0": 101 },
    ...{ "a path below ours": 101, "a path in another spelling": 101 },
  },
  ignoresOtherUpgrades: false,
  statusWhenClosed: 503,
});
