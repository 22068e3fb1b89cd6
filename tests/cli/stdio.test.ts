import { ARCPClient } from "@arcp/client";
import { StdioTransport } from "@arcp/core";
import { expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { CHATTY } from "./agents.ts";
import { Workspace } from "./arcp.ts";

it("serves the process that started it, with nothing but messages on standard output", async () => {
  covers("V11-4-02", "V11-4.2-03");
  await using workspace = await Workspace.create({ "chatty.ts": CHATTY });
  const child = workspace.start(["serve", "--stdio", "--agent", "chatty=./chatty.ts"]);
  const { stdin, stdout } = child.process;
  const client = new ARCPClient();
  await client.connect(new StdioTransport({ input: stdout, output: stdin }));
  const job = await client.submit({ agent: "chatty" });
  const messages: string[] = [];
  for await (const event of job) if (event.kind === "log") messages.push(event.body.message);
  expect(messages).toEqual(["line one\nline two"]);
  expect((await job.done).result).toBe("done");
  await client.close();
  const { code, stderr } = await child.end();
  expect(code).toBe(0);
  expect(child.lines.length).toBeGreaterThan(4);
  for (const line of child.lines) expect(line).toMatchObject({ arcp: "1.1", id: expect.any(String) });
  for (const text of ["loaded", "console.log", "console.info", "process.stdout", "named stdout"]) {
    expect(stderr).toContain(`${text}\n`);
  }
});

it("asks for a token over stdio once one is configured", async () => {
  await using workspace = await Workspace.create();
  const connect = async (token?: string) => {
    const child = workspace.start(["serve", "--stdio", "--db", ":memory:"], { ARCP_TOKEN: "one=alice" });
    const client = new ARCPClient(token === undefined ? {} : { token });
    const { stdin: output, stdout: input } = child.process;
    return client.connect(new StdioTransport({ input, output })).finally(() => client.close());
  };
  await expect(connect()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  await expect(connect("one")).resolves.toMatchObject({ runtime: { name: "arcp" } });
});
