/** A pooler in transaction mode before a PostgreSQL: each transaction may be given another connection to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { asked } from "./postgres.ts";
import { freePort, identity } from "./postgres-server.ts";

/** So few that those who come one after the other seldom find what they have left. */
const SERVER_CONNECTIONS = 3;

/** Where Debian puts it is in nobody's path but root's. */
function program(): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return directories.map((directory) => join(directory, "pgbouncer")).find((path) => existsSync(path));
}

/** Why there is no pooler; `undefined` if there is one. */
export function reasonForNoPooler(): string | undefined {
  if (program() !== undefined) return undefined;
  const reason = "PgBouncer is not installed";
  console.warn(`skipped: ${reason}`);
  return reason;
}

export class Pooler {
  /** What is asked through it. */
  readonly url: string;
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(url: string, directory: string, child: ChildProcess) {
    [this.url, this.#directory, this.#process] = [url, directory, child];
  }

  /** Resolves when it lets the user of `url` in. */
  static async before(url: string): Promise<Pooler> {
    const server = new URL(url);
    const directory = mkdtempSync(join(tmpdir(), "arcp-pooler-"));
    const port = await freePort();
    const users = join(directory, "users");
    const settings = join(directory, "pgbouncer.ini");
    writeFileSync(users, `"${server.username}" "${decodeURIComponent(server.password)}"\n`);
    writeFileSync(
      settings,
      [
        ...["[databases]", `* = host=${server.hostname} port=${server.port || 5432}`, "[pgbouncer]"],
        ...["listen_addr = 127.0.0.1", `listen_port = ${port}`, "unix_socket_dir =", "pool_mode = transaction"],
        ...["auth_type = scram-sha-256", `auth_file = ${users}`, `default_pool_size = ${SERVER_CONNECTIONS}`],
        ...["max_client_conn = 1000", "log_connections = 0", "log_disconnections = 0", "server_round_robin = 1"],
      ].join("\n"),
    );
    const { uid, gid } = identity();
    if (uid !== undefined && gid !== undefined) {
      for (const path of [directory, users, settings]) chownSync(path, uid, gid);
    }
    const child = spawn(program() as string, ["-q", settings], {
      ...identity(),
      cwd: directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    server.hostname = "127.0.0.1";
    server.port = String(port);
    const pooler = new Pooler(server.href, directory, child);
    for (;;) {
      if (child.exitCode !== null) throw new Error(`PgBouncer has ended: ${said}`);
      try {
        await asked(server.href, "SELECT 1");
        return pooler;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20)); // It is not there yet.
      }
    }
  }

  async close(): Promise<void> {
    if (this.#process.exitCode === null) {
      this.#process.kill("SIGKILL");
      await once(this.#process, "exit");
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
