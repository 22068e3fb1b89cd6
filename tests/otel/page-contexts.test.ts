/** Where contexts end with the call that they were made for, as in pages: what a client sends later belongs to it all the same. */
import { ARCPClient } from "@arcp/client";
import { silentLogger, type Transport } from "@arcp/core";
import { type Context, type ContextManager, context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toolClient } from "../client10/support.ts";
import { type Harness, startHarness } from "../support/harness.ts";

class ContextOfOneCall implements ContextManager {
  #active: Context = ROOT_CONTEXT;

  active(): Context {
    return this.#active;
  }

  with<Args extends unknown[], Fn extends (...args: Args) => ReturnType<Fn>>(
    next: Context,
    act: Fn,
    self?: ThisParameterType<Fn>,
    ...args: Args
  ): ReturnType<Fn> {
    const before = this.#active;
    this.#active = next;
    try {
      return act.call(self, ...args);
    } finally {
      this.#active = before;
    }
  }

  bind<Target>(_context: Context, target: Target): Target {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}

beforeAll(() => void context.setGlobalContextManager(new ContextOfOneCall()));
afterAll(() => context.disable());

const CALLER = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 };
const inSpan = <Result>(act: () => Result): Result => context.with(trace.setSpanContext(ROOT_CONTEXT, CALLER), act);

/** Connections, and what the client sent over them. */
function watched(harness: Harness) {
  const sent: { readonly type: string }[] = [];
  const dial = async (): Promise<Transport> => {
    const transport = await harness.transport();
    const send = transport.send.bind(transport);
    transport.send = (frame) => {
      sent.push(JSON.parse(frame));
      send(frame);
    };
    return transport;
  };
  return { dial, first: (type: string) => sent.find((frame) => frame.type === type) };
}

test("a session belongs to the span in which it was asked for, on both wires", async () => {
  await using harness = startHarness();
  const { dial, first } = watched(harness);
  const tools = await inSpan(() => toolClient(harness, {}, dial));
  expect(first("session.open")).toMatchObject({ trace_id: CALLER.traceId, span_id: CALLER.spanId });
  await tools.close();
  const client = await inSpan(() => ARCPClient.connect(dial, { token: "alice", logger: silentLogger }));
  expect(first("session.hello")).toMatchObject({ trace_id: CALLER.traceId });
  await client.close();
});
