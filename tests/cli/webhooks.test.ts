/** Webhooks from the command line: whom `arcp serve` tells, and what operators see and do about what was not taken. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCPClient } from "@arcp/client";
import { silentLogger } from "@arcp/core";
import { newWebhookSecret } from "@arcp/core/webhooks";
import { type StoredWebhook, sqliteStore, storedWebhooks, verifyAudit } from "@arcp/runtime";
import { expect, onTestFinished, test, vi } from "vitest";
import { readWebhooks } from "../../packages/sdk/src/cli/webhooks.ts";
import { Receiver, status } from "../webhooks/receiver.ts";
import { collected } from "../webhooks/told.ts";
import { Workspace } from "./arcp.ts";

test("what an endpoint has refused is listed, tried again beside the running server, and told", async () => {
  await using receiver = await Receiver.start();
  receiver.answer = status(410);
  await using workspace = await Workspace.create({ "echo.ts": "export default (input: unknown) => input;\n" });
  const config = { webhooks: { endpoints: [{ name: "ops", url: receiver.url, secret: receiver.secret }] } };
  await writeFile(join(workspace.directory, "arcp.config.json"), JSON.stringify(config), { mode: 0o600 });
  const { url } = await workspace.serve(["--agent", "echo=echo.ts", "--token", "alice"]);
  await using client = await ARCPClient.connect(url, { token: "alice", logger: silentLogger });
  await (await client.submit({ agent: "echo", input: 1 })).done;
  await receiver.has(1);

  const store = sqliteStore({ path: join(workspace.directory, ".arcp", "runtime.db"), readOnly: true });
  onTestFinished(() => store.close());
  const outbox = async (fits: (stored: readonly StoredWebhook[]) => boolean) => {
    for (;;) {
      const stored = await collected(storedWebhooks(store));
      if (fits(stored)) return stored;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await outbox(([one]) => one?.state === "dead");
  const dead = JSON.parse((await workspace.run(["webhooks", "--dead", "--json"])).stdout);
  expect(dead).toMatchObject({
    ...{ type: "webhook", endpoint: "ops", event: "job.ended", state: "dead", attempts: 1, last_error: "HTTP 410" },
    next_at: null,
  });
  receiver.answer = status(204);
  const retried = await workspace.run(["webhooks", "retry", dead.id]);
  expect(retried).toMatchObject({ code: 0, stdout: "1 of them is tried again\n" });
  const [, again] = await receiver.has(2);
  expect((again && (await receiver.verified(again)))?.id).toBe(dead.id);
  await outbox((stored) => stored.length === 0);
  expect((await verifyAudit(store)).broken).toBeUndefined();
  expect(await workspace.run(["webhooks", "retry", dead.id])).toMatchObject({ code: 1 });

  receiver.answer = status(410);
  await (await client.submit({ agent: "echo", input: 2 })).done;
  await outbox(([one]) => one?.state === "dead");
  expect(await workspace.run(["webhooks", "forget", "--all"])).toMatchObject({ code: 64 });
  const forgotten = await workspace.run(["webhooks", "forget", "--all", "--endpoint", "ops"]);
  expect(forgotten).toMatchObject({ code: 0, stdout: "1 of them is forgotten\n" });
  await outbox((stored) => stored.length === 0);
  expect((await verifyAudit(store)).broken).toBeUndefined();
});

test("an endpoint needs a secret, and a private place for it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "arcp-webhooks-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const read = (options: object, webhooks: object = {}) =>
    readWebhooks(options, { config: { webhooks }, directory, file: undefined });
  const [secret, next] = [newWebhookSecret(), newWebhookSecret()];
  const [own, open] = [join(directory, "own"), join(directory, "open")];
  writeFileSync(own, `${secret}\n${next}\n`, { mode: 0o600 });
  writeFileSync(open, secret, { mode: 0o644 });
  const url = "https://example.com/hooks";

  expect(await read({})).toBeUndefined();
  expect(await read({ webhook: [url], webhookSecretFile: own })).toEqual({
    endpoints: [{ url, secret: [secret, next] }],
  });
  const named = { url, name: "ops", secret: [{ file: "own" }] };
  await expect(read({}, { endpoints: [named] })).rejects.toThrow("without spaces");
  vi.stubEnv("ARCP_WEBHOOK_SECRET", `${secret},${next}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await read({ webhook: [url] })).toEqual({ endpoints: [{ url, secret: [secret, next] }] });
  await expect(read({ webhook: ["http://example.com/hooks"] })).rejects.toThrow("use https");
  vi.stubEnv("ARCP_WEBHOOK_SECRET", "s3cret");
  await expect(read({ webhook: [url] })).rejects.toThrow(/^(?!.*s3cret).*24 to 64 bytes/);
  vi.stubEnv("ARCP_WEBHOOK_SECRET", "");
  await expect(read({ webhook: [url] })).rejects.toThrow("arcp webhooks secret");
  await expect(read({ webhook: [url], webhookSecretFile: open })).rejects.toThrow("others can read it");
  await expect(read({ webhookSecretFile: own })).rejects.toThrow("needs --webhook");
  await expect(read({}, { endpoints: [{ url, secret, event: [] }] })).rejects.toThrow('no setting "event"');
  await expect(read({}, { retries: 3 })).rejects.toThrow('no setting "retries"');
});
