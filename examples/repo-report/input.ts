/** What the agent accepts: checked once, here, so that the rest of it deals with known values. */
import { realpath, stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { InvalidRequestError } from "@arcp/sdk";

export interface ReportRequest {
  /** The directory to analyse: absolute, and free of symbolic links. */
  readonly root: string;
  readonly title: string;
  /** Files beyond this number are left out, and the report says so. */
  readonly maxFiles: number;
  /** A wait after each stage and each file, so that people can watch. 0 outside of demonstrations. */
  readonly paceMs: number;
}

const OPTIONS = ["directory", "title", "maxFiles", "paceMs"];
const DEFAULT_MAX_FILES = 20_000;

/** Throws {@link InvalidRequestError}, which ends the job with a code and a message that its submitter can act on. */
export async function readRequest(input: unknown): Promise<ReportRequest> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new InvalidRequestError('the input must be an object such as {"directory": "."}');
  }
  const given = input as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(given).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) {
    throw new InvalidRequestError(`there is no option ${JSON.stringify(unknown)}; there are: ${OPTIONS.join(", ")}`);
  }
  const root = await directoryAt(given["directory"]);
  return {
    root,
    title: titleFrom(given["title"]) ?? (basename(root) || root),
    maxFiles: wholeNumber("maxFiles", given["maxFiles"], { from: 1, to: 200_000 }) ?? DEFAULT_MAX_FILES,
    paceMs: wholeNumber("paceMs", given["paceMs"], { from: 0, to: 60_000 }) ?? 0,
  };
}

async function directoryAt(value: unknown): Promise<string> {
  if (typeof value !== "string" || value === "" || value.includes("\0")) {
    throw new InvalidRequestError("directory must be the path of a directory");
  }
  try {
    const root = await realpath(resolve(value));
    if ((await stat(root)).isDirectory()) return root;
  } catch (error) {
    throw new InvalidRequestError(`directory ${JSON.stringify(value)} does not exist or cannot be opened`, {
      cause: error,
    });
  }
  throw new InvalidRequestError(`directory ${JSON.stringify(value)} is not a directory`);
}

function titleFrom(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && value.trim() !== "" && value.length <= 200) return value.trim();
  throw new InvalidRequestError("title must be a text of 1 to 200 characters");
}

function wholeNumber(name: string, value: unknown, range: { from: number; to: number }): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= range.from && value <= range.to) return value;
  throw new InvalidRequestError(`${name} must be a whole number from ${range.from} to ${range.to}`);
}
