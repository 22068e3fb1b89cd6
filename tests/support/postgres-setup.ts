/** Where the tests of one run put their PostgreSQL, if they need one; stops it when they are through. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { installation, PostgresServer } from "./postgres-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The directory of the server that the first test starts that needs one. */
    postgresDirectory: string;
    /** The process that ends with the run. */
    postgresRun: number;
  }
}

export default function setup(project: TestProject): () => Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "arcp-pg-"));
  // The server may run as another user.
  chmodSync(directory, 0o755);
  project.provide("postgresDirectory", directory);
  project.provide("postgresRun", process.pid);
  return async () => {
    if (installation() === undefined) rmSync(directory, { recursive: true, force: true });
    else
      await new PostgresServer(join(directory, "server"))
        .remove()
        .finally(() => rmSync(directory, { recursive: true, force: true }));
  };
}
