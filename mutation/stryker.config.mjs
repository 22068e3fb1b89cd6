/** @type {import("@stryker-mutator/core").PartialStrykerOptions} */
export default {
  mutate: ["packages/runtime/src/engine/lease/*.ts"],
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "mutation/vitest.config.ts", related: false },
  // The name of no file: Stryker would rewrite project files with an interface that the compiler does not have.
  tsconfigFile: "none",
  coverageAnalysis: "perTest",
  concurrency: 1,
  timeoutMS: 5_000,
  incremental: true,
  incrementalFile: "reports/mutation/incremental.json",
  tempDirName: "reports/mutation/sandbox",
  ignorePatterns: ["bench", "examples", "fuzz", "interop", "packages/*/dist"],
  reporters: ["html"],
  htmlReporter: { fileName: "reports/mutation/index.html" },
  logLevel: "warn",
  warnings: { slow: false },
  allowConsoleColors: false,
};
