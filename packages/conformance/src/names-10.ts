/** The names of wire 1.0: types, codes, and what others may call theirs (RFC §6.2, §18.2, §21.1). */

const CORE_TYPE =
  /^(?:session|cancel|checkpoint|tool|job|workflow|agent|stream|human|permission|lease|subscribe|artifact|event|trace)\.|^(?:ping|pong|ack|nack|cancel|interrupt|resume|backpressure|subscribe|unsubscribe|log|metric)$/;
const NAMESPACED = /^[a-z][a-z0-9-]*(?:\.[A-Za-z0-9][\w-]*){2,}$/;

/** Is it a type of the protocol? */
export const isCoreType = (type: string): boolean => CORE_TYPE.test(type);

/** May somebody other than the protocol have given this name: `arcpx.acme.name.v1`, or the reverse of a domain and a name? */
export const isNamespaced = (name: string): boolean => NAMESPACED.test(name) && !name.startsWith("x-");

/** What an error may be called. */
export const CODES_10: readonly string[] = [
  ...["CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"],
  ...["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"],
  ...["INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED", "HEARTBEAT_LOST", "LEASE_EXPIRED", "LEASE_REVOKED"],
  "BACKPRESSURE_OVERFLOW",
];
