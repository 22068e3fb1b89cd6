/** A ledger of credentials over a database file, on a clock that the test moves. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, type JobId, newJobId } from "@arcp/core";
import { Audit, DEFAULT_AUDIT_POLICY } from "../../packages/runtime/src/engine/audit/audit.ts";
import {
  Credentials,
  type CredentialTiming,
  type IssueRequest,
} from "../../packages/runtime/src/engine/credentials/credentials.ts";
import type { CredentialProvisioner } from "../../packages/runtime/src/engine/credentials/provisioner.ts";
import { Journal } from "../../packages/runtime/src/engine/journal.ts";
import { sqliteStore } from "../../packages/runtime/src/store/sqlite.ts";
import type { Batch, CredentialRecord, Store } from "../../packages/runtime/src/store/store.ts";
import { ManualClock } from "../support/manual-clock.ts";

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** One process at work on the file. */
export interface Process {
  readonly credentials: Credentials;
  readonly journal: Journal;
  readonly store: Store;
  /** What was committed, in order. */
  readonly batches: Batch[];
  /** It is no more: nothing that it has begun goes on, nothing that is not committed ever is. */
  crash(): Promise<void>;
}

export class Ledger implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly directory = mkdtempSync(join(tmpdir(), "arcp-ledger-"));
  readonly path = join(this.directory, "journal.db");
  readonly logs: LogLine[] = [];
  readonly #processes: Process[] = [];

  start(
    provisioners: readonly CredentialProvisioner[],
    timing: Partial<CredentialTiming> = {},
    random: () => number = () => 1,
  ): Process {
    const store = sqliteStore({ path: this.path });
    const batches: Batch[] = [];
    let isDead = false;
    const recording = new Proxy(store, {
      get(target, name) {
        if (name === "commit") {
          return async (batch: Batch) => {
            if (isDead) throw new Error("the process is no more");
            batches.push(batch);
            await target.commit(batch);
          };
        }
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
    const logger = createLogger((line) => this.logs.push(JSON.parse(line)), "debug");
    const journal = new Journal({ store: recording, clock: this.clock, logger, onFailure: () => {} });
    // What fails is not asked again, unless a test says so.
    const timed = { issueRetriesMs: [], ...timing };
    // What these tests look for in the audit they put there themselves.
    const audit = new Audit({
      ...{ journal: { addAudit: () => {} }, clock: this.clock, policy: DEFAULT_AUDIT_POLICY },
      runtime: { name: "test", version: "1" },
    });
    const options = {
      journal,
      audit,
      store: recording,
      clock: this.clock,
      logger,
      provisioners,
      timing: timed,
      random,
    };
    const credentials = new Credentials(options);
    const process: Process = {
      ...{ credentials, journal, store, batches },
      crash: async () => {
        isDead = true;
        credentials.abort();
        await store.close();
      },
    };
    this.#processes.push(process);
    return process;
  }

  /** Everything that is on disk. */
  bytes(): string {
    return readdirSync(this.directory)
      .map((name) => readFileSync(join(this.directory, name)).toString("latin1"))
      .join("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) await process.crash();
    rmSync(this.directory, { recursive: true });
  }
}

export function request(overrides: Partial<IssueRequest> = {}): IssueRequest {
  return {
    ...{ jobId: newJobId(), agent: "worker@1.0.0", principal: "alice", leaseConstraints: {}, expiresAt: undefined },
    lease: { "model.use": ["fast"] },
    remaining: () => new Map(),
    guard: () => undefined,
    ...overrides,
  };
}

/** A job that is accepted with its credentials. */
export async function accepted(process: Process, facts: IssueRequest = request()): Promise<JobId> {
  const issuance = await process.credentials.issue(facts);
  if (!issuance.commit()) throw new Error("abandoned");
  await process.journal.flush();
  return facts.jobId;
}

export const rows = (process: Process): Promise<readonly CredentialRecord[]> =>
  process.store.listCredentials({ limit: 1_000 });
export const statesOf = async (process: Process): Promise<string[]> => (await rows(process)).map(({ state }) => state);

/** Lets everything happen that can without time going by, until `isTrue`. */
export async function until(isTrue: () => boolean | Promise<boolean>, what = "it"): Promise<void> {
  for (let turn = 0; turn < 20_000; turn += 1) {
    if (await isTrue()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error(`${what} did not happen`);
}

/** Lets what has been decided take effect. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Lets time go by, second by second with room for answers in between, until `isTrue`. */
export async function inTime(clock: ManualClock, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let second = 0; second < 1_000; second += 1) {
    for (let turn = 0; turn < 40; turn += 1) {
      if (turn % 10 === 0 && (await isTrue())) return;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    clock.advance(1_000);
  }
  throw new Error("it did not happen in time");
}
