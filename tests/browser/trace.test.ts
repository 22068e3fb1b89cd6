import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { reasonForNoChromium } from "../support/pages.ts";
import { postgresUrl, reasonForNoPostgres } from "../support/postgres.ts";

const isCluster = reasonForNoPostgres() === undefined;
const example = fileURLToPath(new URL("../../examples/observability/browser.ts", import.meta.url));

test.skipIf(reasonForNoChromium() !== undefined)(
  "one trace from a page in Chromium to a tool in another process, drawn from what the collector got",
  { timeout: 120_000 },
  async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [example], {
      env: { ...process.env, ...(isCluster && { ARCP_DB: await postgresUrl() }) },
    });
    expect(stdout).toContain("The page shows: A story about lighthouses.");
    // Each line is below the one before it, indented further, and told of by the process at its end.
    const delegation = isCluster
      ? ["arcp.delegate researcher newsroom"]
      : ["arcp.delegate courier newsroom", "arcp.job courier@0.0.0 newsroom", "agent.handoff researcher newsroom"];
    const tree = [
      ...["read the news browser", "arcp.send job.submit browser", "arcp.job editor@0.0.0 newsroom"],
      ...delegation,
      ...["arcp.job researcher@0.0.0 archive", "execute_tool search archive"],
    ];
    const drawn = stdout.split("\n").flatMap((line) => {
      const { indent, name, service } =
        /^(?<indent>[ │├└─]*)(?<name>\S.*?) {2,}(?<service>\w+) +[\d.]+ ms$/.exec(line)?.groups ?? {};
      return name === undefined ? [] : [{ depth: indent?.length ?? 0, text: `${name} ${service}` }];
    });
    const way = tree.map((text) => drawn.find((span) => span.text === text));
    expect(way.map((span) => span?.text)).toEqual(tree);
    const depths = way.map((span) => span?.depth ?? -1);
    expect(depths).toEqual([...new Set(depths)].toSorted((a, b) => a - b));
    expect(drawn.map(({ text }) => text)).toContain("arcp.session newsroom");
  },
);
