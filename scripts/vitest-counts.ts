import type { Reporter, TestModule } from "vitest/node";
import { reportCounts } from "./counts.ts";

/** Counts tests for `.ci/run`, and names those that had to be tried again; a file that cannot be loaded and an unhandled error are failures of their own. */
export default class VitestCounts implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const withState = (state: "passed" | "failed" | "skipped") =>
      tests.filter((test) => test.result().state === state).length;
    const brokenSuites = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const loadErrors = brokenSuites.filter((suite) => suite.errors().length > 0).length;
    for (const test of tests.filter((test) => test.diagnostic()?.flaky)) {
      console.log(`passed the second time only: ${test.module.relativeModuleId} > ${test.fullName}`);
    }
    reportCounts("tests", {
      passed: withState("passed"),
      failed: withState("failed") + loadErrors + unhandledErrors.length,
      skipped: withState("skipped"),
    });
  }
}
