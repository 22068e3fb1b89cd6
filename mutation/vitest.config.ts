/** The tests of the lease algebra, for many runs in a row: each tries less, and loads nothing but what is mutated. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import workspace from "../vitest.config.ts";

process.env["LEASE_SCALE"] = "0.1";

const SLOW = /(glob|properties)\.test\.ts$/;

/** The first failure ends a run, so the tables come before what tries much. */
class QuickestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => Number(SLOW.test(moduleId));
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  resolve: {
    alias: { ...workspace.resolve?.alias, "@arcp/runtime": fileURLToPath(new URL("lease.ts", import.meta.url)) },
  },
  test: {
    ...workspace.test,
    include: ["tests/lease/*.test.ts"],
    typecheck: { enabled: false },
    isolate: false,
    fileParallelism: false,
    sequence: { sequencer: QuickestFirst },
    reporters: [],
  },
});
