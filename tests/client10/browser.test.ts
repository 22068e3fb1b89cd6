import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build, type Rolldown } from "vite";
import { expect, it } from "vitest";
import { settle } from "../support/puppet.ts";

const entry = fileURLToPath(new URL("../../packages/client/dist/index.js", import.meta.url));

/** The client as a page would load it: one script that sets `arcp`. */
async function bundle(): Promise<string> {
  const output = (await build({
    configFile: false,
    logLevel: "silent",
    resolve: { conditions: ["browser", "module", "import", "default"] },
    build: {
      ...{ write: false, minify: false, target: "es2024" },
      lib: { entry, formats: ["iife"], name: "arcp" },
      rolldownOptions: { external: [/^node:/, "ws"] },
    },
  })) as Rolldown.RolldownOutput[];
  return output[0]?.output[0].code ?? "";
}

/** What a page's `WebSocket` does, with a runtime of wire 1.0 at the other end. */
class FakeWebSocket {
  readonly bufferedAmount = 0;
  readyState = 0;
  binaryType = "blob";
  readonly #listeners = new Map<string, ((event: object) => void)[]>();

  constructor() {
    setImmediate(() => {
      this.readyState = 1;
      this.#emit("open", {});
    });
  }

  addEventListener(type: string, listener: (event: object) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  send(text: string): void {
    const { id, type, payload } = JSON.parse(text) as { id: string; type: string; payload: { data?: string } };
    const job = { job_id: "job_1", correlation_id: id };
    if (type === "session.open") {
      this.#answer(
        "session.accepted",
        { session_id: "sess_1", capabilities: { streaming: true } },
        { correlation_id: id },
      );
    }
    if (type === "tool.invoke") {
      this.#answer("job.accepted", { job_id: "job_1" }, job);
      this.#answer("log", { level: "info", message: "hi" }, job);
      this.#answer("stream.open", { kind: "binary" }, { ...job, stream_id: "str_1" });
      const sha256 = "1dabba21cdad44541f6b15796f8d22978fc7ea10c46aeceeeeb66c23b3ac7604";
      this.#answer("stream.chunk", { sequence: 0, data: "4pyT", sha256 }, { ...job, stream_id: "str_1" });
      this.#answer("stream.close", { total_chunks: 1 }, { ...job, stream_id: "str_1" });
      this.#answer("tool.result", { value: { ok: true } }, job);
    }
    if (type === "artifact.put") {
      const ref = { artifact_id: "art_1", media_type: "text/plain", size: 3, data: payload.data };
      this.#answer("artifact.ref", ref, { correlation_id: id });
    }
    if (type === "session.close") this.close();
  }

  close(): void {
    this.readyState = 3;
    setImmediate(() => this.#emit("close", { code: 1000, reason: "" }));
  }

  #answer(type: string, payload: object, fields: object = {}): void {
    const id = `srv_${Math.random()}`;
    const timestamp = new Date().toISOString();
    const data = JSON.stringify({ arcp: "1.0", id, type, timestamp, session_id: "sess_1", payload, ...fields });
    setImmediate(() => this.#emit("message", { data }));
  }

  #emit(type: string, event: object): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}

it("the client of wire 1.0 runs where there is no Node", async () => {
  const page = createContext({
    ...{ WebSocket: FakeWebSocket, crypto: globalThis.crypto, performance, console },
    ...{ setTimeout, clearTimeout, setInterval, clearInterval },
    ...{ URL, TextEncoder, TextDecoder, AbortController, AbortSignal, atob, btoa },
  });
  const run = `(async () => {
    const client = await arcp.ARCPToolClient.open("ws://localhost:7777/arcp", { token: "t" });
    const invocation = client.invoke("tool", { n: 1 });
    const streams = invocation.streams();
    const kinds = [];
    for await (const event of invocation) kinds.push(event.kind);
    const { value: stream } = await streams.next();
    const bytes = await stream.bytes();
    const ref = await client.putArtifact("✓");
    await client.close();
    return JSON.stringify({
      kinds, bytes: [...bytes], value: await invocation.value(), data: ref.media_type,
      buffer: typeof Buffer, process: typeof process,
    });
  })()`;
  const outcome = (await runInContext(`${await bundle()}\n;${run}`, page)) as string;
  await settle();
  expect(JSON.parse(outcome)).toEqual({
    ...{ kinds: ["log", "stream"], bytes: [0xe2, 0x9c, 0x93], value: { ok: true }, data: "text/plain" },
    ...{ buffer: "undefined", process: "undefined" },
  });
});
