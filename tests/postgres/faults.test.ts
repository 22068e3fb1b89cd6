/** PostgreSQL that is not there, is not what it should be, or goes away in the middle. */

import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newJobId, newTraceId, type SessionId } from "@arcp/core";
import { postgres } from "@arcp/postgres";
import { type Batch, type JobRecord, type SharedStore, StoreError, verifyAudit } from "@arcp/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { EMPTY, storeFailure } from "../store/files.ts";
import { asked, postgresUrl, reasonForNoPostgres } from "../support/postgres.ts";
import { nodeFacts, TestCluster } from "../support/postgres-nodes.ts";
import { PostgresRelay } from "../support/postgres-relay.ts";
import { installation, PostgresServer } from "../support/postgres-server.ts";

const suite = describe.skipIf(reasonForNoPostgres() !== undefined);
/** Where a server can be restarted. */
const ownServer = describe.skipIf(installation() === undefined);

const job = (): JobRecord => ({
  ...{ id: newJobId(), sessionId: "sess_1" as SessionId, principal: "alice", agent: "worker", agentVersion: "1.0.0" },
  ...{ status: "running", createdAt: 1_000, endedAt: null, lease: {}, leaseConstraints: null, parentJobId: null },
  ...{ delegateId: null, traceId: newTraceId(), budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
});

/** Entry `n`, and a row of the audit that says so: twice stored, it would be there twice. */
const nextOf = (made: JobRecord, n: number): Batch => ({
  ...EMPTY,
  entries: new Map([[made.id, { epoch: 1, list: [{ n, ts: n, code: 0, payload: `{"n":${n}}` }] }]]),
  jobChanges: new Map([[made.id, { ...made, lastN: n }]]),
  audit: [{ at: n, action: `wrote ${n}`, principal: "alice", facts: "{}" }],
});

/** What `use` of a store fails with that was made for this alone. */
async function failureOf(options: Parameters<typeof postgres>[0]): Promise<StoreError> {
  const store = postgres({ connectTimeoutMs: 2_000, ...options });
  onTestFinished(() => store.close());
  return storeFailure(() => store.nodes());
}

suite("a database that cannot be used says why", () => {
  test("a wrong password", async () => {
    const url = new URL(await postgresUrl());
    url.password = "wrong";
    expect(await failureOf({ url: url.href })).toMatchObject({ reason: "denied", isTransient: false });
  });

  test("a user that there is not", async () => {
    const url = new URL(await postgresUrl());
    url.username = "nobody_at_all";
    expect(await failureOf({ url: url.href })).toMatchObject({ reason: "denied" });
  });

  test("a database that there is not", async () => {
    const url = new URL(await postgresUrl());
    url.pathname = "/none";
    const failure = await failureOf({ url: url.href });
    expect(failure).toMatchObject({ reason: "foreign" });
    expect(failure.message).toContain("no such database");
  });

  test("a port on which nobody listens passes", async () => {
    expect(await failureOf({ url: "postgresql://a:b@127.0.0.1:1/x" })).toMatchObject({
      ...{ reason: "unreachable", isTransient: true },
    });
  });

  test("a host that there is not", async () => {
    expect(await failureOf({ url: "postgresql://a:b@host.invalid/x" })).toMatchObject({ reason: "unreachable" });
  });

  test("a server that never answers", async () => {
    const server = createServer(() => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const url = `postgresql://a:b@127.0.0.1:${port}/x`;
    expect(await failureOf({ url, connectTimeoutMs: 50 })).toMatchObject({ reason: "unreachable" });
  });

  test("a URL that is none", async () => {
    await expect(async () => postgres({ url: "not a url" })).rejects.toThrow(/postgresql:/);
    await expect(async () => postgres({ url: "https://example.com/x" })).rejects.toThrow(/postgresql:/);
    await expect(async () => postgres({ url: await postgresUrl(), schema: 'a"b' })).rejects.toThrow(TypeError);
  });

  test("TLS that is required and not there", async () => {
    const url = new URL(await postgresUrl());
    const failure = await failureOf({ url: url.href, ssl: true });
    expect(failure).toMatchObject({ reason: "denied" });
    expect(failure.message).toContain("TLS");
  });

  test("a schema of a newer version", async () => {
    const cluster = await TestCluster.make();
    await cluster.node();
    await cluster.ask("INSERT INTO migration (version) VALUES (1000)");
    const failure = await storeFailure(() => cluster.store().nodes());
    expect(failure).toMatchObject({ reason: "version" });
    expect(failure.message).toContain("1000");
  });

  test("a schema that nobody has made, for whoever must not make it", async () => {
    const cluster = await TestCluster.make();
    const failure = await storeFailure(() => cluster.store({ migrate: false }).nodes());
    expect(failure).toMatchObject({ reason: "version" });
    await cluster.node();
    expect(await cluster.store({ migrate: false }).nodes()).toHaveLength(1);
  });

  test("a schema with tables of another program", async () => {
    const cluster = await TestCluster.make();
    await asked(cluster.url, `CREATE SCHEMA "${cluster.schema}"`);
    await cluster.ask("CREATE TABLE theirs (x integer)");
    const failure = await storeFailure(() => cluster.store().nodes());
    expect(failure).toMatchObject({ reason: "foreign" });
    expect(
      await cluster.ask("SELECT count(*)::integer FROM pg_tables WHERE schemaname = $1", [cluster.schema]),
    ).toEqual([{ count: 1 }]);
  });

  test("a schema of an older version, for whoever must not or cannot bring it up to date", async () => {
    const cluster = await TestCluster.make();
    await cluster.node();
    await cluster.ask("DELETE FROM migration WHERE version = (SELECT max(version) FROM migration)");
    const url = new URL(cluster.url);
    url.searchParams.set("options", "-c default_transaction_read_only=on");
    for (const [options, why] of [
      [{ migrate: false }, "somebody else has to do that"],
      [{ url: url.href }, "this server is read-only"],
    ] as const) {
      const failure = await storeFailure(() => cluster.store(options).nodes());
      expect(failure).toMatchObject({ reason: "version", isTransient: false });
      expect(failure.message).toMatch(/must be brought to version \d+, but/);
      expect(failure.message).toContain(why);
    }
  });

  test("a schema of another cluster", async () => {
    const cluster = await TestCluster.make();
    await cluster.node({ cluster: "blue" });
    await cluster.node({ cluster: "blue" });
    const failure = await storeFailure(() => cluster.store({ cluster: "green" }).nodes());
    expect(failure).toMatchObject({ reason: "foreign", isTransient: false });
    expect(failure.message).toMatch(/blue.*green/);
    // Whoever only looks need not know its name; whoever would take its jobs must.
    const nameless = cluster.store();
    expect(await nameless.nodes()).toHaveLength(2);
    const refused = await storeFailure(() => nameless.join(nodeFacts("node_x"), 1_000));
    expect(refused).toMatchObject({ reason: "foreign" });
    expect(refused.message).toContain('cluster: "blue"');
  });

  test("a schema of a cluster without a name, for one that has a name", async () => {
    const cluster = await TestCluster.make();
    await cluster.node();
    const failure = await storeFailure(() => cluster.store({ cluster: "green" }).nodes());
    expect(failure).toMatchObject({ reason: "foreign" });
    expect(failure.message).toMatch(/a cluster without a name.*green/);
  });

  test("one that can only be read can be read", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    const made = job();
    await one.store.commit({ ...EMPTY, jobs: [made] });
    const url = new URL(cluster.url);
    url.searchParams.set("options", "-c default_transaction_read_only=on");
    const reader = cluster.store({ url: url.href });
    expect(await reader.findJob(made.id)).toEqual(made);
    expect(await storeFailure(() => reader.join(nodeFacts("node_x"), 1_000))).toMatchObject({ reason: "read_only" });
  });

  test("a role with no more than the rights in the README can do everything but make the schema", async () => {
    const cluster = await TestCluster.make();
    await cluster.node();
    const role = `${cluster.schema}_role`;
    await asked(cluster.url, `CREATE ROLE ${role} LOGIN PASSWORD 'p'`);
    onTestFinished(async () => {
      await asked(cluster.url, `DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });
    const url = new URL(cluster.url);
    [url.username, url.password] = [role, "p"];
    expect(await storeFailure(() => cluster.store({ url: url.href, migrate: false }).nodes())).toMatchObject({
      reason: "denied",
    });
    await cluster.ask(`
      GRANT USAGE ON SCHEMA ${cluster.schema} TO ${role};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${cluster.schema} TO ${role};
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${cluster.schema} TO ${role};`);
    const { id, store } = await cluster.node({ url: url.href, migrate: false });
    const made = job();
    await store.commit({ ...EMPTY, jobs: [made] });
    for (let n = 1; n <= 3; n += 1) await store.commit(nextOf(made, n));
    expect(await store.readJournal(made.id, 1, 3)).toHaveLength(3);
    await store.beat(nodeFacts(id));
    await store.sweep({ detachedBefore: 0, endedBefore: 0, now: 0 });
    await store.leave();
  });
});

suite("what passes", () => {
  test.each([
    ["53100", "full"],
    ["55P03", "busy"],
    ["57P01", "unreachable"],
  ])("SQLSTATE %s: the same batch is stored later", async (state, reason) => {
    const cluster = await TestCluster.make();
    const { store } = await cluster.node();
    const made = job();
    await store.commit({ ...EMPTY, jobs: [made] });
    await cluster.ask(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '${state}'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION refuse();`);
    expect(await storeFailure(() => store.commit(nextOf(made, 1)))).toMatchObject({ reason, isTransient: true });
    await cluster.ask("DROP TRIGGER refuse ON entry");
    await store.commit(nextOf(made, 1));
    await expectExactly(store, made, 1);
  });

  test("too many connections", async () => {
    const cluster = await TestCluster.make();
    await cluster.node();
    const role = `${cluster.schema}_full`;
    await asked(cluster.url, `CREATE ROLE ${role} LOGIN PASSWORD 'p' CONNECTION LIMIT 0`);
    onTestFinished(async () => {
      await asked(cluster.url, `DROP ROLE ${role}`);
    });
    const url = new URL(cluster.url);
    [url.username, url.password] = [role, "p"];
    const failure = await storeFailure(() => cluster.store({ url: url.href }).nodes());
    expect(failure).toMatchObject({ reason: "unreachable", isTransient: true });
    expect(failure.message).toContain("too many connections");
  });
});

suite("connections that end", () => {
  test("in the middle of commits: everything that was acknowledged is there, once", async () => {
    const cluster = await TestCluster.make();
    const { store } = await cluster.node({ applicationName: cluster.schema });
    const made = job();
    await store.commit({ ...EMPTY, jobs: [made] });
    const count = 60;
    for (let n = 1; n <= count; n += 1) {
      const committing = committed(store, nextOf(made, n));
      if (n % 3 === 0) {
        const mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        await cluster.ask(mine, [cluster.schema]);
      }
      await committing;
    }
    await expectExactly(store, made, count);
  });

  test("while a batch is on its way: it is not stored twice", async () => {
    const cluster = await TestCluster.make();
    const { store } = await cluster.node({ queryTimeoutMs: 300 });
    const made = job();
    await store.commit({ ...EMPTY, jobs: [made] });
    // It takes longer than is waited for it.
    await cluster.ask(`
      CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.n = 1 THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END $$;
      CREATE TRIGGER hold BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION hold();`);
    await committed(store, nextOf(made, 1));
    await committed(store, nextOf(made, 2));
    await expectExactly(store, made, 2);
  });

  test("and stay away: a batch of which something was taken meanwhile is the one that may be stored already", async () => {
    const cluster = await TestCluster.make();
    const { relay, url } = await PostgresRelay.before(cluster.url);
    const { store } = await cluster.node({ url });
    const [made, taken] = [job(), job()];
    await store.commit({ ...EMPTY, jobs: [made, taken] });
    const [own, lost] = [nextOf(made, 1), nextOf(taken, 1)];
    const entries = new Map([...own.entries, ...lost.entries]);
    const jobChanges = new Map([...own.jobChanges, ...lost.jobChanges]);
    relay.deafen();
    expect(await storeFailure(() => store.commit({ ...own, entries, jobChanges }))).toMatchObject({
      isTransient: true,
    });
    relay.hear();
    for (const part of [entries, jobChanges]) part.delete(taken.id);
    await store.commit({ ...own, entries, jobChanges });
    await store.commit(nextOf(made, 2));
    await expectExactly(store, made, 2);
    expect(await store.readJournal(taken.id, 1, 1)).toHaveLength(1);
  });

  test("and stay away: the same batch is not stored twice when they are back, and another one is stored", async () => {
    const cluster = await TestCluster.make();
    const { relay, url } = await PostgresRelay.before(cluster.url);
    const { store } = await cluster.node({ url });
    const made = job();
    await store.commit({ ...EMPTY, jobs: [made] });
    for (const [first, next] of [
      [1, 1],
      [2, 3],
    ] as const) {
      relay.deafen();
      expect(await storeFailure(() => store.commit(nextOf(made, first)))).toMatchObject({ reason: "unreachable" });
      relay.hear();
      expect(await store.readJournal(made.id, first, first)).toHaveLength(1);
      await store.commit(nextOf(made, next));
    }
    await expectExactly(store, made, 3);
  });
});

/** As the engine does: what passes is tried again, as it is. */
const committed = (store: SharedStore, batch: Batch): Promise<void> => patiently(() => store.commit(batch));

async function patiently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreError && error.isTransient)) throw error;
    }
  }
}

async function expectExactly(store: SharedStore, made: JobRecord, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  expect((await store.readJournal(made.id, 1, count + 1)).map(({ n }) => n)).toEqual(numbers);
  const audit = await store.readAudit(undefined, count + 1);
  expect(audit.map(({ action }) => action)).toEqual(numbers.map((n) => `wrote ${n}`));
  expect(await verifyAudit(store)).toMatchObject({ broken: undefined });
}

ownServer("a server that crashes", () => {
  test("under load: nothing that was acknowledged is lost, and nothing is there twice", {
    timeout: 60_000,
  }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "arcp-pg-crash-"));
    chmodSync(directory, 0o755);
    const server = new PostgresServer(join(directory, "server"));
    onTestFinished(async () => {
      await server.remove();
      rmSync(directory, { recursive: true, force: true });
    });
    const { url } = await server.create();
    const store = postgres({ url });
    onTestFinished(() => store.close());
    await store.join(nodeFacts("node_1"), 600_000);
    const made = job();
    await store.commit({ ...EMPTY, jobs: [made] });
    let [n, isOver] = [0, false];
    const writing = (async () => {
      while (!isOver) {
        await committed(store, nextOf(made, n + 1));
        n += 1;
      }
    })();
    const reading = (async () => {
      while (!isOver) {
        const known = n;
        expect((await patiently(() => store.readJournal(made.id, 1, known))).length).toBe(known);
      }
    })();
    for (let crashes = 0; crashes < 3; crashes += 1) {
      const before = n;
      while (n < before + 20) await new Promise((resolve) => setImmediate(resolve));
      await server.restart("immediate");
    }
    const before = n;
    while (n < before + 20) await new Promise((resolve) => setImmediate(resolve));
    isOver = true;
    await Promise.all([writing, reading]);
    await expectExactly(store, made, n);
    expect(await store.beat(nodeFacts("node_1"))).toMatchObject([{ isUp: true }]);
  });
});
