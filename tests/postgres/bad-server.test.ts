/**
 * Servers that are not what a node wants, for real: with TLS and without, standbys, full disks, no connection left. What can
 * pass is waited for by a runtime at work, which refuses what is new and loses nothing.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobId } from "@arcp/core";
import { ulid } from "@arcp/core";
import { type PostgresOptions, postgres } from "@arcp/postgres";
import type { SharedStore, StoreError } from "@arcp/runtime";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { Node, until } from "../cluster/cluster.ts";
import { createCertificate } from "../operations/certificate.ts";
import { EMPTY, jobRecord, storeFailure } from "../store/files.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { asked } from "../support/postgres.ts";
import { nodeFacts } from "../support/postgres-nodes.ts";
import { PostgresRelay } from "../support/postgres-relay.ts";
import { type Address, installation, PostgresServer } from "../support/postgres-server.ts";
import { Puppet, settle } from "../support/puppet.ts";
import type { Frame } from "../support/raw-client.ts";

let directory = "";
let server: PostgresServer;
let primary: Address;
/** Of an authority that the server's certificate is of, and of one that has nothing to do with it. */
let authority = "";
let stranger = "";

const certificate = createCertificate("localhost");

/** A file of the test's own. */
function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

const suite = describe.skipIf(installation() === undefined);

/** The URL with another user, or through another name. */
const as = (url: string, parts: { username?: string; password?: string; hostname?: string }, query = ""): string => {
  const changed = Object.assign(new URL(url), parts);
  changed.search = query;
  return changed.href;
};

function opened(options: PostgresOptions): SharedStore {
  const store = postgres({ connectTimeoutMs: 5_000, pool: { max: 3 }, ...options });
  onTestFinished(() => store.close());
  return store;
}

const failureOf = (options: PostgresOptions): Promise<StoreError> => storeFailure(() => opened(options).nodes());

/** A user who may make a schema, and may do nothing else. */
async function newRole(name: string): Promise<string> {
  const role = `${name}_${ulid().toLowerCase()}`;
  await asked(primary.url, `CREATE ROLE ${role} LOGIN PASSWORD 'p'; GRANT CREATE ON DATABASE postgres TO ${role}`);
  return role;
}

suite("a server", () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "arcp-pg-bad-"));
    chmodSync(directory, 0o755);
    server = new PostgresServer(join(directory, "server"));
    mkdirSync(join(directory, "server"), { mode: 0o755 });
    const [key, cert] = [server.path("server.key"), server.path("server.crt")];
    writeFileSync(key, certificate.key, { mode: 0o600 });
    writeFileSync(cert, certificate.cert);
    for (const path of [key, cert]) server.give(path);
    primary = await server.create({
      settings: ["ssl = on", `ssl_key_file = '${key}'`, `ssl_cert_file = '${cert}'`, "fsync = off"],
      access: ["hostssl all wants_tls 127.0.0.1/32 scram-sha-256", "host all wants_tls 127.0.0.1/32 reject"],
    });
    server.dieWith(process.pid);
    authority = file("authority.pem", certificate.cert);
    stranger = file("stranger.pem", createCertificate("localhost").cert);
    await asked(primary.url, "CREATE ROLE wants_tls SUPERUSER LOGIN PASSWORD 'p'");
  }, 60_000);

  afterAll(async () => {
    await server.remove();
    rmSync(directory, { recursive: true, force: true });
  }, 30_000);

  describe("that wants TLS", () => {
    const secret = { username: "wants_tls", password: "p", hostname: "localhost" };

    test("refuses a client without it, in words that say so", async () => {
      const failure = await failureOf({ url: as(primary.url, secret) });
      expect(failure).toMatchObject({ reason: "denied", isTransient: false });
      expect(failure.message).toMatch(/no encryption|SSL off/);
    });

    test("lets a client in that knows who has signed its certificate, for what it is committed and listened to", async () => {
      const url = as(primary.url, secret, `?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`);
      const schema = `tls_${ulid().toLowerCase()}`;
      const name = `listens ${schema}`;
      const [one, two] = [
        opened({ url, schema, applicationName: name, wakeMs: 1 }),
        opened({ url, schema, wakeMs: 1 }),
      ];
      const woken = new Promise<void>((resolve) => void one.watch(() => resolve()));
      await one.join(nodeFacts("node_1"), 60_000);
      await two.join(nodeFacts("node_2"), 60_000);
      await until(async () => {
        const rows = await asked<{ ssl: boolean; query: string }>(
          primary.url,
          "SELECT ssl, query FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1",
          [name],
        );
        expect(rows.every(({ ssl }) => ssl)).toBe(true);
        return rows.some(({ query }) => query.startsWith("LISTEN"));
      });
      await two.send([{ from: "node_2", to: "node_1", data: "wake up" }]);
      await woken;
    });

    test.each([
      ["of somebody who is not trusted", "localhost", () => stranger],
      ["of nobody that was named", "localhost", () => undefined],
      ["for another name", "127.0.0.1", () => authority],
    ])("is refused with a certificate %s", async (_, hostname, root) => {
      const named = root();
      const query = named === undefined ? "" : `&sslrootcert=${encodeURIComponent(named)}`;
      const failure = await failureOf({
        url: as(primary.url, { ...secret, hostname }, `?sslmode=verify-full${query}`),
      });
      expect(failure).toMatchObject({ reason: "denied", isTransient: false });
      expect(failure.message).toContain("certificate of the server is not trusted");
    });
  });

  test("whose password was changed under a node ends it, with a reason", async () => {
    const role = await newRole("changed");
    const store = opened({ url: as(primary.url, { username: role, password: "p" }), schema: role });
    await store.join(nodeFacts("node_1"), 60_000);
    await asked(primary.url, `ALTER ROLE ${role} PASSWORD 'another'`);
    await endConnections(role);
    const failure = await storeFailure(() => store.commit({ ...EMPTY, jobs: [jobRecord()] }));
    expect(failure).toMatchObject({ reason: "denied", isTransient: false });
    expect(failure.message).toContain("does not let this user in");
  });

  test("without a connection left is waited for by a runtime at work", { timeout: 60_000 }, async () => {
    const role = await newRole("limited");
    await waitedFor({
      url: as(primary.url, { username: role, password: "p" }),
      schema: role,
      reason: "storage_unreachable",
      begin: async () => {
        await asked(primary.url, `ALTER ROLE ${role} CONNECTION LIMIT 0`);
        await endConnections(role);
      },
      end: async () => {
        await asked(primary.url, `ALTER ROLE ${role} CONNECTION LIMIT -1`);
      },
    });
  });

  test("whose disk is full is waited for by a runtime at work", { timeout: 60_000 }, async (context) => {
    const small = server.path("small");
    if (!mounted(small)) context.skip("a small file system can only be mounted by root");
    const role = await newRole("small");
    onTestFinished(async () => {
      await asked(primary.url, `DROP OWNED BY ${role} CASCADE`);
      await asked(primary.url, "DROP TABLESPACE IF EXISTS small");
      execFileSync("umount", [small]);
    });
    await asked(primary.url, `CREATE TABLESPACE small OWNER ${role} LOCATION '${small}'`);
    await asked(primary.url, `ALTER ROLE ${role} SET default_tablespace = small`);
    const fill = join(small, "fill");
    await waitedFor({
      url: as(primary.url, { username: role, password: "p" }),
      schema: role,
      reason: "storage_full",
      begin: async () => fillUp(fill),
      end: async () => unlinkSync(fill),
    });
  });

  test("that follows another can be read and no more; promoted, it is gone on with", {
    timeout: 60_000,
  }, async (context) => {
    if (!server.canBeFollowed) context.skip("this PostgreSQL is without pg_basebackup");
    const schema = "followed";
    const { relay, url } = await PostgresRelay.before(primary.url);
    const standby = new PostgresServer(join(directory, "standby"));
    onTestFinished(() => standby.remove());
    let second: Address | undefined;
    await waitedFor({
      ...{ url, schema, reason: "storage_unreachable" },
      begin: async (jobId) => {
        second = await standby.follow(primary);
        standby.dieWith(process.pid);
        const reader = opened({ url: second.url, schema });
        expect(await reader.findJob(jobId)).toMatchObject({ id: jobId, status: "running" });
        expect(await reader.nodes()).toMatchObject([{ name: "a", isUp: true }]);
        const refused = await storeFailure(() => reader.join(nodeFacts("node_x"), 60_000));
        expect(refused).toMatchObject({ reason: "read_only", isTransient: false });
        expect(refused.message).toContain("it is a standby");
        const none = await failureOf({ url: second.url, schema: "none_yet" });
        expect(none).toMatchObject({ reason: "version" });
        expect(none.message).toContain("this server is read-only");
        // As when the address moves before the standby is told.
        await server.stop("fast");
        onTestFinished(() => server.start());
        relay.lead(second.url);
      },
      end: () => standby.promote(),
    });
  });
});

/** A file system of its own that has little room; false if this machine does not let this user have one. */
function mounted(path: string): boolean {
  mkdirSync(path, { mode: 0o700 });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m,mode=700", "none", path], { stdio: "ignore" });
  } catch {
    return false;
  }
  server.give(path);
  return true;
}

/** Writes until nothing more fits. */
function fillUp(path: string): void {
  const fd = openSync(path, "w");
  const piece = Buffer.alloc(8_192, 1);
  try {
    for (;;) writeSync(fd, piece);
  } catch {
    closeSync(fd); // It is full.
  }
}

const endConnections = (role: string): Promise<unknown> =>
  asked(primary.url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1", [role]);

interface Trouble {
  readonly url: string;
  readonly schema: string;
  /** Why new work is refused. */
  readonly reason: string;
  /** From then on nothing can be stored. `jobId` is one that is. */
  readonly begin: (jobId: JobId) => Promise<void>;
  readonly end: () => Promise<void>;
}

/** A runtime at work gets into trouble, and out of it again. */
async function waitedFor({ url, schema, reason, begin, end }: Trouble): Promise<void> {
  const [puppet, clock] = [new Puppet(), new ManualClock(Date.now())];
  const node = new Node("a", opened({ url, schema }), {
    agents: { puppet: { handler: puppet.handler } },
    server: { clock, node: { name: "a", ttlMs: 600_000 } },
  });
  onTestFinished(() => node.server.close().then(() => {}));
  const client = await node.session();
  const started = async () => {
    const { payload } = await client.submit("puppet");
    return { jobId: payload.job_id as JobId, run: await puppet.next() };
  };
  const [talker, late] = [await started(), await started()];
  const isOf = (jobId: string, type: string) => (frame: Frame) => frame.job_id === jobId && frame.type === type;
  await talker.run.context.log("info", "first");
  await talker.run.context.flush();
  await begin(late.jobId);

  // An agent that talks all the time, and knows how much of that was taken.
  let [taken, isTalking] = [1, true];
  const talk = (async () => {
    while (isTalking) {
      // Nothing that takes less room when it is stored.
      await talker.run.context.log("info", randomBytes(20_000).toString("base64"));
      await talker.run.context.flush();
      taken += 1;
    }
  })();
  await until(() => node.errors.some((line) => line.includes("new work is refused, and what runs waits")));
  late.run.finish("late");
  const refused = await client.submit("puppet");
  expect(refused).toMatchObject({
    payload: { code: "INTERNAL_ERROR", retryable: true, details: { reason, retry: "after_capacity" } },
  });
  const strange = await (await node.raw()).hello();
  expect(strange.payload).toMatchObject({ code: "INTERNAL_ERROR", retryable: true, details: { reason } });
  await client.fence();
  const takenInTrouble = taken;
  await settle();
  expect(client.frames.some(isOf(late.jobId, "job.result"))).toBe(false);

  await end();
  await until(() => {
    clock.advance(1_000);
    return client.frames.some(isOf(late.jobId, "job.result"));
  });
  const told = (phase: string) => (frame: Frame) =>
    isOf(talker.jobId, "job.event")(frame) && frame.payload.body?.phase === phase;
  await client.sees(told(reason));
  await client.sees(told("storage_available"));
  const again = await started();
  again.run.finish("again");
  await client.end(again.jobId);
  await until(() => taken > takenInTrouble);
  isTalking = false;
  await talk;
  talker.run.finish(taken);
  await client.end(talker.jobId);

  const numbers = client.frames.flatMap(({ event_seq }) => (event_seq === undefined ? [] : [event_seq]));
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  const kept: unknown[] = [];
  for await (const { type } of node.store.entries(talker.jobId)) kept.push(type);
  // What it said, the two words about the database, and the end.
  expect(kept).toEqual([...Array.from({ length: taken + 2 }, () => "job.event"), "job.result"]);
  expect(node.errors.filter((line) => line.includes('"invariant":true'))).toEqual([]);
}
