/** The `arcp` command over PostgreSQL. */
import { chmod } from "node:fs/promises";
import { ulid } from "@arcp/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { asked, freshSchema, postgresUrl, reasonForNoPostgres } from "../support/postgres.ts";
import { Workspace } from "./arcp.ts";

const suite = describe.skipIf(reasonForNoPostgres() !== undefined);
const TOKEN = { ARCP_TOKEN: "one=alice" };

/** Would be ready tomorrow. */
const SLEEPER = `
export const version = "1.0.0";
export const options = { durable: true };
export default async (input, ctx) => {
  await ctx.log("info", "good night");
  await ctx.sleep(86_400_000);
};
`;

/** The URL of a schema of its own. */
async function freshDatabase(): Promise<{ readonly url: URL; readonly schema: string; readonly password: string }> {
  const url = new URL(await postgresUrl());
  const schema = freshSchema(url.href);
  url.searchParams.set("schema", schema);
  return { url, schema, password: url.password };
}

/** Without what only the command line knows. */
function plain(url: URL): string {
  const copy = new URL(url);
  copy.searchParams.delete("schema");
  return copy.href;
}

suite("nodes", () => {
  it("are listed, go on with each other's jobs, and stop by themselves when they are drained", async () => {
    const { url, password } = await freshDatabase();
    await using workspace = await Workspace.create({ "sleeper.ts": SLEEPER });
    const env = { ...TOKEN, ARCP_DB: url.href };
    const sleeper = ["--agent", "sleeper=./sleeper.ts"];
    const a = await workspace.serve(["--node-name", "a", "--label", "zone=x", ...sleeper], env);
    const b = await workspace.serve(["--node-name", "b", "--node-ttl", "5", ...sleeper], env);

    const { lines } = await workspace.run(["nodes"], { env });
    expect(lines).toMatchObject([
      { name: "a", state: "up", labels: { zone: "x" }, agents: ["sleeper@1.0.0"], jobs: 0 },
      { name: "b", state: "up", agents: ["sleeper@1.0.0"] },
    ]);
    const table = await workspace.run(["nodes", "--no-json"], { env });
    expect(table.stdout).toMatch(
      /^NODE +NAME +STATE .*\nnode_\w{26} +a +up .* zone=x +sleeper@1\.0\.0\nnode_\w{26} +b +up /,
    );

    const submitted = await workspace.run(["submit", "sleeper", "--detach"], { env: { ...env, ARCP_URL: a.url } });
    const jobId = submitted.stdout.trim();
    const listed = await workspace.run(["jobs"], { env: { ...env, ARCP_URL: b.url } });
    expect(listed.lines).toMatchObject([{ job_id: jobId, status: "running" }]);

    const put = ["artifact", "put", "sleeper.ts", "--no-json"];
    const artifact = (await workspace.run(put, { env: { ...env, ARCP_URL: a.url } })).stdout.trim();
    const got = await workspace.run(["artifact", "get", artifact], { env: { ...env, ARCP_URL: b.url } });
    expect(got).toMatchObject({ code: 0, stdout: SLEEPER });

    const drained = await workspace.run(["drain", "a"], { env });
    expect(drained).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringMatching(/^a \(node_\w+\) has gone\n$/),
    });
    const ended = await a.command.end();
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain('"msg":"this node was asked to stop"');
    expect(ended.stderr).toContain(`"handedOver":1,"handedOverJobs":["${jobId}"]`);
    await b.command.complains(`"jobId":"${jobId}"`);
    const again = await workspace.run(["drain", "a"], { env });
    expect(again).toMatchObject({ code: 1, stderr: "arcp: no node a is up: `arcp nodes` lists those that are\n" });
    const all = await workspace.run(["nodes", "--all"], { env });
    expect(all.lines).toMatchObject([{ state: "gone" }, { state: "up" }]);

    const id = String(all.lines[1]?.["id"]);
    expect((await workspace.run(["drain", id, "--no-wait"], { env })).stdout).toBe(`b (${id}) was asked to stop\n`);
    expect((await b.command.end()).code).toBe(0);
    for (const { stdout, stderr } of [ended, drained, table, b.command])
      expect(stdout + stderr).not.toContain(password);
  }, 60_000);

  it("that have one name are drained by their ids", async () => {
    const { url } = await freshDatabase();
    await using workspace = await Workspace.create();
    const env = { ...TOKEN, ARCP_DB: url.href };
    await workspace.serve(["--node-name", "twin"], env);
    await workspace.serve(["--node-name", "twin"], env);
    const { code, stderr } = await workspace.run(["drain", "twin"], { env });
    expect(code).toBe(64);
    expect(stderr).toMatch(/^arcp: 2 nodes are called twin; name one by its id: node_\w+, node_\w+\n$/);
  }, 60_000);
});

suite("a database on PostgreSQL", () => {
  it.runIf(process.platform !== "win32")(
    "is named by the configuration, which nobody else can read if it has the password",
    async () => {
      const { url, schema } = await freshDatabase();
      const settings = { db: plain(url), postgres: { schema }, node: { name: "configured", labels: { zone: "y" } } };
      await using workspace = await Workspace.create({
        "arcp.config.json": JSON.stringify({ ...settings, agents: { sleeper: "./sleeper.ts" } }),
        "sleeper.ts": SLEEPER,
      });
      await chmod(workspace.path("arcp.config.json"), 0o644);
      const open = await workspace.run(["serve", "--port", "0"], { env: TOKEN });
      expect(open).toMatchObject({ code: 64, stderr: expect.stringContaining("others can read it; chmod 600 it") });
      await chmod(workspace.path("arcp.config.json"), 0o600);
      const { command } = await workspace.serve(["--label", "rack=7"], TOKEN);
      expect(command.lines[0]).toMatchObject({ type: "ready", node: "configured" });
      const { lines } = await workspace.run(["nodes", "--db", url.href]);
      expect(lines).toMatchObject([
        { name: "configured", labels: { zone: "y", rack: "7" }, agents: ["sleeper@1.0.0"] },
      ]);
    },
    30_000,
  );

  it("is read by the commands that read databases", async () => {
    const { url, password } = await freshDatabase();
    await using workspace = await Workspace.create();
    const env = { ...TOKEN, ARCP_DB: url.href };
    const runtime = await workspace.serve([], env);
    expect((await workspace.run(["submit", "echo"], { env: { ...env, ARCP_URL: runtime.url } })).code).toBe(0);

    expect((await workspace.run(["replay", "--json"], { env })).lines).toMatchObject([
      { type: "job" },
      { type: "job.event" },
      { type: "job.result" },
    ]);
    expect((await workspace.run(["audit", "--action", "job.*"], { env })).lines).toMatchObject([
      { action: "job.submitted" },
      { action: "job.ended" },
    ]);
    expect((await workspace.run(["audit", "verify"], { env })).lines).toMatchObject([{ is_whole: true }]);
    expect((await workspace.run(["credentials"], { env })).code).toBe(0);
    expect((await workspace.run(["schedule", "list"], { env })).code).toBe(0);
    const tail = await workspace.run(["tail", url.href, "--no-follow"]);
    expect(tail.lines.at(-1)).toMatchObject({ type: "job.result" });
    // Whoever lists processes has seen that one.
    expect(tail.stderr).toMatch(/^arcp: warning: other users of this machine can see the password of the database/);
    expect(tail.stderr + tail.stdout).not.toContain(password);
    const missing = await workspace.run(["replay", "--job", `job_${ulid()}`], { env });
    expect(missing.stderr).toMatch(/^arcp: postgresql:\/\/postgres@127\.0\.0\.1:\d+\/postgres has no job job_\w+\n$/);

    for (const command of ["check", "compact", "rekey", "export"]) {
      const { code, stderr } = await workspace.run(["db", command], { env });
      expect([code, stderr]).toEqual([64, expect.stringMatching(/^arcp: `arcp db` is for files; PostgreSQL has/)]);
    }
  }, 60_000);

  const wrong: readonly (readonly [string, (url: URL) => string, number, RegExp])[] = [
    ["a wrong password", (url) => changed(url, { password: "0ther" }), 1, /does not let this user in \(password auth/],
    ["nobody there", (url) => changed(url, { port: "1" }), 1, /cannot be reached .*; is PostgreSQL running there\?/],
    ["no such database", (url) => changed(url, { pathname: "/none" }), 1, /there is no such database on the server/],
    [
      "TLS that there is not",
      (url) => `${url.href}&sslmode=verify-full`,
      1,
      /TLS is required, and the server does not/,
    ],
    ["a URL that is none", () => "postgresql://a:s3cret@:::/x", 64, /^arcp: postgresql:\/\/a@:::\/x: Invalid URL/],
    ["another database", () => "mysql://a:s3cret@db/x", 64, /a file, or a URL that begins with postgresql:\/\//],
    ["a schema's name that is none", () => "postgresql://a:s3cret@db/x?schema=A-B", 64, /1 to 40 lower-case letters/],
  ];
  it.each(wrong)("that cannot be used: %s", async (_, of, code, message) => {
    const { url, password } = await freshDatabase();
    await using workspace = await Workspace.create();
    const ended = await workspace.run(["serve", "--port", "0"], { env: { ...TOKEN, ARCP_DB: of(url) } });
    expect(ended).toMatchObject({ code, stdout: "" });
    expect(ended.stderr.split("\n").filter((line) => line.startsWith("arcp: "))).toHaveLength(1);
    expect(ended.stderr).toMatch(message);
    for (const secret of [password, "0ther", "s3cret"]) expect(ended.stderr).not.toContain(secret);
  });

  it("that cannot be used: a schema of a newer version, or one that nobody has made", async () => {
    const { url, schema } = await freshDatabase();
    await using workspace = await Workspace.create();
    const env = { ...TOKEN, ARCP_DB: url.href };
    const none = await workspace.run(["nodes"], { env });
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining(`there is no schema ${schema}`) });
    expect(none.stderr).toContain("`arcp serve` makes it");
    const { command } = await workspace.serve([], env);
    await command.kill("SIGTERM");
    await asked(plain(url), `INSERT INTO "${schema}".migration (version) VALUES (1000)`);
    const newer = await workspace.run(["serve", "--port", "0"], { env });
    expect(newer).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/is of version 1000, .* a newer one has written it/),
    });
  }, 30_000);

  it("that cannot be used: one that can only be read, as a standby", async () => {
    const { url, schema } = await freshDatabase();
    await using workspace = await Workspace.create();
    const { command } = await workspace.serve([], { ...TOKEN, ARCP_DB: url.href });
    await command.kill("SIGTERM");
    const reader = `reader_${ulid().toLowerCase()}`;
    onTestFinished(async () => {
      await asked(plain(url), `DROP OWNED BY ${reader}`);
      await asked(plain(url), `DROP ROLE ${reader}`);
    });
    for (const statement of [
      `CREATE ROLE ${reader} LOGIN PASSWORD 'reader'`,
      `ALTER ROLE ${reader} SET default_transaction_read_only = on`,
      `GRANT USAGE ON SCHEMA "${schema}" TO ${reader}`,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO ${reader}`,
    ])
      await asked(plain(url), statement);
    const env = { ...TOKEN, ARCP_DB: changed(url, { username: reader, password: "reader" }) };
    const { code, stderr } = await workspace.run(["serve", "--port", "0"], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /\narcp: postgresql:.*it is a standby, or is set to be read-only.*the URL must be that of the/,
    );
    expect((await workspace.run(["nodes"], { env })).code).toBe(0);
  }, 30_000);

  it("that cannot be used: one that has no connection left, of which nobody asks whether it runs", async () => {
    const { url } = await freshDatabase();
    await using workspace = await Workspace.create();
    const role = `busy_${ulid().toLowerCase()}`;
    onTestFinished(async () => {
      await asked(plain(url), `DROP ROLE ${role}`);
    });
    await asked(plain(url), `CREATE ROLE ${role} LOGIN PASSWORD 'p' CONNECTION LIMIT 0`);
    const env = { ...TOKEN, ARCP_DB: changed(url, { username: role, password: "p" }) };
    const { code, stderr } = await workspace.run(["serve", "--port", "0"], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/PostgreSQL has too many connections \(too many connections for role "busy_\w+"\)\n$/);
  });

  it("that is lost for good ends the server, so that a supervisor begins anew", async () => {
    const { url, schema, password } = await freshDatabase();
    await using workspace = await Workspace.create();
    const env = { ...TOKEN, ARCP_DB: url.href };
    const runtime = await workspace.serve([], env);
    await asked(plain(url), `DROP SCHEMA "${schema}" CASCADE`);
    const submitted = workspace.start(["submit", "echo"], { ...env, ARCP_URL: runtime.url });
    await runtime.command.complains("arcp: ");
    await submitted.kill("SIGKILL");
    const { code, stderr } = await runtime.command.end();
    expect(code).toBe(1);
    expect(stderr).toMatch(/\narcp: postgresql:.*: the schema is missing: it was never made/);
    expect(stderr).not.toContain(password);
  }, 60_000);

  it("is not encrypted by ARCP_DB_KEY, and a file has no nodes", async () => {
    await using workspace = await Workspace.create();
    const key = { ARCP_DB_KEY: Buffer.alloc(32, 1).toString("base64") };
    const env = { ...TOKEN, ARCP_DB: await postgresUrl() };
    const encrypted = await workspace.run(["serve", "--port", "0"], { env: { ...env, ...key } });
    expect(encrypted).toMatchObject({ code: 64, stderr: expect.stringMatching(/^arcp: ARCP_DB_KEY is for files/) });
    const named = await workspace.run(["serve", "--port", "0", "--node-name", "a"], { env: TOKEN });
    expect(named).toMatchObject({
      code: 64,
      stderr: expect.stringMatching(/^arcp: --node-name, --label and --node-ttl/),
    });
    const file = await workspace.run(["nodes", "--db", "runtime.db"]);
    expect(file).toMatchObject({ code: 64, stderr: expect.stringContaining("and not runtime.db\n") });
  });
});

const changed = (url: URL, parts: Partial<Pick<URL, "username" | "password" | "port" | "pathname">>): string =>
  Object.assign(new URL(url), parts).href;
