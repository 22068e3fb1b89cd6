/** A runtime over a file, on a clock of the test's, that tells a real receiver. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXTENSION_FEATURE } from "@arcp/core";
import {
  ARCPServer,
  type ARCPServerOptions,
  type Store,
  type StoredWebhook,
  sqliteStore,
  storedWebhooks,
  type WebhookEndpoint,
  type WebhookOptions,
} from "@arcp/runtime";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import { ALL_FEATURES, type RawClient } from "../support/raw-client.ts";
import { Receiver } from "./receiver.ts";

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export interface ToldOptions {
  readonly endpoint?: Partial<WebhookEndpoint>;
  readonly webhooks?: Partial<WebhookOptions>;
  readonly server?: Partial<ARCPServerOptions>;
  readonly wrap?: (store: Store) => Store;
  /** Is the runtime expected to fail? */
  readonly mayFail?: boolean;
}

export async function told({ endpoint, webhooks, server, wrap = (one) => one, mayFail = false }: ToldOptions = {}) {
  const receiver = await Receiver.start();
  const directory = mkdtempSync(join(tmpdir(), "arcp-webhooks-"));
  const path = join(directory, "runtime.db");
  const store = sqliteStore({ path, synchronous: "NORMAL" });
  const clock = new ManualClock();
  const puppet = new Puppet();
  const start = () =>
    startHarness({
      agents: { puppet: puppet.handler },
      server: {
        ...{ clock, eventLog: wrap(store), ...server },
        webhooks: {
          endpoints: [{ name: "ops", url: receiver.url, secret: receiver.secret, ...endpoint }],
          ...webhooks,
        },
      },
    });
  let harness = start();
  return {
    ...{ receiver, path, store, clock, puppet },
    get harness() {
      return harness;
    },
    /** Stops the runtime, and begins another over the same store. */
    async restart(): Promise<void> {
      await harness[Symbol.asyncDispose]();
      harness = start();
    },
    /** A job in the test's hands. */
    async job(submission: object = {}, input: unknown = {}): Promise<{ client: RawClient; jobId: string; run: Run }> {
      const client = await harness.rawSession([...ALL_FEATURES, EXTENSION_FEATURE]);
      const { job_id } = await client.submit("puppet", input, submission);
      return { client, jobId: String(job_id), run: await puppet.next() };
    },
    /** Resolves with what the outbox holds, when that fits. */
    async outbox(fits: (stored: readonly StoredWebhook[]) => boolean): Promise<readonly StoredWebhook[]> {
      for (;;) {
        const stored = await collected(storedWebhooks(store));
        if (fits(stored)) return stored;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await harness[Symbol.asyncDispose]().catch((error) => {
        if (!mayFail) throw error;
      });
      await store.close();
      await receiver[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true });
    },
  };
}

export async function collected<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A server of that configuration, which is never used. */
export const configured = async (webhooks: WebhookOptions): Promise<void> =>
  new ARCPServer({
    runtime: { name: "test", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    webhooks,
  })
    .close()
    .then(() => {});
