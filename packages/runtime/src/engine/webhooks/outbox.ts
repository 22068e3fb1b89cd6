/**
 * What is to be told by webhook, as it is stored: a record for each endpoint, in the commit of what it tells of.
 *
 *   waiting -> (gone)    the endpoint has taken it
 *   waiting -> waiting   it has not: later again
 *   waiting -> dead      not in its time, or the endpoint says that it is gone
 *   dead    -> waiting   an operator has it tried again
 *   dead    -> (gone)    kept for its time
 *   waiting, dead -> (gone)    an operator does not want it told
 */
import { createHash } from "node:crypto";
import type { JobId } from "@arcp/core";
import { WEBHOOK_EVENT_TYPES, type WebhookEventType } from "@arcp/core/webhooks";
import { canonicalJson } from "../../store/canonical-json.ts";
import type { Batch, Store, StoredRecord } from "../../store/store.ts";

/** What is to be told to one endpoint. All times are milliseconds since the epoch. */
export interface StoredWebhook {
  /** The same for the same event, however often it is told: `msg_…`. */
  readonly id: string;
  /** The endpoint's name. */
  readonly endpoint: string;
  readonly type: WebhookEventType;
  /** Whose job it is about. */
  readonly principal: string;
  readonly jobId: JobId;
  readonly state: "waiting" | "dead";
  readonly createdAt: number;
  /** When it is tried again; of a dead one, when it is forgotten. */
  readonly dueAt: number;
  /** From when on it is tried. */
  readonly since: number;
  /** Attempts that have failed, and those of them since then. */
  readonly attempts: number;
  readonly failures: number;
  /** What the last of them failed with: an HTTP status, or the name of an error; `null` before the first. */
  readonly lastError: string | null;
  /** JSON, as it is sent. */
  readonly body: string;
}

type Data = Omit<StoredWebhook, "id" | "endpoint" | "principal" | "dueAt">;

/** The names of the endpoints that there are records for. */
const ENDPOINT_KIND = "webhook_endpoint";

/** Each endpoint's are records of their own kind: one that does not answer keeps nobody else's from being found. */
export const kindOf = (endpoint: string): string => `webhook/${endpoint}`;

export function webhookRecord(webhook: StoredWebhook, { isNew }: { readonly isNew: boolean }): StoredRecord {
  const { id, endpoint, principal, dueAt, ...data } = webhook;
  return {
    ...{ kind: kindOf(endpoint), id, principal, dueAt, data: JSON.stringify(data satisfies Data) },
    // A job that another node has taken tells nothing here; what was told of it is nobody's but the outbox's.
    ...(isNew ? { jobId: data.jobId } : { jobId: null, mustExist: true }),
  };
}

export const noWebhookRecord = ({ id, endpoint, principal }: StoredWebhook): StoredRecord => ({
  ...{ kind: kindOf(endpoint), id, principal, jobId: null, dueAt: null, data: null },
});

/** `undefined` for a record that {@link webhookRecord} has not made. */
export function webhookOf({ kind, id, principal, dueAt, data }: StoredRecord): StoredWebhook | undefined {
  const stored = JSON.parse(data ?? "null") as Data | null;
  if (stored === null || !WEBHOOK_EVENT_TYPES.includes(stored.type) || dueAt === null) return undefined;
  return { ...stored, ...{ id, endpoint: kind.slice(kindOf("").length), principal, dueAt } };
}

/** By which operators find what waits for an endpoint that is not configured any more. */
export const endpointRecord = (name: string): StoredRecord => ({
  ...{ kind: ENDPOINT_KIND, id: name, principal: "", jobId: null, dueAt: null, data: "{}" },
});

const ID_CHARACTERS = 27;

/** The id of what is told once of a job. It has no dots, which signatures join their parts by. */
export const webhookId = (jobId: JobId, type: WebhookEventType, about: string): string =>
  `msg_${createHash("sha256")
    .update(canonicalJson([jobId, type, about]))
    .digest("base64url")
    .slice(0, ID_CHARACTERS)}`;

const PAGE = 500;

async function* pages(store: Pick<Store, "listRecords">, kind: string): AsyncGenerator<StoredRecord, void> {
  for (let after: string | undefined; ; ) {
    const records = await store.listRecords({ kind, limit: PAGE, ...(after !== undefined && { after }) });
    yield* records;
    if (records.length < PAGE) return;
    after = records.at(-1)?.id;
  }
}

/** The names of endpoints that something was ever kept for, in order. */
export async function storedEndpoints(store: Pick<Store, "listRecords">): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { id } of pages(store, ENDPOINT_KIND)) names.push(id);
  return names;
}

/** Everything that is still to be told, and what was given up: by endpoint and id. For tools that only read. */
export async function* storedWebhooks(store: Pick<Store, "listRecords">): AsyncGenerator<StoredWebhook, void> {
  for (const endpoint of await storedEndpoints(store)) {
    for await (const record of pages(store, kindOf(endpoint))) {
      const webhook = webhookOf(record);
      if (webhook !== undefined) yield webhook;
    }
  }
}

const NOTHING: Omit<Batch, "records" | "audit"> = {
  ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
  ...{ follows: [], credentials: [] },
};

/**
 * Has webhooks that were given up tried again, from `now` on and for as long as new ones, whether a runtime has the store or not:
 * it looks for them. Resolves with how many of them were dead. `store` is one that may be written to.
 */
export async function retryWebhooks(
  store: Pick<Store, "commit">,
  webhooks: readonly StoredWebhook[],
  now: number,
): Promise<number> {
  const dead = webhooks.filter(({ state }) => state === "dead");
  const again = dead.map((webhook) => ({ ...webhook, state: "waiting" as const, dueAt: now, since: now, failures: 0 }));
  if (again.length === 0) return 0;
  const records = again.map((webhook) => webhookRecord(webhook, { isNew: false }));
  await store.commit({ ...NOTHING, records, audit: acts("webhook.retried", again, now) });
  return again.length;
}

/**
 * Takes webhooks out of the outbox: what waits for an endpoint that is not configured any more, for instance. One that is being
 * delivered meanwhile may arrive all the same. `store` is one that may be written to.
 */
export async function forgetWebhooks(
  store: Pick<Store, "commit">,
  webhooks: readonly StoredWebhook[],
  now: number,
): Promise<void> {
  if (webhooks.length === 0) return;
  await store.commit({
    ...NOTHING,
    records: webhooks.map(noWebhookRecord),
    audit: acts("webhook.forgotten", webhooks, now),
  });
}

/** What an operator did to each of them. */
const acts = (action: "webhook.retried" | "webhook.forgotten", webhooks: readonly StoredWebhook[], now: number) =>
  webhooks.map(({ id, endpoint, principal, jobId, type }) => ({
    ...{ at: now, action, principal, jobId },
    facts: canonicalJson({ endpoint, type, webhook_id: id }),
  }));
