import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { installation } from "../support/postgres-server.ts";

const demo = fileURLToPath(new URL("../../examples/demo.ts", import.meta.url));
const run = (env: NodeJS.ProcessEnv) => promisify(execFile)(process.execPath, [demo, "cluster"], { env });

describe.skipIf(reasonForNoPostgres() !== undefined)("three nodes", () => {
  it("lose a client's line, two of themselves and their database, and the client sees one job", {
    timeout: 90_000,
  }, async () => {
    const { ARCP_DB, ARCP_TEST_POSTGRES: named, ...env } = process.env;
    const hasOwn = installation() !== undefined;
    const { stdout, stderr } = await run(hasOwn ? env : { ...env, ARCP_DB: named });
    expect(stderr).toBe("");
    expect(stdout.match(/✗ kill -9 \d+: node [abc], /g)).toHaveLength(2);
    expect(stdout.match(/→ node [abc] takes the client's session\n/g)?.length).toBeGreaterThanOrEqual(3);
    expect(stdout).toMatch(/↻ node [abc] has claimed job_\w+, and goes on with it\n/);
    if (hasOwn) expect(stdout).toContain("✓ PostgreSQL is back\n");
    expect(stdout).toMatch(
      /\n {2}events {4}1 to \d+, each once and in order, in one loop\n {2}the job {3}has ended once\n/,
    );
    expect(stdout).toMatch(/ {2}letters {3}20 sent, each once; asked for twice, with the same key: (?:\d+, )*10\b/);
  });
});

it.skipIf(process.platform === "win32" || installation()?.startsWith("/usr/lib/postgresql"))(
  "without PostgreSQL it says why it cannot run, and only in CI that is a failure",
  async () => {
    const { ARCP_DB, CI, ...env } = process.env;
    const { stderr } = await run(env);
    expect(stderr).toBe("demo: this needs PostgreSQL: PostgreSQL is not installed here, and ARCP_DB names no server\n");
    await expect(run({ ...env, CI: "true" })).rejects.toMatchObject({ code: 1 });
  },
);
