import { StdioTransport, TransportError } from "@arcp/core";
import { describe, expect, onTestFinished, test } from "vitest";

/** Programs of a line, for the Node that runs this. */
const start = (program: string, options: Parameters<typeof StdioTransport.spawn>[2] = {}) =>
  StdioTransport.spawn(process.execPath, ["-e", program], options);

const ECHO = "process.stdin.pipe(process.stdout)";

describe("a process that was started for its standard streams", () => {
  test("carries lines both ways, and ends with its input", async () => {
    const transport = await start(ECHO);
    expect(transport.peer).toEqual({ kind: "stdio", isConfidential: true });
    const long = JSON.stringify("é\u2028".repeat(600_000));
    const received: string[] = [];
    const both = new Promise<void>((resolve) =>
      transport.onFrame((frame) => {
        received.push(frame);
        if (received.length === 2) resolve();
      }),
    );
    transport.send("{}");
    transport.send(long);
    await both;
    expect(received).toEqual(["{}", long]);
    transport.close(1000, "enough");
    expect(await transport.closed).toEqual({ code: 1000, reason: "enough" });
    expect(await transport.exited).toEqual({ code: 0, signal: null });
  });

  test("tells how it has ended, and what it said on the other stream, line by line", async () => {
    const lines: string[] = [];
    const transport = await start("console.error('one\\ntwo'); process.stderr.write('three'); process.exitCode = 3", {
      onStderr: (line) => lines.push(line),
    });
    expect(await transport.closed).toEqual({ code: 1006, reason: "the process ended with exit code 3" });
    await expect.poll(() => lines).toEqual(["one", "two", "three"]);
    const quiet = await start("");
    expect(await quiet.closed).toEqual({ code: 1000, reason: "the process ended with exit code 0" });
    quiet.send("into nothing");
    quiet.close();
    quiet.abort();
  });

  test("is over when it has ended, though somebody whom it started keeps its output", async () => {
    const heir =
      "require('child_process').spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], {stdio: ['ignore', 1, 1]})";
    const transport = await start(`const heir = ${heir}; heir.unref(); console.log(heir.pid)`, { exitTimeoutMs: 20 });
    const pid = await new Promise<number>((resolve) => transport.onFrame((frame) => resolve(Number(frame))));
    onTestFinished(() => void process.kill(pid));
    expect(await transport.closed).toEqual({ code: 1000, reason: "the process ended with exit code 0" });
  });

  test("is killed if it does not end by itself", async () => {
    // It is up before anything is asked of it.
    const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')";
    const transport = await start(stubborn, { exitTimeoutMs: 20 });
    await new Promise<void>((resolve) => transport.onFrame(() => resolve()));
    transport.close();
    expect((await transport.closed).code).toBe(1000);
    expect(await transport.exited).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("that closes its output is asked to go", async () => {
    const transport = await start("process.stdout.end(); setInterval(() => {}, 1000)", { exitTimeoutMs: 20 });
    const { code, reason } = await transport.closed;
    expect([code, reason]).toEqual([1006, "the process was ended by SIGTERM"]);
  });

  test("is killed at once when the connection is aborted", async () => {
    const transport = await start("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)");
    transport.abort("enough");
    expect(await transport.exited).toEqual({ code: null, signal: "SIGKILL" });
    expect(await transport.closed).toEqual({ code: 1006, reason: "enough" });
  });

  test("that is not there, or no longer wanted, is an error", async () => {
    await expect(StdioTransport.spawn("/no/such/program")).rejects.toThrow(TransportError);
    const reason = new Error("no longer wanted");
    await expect(start(ECHO, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const later = new AbortController();
    const started = start(ECHO, { signal: later.signal });
    later.abort(reason);
    await expect(started).rejects.toBe(reason);
  });
});
