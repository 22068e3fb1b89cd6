/** Nodes of two adjacent versions over one database. */
import type { AgentHandler, SharedStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { MIGRATIONS } from "../../packages/postgres/src/schema.ts";
import { storeFailure } from "../store/files.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { nodeFacts, TestCluster } from "../support/postgres-nodes.ts";
import { Puppet } from "../support/puppet.ts";
import { Cluster, type Node, type NodeSettings, until } from "./cluster.ts";

/** What the next version may do to a schema that nodes of this one use. */
const NEXT = MIGRATIONS.length + 1;
const TO_NEXT = `
ALTER TABLE job ADD COLUMN hue text; ALTER TABLE session ADD COLUMN hue text; ALTER TABLE entry ADD COLUMN hue text;
ALTER TABLE node ADD COLUMN hue text; ALTER TABLE credential ADD COLUMN hue text;
CREATE INDEX job_by_hue ON job (hue); CREATE TABLE paint (hue text PRIMARY KEY);
INSERT INTO migration (version) VALUES (${NEXT});`;

/** The node says of itself that it is of that level. */
const asLevel =
  (level: number | undefined) =>
  (store: SharedStore): SharedStore =>
    new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        if (name !== "join" && name !== "beat") return member.bind(target);
        return (facts: object, ...rest: unknown[]) => {
          const { level: _own, ...others } = facts as { readonly level?: number };
          return Reflect.apply(member, target, [level === undefined ? others : { ...others, level }, ...rest]);
        };
      },
    });

/** One step after the other; the first node stays in the second. */
function stepping() {
  const seen: string[] = [];
  let isStuck = true;
  const handler: AgentHandler = async (input, context) => {
    for (const step of ["one", "two", "three"]) {
      await context.step(step, async () => {
        seen.push(`${input} ${step}`);
        if (step === "two" && isStuck) await new Promise(() => {});
      });
    }
    return input;
  };
  const free = (): void => {
    isStuck = false;
  };
  const agents: NodeSettings["agents"] = { worker: { handler, options: { durable: true } } };
  return { agents, seen, free };
}

/** What a program of one version can name in the schema: columns, and functions with their parameters. */
const NAMED = `
SELECT c.relname || '.' || a.attname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relname !~ '^entry_[0-9]+$'
UNION ALL SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' FROM pg_proc p
  WHERE p.pronamespace = to_regnamespace($1) AND p.prorettype <> 'trigger'::regtype`;

/** Columns that have to be given, and those that a unique index is about. */
const REQUIRED = `
SELECT table_name || '.' || column_name AS name FROM information_schema.columns
  WHERE table_schema = $1 AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'
UNION ALL SELECT tablename || '.' || indexdef FROM pg_indexes WHERE schemaname = $1 AND indexdef LIKE 'CREATE UNIQUE %' AND tablename !~ '^entry_[0-9]+$'`;

/** A schema as a program of version 1 has made it. */
class OldSchema {
  readonly #cluster: TestCluster;

  private constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  static async make(cluster: TestCluster): Promise<OldSchema> {
    const old = new OldSchema(cluster);
    await cluster.ask(`CREATE SCHEMA ${cluster.schema}`);
    await cluster.ask("CREATE TABLE migration (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())");
    await old.bringTo(1);
    await cluster.ask("INSERT INTO cluster (name, secret) VALUES ('', decode(repeat('00', 32), 'hex'))");
    return old;
  }

  async bringTo(version: number): Promise<void> {
    await this.#cluster.ask(MIGRATIONS[version - 1]?.(`"${this.#cluster.schema}"`) ?? "");
    await this.#cluster.ask("INSERT INTO migration (version) VALUES ($1)", [version]);
  }

  async names(query: string): Promise<readonly string[]> {
    const rows = await this.#cluster.ask<{ name: string }>(query, [this.#cluster.schema]);
    return rows.map(({ name }) => name);
  }

  /** Stores a job as a node of version 1 does. `node` is `null` for a job that is for anybody. */
  async putJob(id: string, parent: string | null, node: string | null): Promise<void> {
    await this.#cluster.ask(
      `INSERT INTO job (id, day, node, epoch, session_id, principal, agent, agent_version, status, created_at, lease,
         parent_job_id, trace_id, last_n, last_event_seq)
       VALUES ($1, today(), $2, 1, 'sess_1', 'alice', 'worker', '1.0.0', 'running', 1, '{}', $3, 't', 0, 0)`,
      [id, node, parent],
    );
  }
}

describe.skipIf(reasonForNoPostgres() !== undefined)("a schema of the version before", () => {
  test("has everything afterwards that programs of that version use, and asks nothing new of them", async () => {
    const old = await OldSchema.make(await TestCluster.make());
    for (let version = 2; version <= MIGRATIONS.length; version += 1) {
      const [named, required] = [await old.names(NAMED), new Set(await old.names(REQUIRED))];
      const tables = new Set(named.map((name) => name.split(".")[0]));
      await old.bringTo(version);
      const now = new Set(await old.names(NAMED));
      expect(named.filter((name) => !now.has(name))).toEqual([]);
      const asked = (await old.names(REQUIRED)).filter((name) => !required.has(name));
      expect(asked.filter((name) => tables.has(name.split(".")[0]))).toEqual([]);
    }
  });

  test("tells families of jobs that were there before, and of those that programs of that version go on to make", async () => {
    const cluster = await TestCluster.make();
    const old = await OldSchema.make(cluster);
    const facts = JSON.stringify(nodeFacts("node_old"));
    await cluster.ask(
      "INSERT INTO node (id, started_at, beat_at, ttl_ms, facts) SELECT 'node_old', t, t, 60000, $1 FROM now_ms() AS t",
      [facts],
    );
    await old.putJob("job_root", null, "node_old");
    await old.putJob("job_child", "job_root", "node_old");
    await old.putJob("job_placed", "job_root", "node_old");
    await cluster.ask("INSERT INTO record (kind, id, principal, data) VALUES ('owed', 'job_placed', 'alice', '{}')");
    const { store } = await cluster.node();
    await old.putJob("job_grandchild", "job_child", "node_old");
    await old.putJob("job_for_anybody", "job_child", null);
    expect(await cluster.ask("SELECT id, family FROM job ORDER BY key")).toEqual([
      { id: "job_root", family: null },
      { id: "job_child", family: "job_root" },
      { id: "job_placed", family: null },
      { id: "job_grandchild", family: "job_root" },
      { id: "job_for_anybody", family: null },
    ]);
    expect(await store.nodes()).toMatchObject([{}, { id: "node_old", isUp: true }]);
    await cluster.ask("UPDATE node SET is_up = false WHERE id = 'node_old'");
    const claimed = await store.claimJobs([], 1, "job_grandchild" as never);
    expect(claimed.map(({ id }) => id)).toEqual(["job_root", "job_child", "job_grandchild"]);
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("while nodes run, a schema", () => {
  test("becomes one of the next version, and they go on; one of this version is not started any more", async () => {
    const { agents, seen, free } = stepping();
    const cluster = await Cluster.of({ agents }, { agents });
    const [a, b] = cluster.nodes as [Node, Node];
    await b.up();
    const client = await a.session();
    const { job_id } = (await client.submit("worker", "first")).payload;
    await until(() => seen.includes("first two"));
    await cluster.ask(TO_NEXT);
    const second = (await client.submit("worker", "second")).payload.job_id;
    await until(() => seen.includes("second two"));
    free();
    await a.kill();
    await cluster.silence(b);
    const late = await b.raw();
    await late.resume(client, 0);
    for (const id of [job_id, second]) expect((await late.end(id)).payload).toMatchObject({ final_status: "success" });
    expect(seen.filter((step) => step.endsWith("one")).toSorted()).toEqual(["first one", "second one"]);

    const c = await cluster.add({ agents });
    await expect(c.server.ready).rejects.toMatchObject({
      reason: "version",
      message: expect.stringContaining(`of version ${NEXT}`),
    });
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a node", () => {
  test("is not asked for what came with a level above its own, and takes part in everything else", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const said: string[] = [];
    const listening = (store: SharedStore): SharedStore =>
      new Proxy(store, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name);
          if (name === "send") {
            return (messages: Parameters<SharedStore["send"]>[0]) => {
              said.push(...messages.map(({ data }) => (JSON.parse(data) as { readonly method: string }).method));
              return store.send(messages);
            };
          }
          return typeof member === "function" ? member.bind(target) : member;
        },
      });
    const cluster = await Cluster.of({ wrap: listening }, { agents, wrap: asLevel(undefined) });
    const [a, b] = cluster.nodes as [Node, Node];
    await Promise.all([a.knows("puppet"), b.up()]);
    const client = await a.session10();
    const { job_id = "" } = await client.invoke("puppet", 1);
    const run = await puppet.next();
    const refused = await client.ask("lease.refresh", { lease_id: "lease_unknown" });
    expect(refused.payload).toMatchObject({ code: "NOT_FOUND" });
    expect(said).not.toContain("lease.change");
    const stopped = new Promise<void>((resolve) => run.context.signal.addEventListener("abort", () => resolve()));
    await client.ask("cancel", { target: "job", target_id: job_id });
    await stopped;
    run.fail(run.context.signal.reason);
    expect(said).toContain("job.cancel");
  });

  test("that is more than one level away from one that is up is not let in", async () => {
    const cluster = await Cluster.of({ wrap: asLevel(99) });
    const [a] = cluster.nodes as [Node];
    await a.server.ready;
    const late = await cluster.add({});
    const failure = await storeFailure(() => late.server.ready);
    expect(failure).toMatchObject({ reason: "version" });
    expect(failure.message).toContain("is of version 1.0.0, level 99");
  });
});
