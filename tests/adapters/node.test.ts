import { adapterContract } from "./contract.ts";
import { hosts } from "./hosts.ts";

adapterContract(hosts.node);
