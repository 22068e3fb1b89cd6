/**
 * The driver of `@arcp/client` for `arcp conformance client`: does what its input says, line by line, and says what came
 * of it. A driver for another SDK looks like this one; the contract is docs/conformance-client.md.
 */
import type { Readable, Writable } from "node:stream";
import { ARCPClient, type JobFilter, type JobHandle, type JobSubscription } from "@arcp/client";
import { ARCPError, createLogger, type JsonObject, type Logger } from "@arcp/core";
import { drive10, errorOf10 } from "./conformance-driver-10.ts";
import {
  type Driven,
  dialOf,
  endOf,
  type Followed,
  followed,
  jsonOf,
  QUICK,
  type Steps,
  type Terms,
} from "./conformance-steps.ts";

/** What comes of a step. */
type Answer = { readonly ok: JsonObject } | { readonly error: JsonObject } | { readonly unsupported: string };

export class ConformanceDriver {
  readonly #clients = new Map<string, Driven>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Does a step for one of its clients. Never rejects. */
  async tell(client: string, step: string, terms: JsonObject): Promise<Answer> {
    try {
      if (step === "drop") {
        this.#clients.get(client)?.abort();
        this.#clients.delete(client);
        return { ok: {} };
      }
      if (step === "connect") {
        const driven = await (terms["wire"] === "1.0" ? drive10 : drive11)(terms, this.#logger);
        this.#clients.set(client, driven);
        return { ok: (await driven.steps["connected"]?.({})) ?? {} };
      }
      const run = this.#clients.get(client)?.steps[step];
      if (run === undefined) return { unsupported: `there is no ${step} on this wire` };
      return { ok: await run(terms) };
    } catch (thrown) {
      const named = this.#clients.get(client)?.errorOf ?? (terms["wire"] === "1.0" ? errorOf10 : errorOf);
      return { error: named(thrown) };
    }
  }

  /** Ends every client at once. */
  close(): void {
    for (const client of this.#clients.values()) client.abort();
    this.#clients.clear();
  }
}

/** Serves steps until `input` ends. */
export async function serveConformanceDriver(input: Readable, output: Writable): Promise<void> {
  const driver = new ConformanceDriver(createLogger((line) => process.stderr.write(`${line}\n`), "debug"));
  for await (const line of linesOf(input)) {
    const { id, client, step, with: terms } = JSON.parse(line) as Terms;
    void driver.tell(client, step, terms).then((answer) => output.write(`${JSON.stringify({ id, ...answer })}\n`));
  }
  driver.close();
}

// ------------------------------------------------------------------------------------------------- wire 1.1

async function drive11(terms: Terms, logger: Logger): Promise<Driven> {
  const client = await ARCPClient.connect(dialOf(terms), {
    token: terms.token,
    allowInsecure: terms.allow_insecure === true,
    reconnect: QUICK,
    handshakeTimeoutMs: 60_000,
    closeTimeoutMs: 2_000,
    logger,
  });
  const ended = client.closed.then(
    () => ({}),
    (error: unknown) => ({ error: errorOf(error) }),
  );
  const jobs = new Map<string, Followed>();
  const handles = new Map<string, JobHandle>();
  const subscriptions = new Map<string, JobSubscription>();
  const follow = (job: JobHandle | JobSubscription): void => {
    if (jobs.has(job.jobId)) return;
    const done = job.done.then(({ result }) => ({
      status: "success",
      ...(result !== undefined && { result: jsonOf(result) }),
    }));
    const failed = (thrown: unknown): JsonObject => ({ status: job.finalStatus ?? "lost", error: errorOf(thrown) });
    jobs.set(job.jobId, followed(job, done, failed));
  };
  const steps: Steps = {
    connected: async () => ({
      session_id: client.session?.sessionId,
      agents: client.session?.agents.map(({ name }) => name),
    }),
    submit: async (job) => {
      const handle = await client.submit({
        agent: job.agent,
        input: job.input,
        ...(job.lease_request && { leaseRequest: job.lease_request }),
        ...(job.lease_constraints && { leaseConstraints: { expiresAt: job.lease_constraints.expires_at } }),
        ...(job.idempotency_key && { idempotencyKey: job.idempotency_key }),
        ...(job.max_runtime_sec && { maxRuntimeSec: job.max_runtime_sec }),
        ...(job.trace_id && { traceId: job.trace_id }),
        ...(job.retry && { retry: { attempts: 3, initialDelayMs: 10 } }),
      });
      handles.set(handle.jobId, handle);
      follow(handle);
      return { job_id: handle.jobId };
    },
    wait: async ({ job_id }) => endOf(jobs.get(job_id)),
    cancel: async ({ job_id, reason }) => {
      await client.cancelJob(job_id, { reason });
      return {};
    },
    list: async ({ filter = {}, limit, cursor }) => {
      const wanted: JobFilter = {
        ...(filter.status && { status: filter.status }),
        ...(filter.agent && { agent: filter.agent }),
        ...(filter.created_after && { createdAfter: filter.created_after }),
      };
      const page = await client.listJobs(wanted, { ...(limit && { limit }), ...(cursor && { cursor }) });
      const listed = page.jobs.map(({ jobId, agent, status }) => ({ job_id: jobId, agent, status }));
      return { jobs: listed, next_cursor: page.nextCursor ?? null };
    },
    subscribe: async ({ job_id, history, from_event_seq }) => {
      const subscription = await client.subscribe(job_id, {
        ...(history !== undefined && { history }),
        ...(from_event_seq !== undefined && { fromEventSeq: from_event_seq }),
      });
      subscriptions.set(job_id, subscription);
      follow(subscription);
      return { status: subscription.subscribed.currentStatus };
    },
    unsubscribe: async ({ job_id }) => {
      subscriptions.get(job_id)?.unsubscribe();
      return {};
    },
    credentials: async ({ job_id }) => {
      const held = handles.get(job_id)?.credentials ?? [];
      return { credentials: held.map(({ id, scheme, endpoint, value }) => ({ id, scheme, endpoint, value })) };
    },
    ended: () => ended,
    close: async ({ reason }) => {
      await client.close(reason);
      return {};
    },
  };
  return { steps, errorOf, abort: () => client.abort() };
}

/** Lines end at U+000A and nowhere else; `node:readline` ends them at U+2028 too, which JSON may hold. */
async function* linesOf(input: Readable): AsyncGenerator<string> {
  let rest = "";
  for await (const text of input.setEncoding("utf8")) {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

function errorOf(thrown: unknown): JsonObject {
  const { code, message } = ARCPError.from(thrown);
  return { code, message };
}
