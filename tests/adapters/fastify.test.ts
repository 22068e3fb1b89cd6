import { adapterContract } from "./contract.ts";
import { hosts } from "./hosts.ts";

adapterContract(hosts.fastify);
adapterContract(hosts.fastifyPlugin, { closesOneByOne: false });
