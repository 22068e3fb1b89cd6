/** Texts that are no messages, for every wire that carries text. */

/** One envelope as text, with members replaced or added. */
export const envelope = (type: string, payload: unknown, members: object = {}): string =>
  JSON.stringify({ arcp: "1.1", id: "msg_hostile", type, payload, ...members });

/** `{"a":{"a":…}}`, `depth` objects deep. */
export const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;

/** Sent as they are, inside a session. Each is refused, and changes nothing. */
export const MALFORMED: readonly (readonly [name: string, text: string])[] = [
  ["an empty object", "{}"],
  ["half an object", '{"arcp":"1.1","id":"m1"'],
  ["no JSON", "hello"],
  ["a null", "null"],
  ["a number", "17"],
  ["a string", '"session.ping"'],
  ["an array", '[{"arcp":"1.1","id":"m1","type":"session.ping","payload":{}}]'],
  ["a byte order mark", `\uFEFF${envelope("session.ping", {})}`],
  ["two objects", `${envelope("session.ping", {})}${envelope("session.ping", {})}`],
  ["trailing garbage", `${envelope("session.ping", {})} x`],
  ["a trailing NUL", `${envelope("session.ping", {})}\u0000`],
  ["a raw NUL in a string", '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"nonce":"a\u0000b"}}'],
  ["an escaped NUL in a string", '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"nonce":"a\\u0000b"}}'],
  ["an escaped NUL in a member name", '{"arcp":"1.1","id":"m1","type":"job.submit","payload":{"a\\u0000":1}}'],
  ["an escaped high surrogate", '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"nonce":"\\ud800"}}'],
  ["an escaped low surrogate", '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"nonce":"\\uDC00x"}}'],
  [
    "surrogates in the wrong order",
    '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"nonce":"\\udc00\\ud800"}}',
  ],
  ["the type twice", '{"arcp":"1.1","id":"m1","type":"session.ping","type":"job.cancel","payload":{}}'],
  [
    "the type twice, once escaped",
    '{"arcp":"1.1","id":"m1","type":"session.ping","t\\u0079pe":"session.bye","payload":{}}',
  ],
  [
    "a member twice, deep down",
    '{"arcp":"1.1","id":"m1","type":"job.submit","payload":{"agent":"echo","input":[{"a":{"b":1,"b":2}}]}}',
  ],
  [
    "__proto__ in the payload",
    '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"__proto__":{"role":"admin"}}}',
  ],
  [
    "__proto__, escaped",
    '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"\\u005f_proto__":{"role":"admin"}}}',
  ],
  [
    "__proto__ on the envelope",
    '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{},"__proto__":{"type":"session.bye"}}',
  ],
  [
    "__proto__ with a space before the colon",
    '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"__proto__" \t:1}}',
  ],
  [
    "constructor.prototype",
    '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"constructor":{"prototype":{"isAdmin":true}}}}',
  ],
  ["prototype", '{"arcp":"1.1","id":"m1","type":"session.ping","payload":{"prototype":{}}}'],
  ["65 levels", envelope("job.submit", {}).replace("{}", `{"agent":"echo","input":${nested(63)}}`)],
  ["5,000 levels of objects", envelope("job.submit", {}).replace("{}", `{"agent":"echo","input":${nested(5_000)}}`)],
  ["half a million brackets", `${"[".repeat(500_000)}${"]".repeat(500_000)}`],
  ["a million open brackets", "[".repeat(1_000_000)],
  ["60,000 members in one object", `{${Array.from({ length: 60_000 }, (_, n) => `"k${n}":1`).join(",")}}`],
  ["a number beyond a double", envelope("job.submit", {}).replace("{}", '{"agent":"echo","input":1e400}')],
  ["a negative number beyond a double", envelope("job.submit", {}).replace("{}", '{"agent":"echo","input":[-1e400]}')],
  ["a number of 400 digits", envelope("job.submit", {}).replace("{}", `{"agent":"echo","input":${"9".repeat(400)}}`)],
  ["no arcp", '{"id":"m1","type":"session.ping","payload":{}}'],
  ["arcp as a number", '{"arcp":1.1,"id":"m1","type":"session.ping","payload":{}}'],
  ["an unknown major version", '{"arcp":"2.0","id":"m1","type":"session.ping","payload":{}}'],
  ["a version with a tail", '{"arcp":"1.1\\n","id":"m1","type":"session.ping","payload":{}}'],
  ["no type", '{"arcp":"1.1","id":"m1","payload":{}}'],
  ["a type that is an array", '{"arcp":"1.1","id":"m1","type":["session.ping"],"payload":{}}'],
  ["a type named after a method", '{"arcp":"1.1","id":"m1","type":"toString","payload":{}}'],
  ["a type named __proto__", '{"arcp":"1.1","id":"m1","type":"__proto__","payload":{}}'],
  ["a type of 100 KiB", envelope("x".repeat(100 * 1024), {})],
  ["a message of the other direction", envelope("job.accepted", { job_id: "job_x" })],
  ["no payload", '{"arcp":"1.1","id":"m1","type":"session.ping"}'],
  ["a payload that is null", envelope("session.ping", null)],
  ["a payload that is an array", envelope("session.ping", [])],
  ["a payload that is text", envelope("session.ping", "{}")],
  ["no id", '{"arcp":"1.1","type":"session.ping","payload":{}}'],
  ["an empty id", envelope("session.ping", {}, { id: "" })],
  ["an id that is a number", envelope("session.ping", {}, { id: 7 })],
  ["an id that cannot be written as text", envelope("session.ping", {}, { id: { toString: 1 } })],
  ["a hello whose id cannot be written as text", envelope("session.hello", {}, { id: { toString: 1, valueOf: 1 } })],
  ["an id with a newline", envelope("session.ping", {}, { id: "msg_1\n{}" })],
  ["an id beyond ASCII", envelope("session.ping", {}, { id: "msg_\u202Efdp" })],
  ["an id of nearly 1 MiB", envelope("session.ping", {}, { id: "m".repeat(1024 * 1024 - 200) })],
  ["a session id that is an object", envelope("session.ping", {}, { session_id: {} })],
  ["a job id of 10 KiB", envelope("job.cancel", {}, { job_id: "j".repeat(10_240) })],
  ["extensions that are text", envelope("session.ping", {}, { extensions: "optional" })],
];
