import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { COUNTER, ECHO, PATIENT } from "./agents.ts";
import { FragileLine, type JsonLine, type RunningCommand, Workspace } from "./arcp.ts";

const AGENTS = { "echo.ts": ECHO, "patient.ts": PATIENT, "counter.ts": COUNTER };
const OPTIONS = ["--agent", "echo=./echo.ts", "--agent", "patient=./patient.ts", "--agent", "counter=./counter.ts"];

const numbersOf = (lines: readonly JsonLine[]): unknown[] =>
  lines.filter(({ type }) => type === "job.event").map(({ event_seq }) => event_seq);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe("a server that is killed and started again", () => {
  it("still lists and replays the jobs that ended, and ends the others", async () => {
    await using workspace = await Workspace.create(AGENTS);
    const before = await workspace.serve(OPTIONS);
    const env = { ARCP_URL: before.url };
    const echoed = await workspace.run(["submit", "echo", "--input", "[1]"], { env });
    const abandoned = (await workspace.run(["submit", "patient", "--detach"], { env })).stdout.trim();
    await before.command.kill("SIGKILL");

    const offline = await workspace.run(["replay", "--json"]);
    expect(offline.lines.filter(({ type }) => type === "job").map(({ status }) => status)).toEqual([
      "success",
      "running",
    ]);

    const after = await workspace.serve([...OPTIONS, "--port", String(before.port)]);
    expect(after.url).toBe(before.url);
    const jobs = await workspace.run(["jobs"], { env });
    expect(jobs.lines.map(({ status }) => status)).toEqual(["success", "error"]);
    const jobId = String(echoed.lines[0]?.["job_id"]);
    const tail = await workspace.run(["tail", jobId], { env });
    expect(tail.code).toBe(0);
    expect(tail.lines.slice(1).map(({ type, kind, ts, body, result }) => ({ type, kind, ts, body, result }))).toEqual(
      echoed.lines.slice(1).map(({ type, kind, ts, body, result }) => ({ type, kind, ts, body, result })),
    );
    const lost = await workspace.run(["tail", abandoned], { env });
    expect(lost.code).toBe(2);
    expect(lost.lines.at(-1)).toMatchObject({ type: "job.error", code: "INTERNAL_ERROR", retryable: true });
  });

  it("is found again by a tail, which then learns how the job ended", async () => {
    await using workspace = await Workspace.create(AGENTS);
    const before = await workspace.serve(OPTIONS);
    const env = { ARCP_URL: before.url };
    const jobId = (await workspace.run(["submit", "patient", "--detach"], { env })).stdout.trim();
    const tail = workspace.start(["tail", jobId], env);
    await tail.sees(({ kind }) => kind === "log");
    await before.command.kill("SIGKILL");
    await tail.sees(({ state }) => state === "reconnecting");
    await workspace.serve([...OPTIONS, "--port", String(before.port)]);
    await tail.sees(({ state }) => state === "resumed");
    const { code, lines } = await tail.end();
    expect(code).toBe(2);
    expect(lines.at(-1)).toMatchObject({ type: "job.error", final_status: "error", retryable: true });
    expect(lines.filter(({ kind }) => kind === "log")).toHaveLength(1);
  });

  it("that kept nothing is subscribed to anew, and says that the job is gone", async () => {
    await using workspace = await Workspace.create(AGENTS);
    const before = await workspace.serve([...OPTIONS, "--db", ":memory:"]);
    const env = { ARCP_URL: before.url };
    const watching = workspace.start(["submit", "patient"], env);
    await watching.sees(({ kind }) => kind === "log");
    await before.command.kill("SIGKILL");
    await workspace.serve([...OPTIONS, "--db", ":memory:", "--port", String(before.port)]);
    const { code, stderr } = await watching.end();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arcp: JOB_NOT_FOUND: /);
  });
});

describe("a connection that is cut", () => {
  const cut = async (start: (workspace: Workspace, url: string) => Promise<RunningCommand>, count: number) => {
    await using workspace = await Workspace.create(AGENTS);
    const runtime = await workspace.serve(OPTIONS);
    await using line = await FragileLine.to(runtime.port);
    const watching = await start(workspace, `ws://127.0.0.1:${line.port}/arcp`);
    for (const at of [0.2, 0.4]) {
      await watching.sees(({ event_seq }) => Number(event_seq) >= count * at);
      line.cut();
      const losses = (lines: readonly JsonLine[]) => lines.filter(({ state }) => state === "resumed").length;
      const before = losses(watching.lines);
      await watching.sees(() => losses(watching.lines) > before);
    }
    return await watching.end();
  };

  it("is resumed by submit, which misses nothing", async () => {
    covers("V11-7.7-02");
    const { code, lines } = await cut(async (workspace, url) => {
      return workspace.start(["submit", "counter", "--input", '{"to":600}', "--url", url]);
    }, 600);
    expect(code).toBe(0);
    expect(numbersOf(lines)).toEqual(upTo(600));
    expect(lines.at(-1)).toMatchObject({ type: "job.result", result: 600 });
    expect(lines.filter(({ state }) => state === "replaced")).toEqual([]);
  });

  it("is resumed by tail, which misses nothing", async () => {
    const { code, lines } = await cut(async (workspace, url) => {
      const submitted = await workspace.run(["submit", "counter", "--detach", "--input", '{"to":600}', "--url", url]);
      return workspace.start(["tail", submitted.stdout.trim(), "--url", url]);
    }, 600);
    expect(code).toBe(0);
    expect(numbersOf(lines)).toEqual(upTo(600));
  });
});
