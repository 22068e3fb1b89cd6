import { PassThrough, Readable, Writable } from "node:stream";
import { StdioTransport } from "@arcp/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { startCanary } from "./canary.ts";
import { AGENTS } from "./hostile-client.ts";
import { envelope } from "./malformed-frames.ts";

const MIB = 1024 * 1024;
const HELLO = envelope("session.hello", { auth: { scheme: "bearer", token: "mallory" } });
const submit = (input: unknown): string => envelope("job.submit", { agent: "echo", input }, { id: `msg_${made++}` });
let made = 0;

/** A peer that writes bytes to a runtime and reads lines from it. */
class Pipe {
  readonly input = new PassThrough();
  readonly transport: StdioTransport;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member
  readonly messages: any[] = [];
  #wake: (() => void)[] = [];

  constructor(harness: Harness) {
    let rest = "";
    const output = new PassThrough();
    output.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.messages.push(JSON.parse(line));
      for (const wake of this.#wake.splice(0)) wake();
    });
    this.transport = new StdioTransport({ input: this.input, output });
    void this.transport.closed.then(() => {
      for (const wake of this.#wake.splice(0)) wake();
    });
    void harness.server.accept(this.transport);
  }

  write(bytes: Uint8Array | string): void {
    this.input.write(bytes);
  }

  async hello(): Promise<void> {
    this.write(`${HELLO}\n`);
    await this.messageWhere(({ type }) => type === "session.welcome");
  }

  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member
  async messageWhere(matches: (message: any) => boolean): Promise<any> {
    for (;;) {
      const found = this.messages.find(matches);
      if (found !== undefined) return found;
      if (this.transport.isClosed) throw new Error("the connection ended without such a message");
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  result(input: unknown): Promise<unknown> {
    return this.messageWhere(({ type, payload }) => type === "job.result" && payload.result === input);
  }
}

test("64 MiB without a newline: a typed error and the end, after 1 MiB", async () => {
  covers("V11-12-04");
  await using harness = startHarness({ agents: AGENTS });
  const canary = await startCanary(harness);
  const pipe = new Pipe(harness);
  await pipe.hello();
  const chunk = Buffer.alloc(64 * 1024, "x");
  let written = 0;
  const before = process.memoryUsage().rss;
  while (written < 64 * MIB && !pipe.transport.isClosed) {
    if (!pipe.input.write(chunk)) await new Promise((resolve) => setImmediate(resolve));
    written += chunk.length;
  }
  expect((await pipe.transport.closed).code).toBe(1009);
  expect(written).toBeLessThan(3 * MIB);
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
  expect(pipe.messages.at(-1)).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
  await canary.completes();
});

test("a line that is too long ends the connection, with what follows it in the same chunk", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const canary = await startCanary(harness);
  const pipe = new Pipe(harness);
  await pipe.hello();
  pipe.write(`${" ".repeat(MIB + 1)}\n${submit("after")}\n`);
  expect((await pipe.transport.closed).code).toBe(1009);
  expect(pipe.messages.map(({ type }) => type)).toEqual(["session.welcome", "session.error"]);
  await canary.completes();
  for await (const job of harness.server.eventLog.jobs()) expect(job.principal).toBe("oscar");
});

test("a line of exactly 1 MiB is read", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const pipe = new Pipe(harness);
  await pipe.hello();
  pipe.write(`${submit("full").padEnd(MIB, " ")}\n`);
  await pipe.result("full");
});

test("the end of a line that never came is not a message", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const canary = await startCanary(harness);
  const pipe = new Pipe(harness);
  await pipe.hello();
  pipe.write(submit("unfinished"));
  pipe.input.end();
  await pipe.transport.closed;
  await canary.completes();
  for await (const job of harness.server.eventLog.jobs()) expect(job.principal).toBe("oscar");
});

test("lines end with a newline alone: carriage returns, U+2028 and blank lines do not split or add messages", async () => {
  covers("V11-4.2-01", "V11-4.2-02");
  await using harness = startHarness({ agents: AGENTS });
  const pipe = new Pipe(harness);
  await pipe.hello();
  pipe.write(`${submit("crlf")}\r\n\r\n\n  \n`);
  const exotic = "a\u2028b\u2029c\u0085d\u000be";
  pipe.write(`${submit(exotic)}\n`);
  pipe.write(`${submit("joined 1")}\n${submit("joined 2")}\n${submit("joined 3")}\n`);
  for (const input of ["crlf", exotic, "joined 1", "joined 2", "joined 3"]) await pipe.result(input);
  expect(pipe.messages.filter(({ type }) => type === "session.error")).toEqual([]);
});

test("a message may arrive byte by byte, also where a character is cut", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const pipe = new Pipe(harness);
  await pipe.hello();
  const text = "zwölf Boxkämpfer \u{1F94A} \u20AC";
  for (const byte of Buffer.from(`${submit(text)}\n`)) pipe.write(Buffer.of(byte));
  await pipe.result(text);
});

test.each([
  ["an overlong dot", [0xc0, 0xae]],
  ["an encoded surrogate", [0xed, 0xa0, 0x80]],
  ["half a character", [0xe2, 0x82]],
  ["a lone continuation", [0x80]],
  ["beyond U+10FFFF", [0xf5, 0x80, 0x80, 0x80]],
])("bytes that are not UTF-8, %s, are refused, and the session goes on", async (_name, bytes) => {
  covers("V11-5.2-02");
  await using harness = startHarness({ agents: AGENTS });
  const pipe = new Pipe(harness);
  await pipe.hello();
  const [head, tail] = envelope("session.ping", { nonce: "|" }).split("|") as [string, string];
  pipe.write(Buffer.concat([Buffer.from(head), Buffer.from(bytes), Buffer.from(`${tail}\n`)]));
  const error = await pipe.messageWhere(({ type }) => type === "session.error");
  expect(error.payload.code).toBe("INVALID_REQUEST");
  pipe.write(`${submit("still there")}\n`);
  await pipe.result("still there");
});

test("a broken input, and an output that nobody reads any more, end the connection", async () => {
  await using harness = startHarness({ agents: AGENTS });
  const canary = await startCanary(harness);
  const pipe = new Pipe(harness);
  await pipe.hello();
  pipe.input.destroy(new Error("EIO"));
  expect((await pipe.transport.closed).code).toBe(1006);
  const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
  const transport = new StdioTransport({ input: Readable.from([`${HELLO}\n`], { objectMode: false }), output: broken });
  await harness.server.accept(transport);
  await transport.closed;
  await canary.completes();
});

test("a peer that is refused and does not read is let go all the same", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  await using harness = startHarness({ agents: AGENTS });
  const input = new PassThrough();
  const stuck = new Writable({ highWaterMark: 1, write: () => {} });
  const transport = new StdioTransport({ input, output: stuck });
  await harness.server.accept(transport);
  input.write("{}\n");
  while (!stuck.writableEnded) await new Promise((resolve) => setImmediate(resolve));
  expect(transport.isClosed).toBe(false);
  vi.advanceTimersByTime(5_000);
  expect((await transport.closed).code).toBe(1006);
});
