/** Schemas and values that are made to take long, to reach outside, or to break what checks them. */
import { expect, test } from "vitest";
import { DEFAULT_RESPONSE_SCHEMA_LIMITS } from "../../packages/runtime/src/response-schema/limits.ts";
import { ResponseSchemas } from "../../packages/runtime/src/response-schema/response-schemas.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { checked, outcomeOf, responseSchemas } from "./schemas.ts";

const nested = (levels: number, wrap: (inner: unknown) => unknown, innermost: unknown = {}): unknown =>
  Array.from({ length: levels }).reduce((inner) => wrap(inner), innermost);

const repeated = <T>(count: number, of: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i));

/** Every level applies the next one twice. */
const doubling = (levels: number) => ({
  $defs: Object.fromEntries(
    repeated(levels, (i) => [
      `d${i}`,
      { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
    ]).concat([[`d${levels}`, { type: "string" } as never]]),
  ),
  $ref: "#/$defs/d0",
});

const TWICE_PER_LEVEL = {
  $defs: { a: { allOf: repeated(2, () => ({ properties: { x: { $ref: "#/$defs/a" } } })) } },
  $ref: "#/$defs/a",
};

const REFUSED: readonly (readonly [reason: string, schema: unknown])[] = [
  ["too_large", { description: "x".repeat(DEFAULT_RESPONSE_SCHEMA_LIMITS.maxSchemaBytes) }],
  ["too_large", { description: "ü".repeat(DEFAULT_RESPONSE_SCHEMA_LIMITS.maxSchemaBytes / 2) }],
  ["too_deep", nested(64, (items) => ({ items }))],
  ["too_deep", { default: nested(64, (inner) => [inner]) }],
  ["not_json", nested(100_000, (inner) => [inner])],
  ["too_many_subschemas", { anyOf: repeated(256, () => true) }],
  ["too_many_subschemas", { properties: Object.fromEntries(repeated(256, (i) => [`p${i}`, {}])) }],
  ["too_many_values", { enum: repeated(1001, (i) => i) }],
  ["too_many_values", { items: { anyOf: [{ enum: repeated(1001, (i) => i) }] } }],
  ["endless_recursion", { $ref: "#" }],
  ["endless_recursion", { allOf: [{ $ref: "#" }] }],
  ["endless_recursion", { properties: { a: { not: { $ref: "#/properties/a" } } } }],
  ["endless_recursion", { $defs: { a: { if: true, else: { $ref: "#b" } }, b: { $anchor: "b", $ref: "#/$defs/a" } } }],
  ["endless_recursion", { dependentSchemas: { a: { $ref: "#" } } }],
  ["too_complex", doubling(30)],
  ["remote_reference", { $ref: "http://169.254.169.254/" }],
  ["remote_reference", { $ref: "file:///etc/passwd" }],
  ["remote_reference", { properties: { a: { $ref: "other.json#/a" } } }],
  ["remote_reference", { $id: "http://a/", $ref: "http://a/#" }],
  ["unknown_reference", { $ref: "#/nowhere" }],
  ["unknown_reference", { $ref: "#nowhere" }],
  ["unknown_reference", { $ref: "#%" }],
  // Data, and what no keyword says is a schema, is none.
  ["unknown_reference", { $ref: "#/const", const: {} }],
  ["unknown_reference", { $ref: "#/x", x: { $dynamicRef: "#" } }],
  ["unknown_reference", { $ref: "#/%2524defs", $defs: {} }],
  ["unknown_reference", { $ref: "#/constructor" }],
  ["unsupported_keyword", { $dynamicRef: "#" }],
  ["unsupported_keyword", { items: { $dynamicAnchor: "a" } }],
  ["unsupported_keyword", { $recursiveRef: "#" }],
  ["unsupported_keyword", { $async: true }],
  ["unsupported_keyword", { $vocabulary: {} }],
  ["unsupported_keyword", { items: { $id: "http://json-schema.org/draft-07/schema#" } }],
  ["unsupported_keyword", { dependencies: { a: ["b"] } }],
  ["unsupported_dialect", { $schema: "http://169.254.169.254/" }],
  ["unsupported_dialect", { items: { $schema: 1 } }],
  ["unsafe_name", JSON.parse('{"properties":{"__proto__":{"default":{"polluted":1}}}}')],
  ["unsafe_name", { const: { constructor: { prototype: { polluted: 1 } } } }],
  ["unsafe_name", JSON.parse('{"x":[{"__proto__":1}]}')],
  ["not_a_schema", null],
  ["not_a_schema", "string"],
  ["not_a_schema", []],
  ["not_a_schema", { items: [{ type: "string" }] }],
  ["not_a_schema", { allOf: {} }],
  ["not_a_schema", { properties: [] }],
  ["not_a_schema", { $ref: 1 }],
  ["not_a_schema", { $anchor: "no anchor" }],
  ["not_a_schema", { items: { $anchor: "a" }, not: { $anchor: "a" } }],
  ["not_a_schema", { type: "text" }],
  ["not_a_schema", { minLength: -1 }],
  ["not_a_schema", { required: "a" }],
  ["not_a_schema", { pattern: "(" }],
  ["not_a_schema", { patternProperties: { "[": {} } }],
];

test.each(REFUSED.map(([reason, schema], index) => [reason, index, schema] as const))(
  "%s (%i)",
  async (reason, _, schema) => {
    expect(await outcomeOf(responseSchemas({ clock: new ManualClock() }).compile(schema))).toBe(
      `INVALID_REQUEST ${reason}`,
    );
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  },
);

test("what is as large as it may be is taken", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  const { maxSchemaBytes, maxValueBytes } = DEFAULT_RESPONSE_SCHEMA_LIMITS;
  expect(await checked(schemas, { title: "x".repeat(maxSchemaBytes - '{"title":""}'.length) }, 1)).toBeUndefined();
  expect(await checked(schemas, {}, "x".repeat(maxValueBytes - 2))).toBeUndefined();
  expect(
    await checked(
      schemas,
      {},
      nested(63, (inner) => [inner]),
    ),
  ).toBeUndefined();
  expect(await checked(schemas, { anyOf: repeated(255, () => true) }, 1)).toBeUndefined();
  expect(await checked(schemas, { enum: repeated(1000, (i) => i) }, 1)).toBeUndefined();
  expect(await checked(schemas, doubling(7), 1)).toBe("must be string");
});

test("values that are too large, too deep or unsafe are not checked", async () => {
  const schema = await responseSchemas({ clock: new ManualClock() }).compile({});
  const { maxValueBytes } = DEFAULT_RESPONSE_SCHEMA_LIMITS;
  expect(await outcomeOf(schema.check("x".repeat(maxValueBytes)))).toBe("INVALID_REQUEST too_large");
  expect(await outcomeOf(schema.check("ü".repeat(maxValueBytes / 2)))).toBe("INVALID_REQUEST too_large");
  expect(await outcomeOf(schema.check(nested(64, (inner) => [inner])))).toBe("INVALID_REQUEST too_deep");
  expect(await outcomeOf(schema.check({ a: { toString: 1 } }))).toBe("INVALID_REQUEST unsafe_name");
  expect(await outcomeOf(schema.check(JSON.parse('{"__proto__":1}')))).toBe("INVALID_REQUEST unsafe_name");
});

test.each<[what: string, schema: unknown, value: unknown]>([
  ["a pattern", { pattern: "^(a+)+$" }, `${"a".repeat(40)}!`],
  ["a pattern of words", { pattern: "^(\\w+\\s?)*$" }, `${"a".repeat(40)}!`],
  ["a pattern of names", { patternProperties: { "^(a+)+$": true } }, { [`${"a".repeat(40)}!`]: 1 }],
  ["unique items", { uniqueItems: true }, repeated(5500, (i) => ({ i }))],
  ["two ways through each level", TWICE_PER_LEVEL, nested(60, (x) => ({ x }))],
])("%s may run for ever: the value is refused, and others get their answers", async (_, schema, value) => {
  // This machine's clock, and what is real of the time: that it ends at all.
  const schemas = responseSchemas({ size: 1 });
  const slow = await schemas.compile(schema, "mallory");
  const other = await schemas.compile({ type: "string" }, "alice");
  const outcome = outcomeOf(slow.check(value));
  const answers = Promise.all(["a", 1, "b"].map((answer) => other.check(answer)));
  expect(await outcome).toBe("INVALID_REQUEST too_slow");
  expect(await answers).toEqual([undefined, "must be string", undefined]);
  // The schema is not to blame for every value.
  expect(await slow.check(true)).toBeUndefined();
});

test("a check that takes more memory than a thread may have ends without an answer", async () => {
  const schemas = responseSchemas({ limits: { deadlineMs: 15_000 }, size: 1 });
  const branch = { $ref: "#/$defs/a" };
  const everyBranchFails = {
    $defs: { a: { required: ["x"], properties: { x: { anyOf: [branch, branch] } } } },
    ...branch,
  };
  expect(
    await checked(
      schemas,
      everyBranchFails,
      nested(60, (x) => ({ x })),
    ),
  ).toBe("INVALID_REQUEST too_complex");
  expect(await checked(schemas, { type: "string" }, "a")).toBeUndefined();
});

test("bounds that a thread could not keep are a mistake of whoever sets them", () => {
  expect(() => new ResponseSchemas({ limits: { maxValueBytes: 1024 * 1024 + 1 } })).toThrow(RangeError);
  expect(() => new ResponseSchemas({ limits: { maxSchemaBytes: 1024 * 1024 + 1 } })).toThrow(RangeError);
});
