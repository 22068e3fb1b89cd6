/** An upstream in this process that issues credentials for jobs, and a runtime over a database file that asks it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@arcp/core";
import {
  type CredentialProvisioner,
  type CredentialReference,
  type CredentialRequest,
  type IssuedCredential,
  sqliteStore,
} from "@arcp/runtime";
import { Harness, type HarnessOptions } from "../support/harness.ts";
import { settle } from "../support/puppet.ts";
import { Recorder } from "../support/recorder.ts";

export const ENDPOINT = "https://models.example.com/v1";
/** A lease for which {@link Mint} issues. */
export const LEASE = { "model.use": ["fast"] };

export interface Minted {
  readonly request: CredentialRequest;
  readonly value: string;
  isDead: boolean;
}

/** Issues for leases that speak of models. */
export class Mint implements CredentialProvisioner {
  readonly name = "mint";
  readonly minted: Minted[] = [];
  /** Every attempt to revoke. */
  readonly revocations: CredentialReference[] = [];
  /** What an attempt to issue or to revoke waits for, or fails by. */
  beforeIssue: () => Promise<void> = async () => {};
  beforeRevoke: () => Promise<void> = async () => {};
  /** The next value, in place of a fresh one. */
  nextValue: string | undefined;

  issuesFor({ lease }: Pick<CredentialRequest, "lease">): boolean {
    return lease["model.use"] !== undefined;
  }

  async issue(request: CredentialRequest): Promise<IssuedCredential> {
    await this.beforeIssue();
    const value = this.nextValue ?? `sk-minted-${this.minted.length}-${crypto.randomUUID()}`;
    this.minted.push({ request, value, isDead: false });
    return {
      value,
      endpoint: ENDPOINT,
      profile: "openai",
      constraints: { "model.use": request.lease["model.use"] ?? [] },
    };
  }

  async revoke(reference: CredentialReference): Promise<void> {
    this.revocations.push(reference);
    await this.beforeRevoke();
    for (const one of this.minted) if (one.request.alias === reference.alias) one.isDead = true;
  }

  get live(): readonly Minted[] {
    return this.minted.filter(({ isDead }) => !isDead);
  }

  get values(): readonly string[] {
    return this.minted.map(({ value }) => value);
  }
}

export class CredentialHarness extends Harness {
  readonly mint: Mint;
  readonly recorder: Recorder;
  readonly directory: string;
  /** The whole log, as JSON lines. */
  readonly log: string[];

  private constructor(
    options: HarnessOptions,
    own: Pick<CredentialHarness, "mint" | "recorder" | "directory" | "log">,
  ) {
    super(options);
    this.mint = own.mint;
    this.recorder = own.recorder;
    this.directory = own.directory;
    this.log = own.log;
  }

  static start(options: HarnessOptions = {}): CredentialHarness {
    const directory = mkdtempSync(join(tmpdir(), "arcp-credentials-"));
    const own = { mint: new Mint(), recorder: new Recorder(), directory, log: [] as string[] };
    const server = {
      eventLog: sqliteStore({ path: join(directory, "journal.db") }),
      credentialProvisioners: [own.mint],
      logger: createLogger((line) => own.log.push(line), "debug"),
      ...options.server,
    };
    return new CredentialHarness({ faults: own.recorder.faults, ...options, server }, own);
  }

  /** What the runtime has on disk. */
  bytes(): string {
    const names = readdirSync(this.directory);
    return names.map((name) => readFileSync(join(this.directory, name)).toString("latin1")).join("");
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.server.eventLog.close();
    rmSync(this.directory, { recursive: true });
    const broken = this.log.filter((line) => line.includes('"invariant":true'));
    if (broken.length > 0) throw new Error(`invariants were broken:\n${broken.join("\n")}`);
  }
}

/** Lets everything go on that needs no time, until `isTrue`. */
export async function until(isTrue: () => boolean, what: string): Promise<void> {
  for (let turn = 0; turn < 20_000; turn += 1) {
    if (isTrue()) return;
    await settle(1);
  }
  throw new Error(`${what} did not happen`);
}
