/** What a schema and the values that are checked against it may weigh. */
export interface ResponseSchemaLimits {
  /** Bytes of the schema as JSON. */
  readonly maxSchemaBytes: number;
  /** Nesting of objects and arrays, of schemas and of values. */
  readonly maxDepth: number;
  /** Subschemas of one schema, itself included. */
  readonly maxSubschemas: number;
  /** Subschemas that apply to one value at once: through references and `allOf`, not through members and items. */
  readonly maxApplied: number;
  /** Values of one `enum`. */
  readonly maxEnumValues: number;
  /** Bytes of a value as JSON. */
  readonly maxValueBytes: number;
  /** Milliseconds of computing for a schema, and for a value. Ten times as long on a machine that is busy otherwise. */
  readonly deadlineMs: number;
  /** Calls of one owner that wait for their turn. One more is refused. */
  readonly maxWaitingPerOwner: number;
  /** Calls that wait for their turn, of all owners. One more is refused. */
  readonly maxWaiting: number;
}

export const DEFAULT_RESPONSE_SCHEMA_LIMITS: ResponseSchemaLimits = {
  maxSchemaBytes: 64 * 1024,
  maxDepth: 64,
  maxSubschemas: 256,
  maxApplied: 1000,
  maxEnumValues: 1000,
  maxValueBytes: 64 * 1024,
  deadlineMs: 100,
  maxWaitingPerOwner: 32,
  maxWaiting: 256,
};
