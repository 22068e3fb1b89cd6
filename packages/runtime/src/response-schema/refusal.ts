/** Why a schema, or a value that is to be checked against one, is not taken. */
import { InvalidRequestError } from "@arcp/core";

/** As `details.reason` gives it. */
export type RefusalReason =
  /** Not something that JSON can carry. */
  | "not_json"
  /** A member is called `__proto__`, `constructor`, `toString` or `valueOf`. */
  | "unsafe_name"
  | "too_large"
  | "too_deep"
  | "too_many_subschemas"
  | "too_many_values"
  /** More subschemas apply to one value at once than are evaluated. */
  | "too_complex"
  /** A schema that applies itself to the same value again. */
  | "endless_recursion"
  /** A reference that leaves the schema. Nothing is ever fetched. */
  | "remote_reference"
  /** A reference to no subschema of this schema. */
  | "unknown_reference"
  | "unsupported_keyword"
  | "unsupported_dialect"
  /** JSON Schema says that it is none. */
  | "not_a_schema"
  /** Not decided in the time that there is. */
  | "too_slow";

/** `details` says which limit and where, when there is one. */
export const refused = (
  reason: RefusalReason,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): InvalidRequestError => new InvalidRequestError(message, { details: { reason, ...details } });
