import { PassThrough } from "node:stream";
import { StdioTransport } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { ChildRuntime } from "../support/child-runtime.ts";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";

const line = (id: string, type: string, payload: object): string =>
  `${JSON.stringify({ arcp: "1.1", id, type, payload })}\n`;

const HELLO = line("hello", "session.hello", {
  client: { name: "parent", version: "1.0.0" },
  auth: { scheme: "bearer", token: "alice" },
  capabilities: { encodings: ["json"], features: [] },
});
const ping = (id: string): string => line(id, "session.ping", { nonce: id, sent_at: "2026-01-01T00:00:00.000Z" });

async function welcomedChild(): Promise<ChildRuntime> {
  const child = new ChildRuntime();
  await child.write(HELLO);
  await child.sees(({ type }) => type === "session.welcome");
  return child;
}

describe("a runtime in a child process", () => {
  test("welcomes a client over its standard streams, and ends with its input", async () => {
    covers("V11-4-02");
    await using child = new ChildRuntime();
    await child.write(HELLO);
    const welcome = await child.sees(({ type }) => type === "session.welcome");
    expect(welcome.session_id).toMatch(/^sess_/);
    await child.end();
    expect(child.hasExited).toBe(true);
  });

  test("reads one envelope per line, however the bytes arrive", async () => {
    covers("V11-4.2-01");
    await using child = await welcomedChild();
    await child.write(ping("one") + ping("two"));
    await child.sees(({ payload }) => payload.ping_nonce === "two");
    const third = ping("three");
    for (const part of [third.slice(0, 10), third.slice(10, 40), third.slice(40)]) {
      await child.write(part);
      await settle();
    }
    await child.sees(({ payload }) => payload.ping_nonce === "three");
    const answers = child.lines.map((text) => JSON.parse(text)).filter(({ type }) => type !== "session.welcome");
    expect(answers.map(({ type, payload }) => [type, payload.ping_nonce])).toEqual([
      ["session.pong", "one"],
      ["session.pong", "two"],
      ["session.pong", "three"],
    ]);
  });

  test("accepts lines that end in CR LF, and ignores blank ones", async () => {
    await using child = await welcomedChild();
    await child.write(`\n\r\n${ping("one").replace("\n", "\r\n")}`);
    const pong = await child.sees(({ type }) => type !== "session.welcome");
    expect(pong.payload.ping_nonce).toBe("one");
  });

  test("keeps line ends inside text apart from line ends between envelopes", async () => {
    covers("V11-4.2-02");
    await using child = await welcomedChild();
    const text = "first\nsecond\r\nthird\rfourth\u2028fifth";
    await child.write(line("submit", "job.submit", { agent: "echo", input: text }));
    const event = await child.sees(({ type }) => type === "job.event");
    const result = await child.sees(({ type }) => type === "job.result");
    expect(event.payload.body.message).toBe(text);
    expect(result.payload.result).toBe(text);
    // Four lines: welcome, acceptance, event, result.
    expect(child.lines.map((one) => JSON.parse(one).type)).toEqual([
      "session.welcome",
      "job.accepted",
      "job.event",
      "job.result",
    ]);
    expect(child.lines.join("")).not.toContain("\r");
  });

  test("writes nothing but envelopes to its standard output, and its diagnostics to the other", async () => {
    covers("V11-4.2-03");
    await using child = await welcomedChild();
    await child.write(line("submit", "job.submit", { agent: "echo", input: 1 }));
    await child.sees(({ type }) => type === "job.result");
    await child.end();
    for (const text of child.lines) expect(JSON.parse(text)).toMatchObject({ arcp: "1.1", type: /./, payload: {} });
    expect(child.stderr).toContain("a diagnostic");
    expect(child.stderr).toContain("printed by the agent");
  });

  test("refuses a line that is not UTF-8 and goes on", async () => {
    covers("V11-5.2-02");
    await using child = await welcomedChild();
    const [before = "", after = ""] = line("broken", "session.ping", { nonce: "@" }).split("@");
    await child.write(Buffer.concat([Buffer.from(before), Buffer.from([0xff, 0xfe]), Buffer.from(after)]));
    const refusal = await child.sees(({ type }) => type === "session.error");
    expect(refusal.payload.code).toBe("INVALID_REQUEST");
    await child.write(ping("after"));
    await child.sees(({ payload }) => payload.ping_nonce === "after");
  });
});

describe("a stdio transport", () => {
  test("puts frames together from single bytes, in the middle of a character too", async () => {
    const input = new PassThrough();
    const transport = new StdioTransport({ input, output: new PassThrough() });
    const frames: string[] = [];
    transport.onFrame((frame) => frames.push(frame));
    const sent = ['{"a":"é"}', '{"b":"😀"}', '{"c":"\\n"}'];
    for (const byte of Buffer.from(`${sent.join("\n")}\n`)) {
      input.write(Buffer.from([byte]));
      await settle(1);
    }
    expect(frames).toEqual(sent);
    transport.abort();
  });
});
