import { adapterContract } from "./contract.ts";
import { hosts } from "./hosts.ts";

adapterContract(hosts.express5);
adapterContract(hosts.express4);
