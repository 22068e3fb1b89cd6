import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { OtlpReceiver } from "../../examples/observability/receiver.ts";
import { Workspace } from "../cli/arcp.ts";
import { covers } from "../support/covers.ts";
import { parsePrometheus, valueIn } from "./prometheus.ts";

const SLOW = `
export default async (_input, ctx) => {
  await ctx.log("info", "begun");
  ctx.logger.info({ authorization: "Bearer canary-log-secret" }, "working");
  await new Promise((resolve) => setTimeout(resolve, 1500));
};
`;

const TALKS = `
export default (input, ctx) => {
  const err = new TypeError("broken: Bearer canary-in-an-error");
  ctx.logger.warn({ authorization: "canary-log-secret", count: 7, err }, "it is said");
  return input;
};
`;

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The status, the type and the text of an answer. */
async function ask(url: string, { method = "GET", headers = {} }: Asked = {}) {
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) =>
    request(url, { method, headers, agent: false }, resolve).on("error", reject).end(),
  );
  return { status: response.statusCode, type: response.headers["content-type"], body: await text(response) };
}

describe("arcp serve --metrics", () => {
  test("tells metrics and health on a listener of its own, and is not ready while it stops", async () => {
    await using workspace = await Workspace.create({ "slow.ts": SLOW });
    const runtime = await workspace.serve(["--agent", "slow=./slow.ts", "--metrics", "0", "--drain", "10"], {
      ARCP_TOKEN: "canary-token=canary-principal",
    });
    const ready = await runtime.command.sees(({ type }) => type === "ready");
    const url = String(ready["healthUrl"]);
    expect(new URL(url).hostname).toBe("127.0.0.1");
    expect(await ask(`${url}/healthz`)).toMatchObject({ status: 200, body: "ok\n" });
    expect(await ask(`${url}/readyz`)).toMatchObject({ status: 200, body: "ok\n" });

    const env = { ARCP_URL: runtime.url, ARCP_TOKEN: "canary-token" };
    const job = workspace.start(["submit", "slow", "--json"], env);
    await job.sees(({ type, body }) => type === "event" || body !== undefined);
    const metrics = await ask(`${url}/metrics?x=1`);
    expect(metrics).toMatchObject({ status: 200, type: "text/plain; version=0.0.4; charset=utf-8" });
    expect(parsePrometheus(metrics.body).size).toBeGreaterThan(15);
    expect(valueIn(metrics.body, "arcp_jobs", { state: "running" })).toBe(1);
    expect(metrics.body).not.toContain("canary");

    expect((await ask(`${url}/metrics`, { headers: { host: "evil.example" } })).status).toBe(421);
    expect((await ask(`${url}/metrics`, { method: "POST" })).status).toBe(405);
    expect((await ask(`${url}/metrics`, { method: "HEAD" })).body).toBe("");
    expect((await ask(`${url}/secrets`)).status).toBe(404);

    runtime.command.process.kill("SIGTERM");
    let answer = await ask(`${url}/readyz`);
    while (answer.status === 200) answer = await ask(`${url}/readyz`);
    expect(answer).toMatchObject({ status: 503, body: "draining\n" });
    expect((await ask(`${url}/healthz`)).status).toBe(200);
    const ended = await runtime.command.end();
    expect(ended.code).toBe(0);
    expect(ended.stderr).not.toContain("canary-log-secret");
  });

  test("tells metrics beyond this machine to who has the token alone", async () => {
    await using workspace = await Workspace.create();
    const open = await workspace.serve(["--metrics", "0.0.0.0:0"]);
    const { port } = new URL(String((await open.command.sees(({ type }) => type === "ready"))["healthUrl"]));
    expect((await ask(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    expect((await ask(`http://127.0.0.1:${port}/metrics`)).status).toBe(403);

    const token = "a-token-for-prometheus";
    const closed = await workspace.serve(["--metrics", "0.0.0.0:0", "--db", "2.db"], { ARCP_METRICS_TOKEN: token });
    const other = new URL(String((await closed.command.sees(({ type }) => type === "ready"))["healthUrl"]));
    const url = `http://127.0.0.1:${other.port}/metrics`;
    expect((await ask(url)).status).toBe(401);
    expect((await ask(url, { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    expect((await ask(url, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  test("refuses what makes no sense", async () => {
    await using workspace = await Workspace.create();
    const short = await workspace.run(["serve", "--port", "0", "--metrics", "0"], {
      env: { ARCP_METRICS_TOKEN: "short" },
    });
    expect(short).toMatchObject({ code: 64 });
    expect(short.stderr).toContain("at least 16 characters");
    expect(await workspace.run(["serve", "--port", "0", "--metrics", "x:y"])).toMatchObject({ code: 64 });
  });
});

describe("arcp serve with an OTLP endpoint", () => {
  test("exports spans, metrics and logs, and no secret", async () => {
    covers("V11-14-06", "V11-11-05");
    await using collector = await OtlpReceiver.start();
    await using workspace = await Workspace.create();
    await writeFile(workspace.path("arcp.config.json"), JSON.stringify({ otlp: { endpoint: collector.url } }));
    await writeFile(workspace.path("echo.ts"), TALKS);
    const runtime = await workspace.serve(["--agent", "echo=./echo.ts"], {
      ...{ ARCP_TOKEN: "canary-token=canary-principal", OTEL_SERVICE_NAME: "the-runtime" },
    });
    const submitted = await workspace.run(["submit", "echo", "--input", '{"secret":"canary-input"}'], {
      env: { ARCP_URL: runtime.url, ARCP_TOKEN: "canary-token" },
    });
    expect(submitted.code).toBe(0);
    runtime.command.process.kill("SIGTERM");
    expect((await runtime.command.end()).code).toBe(0);
    const job = collector.spans.find(({ name }) => name === "arcp.job");
    // Whatever the client came by: frames in both directions.
    expect(collector.spans.map(({ name }) => name)).toEqual(expect.arrayContaining(["arcp.recv", "arcp.send"]));
    expect(job).toMatchObject({ service: "the-runtime", isError: false });
    expect(job?.attributes.get("arcp.agent")).toBe("echo@0.0.0");
    expect([...collector.metricNames]).toEqual(
      expect.arrayContaining(["arcp.jobs.ended", "arcp.store.commit.duration"]),
    );
    const said = collector.logs.find(({ body }) => body === "it is said");
    expect(said).toMatchObject({
      service: "the-runtime",
      severity: "WARN",
      traceId: job?.traceId,
      spanId: job?.spanId,
    });
    expect(Object.fromEntries(said?.attributes ?? [])).toMatchObject({
      ...{ "arcp.job_id": job?.attributes.get("arcp.job_id"), authorization: "[redacted]", count: "7" },
      ...{ "exception.type": "TypeError", "exception.message": "broken: Bearer [redacted]" },
    });
    expect(collector.logs.map(({ body }) => body)).toContain("the head of the audit");
    expect(collector.bodies.join("")).not.toContain("canary");
  });

  test("does its work when nobody takes what it exports", async () => {
    await using workspace = await Workspace.create();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", ARCP_TOKEN: "t=alice" };
    const runtime = await workspace.serve([], env);
    const submitted = await workspace.run(["submit", "echo"], { env: { ARCP_URL: runtime.url, ARCP_TOKEN: "t" } });
    expect(submitted.code).toBe(0);
    runtime.command.process.kill("SIGTERM");
    expect((await runtime.command.end()).code).toBe(0);
  });
});
