/** What PostgreSQL, its client library and the network say, as what can be done about it. */
import { StaleWriterError, StoreError, type StoreFailure } from "@arcp/runtime";

interface ServerError extends Error {
  readonly code: string;
  readonly detail?: string;
}

/** This process was declared dead, or is no node yet: nothing that it says is stored. */
export class NotUpError extends StaleWriterError {
  constructor(lost?: ConstructorParameters<typeof StaleWriterError>[1]) {
    super("this node was declared dead: it must join anew", { ...lost, isFenced: true });
  }
}

/** Ways in which sockets and names fail. */
const NETWORK = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EAI_AGAIN"],
  ...["ENOTFOUND", "ENOENT", "EACCES", "ECONNABORTED"],
]);

/** By SQLSTATE, or the beginning of one; the first that fits counts. */
const REASONS: readonly (readonly [prefix: string, reason: StoreFailure, sentence: string])[] = [
  ["28", "denied", "PostgreSQL does not let this user in"],
  ["42501", "denied", "the user of PostgreSQL may not do this: the README lists the rights it needs"],
  ["3D000", "foreign", "there is no such database on the server"],
  ["53100", "full", "no space is left for the database"],
  ["53300", "unreachable", "PostgreSQL has too many connections"],
  ["53", "full", "PostgreSQL is out of memory or of another resource"],
  ["57P01", "unreachable", "PostgreSQL is shutting down"],
  ["57P02", "unreachable", "PostgreSQL is restarting after a crash"],
  ["57P03", "unreachable", "PostgreSQL is starting up or shutting down"],
  ["57P05", "unreachable", "PostgreSQL has closed an idle connection"],
  ["57014", "busy", "PostgreSQL has cancelled the statement"],
  ["25006", "read_only", "the database cannot be written: it is a standby, or is set to be read-only"],
  ["40", "busy", "others were writing to the same rows of the database"],
  ["55P03", "busy", "others hold a lock of the database"],
  ["08", "unreachable", "the connection to PostgreSQL failed"],
  ["58030", "io", "the disk of PostgreSQL failed"],
  ["XX001", "corrupt", "the database is damaged"],
  ["XX002", "corrupt", "an index of the database is damaged"],
  ["42P01", "version", "tables are missing: the schema is of another version, or was never made"],
  ["3F000", "version", "the schema is missing: it was never made"],
  ["42883", "version", "functions are missing: the schema is of another version"],
];

const isServerError = (error: unknown): error is ServerError =>
  error instanceof Error && "code" in error && typeof error.code === "string" && error.code.length === 5;

/** The SQLSTATE of an error of the server. */
const stateOf = (error: unknown): string | undefined => (isServerError(error) ? error.code : undefined);

/** Can the same be done again at once, because nothing but the meeting of two transactions was wrong? */
export const isCollision = (error: unknown): boolean => ["40001", "40P01"].includes(stateOf(error) ?? "");

/** Was what was asked for perhaps done all the same? Only of an error that the server did not send in answer to it. */
export function isOutcomeUnknown(error: unknown): boolean {
  const state = stateOf(error);
  return state === undefined || state.startsWith("08") || state.startsWith("57P") || state === "40003";
}

/** Anything that was thrown by the client library, as the store's error. Other errors stay as they are. */
export function storeErrorOf(error: unknown): unknown {
  if (error instanceof StoreError || error instanceof StaleWriterError || !(error instanceof Error)) return error;
  const cause = innermost(error);
  const state = stateOf(cause);
  if (state === "AR001") return staleOf(cause as ServerError);
  if (state === "AR002") return new NotUpError();
  const known = REASONS.find(([prefix]) => state?.startsWith(prefix));
  if (known !== undefined) return new StoreError(known[1], `${known[2]} (${cause.message})`, { cause: error });
  if (state !== undefined) return new StoreError("failed", `the database failed: ${cause.message}`, { cause: error });
  return outsideOf(cause) ?? error;
}

/** What fails before the server answers. */
function outsideOf(error: Error): StoreError | undefined {
  const code = "code" in error ? String(error.code) : "";
  const { message } = error;
  if (/does not support SSL/.test(message)) {
    return new StoreError("denied", "TLS is required, and the server does not offer it", { cause: error });
  }
  if (code.startsWith("ERR_TLS") || /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) {
    return new StoreError("denied", `the certificate of the server is not trusted (${message})`, { cause: error });
  }
  if (/SASL|password must be a string|pg_hba/.test(message)) {
    return new StoreError("denied", `PostgreSQL does not let this user in (${message})`, { cause: error });
  }
  const isNetwork =
    NETWORK.has(code) ||
    /^Connection terminated|^timeout exceeded|not queryable|^timeout expired|read timeout/.test(message);
  if (!isNetwork) return undefined;
  return new StoreError("unreachable", `the database cannot be reached (${message})`, { cause: error });
}

/** Of several addresses that were tried, what happened at the last. */
function innermost(error: Error): Error {
  const inner = error instanceof AggregateError ? error.errors.at(-1) : undefined;
  return inner instanceof Error ? inner : error;
}

function staleOf(error: ServerError): StaleWriterError {
  const { jobs = [], sessions = [] } = JSON.parse(error.detail ?? "{}");
  return new StaleWriterError(error.message, { jobs, sessions });
}

/** Is there no partition for the day that it is? */
export const isNoPartition = (error: unknown): boolean =>
  error instanceof StoreError && stateOf(error.cause) === "23514" && /no partition/.test(error.message);
