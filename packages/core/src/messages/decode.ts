/** How a frame becomes a message of a schema, and what a sender is told whose frame does not. */
import type { z } from "zod";
import { InvalidRequestError } from "../errors.ts";
import type { JsonObject } from "../frame.ts";

/** Characters of the sender's own text that a refusal repeats: paths and problems name members, which may be long. */
const MAX_REPEATED = 256;

type Issue = z.core.$ZodIssue;

/**
 * What is wrong inside a member that may also be absent: the issue of the branch that was meant, not that no branch fits.
 * That branch is the one that got furthest.
 */
function innermost(issue: Issue): Issue {
  if (issue.code !== "invalid_union") return issue;
  const branches = issue.errors.flatMap((issues) => (issues[0] ? [innermost(issues[0])] : []));
  const furthest = branches.reduce<Issue | undefined>(
    (best, branch) => (best === undefined || branch.path.length > best.path.length ? branch : best),
    undefined,
  );
  return furthest === undefined ? issue : { ...furthest, path: [...issue.path, ...furthest.path] };
}

/** `frame` as `schema` has it. Throws {@link InvalidRequestError} that names the first wrong member. */
export function decodeAs<Schema extends z.ZodType>(schema: Schema, frame: JsonObject): z.infer<Schema> {
  const parsed = schema.safeParse(frame);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0] && innermost(parsed.error.issues[0]);
  const path = (issue?.path ?? []).map(String).join(".").slice(0, MAX_REPEATED);
  const type = typeof frame["type"] === "string" ? frame["type"].slice(0, 128) : undefined;
  const problem = (issue?.message ?? "not valid").slice(0, MAX_REPEATED);
  throw new InvalidRequestError(`${path === "" ? "the message" : path}: ${problem}`, {
    details: { ...(type === undefined ? {} : { type }), ...(path === "" ? {} : { path }) },
  });
}
