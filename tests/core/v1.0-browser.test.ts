import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build, type Rolldown } from "vite";
import { expect, test } from "vitest";

const entry = fileURLToPath(new URL("../../packages/core/src/v1.0/index.ts", import.meta.url));

/** The messages of wire 1.0 as one script of a page, which sets `wire`. */
async function script(): Promise<string> {
  const output = (await build({
    configFile: false,
    logLevel: "silent",
    resolve: { conditions: ["browser", "module", "import", "default"] },
    build: {
      write: false,
      minify: false,
      target: "es2024",
      lib: { entry, formats: ["iife"], name: "wire" },
      rolldownOptions: { external: [/^node:/] },
    },
  })) as Rolldown.RolldownOutput[];
  return output[0]?.output[0].code ?? "";
}

test("messages are read and written where there is no Node", async () => {
  const code = await script();
  expect(code).not.toMatch(/["']node:|require\(/);
  const page = createContext({ crypto: globalThis.crypto });
  runInContext(code, page);
  const read = runInContext(
    `wire.decodeClientMessage10(wire.buildEnvelope10({
      type: "tool.invoke", timestamp: "2026-05-09T14:00:00Z", payload: { tool: "echo", arguments: null },
    })).payload.arguments`,
    page,
  );
  expect(read).toEqual({});
});
