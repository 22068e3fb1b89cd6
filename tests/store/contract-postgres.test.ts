import { describe } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { TestCluster } from "../support/postgres-nodes.ts";
import { storeContract } from "./contract.ts";

describe.skipIf(reasonForNoPostgres() !== undefined)("", () => {
  storeContract("PostgreSQL", async () => {
    const cluster = await TestCluster.make();
    return {
      open: async () => (await cluster.node()).store,
      reopen: async () => {
        await cluster.kill();
        return (await cluster.node()).store;
      },
    };
  });
});
