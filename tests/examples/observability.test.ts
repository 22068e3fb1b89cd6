import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ARCPServer, MetricsRegistry } from "@arcp/runtime";
import { expect, test } from "vitest";
import { parsePrometheus } from "../otel/prometheus.ts";
import { covers } from "../support/covers.ts";

const example = (file: string): string =>
  fileURLToPath(new URL(`../../examples/observability/${file}`, import.meta.url));

test("one trace from the client to a tool in another process, drawn from what the collector got", async () => {
  covers("V10-17.1-02", "V10-14-03", "V11-11-04");
  const { stdout } = await promisify(execFile)(process.execPath, [example("run.ts")]);
  expect(stdout).toContain(
    [
      "read the news (client)",
      "arcp.send (client)",
      "arcp.recv (newsroom)",
      "arcp.job (newsroom)",
      "arcp.delegate courier (newsroom)",
      "arcp.job (newsroom)",
      "agent.handoff researcher (newsroom)",
      "arcp.recv (archive)",
      "arcp.job (archive)",
      "execute_tool search (archive)",
    ].join(" → "),
  );
});

test("the dashboard asks for metrics that there are", async () => {
  const metrics = new MetricsRegistry();
  await using _server = new ARCPServer({
    ...{ metrics, runtime: { name: "r", version: "1" }, capabilities: { encodings: ["json"], agents: [] } },
  });
  const known = parsePrometheus(metrics.text());
  const { panels } = JSON.parse(readFileSync(example("grafana/dashboard.json"), "utf8")) as {
    readonly panels: readonly { readonly id: number; readonly targets?: readonly { readonly expr: string }[] }[];
  };
  const asked = panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => expr.match(/arcp_\w+/g) ?? []));
  expect(asked.length).toBeGreaterThan(20);
  for (const name of asked) expect(known.has(name.replace(/_bucket$/, "")), name).toBe(true);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
});
