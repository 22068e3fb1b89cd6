/**
 * What is known of a schema without compiling it: its subschemas, where its references lead, and how many subschemas
 * can apply to one value. Whatever makes evaluation endless, exponential or reach outside is refused here.
 */
import type { ResponseSchemaLimits } from "./limits.ts";
import { refused } from "./refusal.ts";

type SchemaObject = Readonly<Record<string, unknown>>;

type Form = "one" | "list" | "named";

/** Keywords that hold subschemas: one, a list of them, or one per name. */
const SUBSCHEMAS: Readonly<Record<string, Form>> = {
  $defs: "named",
  definitions: "named",
  properties: "named",
  patternProperties: "named",
  dependentSchemas: "named",
  allOf: "list",
  anyOf: "list",
  oneOf: "list",
  prefixItems: "list",
  additionalProperties: "one",
  propertyNames: "one",
  items: "one",
  contains: "one",
  not: "one",
  if: "one",
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
  then: "one",
  else: "one",
  unevaluatedItems: "one",
  unevaluatedProperties: "one",
  contentSchema: "one",
};

/** Keywords whose subschemas apply to the value itself, not to a part of it. */
const APPLIED_TO_SAME_VALUE: ReadonlySet<string> = new Set([
  ...["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"],
]);

/** Keywords that restrict a value by themselves. All others are annotations, which nothing looks at. */
const ASSERTIONS: ReadonlySet<string> = new Set([
  ...["type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"],
  ...["maxLength", "minLength", "pattern", "format", "maxItems", "minItems", "uniqueItems", "maxContains"],
  ...["minContains", "maxProperties", "minProperties", "required", "dependentRequired", "$ref", "$anchor"],
]);

/** What would be ignored although it restricts, or change how the rest is read. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  ...["$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "$async"],
  ...["id", "dependencies", "additionalItems"],
]);

/** All are read as 2020-12. */
const DIALECT = /^https?:\/\/json-schema\.org\/(?:draft\/2020-12|draft\/2019-09|draft-07|draft-06)\/schema#?$/;

const ANCHOR = /^[A-Za-z_][-A-Za-z0-9._]*$/;

interface Subschema {
  /** JSON Pointer. */
  readonly pointer: string;
  /** It, and what is below it, without annotations. */
  readonly bare: unknown;
  /** Subschemas that apply to the same value; references come later. */
  readonly applied: Subschema[];
  readonly reference: string | undefined;
  /** How many apply to one value, itself included, once that is known. */
  weight: number | "being counted" | undefined;
}

/**
 * The schema without annotations, its `$id` and `$schema` among them: what is left stands alone and has no member that
 * was not looked at. Throws `InvalidRequestError` with the reason.
 */
export function standaloneSchema(schema: unknown, limits: ResponseSchemaLimits): unknown {
  const subschemas = new Subschemas(limits);
  const root = subschemas.add(schema, "");
  subschemas.resolveReferences();
  countApplied(root, limits.maxApplied);
  for (const subschema of subschemas.all) countApplied(subschema, limits.maxApplied);
  return root.bare;
}

class Subschemas {
  readonly #limits: ResponseSchemaLimits;
  readonly #byPointer = new Map<string, Subschema>();
  readonly #byAnchor = new Map<string, Subschema>();

  constructor(limits: ResponseSchemaLimits) {
    this.#limits = limits;
  }

  get all(): Iterable<Subschema> {
    return this.#byPointer.values();
  }

  /** Takes in `schema` and everything below it. Its depth is bounded already. */
  add(schema: unknown, pointer: string): Subschema {
    if (typeof schema === "boolean") {
      return this.#note({ pointer, bare: schema, applied: [], reference: undefined, weight: undefined });
    }
    if (!isSchemaObject(schema)) {
      throw refused("not_a_schema", `${placeOf(pointer)} is not a schema`, { path: pointer });
    }
    const bare: Record<string, unknown> = {};
    const reference = referenceOf(schema, pointer);
    const subschema = this.#note({ pointer, bare, applied: [], reference, weight: undefined });
    this.#check(schema, subschema);
    for (const [keyword, value] of Object.entries(schema)) {
      const form = Object.hasOwn(SUBSCHEMAS, keyword) ? SUBSCHEMAS[keyword] : undefined;
      if (form !== undefined) bare[keyword] = this.#addBelow(subschema, keyword, form, value);
      else if (ASSERTIONS.has(keyword)) bare[keyword] = value;
    }
    return subschema;
  }

  #note(subschema: Subschema): Subschema {
    const { maxSubschemas: max } = this.#limits;
    this.#byPointer.set(subschema.pointer, subschema);
    if (this.#byPointer.size <= max) return subschema;
    throw refused("too_many_subschemas", `the schema has more than ${max} subschemas`, { max });
  }

  #check(object: SchemaObject, subschema: Subschema): void {
    const { pointer } = subschema;
    const unsupported = Object.keys(object).find((keyword) => UNSUPPORTED.has(keyword));
    if (unsupported !== undefined || (pointer !== "" && Object.hasOwn(object, "$id"))) {
      const keyword = unsupported ?? "$id";
      throw refused("unsupported_keyword", `${keyword} at ${placeOf(pointer)} is not supported`, {
        path: pointer,
        keyword,
      });
    }
    const { $schema, $anchor, enum: values } = object;
    if ($schema !== undefined && !(typeof $schema === "string" && DIALECT.test($schema))) {
      throw refused("unsupported_dialect", "the schema is not of a dialect that is known: use 2020-12");
    }
    if (Array.isArray(values) && values.length > this.#limits.maxEnumValues) {
      const max = this.#limits.maxEnumValues;
      throw refused("too_many_values", `the enum at ${placeOf(pointer)} has more than ${max} values`, {
        path: pointer,
        max,
      });
    }
    if ($anchor !== undefined) this.#addAnchor($anchor, subschema);
  }

  #addAnchor(anchor: unknown, subschema: Subschema): void {
    if (typeof anchor !== "string" || !ANCHOR.test(anchor) || this.#byAnchor.has(anchor)) {
      throw refused("not_a_schema", `the $anchor at ${placeOf(subschema.pointer)} is none, or not the only one`, {
        path: subschema.pointer,
      });
    }
    this.#byAnchor.set(anchor, subschema);
  }

  /** What `keyword` holds, without annotations. */
  #addBelow(parent: Subschema, keyword: string, form: Form, value: unknown): unknown {
    const pointer = `${parent.pointer}/${keyword}`;
    const add = (child: unknown, place: string): unknown => {
      const subschema = this.add(child, place);
      if (APPLIED_TO_SAME_VALUE.has(keyword)) parent.applied.push(subschema);
      return subschema.bare;
    };
    if (form === "one") return add(value, pointer);
    if (form === "list" && Array.isArray(value)) return value.map((child, index) => add(child, `${pointer}/${index}`));
    if (form === "named" && isSchemaObject(value)) {
      const members = Object.entries(value);
      return Object.fromEntries(members.map(([name, child]) => [name, add(child, `${pointer}/${escaped(name)}`)]));
    }
    throw refused("not_a_schema", `${placeOf(pointer)} does not hold schemas`, { path: pointer });
  }

  resolveReferences(): void {
    for (const subschema of this.#byPointer.values()) {
      const { reference } = subschema;
      if (reference !== undefined) subschema.applied.push(this.#resolve(reference, subschema.pointer));
    }
  }

  #resolve(reference: string, pointer: string): Subschema {
    if (!reference.startsWith("#")) {
      throw refused("remote_reference", `the $ref at ${placeOf(pointer)} leaves the schema: nothing is fetched`, {
        path: pointer,
      });
    }
    const fragment = decoded(reference.slice(1));
    const target =
      fragment === "" || fragment?.startsWith("/") ? this.#byPointer.get(fragment) : this.#byAnchor.get(fragment ?? "");
    if (target === undefined) {
      throw refused("unknown_reference", `the $ref at ${placeOf(pointer)} leads to no subschema`, { path: pointer });
    }
    return target;
  }
}

/** Throws when `subschema` applies itself, or more than `max`, to one value. */
function countApplied(subschema: Subschema, max: number): number {
  const { pointer, weight } = subschema;
  if (weight === "being counted") {
    throw refused("endless_recursion", `the schema at ${placeOf(pointer)} applies itself to the same value`, {
      path: pointer,
    });
  }
  if (weight !== undefined) return weight;
  subschema.weight = "being counted";
  let count = 1;
  for (const applied of subschema.applied) count += countApplied(applied, max);
  if (count > max) {
    throw refused("too_complex", `more than ${max} subschemas apply at ${placeOf(pointer)} at once`, {
      path: pointer,
      max,
    });
  }
  subschema.weight = count;
  return count;
}

function referenceOf({ $ref }: SchemaObject, pointer: string): string | undefined {
  if ($ref === undefined || typeof $ref === "string") return $ref;
  throw refused("not_a_schema", `the $ref at ${placeOf(pointer)} is not a string`, { path: pointer });
}

/** `undefined` for what is not decoded in one way only. */
function decoded(fragment: string): string | undefined {
  try {
    const text = decodeURIComponent(fragment);
    return text.includes("%") ? undefined : text;
  } catch {
    return undefined; // Not percent-encoding: it leads nowhere.
  }
}

const escaped = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");

const placeOf = (pointer: string): string => (pointer === "" ? "the root" : JSON.stringify(pointer.slice(0, 200)));

const isSchemaObject = (value: unknown): value is SchemaObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
