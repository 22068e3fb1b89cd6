import { ARCPClient, ARCPToolClient } from "@arcp/client";
import { pairMemoryTransports, StaticBearerVerifier, silentLogger } from "@arcp/core";
import { OTEL_EXTENSION_NAME, withTracing } from "@arcp/middleware-otel";
import { type AgentHandler, ARCPServer } from "@arcp/runtime";
import { context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { RawClient } from "../support/raw-client.ts";
import { Recording } from "./recording.ts";

const TOKEN = "canary-token";

/** A runtime behind a traced transport; `wire` has every frame that passes, as text. */
function start(agents: Readonly<Record<string, AgentHandler>>) {
  const server = new ARCPServer({
    runtime: { name: "traced", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map([[TOKEN, { principal: "canary-principal" }]])),
    logger: silentLogger,
  });
  for (const [name, handler] of Object.entries(agents)) server.registerAgent(name, handler);
  const wire: string[] = [];
  const seen = (frame: string): "deliver" => {
    wire.push(frame);
    return "deliver";
  };
  const connect = async () => {
    const [left, right] = pairMemoryTransports({ left: { onSend: seen }, right: { onSend: seen } });
    await server.accept(withTracing(right));
    return left;
  };
  return { server, connect, wire, [Symbol.asyncDispose]: () => server.close().then(() => {}) };
}

const inSpan = async <Value>(name: string, act: () => Promise<Value>): Promise<Value> => {
  const span = trace.getTracer("test").startSpan(name, {}, ROOT_CONTEXT);
  return context.with(trace.setSpan(ROOT_CONTEXT, span), act).finally(() => span.end());
};

describe("on wire 1.1", () => {
  test("one tree: caller, frames, session, parent, delegation, child, tool, model", async () => {
    covers("V11-11-01", "V11-11-03", "V11-11-05", "V11-10.3-01", "V11-10.3-02");
    await using recording = new Recording();
    let toolHeaders: Readonly<Record<string, string>> = {};
    {
      await using runtime = start({
        parent: async (_input, agent) => {
          await agent.delegate({ agent: "child", input: {}, lease_request: { "tool.call": ["look"] } }).done;
          const use = { cost: { USD: 1 } };
          await agent.useModel(
            "m-1",
            (model) =>
              model.report({
                ...{ name: "cost.inference", value: 0.25, unit: "USD" },
                dimensions: { input_tokens: 12, output_tokens: 3 },
              }),
            use,
          );
        },
        child: (_input, agent) => agent.callTool("look", { secret: "canary-argument" }),
      });
      runtime.server.registerTool("look", {
        handler: (_input, { traceHeaders }) => {
          toolHeaders = traceHeaders;
          return "canary-result";
        },
      });
      await inSpan("caller", async () => {
        const client = new ARCPClient({ client: { name: "test", version: "1" }, token: TOKEN });
        await client.connect(withTracing(await runtime.connect()));
        const job = await client.submit({
          agent: "parent",
          input: { secret: "canary-input" },
          leaseRequest: {
            ...{ "agent.delegate": ["child"], "tool.call": ["look"], "model.use": ["m-1"], "cost.budget": ["USD:5"] },
          },
        });
        await job.done;
        await client.close();
      });
    }
    const [tool] = recording.named("execute_tool look");
    expect(recording.path(tool)).toEqual([
      ...["caller", "arcp.send", "arcp.recv", "arcp.job", "arcp.delegate child", "arcp.job", "execute_tool look"],
    ]);
    expect(recording.path(recording.named("arcp.session")[0])[0]).toBe("caller");
    expect(toolHeaders["traceparent"]).toBe(`00-${tool?.spanContext().traceId}-${tool?.spanContext().spanId}-01`);
    const [model] = recording.named("chat m-1");
    expect(model?.attributes).toMatchObject({
      ...{ "gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "arcp.cost.USD": 0.25 },
      ...{ "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3 },
    });
    for (const span of recording.spans) expect(recording.path(span)[0], span.name).toBe("caller");
    expect(recording.text).not.toContain("canary");
  });

  test("frames carry the context of their own span, once, and say what they are", async () => {
    await using recording = new Recording();
    let sent: Record<string, never>[] = [];
    {
      await using runtime = start({ echo: (input) => input as object });
      await inSpan("caller", async () => {
        const client = new ARCPClient({ client: { name: "test", version: "1" }, token: TOKEN });
        await client.connect(withTracing(await runtime.connect()));
        await (await client.submit({ agent: "echo", leaseRequest: { "fs.read": ["/a/**"] } })).done;
        await client.close();
      });
      sent = runtime.wire.map((text) => JSON.parse(text));
    }
    const [submit] = recording.frames("out", "job.submit");
    const frame = sent.find(({ type }) => (type as unknown) === "job.submit") as unknown as {
      readonly trace_id: string;
      readonly extensions: Readonly<Record<string, { readonly traceparent: string }>>;
    };
    expect(frame.trace_id).toBe(submit?.spanContext().traceId);
    expect(frame.extensions[OTEL_EXTENSION_NAME]?.traceparent).toContain(submit?.spanContext().spanId);
    expect(submit?.attributes).toMatchObject({
      ...{ "arcp.agent": "echo", "arcp.lease.capabilities": ["fs.read"], "arcp.direction": "out" },
    });
    const [result] = recording.frames("in", "job.result");
    expect(recording.path(result)).toEqual(["caller", "arcp.send", "arcp.recv", "arcp.send", "arcp.recv"]);
    expect(result?.attributes["arcp.event_seq"]).toBe(1);
    expect(recording.frames("out", "session.ping")).toEqual([]);
  });

  test("a frame that is no message, or lies about its trace, passes as it came", async () => {
    covers("V11-11-02");
    await using _recording = new Recording();
    await using runtime = start({ echo: (input) => input as object });
    const client = new RawClient(await runtime.connect());
    await client.hello([], TOKEN);
    client.transport.send("}{");
    expect((await client.next("session.error")).payload.code).toBe("INVALID_REQUEST");
    client.transport.send(
      JSON.stringify({
        ...{ arcp: "1.1", id: "m-1", type: "job.submit", session_id: client.sessionId, trace_id: "a".repeat(32) },
        payload: { agent: "echo", input: 1 },
        extensions: { [OTEL_EXTENSION_NAME]: { traceparent: `00-${"b".repeat(32)}-${"c".repeat(16)}-01` } },
      }),
    );
    expect((await client.next("job.accepted")).payload.trace_id).toBe("a".repeat(32));
  });
});

describe("on wire 1.0", () => {
  test("one tree, with the members that this wire has", async () => {
    covers("V10-17.1-01", "V10-6.1.1-08");
    await using recording = new Recording();
    {
      await using runtime = start({ echo: (input) => input as object });
      await inSpan("caller", async () => {
        const client = await ARCPToolClient.open(withTracing(await runtime.connect()), { token: TOKEN });
        await client.invoke("echo", { secret: "canary-input" }).done;
        await client.close();
      });
    }
    const [job] = recording.named("arcp.job");
    expect(recording.path(job)).toEqual(["caller", "arcp.send", "arcp.recv", "arcp.job"]);
    expect(recording.path(recording.named("arcp.session")[0])[0]).toBe("caller");
    for (const span of recording.spans) expect(recording.path(span)[0], span.name).toBe("caller");
    expect(recording.text).not.toContain("canary");
  });
});

test("without a provider, frames pass as they are", async () => {
  await using runtime = start({ echo: (input) => input as object });
  const client = new ARCPClient({ client: { name: "test", version: "1" }, token: TOKEN });
  await client.connect(withTracing(await runtime.connect()));
  await (await client.submit({ agent: "echo" })).done;
  await client.close();
  expect(runtime.wire.join("")).not.toContain("tracecontext");
});
