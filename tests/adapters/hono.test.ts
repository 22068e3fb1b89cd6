import { adapterContract } from "./contract.ts";
import { HONO_FETCH } from "./host-limits.ts";
import { hosts } from "./hosts.ts";

adapterContract(hosts.honoNode);
adapterContract(hosts.honoFetch, HONO_FETCH);
