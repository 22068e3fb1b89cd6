/** How a command that cannot do its work says so: one line, and never a stack unless it is asked for. */
import { ARCPError, TransportError } from "@arcp/core";
import { codeOf10 } from "@arcp/core/v1.0";
import { CommanderError } from "commander";
import { escapeLine, escapeText } from "./escape.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-code.ts";

/** Reports on standard error, and returns what to exit with. */
export function reportFailure(failure: unknown): ExitCode {
  const thrown = firstOf(failure);
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.success : EXIT.usage;
  process.stderr.write(`arcp: ${escapeLine(describe(thrown))}\n`);
  if (process.env["ARCP_DEBUG"] && thrown instanceof Error) process.stderr.write(`${escapeText(thrown.stack ?? "")}\n`);
  return thrown instanceof UsageError ? EXIT.usage : EXIT.failure;
}

/** What went wrong first, where what was then undone went wrong, too. */
function firstOf(failure: unknown): unknown {
  const hasSuppressed = failure instanceof Error && failure.name === "SuppressedError" && "suppressed" in failure;
  return hasSuppressed ? firstOf(failure.suppressed) : failure;
}

/** What went wrong over wire 1.0, which has codes of its own. */
export class Refusal10 extends Error {
  readonly code: string;
  override readonly cause: ARCPError;

  constructor(error: ARCPError) {
    super(error.message);
    this.code = codeOf10(error);
    this.cause = error;
  }
}

/** Why something cannot be done, in one line without what to do about it. */
export function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const code = thrown instanceof ARCPError && !(thrown instanceof TransportError) ? `${thrown.code}: ` : "";
  return `${code}${thrown.message}`.trim().replaceAll(/\s*\n\s*/g, " ");
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const error = thrown instanceof Refusal10 ? thrown.cause : thrown;
  const hint = hintFor(error);
  // A connection that could not be made is no answer of the runtime: there is no code to look up.
  const hasCode = error instanceof ARCPError && !(error instanceof TransportError);
  const code = hasCode ? `${thrown instanceof Refusal10 ? thrown.code : error.code}: ` : "";
  return `${code}${thrown.message}${hint === undefined ? "" : ` (${hint})`}`;
}

/** What to do about the failures that people meet first. */
function hintFor(error: Error): string | undefined {
  if (isOfStore(error) || isOfStore(error.cause)) return undefined;
  if (error.message.includes("ECONNREFUSED")) return "is `arcp serve` running there? --url or ARCP_URL says where";
  if (error.message.includes("Unexpected server response: 421"))
    return "the runtime has another name: its `allowedHosts`";
  if (error instanceof ARCPError && error.code === "UNAUTHENTICATED") {
    return "set ARCP_TOKEN or --token-file, or run this where `arcp serve` was started";
  }
  if (error instanceof ARCPError && error.code === "AGENT_NOT_AVAILABLE") return "`arcp agents` lists what there is";
  if (error instanceof ARCPError && isAboutInput(error)) return "`arcp agents NAME` shows what it takes";
  return undefined;
}

/** Has the runtime compared an input with its agent's schema? */
const isAboutInput = ({ code, details = {} }: ARCPError): boolean =>
  code === "INVALID_REQUEST" && "agent" in details && "path" in details && "problem" in details;

/** By its name: the class itself would bring the whole runtime with it, which few commands need. */
const isOfStore = (error: unknown): boolean => error instanceof Error && error.name === "StoreError";
