/** What a schema says of a value, and that it is what JSON Schema says. */
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { checked, outcomeOf, responseSchemas } from "./schemas.ts";

const BRANCH = {
  type: "object",
  properties: {
    branch: { type: "string", minLength: 1 },
    base: { enum: ["main", "next"] },
    reviewers: { type: "array", items: { type: "object", required: ["name"] }, maxItems: 2 },
  },
  required: ["branch"],
};

test("an answer is checked, and its first problem named with its place", async () => {
  const schema = await responseSchemas({ clock: new ManualClock() }).compile(BRANCH);
  expect(await schema.check({ branch: "fix/jwt", base: "main", reviewers: [{ name: "Ada" }] })).toBeUndefined();
  expect(await schema.check("fix/jwt")).toBe("must be object");
  expect(await schema.check({})).toBe("must have required property 'branch'");
  expect(await schema.check({ branch: "" })).toBe("/branch: must NOT have fewer than 1 characters");
  expect(await schema.check({ branch: "b", base: "old" })).toBe("/base: must be equal to one of the allowed values");
  expect(await schema.check({ branch: "b", reviewers: [{ name: "Ada" }, {}] })).toBe(
    "/reviewers/1: must have required property 'name'",
  );
  expect(await schema.check({ branch: "b", "a/b~c": 1, reviewers: 1 })).toBe("/reviewers: must be array");
});

test("references within the schema are followed, recursive ones too", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  const tree = {
    $defs: { "a/b ü": { $anchor: "leaf", type: "string" } },
    type: "object",
    properties: { child: { $ref: "#" }, leaf: { $ref: "#leaf" }, other: { $ref: "#/$defs/a~1b%20%C3%BC" } },
    additionalProperties: false,
  };
  expect(await checked(schemas, tree, { child: { child: { leaf: "x", other: "y" } } })).toBeUndefined();
  expect(await checked(schemas, tree, { child: { child: { leaf: 1 } } })).toBe("/child/child/leaf: must be string");
  expect(await checked(schemas, tree, { child: { other: 1 } })).toBe("/child/other: must be string");
});

test("annotations are not looked at, formats are", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: "http://json-schema.org/draft-07/schema#",
    title: 5,
    nullable: true,
    "x-order": [{ $ref: "http://elsewhere/" }],
    type: "string",
    format: "date",
  };
  // Twice: one schema's name is not in the way of the next.
  for (const maxLength of [10, 11]) {
    expect(await checked(schemas, { ...schema, maxLength }, "2026-02-28")).toBeUndefined();
    expect(await checked(schemas, { ...schema, maxLength }, "2026-02-30")).toBe('must match format "date"');
    expect(await checked(schemas, { ...schema, maxLength }, null)).toBe("must be string");
  }
  expect(await checked(schemas, { format: "constructor" }, "x")).toBeUndefined();
  expect(await checked(schemas, { format: "__proto__" }, "x")).toBeUndefined();
});

test("a schema may be true or false", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  expect(await checked(schemas, true, 1)).toBeUndefined();
  expect(await checked(schemas, false, 1)).toBe("boolean schema is false");
});

test("characters are counted, not code units", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  expect(await checked(schemas, { maxLength: 1 }, "💡")).toBeUndefined();
  expect(await checked(schemas, { pattern: "^.$" }, "💡")).toBeUndefined();
  expect(await checked(schemas, { pattern: "^\\p{Lu}$" }, "Ü")).toBeUndefined();
  expect(await checked(schemas, { const: "\u00e9" }, "e\u0301")).toBe("must be equal to constant");
  expect(await checked(schemas, { maxLength: 0 }, "\u{d800}")).toBe("must NOT have more than 0 characters");
  expect(await checked(schemas, { properties: { ключ: { type: "string" } } }, { ключ: 1 })).toBe(
    "/ключ: must be string",
  );
});

test("what every object inherits is no member of a value", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  expect(await checked(schemas, { required: ["toString"] }, {})).toBe("must have required property 'toString'");
  expect(await checked(schemas, { properties: { isPrototypeOf: { type: "string" } } }, {})).toBeUndefined();
  expect(await checked(schemas, { required: ["__proto__"] }, {})).toBe("must have required property '__proto__'");
  expect(await checked(schemas, { additionalProperties: false }, { isPrototypeOf: 1 })).toBe(
    "must NOT have additional properties",
  );
});

test("a problem is told in few words, whatever the schema says", async () => {
  const problem = await checked(responseSchemas({ clock: new ManualClock() }), { pattern: "💡".repeat(1000) }, "x");
  expect(problem).toMatch(/^must match pattern "💡+\u{fffd}?$/u);
  expect((problem as string).length).toBeLessThanOrEqual(300);
});

describe("for random schemas and values", () => {
  const NAMES = fc.constantFrom("a", "b", "isPrototypeOf", "ü");
  const LEAF: fc.Arbitrary<unknown> = fc.oneof(
    ...[fc.constant(null), fc.boolean(), fc.integer({ min: -3, max: 3 }), fc.constantFrom(0.5, 1.5)],
    fc.constantFrom("", "a", "ab", "2026-01-01", "💡"),
  );
  const { value: VALUE } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      LEAF,
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(NAMES, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  const COUNT = fc.integer({ min: 0, max: 3 });
  const TYPE = fc.constantFrom("string", "number", "integer", "object", "array", "boolean", "null");

  const { schema: SCHEMA } = fc.letrec<{ schema: unknown }>((tie) => {
    const schema = tie("schema");
    const list = fc.array(schema, { minLength: 1, maxLength: 3 });
    const named = fc.dictionary(NAMES, schema, { maxKeys: 3 });
    const keywords = {
      type: fc.oneof(TYPE, fc.uniqueArray(TYPE, { minLength: 1, maxLength: 3 }), fc.constant("text")),
      ...{ enum: fc.array(LEAF, { minLength: 1, maxLength: 3 }), const: VALUE },
      ...{ minimum: COUNT, exclusiveMaximum: COUNT, multipleOf: fc.constantFrom(0.5, 1, 2) },
      ...{ minLength: COUNT, maxLength: COUNT, pattern: fc.constantFrom("^a", "b$", "(", "[[]") },
      ...{ format: fc.constantFrom("date", "email", "no-such-format") },
      ...{ minItems: COUNT, maxItems: COUNT, uniqueItems: fc.boolean(), contains: schema, minContains: COUNT },
      ...{ items: schema, prefixItems: list, unevaluatedItems: schema },
      ...{ required: fc.uniqueArray(NAMES, { maxLength: 2 }), minProperties: COUNT, maxProperties: COUNT },
      ...{ properties: named, additionalProperties: schema, propertyNames: schema, unevaluatedProperties: schema },
      patternProperties: fc.dictionary(fc.constantFrom("^a", "b$"), schema, { maxKeys: 2 }),
      ...{ dependentSchemas: named, dependentRequired: fc.dictionary(NAMES, fc.uniqueArray(NAMES), { maxKeys: 2 }) },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
      ...{ allOf: list, anyOf: list, oneOf: list, not: schema, if: schema, then: schema, else: schema },
      $ref: fc.constantFrom("#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/nowhere"),
      $defs: named,
    };
    const members = Object.entries(keywords).map(([name, value]) => fc.tuple(fc.constant(name), value));
    const few = fc.array(fc.oneof(...members), { maxLength: 4 }).map((some) => Object.fromEntries(some));
    return { schema: fc.oneof({ depthSize: "small", withCrossShrink: true }, fc.boolean(), few) };
  });

  const told = ([error]: readonly ErrorObject[]): string =>
    error?.instancePath ? `${error.instancePath}: ${error.message}` : `${error?.message}`;

  const plain = formats.default(new Ajv2020({ strict: false, logger: false, ownProperties: true }));

  /** By the library alone, in this thread. */
  function expected(schema: object | boolean, value: unknown): unknown {
    try {
      const validate = plain.compile(schema);
      return validate(value) ? undefined : told(validate.errors ?? []);
    } catch {
      return "not_a_schema";
    }
  }

  test("the answer is that of the library that checks", async () => {
    const schemas = responseSchemas({ clock: new ManualClock() });
    const seen = new Set<string>();
    const objects = SCHEMA.filter((schema) => typeof schema === "object");
    const schema = fc.oneof({ weight: 4, arbitrary: objects }, { weight: 1, arbitrary: SCHEMA });
    await fc.assert(
      fc.asyncProperty(schema, VALUE, async (schema, value) => {
        const actual = await checked(schemas, schema, value);
        const refusal = /^INVALID_REQUEST (.*)$/.exec(String(actual))?.[1];
        seen.add(refusal ?? typeof actual);
        // The library looks at these only where it gets to.
        if (refusal === "endless_recursion" || refusal === "unknown_reference") return;
        expect(refusal ?? actual).toBe(expected(schema as object, value));
      }),
      { numRuns: 400 },
    );
    expect([...seen]).toEqual(expect.arrayContaining(["undefined", "string", "not_a_schema"]));
  });
});

test("what is not JSON is not checked", async () => {
  const schemas = responseSchemas({ clock: new ManualClock() });
  const schema = await schemas.compile({});
  const circle: unknown[] = [];
  circle.push(circle);
  for (const value of [undefined, circle, 1n, () => 1]) {
    expect(await outcomeOf(schema.check(value))).toBe("INVALID_REQUEST not_json");
    expect(await outcomeOf(schemas.compile(value))).toBe("INVALID_REQUEST not_json");
  }
});
