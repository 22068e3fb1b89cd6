/** What a message type, an extension field, a metric or an error code may be called (RFC §6.2, §21.1). */

/** The first words of the core types. A type that begins with one of them is core, known or not (RFC §21.3). */
const CORE_PREFIXES: ReadonlySet<string> = new Set([
  "session",
  "ping",
  "pong",
  "ack",
  "nack",
  "cancel",
  "interrupt",
  "resume",
  "backpressure",
  "checkpoint",
  "tool",
  "job",
  "workflow",
  "agent",
  "stream",
  "human",
  "permission",
  "lease",
  "subscribe",
  "unsubscribe",
  "artifact",
  "event",
  "log",
  "metric",
  "trace",
]);

/** Is the first word of `type` one of the core's? Words are compared whole: `logger.x` is not `log` (RFC §21.3). */
export const hasCorePrefix = (type: string): boolean => CORE_PREFIXES.has(type.split(".", 1)[0] ?? "");

const MAX_NAME = 256;
/** Three labels or more: a namespace of two, as `arcpx.acme` or `com.acme`, and a name. */
const NAMESPACED = /^[a-z][a-z0-9-]*(?:\.[A-Za-z0-9][A-Za-z0-9_-]*){2,}$/;

/**
 * May somebody other than the core have given this name: `arcpx.<vendor>.<name>.v<n>` or a reverse DNS name of three
 * labels or more (RFC §21.1)? A version is not asked for. `x-` names belong to transports.
 */
export const isNamespaced = (name: string): boolean =>
  name.length <= MAX_NAME && NAMESPACED.test(name) && !name.startsWith("x-");

/** Is `type` the type of an extension message: namespaced, and not a core type of this or a later revision? */
export const isExtensionType = (type: string): boolean => isNamespaced(type) && !hasCorePrefix(type);

/** Is `type` an extension type that names its version, as those that are sent do (RFC §21.1)? */
export const isVersionedExtensionType = (type: string): boolean => isExtensionType(type) && /\.v\d{1,9}$/.test(type);
