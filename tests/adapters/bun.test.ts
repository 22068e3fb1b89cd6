import { test } from "vitest";
import { adapterContract } from "./contract.ts";
import { BUN } from "./host-limits.ts";
import { hosts } from "./hosts.ts";

if (hosts.bun === undefined) test.skip("there is no Bun for this machine");
else adapterContract(hosts.bun, BUN);
