/** PostgreSQL on the command line: URLs, whose passwords are never printed, and stores over them. */
import type { PostgresOptions } from "@arcp/postgres";
import { type SharedStore, StoreError } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";

type Settings = Omit<PostgresOptions, "url">;

export const isPostgres = (database: string): boolean => /^postgres(ql)?:\/\//.test(database);

/** What can be shown of a URL: no password, and none of the parameters, one of which may be one. */
export function withoutPassword(url: string): string {
  const [, scheme = "", rest = ""] = /^(\w+:\/\/)(.*)$/s.exec(url) ?? [];
  const [head = ""] = rest.split("?");
  const at = head.lastIndexOf("@");
  // A password that is not escaped may hold anything.
  if (at === -1 && rest.includes("@")) return `${scheme}…`;
  const [user] = head.slice(0, Math.max(at, 0)).split(":");
  return `${scheme}${user ? `${user}@` : ""}${head.slice(at + 1)}`;
}

/** Is there a password in it? */
export const hasPassword = (url: string): boolean => /^\w+:\/\/[^/?]*:[^/?]*@|[?&]password=/.test(url);

/** What the store is made with. `?schema=` in the URL names a schema, where the settings do not. */
export function postgresOptions(database: string, settings: Settings = {}): PostgresOptions {
  const [head = "", ...query] = database.split("?");
  const parameters = new URLSearchParams(query.join("?"));
  const schema = settings.schema ?? parameters.get("schema") ?? undefined;
  parameters.delete("schema");
  const url = parameters.size === 0 ? head : `${head}?${parameters}`;
  return { ...settings, url, ...(schema === undefined ? {} : { schema }) };
}

/** A store that has been asked something. Throws an error that names the database and says what can be done. */
export async function openPostgres(database: string, settings: Settings = {}): Promise<SharedStore> {
  warnOfVisiblePassword(database);
  const { postgres } = await import("@arcp/postgres");
  let store: SharedStore | undefined;
  try {
    store = postgres(postgresOptions(database, settings));
    await store.nodes();
    return store;
  } catch (cause) {
    await store?.close();
    throw postgresError(database, cause);
  }
}

/** Why the database cannot be used, in words that name it. */
export function postgresError(database: string, cause: unknown): Error {
  const { message } = cause as Error;
  if (cause instanceof TypeError) return new UsageError(`${withoutPassword(database)}: ${message}`);
  if (!(cause instanceof StoreError)) return cause as Error;
  const hint = hintFor(cause);
  return new Error(`${withoutPassword(database)}: ${message}${hint === undefined ? "" : `; ${hint}`}`, { cause });
}

function hintFor({ reason, message }: StoreError): string | undefined {
  if (/no encryption|SSL off/.test(message)) return "it may want TLS: add ?sslmode=verify-full to the URL";
  if (message.startsWith("TLS is required")) return "turn it on there, or leave sslmode out of the URL";
  if (message.startsWith("the certificate")) return "add ?sslrootcert=FILE to the URL, with who has signed it";
  if (/^there is no schema/.test(message)) return "`arcp serve` makes it; ?schema= in the URL names another one";
  if (reason === "read_only") return "the URL must be that of the primary";
  // Others are what it has said itself.
  if (reason === "unreachable" && message.startsWith("the database cannot")) return "is PostgreSQL running there?";
  return undefined;
}

function warnOfVisiblePassword(database: string): void {
  if (hasWarned || !hasPassword(database) || !process.argv.some((argument) => argument.includes(database))) return;
  hasWarned = true;
  process.stderr.write(
    "arcp: warning: other users of this machine can see the password of the database in the list of processes, and it stays in the shell's history; prefer ARCP_DB or PGPASSWORD\n",
  );
}

let hasWarned = false;
