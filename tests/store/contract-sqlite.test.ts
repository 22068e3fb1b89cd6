import { sqliteStore } from "@arcp/runtime";
import { storeContract } from "./contract.ts";
import { freshPath } from "./files.ts";

storeContract("SQLite in memory", async () => ({
  open: async () => sqliteStore(),
  // Nothing outlives its process: what is left is what the same store has.
  reopen: async (store) => store,
}));

storeContract("a file of SQLite", async () => {
  const path = freshPath();
  const open = async () => sqliteStore({ path });
  return {
    open,
    reopen: async (store) => {
      await store.close();
      return open();
    },
  };
});
