import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Tests run the sources: one copy of every class, no stale build. The commands and examples run what is built. */
const packageSources = Object.fromEntries(
  [
    "core/v1.0",
    "core/webhooks",
    "core",
    "client",
    "runtime/blobs",
    "runtime/lease",
    "runtime",
    "postgres",
    "s3",
    "gateway",
    "node",
    "express",
    "fastify",
    "hono/fetch",
    "hono",
    "bun",
    "middleware-otel",
    "dashboard",
    "conformance/fixture",
    "conformance",
    "sdk",
  ].map((entrance) => {
    const [name, ...path] = entrance.split("/");
    const source = ["packages", name, "src", ...path, "index.ts"].join("/");
    return [`@arcp/${entrance}`, fileURLToPath(new URL(source, import.meta.url))];
  }),
);

export default defineConfig({
  resolve: { alias: packageSources },
  test: {
    include: ["tests/**/*.test.ts"],
    globalSetup: ["tests/support/postgres-setup.ts"],
    // Other type errors are the `types` check; here only the expectations of the type tests count.
    typecheck: {
      enabled: true,
      include: ["tests/**/*.test-d.ts"],
      tsconfig: "tests/tsconfig.json",
      ignoreSourceErrors: true,
    },
    pool: "forks",
    // The files of a worker share its modules: loading them for each is a fifth of the time. What a test sets for all of its
    // process (a variable of the environment, a global) it therefore puts back.
    isolate: false,
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 10_000,
    // A machine of a CI may be slow for a moment. What passes the second time only is named, and is to be mended.
    retry: process.env["CI"] ? 1 : 0,
    globals: false,
    restoreMocks: true,
    reporters: process.env["COUNTS_DIR"] ? ["default", "./scripts/vitest-counts.ts"] : ["default"],
  },
});
