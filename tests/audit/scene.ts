/** A runtime whose audit is read, and clients of both wires with secrets that must not be found in it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXTENSION_FEATURE, type Identity, type Lease, type LeaseConstraints, StaticBearerVerifier } from "@arcp/core";
import { type ARCPServerOptions, auditRows, sqliteStore } from "@arcp/runtime";
import { Mint } from "../credentials/mint.ts";
import { Harness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import { QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";
import { ALL_CAPABILITIES, type RawClient10 } from "../support/raw-client-10.ts";

export type Wire = "1.0" | "1.1";

/** How long the credentials of `guest` are valid. */
export const GUEST_MS = 60_000;

/** Stands for everything that is secret. */
export const CANARY = "c4nary";

/** One row as a test looks at it. */
export interface Told {
  readonly seq: number;
  readonly action: string;
  readonly principal: string;
  readonly session: string | undefined;
  readonly job: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of the facts
  readonly facts: any;
}

/** A client of one wire or the other, as far as they do the same. */
export interface Client {
  readonly wire: Wire;
  readonly sessionId: string;
  readonly principal: string;
  /** `undefined` on the other wire. */
  readonly v11: RawClient | undefined;
  readonly v10: RawClient10 | undefined;
}

/** A job in a test's hands. */
export interface Submitted {
  readonly client: Client;
  readonly jobId: string;
  readonly run: Run;
}

const QUIET_10 = { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 };

export class Scene implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly puppet = new Puppet();
  readonly mint = new Mint();
  readonly harness: Harness;
  /** What clients were given that nobody else may know. */
  readonly #secrets: string[] = [CANARY];
  readonly #directory = mkdtempSync(join(tmpdir(), "arcp-audit-"));
  /** A file: credentials are issued by a runtime that remembers them. */
  readonly store = sqliteStore({ path: join(this.#directory, "runtime.db") });

  constructor(options: Partial<ARCPServerOptions> = {}) {
    const principals = ["alice", "bob", "mallory"];
    const guest = { principal: "guest", expiresAt: this.clock.now() + GUEST_MS };
    this.harness = new Harness({
      agents: { puppet: this.puppet.handler },
      server: {
        clock: this.clock,
        bearer: new StaticBearerVerifier(
          new Map<string, Identity>([
            ...principals.map((principal) => [this.tokenOf(principal), { principal }] as const),
            [this.tokenOf("guest"), guest],
            [this.tokenOf("reader"), { principal: "reader", permissions: ["observe:own"] }],
          ]),
        ),
        eventLog: this.store,
        credentialProvisioners: [this.mint],
        ...options,
      },
    });
  }

  tokenOf(principal: string): string {
    return `${CANARY}-token-of-${principal}`;
  }

  /** Ends the runtime. What it has stored can be read. */
  async stop(reason: string): Promise<void> {
    await this.harness.server.close(reason);
  }

  async connect(wire: Wire, principal = "alice"): Promise<Client> {
    const v11 =
      wire === "1.1"
        ? await this.harness.rawSession([...QUIET_FEATURES, EXTENSION_FEATURE], this.tokenOf(principal))
        : undefined;
    const v10 =
      wire === "1.0" ? await this.harness.rawSession10(this.tokenOf(principal), { capabilities: QUIET_10 }) : undefined;
    if (v11?.resumeToken !== undefined) this.#secrets.push(v11.resumeToken);
    return { wire, principal, v11, v10, sessionId: String((v11 ?? v10)?.sessionId) };
  }

  async submit(client: Client, lease: Lease = {}, constraints: LeaseConstraints = {}): Promise<Submitted> {
    const more = { lease_request: lease, lease_constraints: constraints };
    const input = { secret: CANARY };
    const answer = await (client.v11?.submit("puppet", input, more) ?? client.v10?.invoke("puppet", input, more));
    if (answer?.type !== "job.accepted") throw new Error(`not accepted: ${JSON.stringify(answer)}`);
    const jobId = String(client.wire === "1.1" ? answer.payload.job_id : answer.job_id);
    return { client, jobId, run: await this.puppet.next() };
  }

  /** A job of a new client. */
  async job(wire: Wire, lease?: Lease, constraints?: LeaseConstraints): Promise<Submitted> {
    return this.submit(await this.connect(wire), lease, constraints);
  }

  /** Sends what is a command of that name on wire 1.1, and of the other on wire 1.0. Resolves with the answer. */
  ask(
    client: Client,
    of11: readonly [type: string, payload?: object, members?: object],
    of10: readonly [type: string, payload?: object, members?: object] = of11,
  ): Promise<{ readonly type: string; readonly payload: unknown }> {
    const asked = client.v11?.ask(...of11) ?? client.v10?.ask(...of10);
    if (asked === undefined) throw new Error("no client");
    return asked;
  }

  /** The id of the question that a client is asked. */
  async questionOf({ v10, v11 }: Client): Promise<string> {
    if (v11 !== undefined) {
      const { payload } = await v11.sees((frame) => frame.payload.kind === "x-vendor.arcp.question");
      return payload.body.id;
    }
    const requests = ["human.input.request", "human.choice.request", "permission.request"];
    return (await v10?.sees(({ type }) => requests.includes(type)))?.id ?? "";
  }

  /** Answers the question that `client` is asked by a message of wire 1.0, or the same of wire 1.1. */
  async answer(client: Client, type: string, payload: object, questionId?: string): Promise<void> {
    const id = questionId ?? (await this.questionOf(client));
    const of11 = [`x-vendor.arcp.${type}`, { request_id: id, ...payload }] as const;
    await this.ask(client, of11, [type, payload, { correlation_id: id }]);
  }

  /** Everything recorded so far. */
  async rows(): Promise<readonly Told[]> {
    await settle();
    const told: Told[] = [];
    for await (const row of auditRows(this.store)) {
      const { seq, action, principal, sessionId: session, jobId: job, facts } = row;
      told.push({ seq, action, principal, session, job, facts: JSON.parse(facts) });
    }
    return told;
  }

  /** The rows of one action. */
  async rowsOf(action: string): Promise<readonly Told[]> {
    return (await this.rows()).filter((row) => row.action === action);
  }

  /** The secrets that stand in the audit. */
  async leaked(): Promise<readonly string[]> {
    const text = JSON.stringify(await this.rows());
    return [...this.#secrets, ...this.mint.values].filter((secret) => text.includes(secret));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { finish } of this.puppet.runs) finish();
    await this.harness[Symbol.asyncDispose]();
    await this.store.close();
    rmSync(this.#directory, { recursive: true });
  }
}
