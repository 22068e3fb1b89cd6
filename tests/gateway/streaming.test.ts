/** Streams: passed on byte by byte, counted as they pass, and never free. */
import type { ServerResponse } from "node:http";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EventFrames } from "../../packages/gateway/src/event-stream.ts";
import { covers } from "../support/covers.ts";
import { anthropicEvents, eventsFor, stream } from "./fake-upstream.ts";
import { Fixture, HELLO, rejection } from "./fixture.ts";

const LEASE = { "model.use": ["gpt-small", "claude-small"], "cost.budget": ["USD:1.00"] };
const CHAT = { model: "gpt-small", messages: HELLO, stream: true, max_tokens: 100 };
const USAGE = { input: 10, output: 20 };

test("a stream whose client asks for no usage is counted, and holds none", async () => {
  covers("V11-14-16");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(fixture.upstream.last.body["stream_options"]).toEqual({ include_usage: true });
  // Without the usage that only the gateway asked for, it is what the upstream says to whoever does not ask.
  expect(await response.text()).toBe(eventsFor("/v1/chat/completions", CHAT, USAGE).join(""));
  expect(job.spent()).toBe(0.00005);
});

test("a stream whose client asks for its usage is passed on byte for byte", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const body = { ...CHAT, stream_options: { include_usage: true, include_obfuscation: false } };
  const response = await fixture.post("/v1/chat/completions", credential.value, body);
  expect(await response.text()).toBe(eventsFor("/v1/chat/completions", body, USAGE).join(""));
  expect(fixture.upstream.last.body["stream_options"]).toEqual(body.stream_options);
  expect(job.spent()).toBe(0.00005);
});

test("stock clients stream", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const openai = fixture.openai(credential.value);
  let text = "";
  for await (const chunk of await openai.chat.completions.create({ ...CHAT, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
    expect(chunk.usage ?? null).toBeNull();
  }
  expect(text).toBe("Hello");
  const types: string[] = [];
  for await (const { type } of await openai.responses.create({ model: "gpt-small", input: "Hello", stream: true })) {
    types.push(type);
  }
  expect(types).toEqual(["response.created", "response.output_text.delta", "response.completed"]);
  expect(job.spent()).toBe(0.0001);
  const message = await fixture
    .anthropic(credential.value)
    .messages.stream({ model: "claude-small", max_tokens: 100, messages: HELLO })
    .finalMessage();
  expect(message.content).toMatchObject([{ type: "text", text: "Hello" }]);
  // 10 x 3 + 20 x 15 per million more.
  expect(job.spent()).toBe(0.00043);
});

test("an upstream that counts while it speaks is taken at its highest count", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const chunk = (output: number): string =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: {} }], usage: { prompt_tokens: 10, completion_tokens: output } })}\n\n`;
  fixture.upstream.behaviour = (_, response) => stream(response, [chunk(1), chunk(7), chunk(3), "data: [DONE]\n\n"]);
  await (await fixture.post("/v1/chat/completions", credential.value, CHAT)).text();
  expect(job.spent()).toBe(0.000024);
});

test("a stream that says nothing of its usage costs the most that it may have", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = (_, response) => stream(response, ["data: {}\n\n", "data: [DONE]\n\n"]);
  const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(await response.text()).toBe("data: {}\n\ndata: [DONE]\n\n");
  expect(job.spent()).toBe((JSON.stringify(CHAT).length + 200) / 1e6);
  expect(job.metrics).toMatchObject([{ dimensions: { model: "gpt-small", estimated: true } }]);
  expect(job.journal).toMatchObject([{ result: { status: 200, estimated: true } }]);
});

test("a client that leaves in the middle ends the upstream's work and pays for what it may have cost", async () => {
  covers("V11-14-16");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = begin;
  const leave = new AbortController();
  const chunks = await fixture
    .openai(credential.value)
    .chat.completions.create({ ...CHAT, stream: true }, { signal: leave.signal });
  for await (const _ of chunks) break;
  leave.abort();
  await fixture.upstream.last.aborted;
  await fixture.gateway.close();
  expect(job.spent()).toBeGreaterThanOrEqual((JSON.stringify(CHAT).length + 200) / 1e6);
  expect(job.held()).toBe(0);
  expect(job.metrics).toMatchObject([{ dimensions: { estimated: true } }]);
});

test("what an upstream counted so far is not what it has cost in the end", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const usage = { prompt_tokens: 10, completion_tokens: 1 };
    const chunk = JSON.stringify({ choices: [{ index: 0, delta: {} }], usage });
    response.write(`data: ${chunk}\n\n`, () => response.destroy());
  };
  const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  await rejection(response.text());
  await fixture.gateway.close();
  expect(job.spent()).toBe((JSON.stringify(CHAT).length + 200) / 1e6);
});

const begin = (_: unknown, response: ServerResponse): void => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write('data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n');
};

test("of a message that broke off, the input is known and the output may be all that was allowed", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(anthropicEvents("claude-small", USAGE)[0], () => response.destroy());
  };
  const response = await fixture.post("/v1/messages", credential.value, {
    ...{ model: "claude-small", messages: HELLO, max_tokens: 100, stream: true },
  });
  await rejection(response.text());
  await fixture.gateway.close();
  // 10 x 3 + 100 x 15 per million.
  expect(job.spent()).toBe(0.00153);
  expect(job.metrics).toMatchObject([{ dimensions: { estimated: true } }]);
});

test("an upstream that dies ends the stream so that nobody takes it for whole", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = (heard, response) => {
    begin(heard, response);
    response.write("", () => response.destroy());
  };
  const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  expect(await rejection(response.text())).toBeInstanceOf(TypeError);
  await fixture.gateway.close();
  expect(job.spent()).toBeGreaterThan(0.0002);
  expect(job.journal).toMatchObject([{ error: "INTERNAL_ERROR" }]);
});

test("a client that does not read is not waited for without end, and keeps the upstream from sending more", async () => {
  await using fixture = await Fixture.start({ gateway: { limits: { stallTimeoutMs: 5000 } } });
  const { job, credential } = await fixture.job(LEASE);
  const frame = `data: ${JSON.stringify({ text: "x".repeat(64 * 1024) })}\n\n`;
  const held = Promise.withResolvers<void>();
  let written = 0;
  fixture.upstream.behaviour = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const more = (): void => {
      while (written < 2000) {
        written += 1;
        if (!response.write(frame)) {
          response.once("drain", more);
          return;
        }
      }
      held.resolve();
    };
    more();
  };
  const response = await fixture.post("/v1/chat/completions", credential.value, CHAT);
  // The only timer left is that of the write that waits for this client.
  while (fixture.clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(written).toBeLessThan(2000);
  fixture.clock.advance(5000);
  await fixture.upstream.last.aborted;
  await rejection(response.text());
  await fixture.gateway.close();
  expect(job.metrics).toMatchObject([{ dimensions: { estimated: true } }]);
  expect(job.journal).toMatchObject([{ error: "CANCELLED" }]);
});

test("frames, put together, are what came in, however it was cut", () => {
  const text = fc.array(fc.constantFrom("\n", "\r", "\r\n", "data: x", ":", "é", "event: y"), { maxLength: 40 });
  fc.assert(
    fc.property(text, fc.array(fc.nat(20)), (parts, cuts) => {
      const bytes = Buffer.from(parts.join(""));
      const frames = new EventFrames(1_000_000);
      const found: Buffer[] = [];
      let from = 0;
      for (const cut of cuts) {
        found.push(...frames.push(bytes.subarray(from, from + cut)));
        from += cut;
      }
      found.push(...frames.push(bytes.subarray(from)));
      const whole = new EventFrames(1_000_000);
      expect(found.map(String)).toEqual(whole.push(bytes).map(String));
      expect(Buffer.concat([...found, frames.rest()]).equals(bytes)).toBe(true);
    }),
  );
});

test("a frame ends with a blank line, in every spelling of line ends", () => {
  const cut = (text: string): string[] => new EventFrames(100).push(Buffer.from(text)).map(String);
  expect(cut("data: 1\n\ndata: 2\n\ndata: 3")).toEqual(["data: 1\n\n", "data: 2\n\n"]);
  expect(cut("data: 1\r\n\r\ndata: 2\r\n\r\nx")).toEqual(["data: 1\r\n\r\n", "data: 2\r\n\r\n"]);
  expect(cut("data: 1\r\rdata: 2\r\rx")).toEqual(["data: 1\r\r", "data: 2\r\r"]);
  expect(() => cut("x".repeat(101))).toThrow(RangeError);
});
