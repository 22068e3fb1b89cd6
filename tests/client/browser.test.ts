import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build, type Rolldown } from "vite";
import { expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { settle } from "./fake-runtime.ts";

const entry = fileURLToPath(new URL("../../packages/client/dist/index.js", import.meta.url));

/** The client as a page would load it, resolved for browsers: one module, or one script that sets `arcp`. */
async function bundle(format: "es" | "iife"): Promise<string> {
  const output = (await build({
    configFile: false,
    logLevel: "silent",
    resolve: { conditions: ["browser", "module", "import", "default"] },
    build: {
      write: false,
      minify: false,
      target: "es2024",
      lib: { entry, formats: [format], name: "arcp" },
      rolldownOptions: { external: [/^node:/, "ws"] },
    },
  })) as Rolldown.RolldownOutput[];
  return output[0]?.output[0].code ?? "";
}

/** What a page's `WebSocket` does, with a runtime at the other end that welcomes and answers one submit. */
class FakeWebSocket {
  static readonly urls: string[] = [];
  readonly bufferedAmount = 0;
  readyState = 0;
  binaryType = "blob";
  readonly #listeners = new Map<string, ((event: object) => void)[]>();

  constructor(url: string) {
    FakeWebSocket.urls.push(url);
    setImmediate(() => {
      this.readyState = 1;
      this.#emit("open", {});
    });
  }

  addEventListener(type: string, listener: (event: object) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  send(text: string): void {
    const { id, type } = JSON.parse(text) as { id: string; type: string };
    if (type === "session.hello") {
      this.#answer("session.welcome", { runtime: { name: "r", version: "1" }, resume_token: "t", capabilities: {} });
    }
    if (type === "job.submit") {
      this.#answer("job.accepted", { job_id: "job_1", lease: {}, request_id: id });
      this.#answer("job.event", { kind: "log", body: { level: "info", message: "hi" } }, { event_seq: 1 });
      const chunk = { result_id: "r", chunk_seq: 0, data: "4pyT", encoding: "base64", more: false };
      this.#answer("job.event", { kind: "result_chunk", body: chunk }, { event_seq: 2 });
      this.#answer("job.result", { final_status: "success", result_id: "r" }, { event_seq: 3 });
    }
    if (type === "session.close") this.#answer("session.closed", {});
  }

  close(): void {
    this.readyState = 3;
    setImmediate(() => this.#emit("close", { code: 1000, reason: "" }));
  }

  #answer(type: string, payload: object, fields: object = {}): void {
    const id = `srv_${Math.random()}`;
    const data = JSON.stringify({ arcp: "1.1", id, type, session_id: "sess_1", job_id: "job_1", payload, ...fields });
    setImmediate(() => this.#emit("message", { data }));
  }

  #emit(type: string, event: object): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}

it("the client runs where there is no Node", async () => {
  covers("V11-4-04", "V11-5.2-01");
  expect(await bundle("es")).not.toMatch(/["']node:|require\(|\bimport\b[^(;]*["']/);
  const code = await bundle("iife");
  const page = createContext({
    WebSocket: FakeWebSocket,
    crypto: globalThis.crypto,
    performance,
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    URL,
    TextEncoder,
    TextDecoder,
    AbortController,
    AbortSignal,
    atob,
    console,
  });
  const run = `(async () => {
    const client = await arcp.ARCPClient.connect("ws://localhost:7777/arcp", { token: "t" });
    const handle = await client.submit({ agent: "echo" });
    const kinds = [];
    for await (const event of handle) kinds.push(event.kind);
    const { result } = await handle.done;
    await client.close();
    return JSON.stringify({ kinds, result: [...result], buffer: typeof Buffer, process: typeof process });
  })()`;
  const outcome = (await runInContext(`${code}\n;${run}`, page)) as string;
  await settle();
  expect(JSON.parse(outcome)).toEqual({
    kinds: ["log", "result_chunk"],
    result: [0xe2, 0x9c, 0x93],
    buffer: "undefined",
    process: "undefined",
  });
  expect(FakeWebSocket.urls).toEqual(["ws://localhost:7777/arcp"]);
});
