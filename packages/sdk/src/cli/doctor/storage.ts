/** Can the database be used? */
import { constants, existsSync } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { lockFile, StoreError, type StoreFailure } from "@arcp/runtime";
import type { ARCPConfig } from "../../config.ts";
import { stateOf } from "../cluster-nodes.ts";
import { openDatabase, shownDatabase } from "../database.ts";
import { reasonOf } from "../failure.ts";
import { isPostgres, openPostgres } from "../postgres.ts";
import type { Check } from "./finding.ts";
import { nearestDirectory } from "./machine.ts";

const MEMORY = ":memory:";

export async function checkDatabase(check: Check, database: string, settings?: ARCPConfig["postgres"]): Promise<void> {
  if (database === MEMORY) check.ok("in memory: what happens is forgotten when the runtime ends");
  else if (isPostgres(database)) await checkPostgres(check, database, settings);
  else await checkFile(check, database);
}

async function checkFile(check: Check, path: string): Promise<void> {
  const directory = dirname(resolve(path));
  if (!existsSync(path)) {
    const place = nearestDirectory(directory);
    const mayMake = await isAllowed(place, constants.W_OK | constants.X_OK);
    if (mayMake) check.ok(`${path}, which \`arcp serve\` will make`);
    else check.error(`${path} is not there, and cannot be made: ${place} cannot be written`, permit(place));
    return;
  }
  const facts = await stat(path);
  if (!facts.isFile()) return check.error(`${path} is no file`, "name a file with --db");
  if (!(await isAllowed(path, constants.R_OK | constants.W_OK)))
    return check.error(`${path} cannot be read and written`, permit(path));
  if (!(await isAllowed(directory, constants.W_OK | constants.X_OK))) {
    return check.error(
      `${directory} cannot be written, and the database needs files beside itself there`,
      permit(directory),
    );
  }
  if (process.platform !== "win32" && (facts.mode & 0o077) !== 0)
    check.warning(`others can read ${path}`, `chmod 600 ${path}`);
  try {
    await (await openDatabase(path)).close();
  } catch (thrown) {
    return report(check, thrown);
  }
  const user = userOf(path);
  check.ok(`${path}${user === undefined ? "" : `: ${user}`}`);
}

/** Who has the file, if it is somebody. */
function userOf(path: string): string | undefined {
  // The lock itself is a file, which only runtimes make.
  if (!existsSync(`${path}-lock`)) return undefined;
  try {
    lockFile(path)();
    return undefined;
  } catch (error) {
    if (error instanceof StoreError && error.reason === "locked") return error.message.replace(`${path} is `, "");
    throw error;
  }
}

async function checkPostgres(check: Check, database: string, settings: ARCPConfig["postgres"]): Promise<void> {
  try {
    const store = await openPostgres(database, { ...settings, migrate: false, pool: { max: 1 } });
    try {
      const nodes = (await store.nodes()).filter(({ isUp }) => isUp);
      const silent = nodes.filter((node) => stateOf(node) === "silent").map(({ name }) => name);
      if (silent.length > 0) {
        check.warning(
          `of its nodes nothing is heard from ${silent.join(", ")}`,
          "arcp nodes says more; others take their jobs",
        );
      }
      check.ok(
        `${shownDatabase(database)} answers, its schema is this version's, and nodes that use it: ${nodes.length}`,
      );
    } finally {
      await store.close();
    }
  } catch (thrown) {
    report(check, thrown);
  }
}

/** What helps, by what is wrong. */
const FIXES: Readonly<Record<StoreFailure, string>> = {
  full: "make room on its disk",
  busy: "end the program that writes to it, or wait",
  locked: "stop the runtime that has it, or give this one a database of its own with --db",
  read_only: "let this user write to it, and to the directory that it is in",
  io: "look at the disk (dmesg), and restore a backup",
  corrupt: "arcp db check says what is damaged; restore a backup (docs/storage.md)",
  foreign: "name another one with --db",
  version: "use the version of arcp that has written it, or a newer one: npm install @arcp/sdk@latest",
  key: "set ARCP_DB_KEY to the keys that it was encrypted with (docs/storage.md)",
  unreachable: "start it, and look at host, port and firewalls: --db or ARCP_DB says where it is",
  denied: "look at the user, the password and pg_hba.conf; a password is best kept in ARCP_DB or PGPASSWORD",
  failed: "ARCP_DEBUG=1 arcp serve says more",
};

function report(check: Check, thrown: unknown): void {
  const message = reasonOf(thrown);
  const failure = thrown instanceof StoreError ? thrown : (thrown as Error).cause;
  const reason = failure instanceof StoreError ? failure.reason : "failed";
  // What the next start makes or brings up to date is no error.
  const isOlder =
    reason === "version" && /there is no schema|a runtime that opens it|somebody else has to/.test(message);
  if (isOlder) check.warning(message, "start `arcp serve`: it does that, and keeps a copy of a file");
  else check.error(message, FIXES[reason]);
}

const permit = (place: string): string => `let this user in (ls -ld ${place}), or name another place with --db`;

const isAllowed = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );
