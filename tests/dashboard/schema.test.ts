/** Forms of schemas that mean harm: what a page makes of one takes no longer than people wait. */
import { expect, test } from "vitest";
import {
  controlOf,
  initialValue,
  problemsOf,
  resolved,
  type Schema,
  variantOf,
} from "../../packages/dashboard/src/app/schema.ts";

const names = Array.from({ length: 40 }, (_, index) => `n${index}`);

const HOSTILE: readonly (readonly [what: string, schema: Schema])[] = [
  ["refers to itself", { $ref: "#" }],
  ["is one of itself", { oneOf: [{ $ref: "#" }, { $ref: "#" }] }],
  ["refers in a circle", { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } }],
  ["refers to nowhere, badly escaped", { $ref: "#/%zz" }],
  ["refers to what every object has", { $ref: "#/constructor/prototype" }],
  [
    "needs itself many times over",
    { type: "object", required: names, properties: Object.fromEntries(names.map((name) => [name, { $ref: "#" }])) },
  ],
  ["is one of many of many", { anyOf: names.map(() => ({ type: "array", items: { $ref: "#" } })) }],
  [
    "has members with names of its own kind",
    JSON.parse('{"type":"object","required":["__proto__"],"properties":{"__proto__":{"default":{"polluted":true}}}}'),
  ],
];

test.each(HOSTILE)("one that %s is looked at and left", (_, schema) => {
  const value = initialValue(schema, schema, undefined, true);
  const deep = JSON.parse(`${"[".repeat(40)}${"]".repeat(40)}`);
  for (const given of [value, deep, { n0: { n0: null } }]) problemsOf(schema, schema, given, true);
  const control = controlOf(resolved(schema, schema), schema, 0);
  if (control.kind === "variants") expect(variantOf(deep, control.variants, schema)).toBeLessThan(names.length);
  expect(({} as { readonly polluted?: unknown }).polluted).toBeUndefined();
  expect(JSON.stringify(value ?? null).length).toBeLessThan(100_000);
});

test("defaults are for what is new, and what was given stays as it was", () => {
  const schema = {
    type: "object",
    properties: { depth: { type: "integer", default: 2 }, tone: { type: "string", default: "brief" } },
  };
  expect(initialValue(schema, schema, undefined, true)).toEqual({ depth: 2, tone: "brief" });
  expect(initialValue(schema, schema, { depth: 4, more: [1] }, true)).toEqual({ depth: 4, more: [1] });
});

test("a pattern is not tried, and what is plainly wrong is said at its place", () => {
  const schema = {
    type: "object",
    properties: {
      evil: { type: "string", pattern: "^(a+)+$" },
      "a/b": { type: "array", items: { type: "integer", maximum: 3 }, maxItems: 2 },
    },
    required: ["name"],
  };
  const value = { evil: `${"a".repeat(64)}!`, "a/b": [1, 4, "x"] };
  expect([...problemsOf(schema, schema, value, true)]).toEqual([
    ["/a~1b", "There may be 2 at most."],
    ["/a~1b/1", "This is 3 at most."],
    ["/a~1b/2", "This is a number."],
  ]);
});
