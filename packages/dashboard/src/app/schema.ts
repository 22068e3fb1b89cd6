/**
 * What a form makes of a JSON Schema: which control a place has, what stands in it at first, and what is plainly wrong with
 * what was filled in. Schemas come from agents, and so may be hostile: nothing here follows one for ever, and no pattern of
 * one is run. The runtime alone decides whether a value keeps its schema.
 */
export type Schema = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Deeper than that, and in schemas of more members, JSON is written. */
export const MAX_DEPTH = 8;
const MAX_MEMBERS = 60;
const MAX_CHOICES = 200;
/** References and lists of one schema that are followed in a row. */
const MAX_STEPS = 16;

export interface Variant {
  readonly label: string;
  readonly schema: Schema;
}

export type Control =
  | { readonly kind: "text"; readonly input: "text" | "email" | "url"; readonly isLong: boolean }
  | { readonly kind: "number"; readonly isInteger: boolean }
  | { readonly kind: "flag" }
  | { readonly kind: "choice"; readonly values: readonly unknown[] }
  | { readonly kind: "constant"; readonly value: unknown }
  | { readonly kind: "object"; readonly members: readonly Member[] }
  | { readonly kind: "list"; readonly items: Schema }
  | { readonly kind: "variants"; readonly variants: readonly Variant[] }
  | { readonly kind: "json" };

export interface Member {
  readonly name: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

/** `schema` with its reference within `root` followed, and with what is said of it besides. */
export function resolved(schema: unknown, root: Schema): Schema {
  let found: unknown = schema;
  let said: Schema = {};
  for (let step = 0; step < MAX_STEPS && isRecord(found); step += 1) {
    const { $ref, allOf, ...own } = found;
    said = { ...own, ...said };
    if (typeof $ref === "string") found = pointedTo(root, $ref);
    else if (Array.isArray(allOf) && allOf.length === 1) found = allOf[0];
    else return allOf === undefined ? said : { ...said, allOf };
  }
  return {};
}

function pointedTo(root: Schema, reference: string): unknown {
  if (reference === "#") return root;
  if (!reference.startsWith("#/")) return undefined;
  let found: unknown = root;
  for (const part of reference.slice(2).split("/")) {
    const name = decoded(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // What is no encoding is meant as it stands.
    return part;
  }
}

/** The one type that is meant; `null` beside it only says that the place may be empty. */
function typeOf({ type }: Schema): unknown {
  if (!Array.isArray(type)) return type;
  const others = type.filter((name) => name !== "null");
  return others.length === 1 ? others[0] : undefined;
}

const INPUTS: Readonly<Record<string, "email" | "url">> = { email: "email", uri: "url", url: "url" };

/** How `schema`, which {@link resolved} has returned, is filled in. */
export function controlOf(schema: Schema, root: Schema, depth: number): Control {
  if (Object.hasOwn(schema, "const")) return { kind: "constant", value: schema["const"] };
  const { enum: values, oneOf, anyOf } = schema;
  if (Array.isArray(values) && values.length > 0 && values.length <= MAX_CHOICES) return { kind: "choice", values };
  const list = Array.isArray(oneOf) ? oneOf : anyOf;
  if (Array.isArray(list) && list.length > 0 && list.length <= MAX_MEMBERS && depth < MAX_DEPTH) {
    return ofVariants(schema, list, root);
  }
  if (schema["allOf"] !== undefined || schema["if"] !== undefined) return { kind: "json" };
  switch (typeOf(schema)) {
    case "string": {
      const format = String(schema["format"] ?? "");
      const isLong = Number(schema["maxLength"] ?? 0) > 200 || format === "textarea";
      return { kind: "text", input: INPUTS[format] ?? "text", isLong };
    }
    case "number":
      return { kind: "number", isInteger: false };
    case "integer":
      return { kind: "number", isInteger: true };
    case "boolean":
      return { kind: "flag" };
    case "object":
      return ofObject(schema, depth);
    case "array": {
      const isPlain = schema["prefixItems"] === undefined && depth < MAX_DEPTH;
      return isPlain && isRecord(schema["items"]) ? { kind: "list", items: schema["items"] } : { kind: "json" };
    }
    default:
      return isRecord(schema["properties"]) ? ofObject(schema, depth) : { kind: "json" };
  }
}

function ofObject({ properties, required }: Schema, depth: number): Control {
  const members = isRecord(properties) ? Object.entries(properties) : [];
  if (members.length === 0 || members.length > MAX_MEMBERS || depth >= MAX_DEPTH) return { kind: "json" };
  const needed = new Set(Array.isArray(required) ? required : []);
  return {
    kind: "object",
    members: members.map(([name, schema]) => ({
      ...{ name, schema: isRecord(schema) ? schema : {}, isRequired: needed.has(name) },
    })),
  };
}

function ofVariants(schema: Schema, list: readonly unknown[], root: Schema): Control {
  const { oneOf: _one, anyOf: _any, default: _default, title: _title, description: _description, ...shared } = schema;
  const variants = list.map((each, index) => {
    const own = resolved(each, root);
    // What is said beside the list is said of each.
    const whole: Schema = {
      ...{ ...shared, ...own },
      ...(isRecord(shared["properties"]) &&
        isRecord(own["properties"]) && { properties: { ...shared["properties"], ...own["properties"] } }),
    };
    return { label: labelOf(whole, index), schema: whole };
  });
  // Values with a name each are a choice.
  if (variants.every(({ schema: one }) => Object.hasOwn(one, "const")) && Object.keys(shared).every(isPlainWord)) {
    return { kind: "choice", values: variants.map(({ schema: one }) => one["const"]) };
  }
  return { kind: "variants", variants };
}

const isPlainWord = (keyword: string): boolean => keyword === "type" || keyword.startsWith("$");

/** By what it says itself: looking further would have no end where variants are made of each other. */
function labelOf({ title, const: constant, type, properties, required }: Schema, index: number): string {
  if (typeof title === "string") return title;
  if (constant !== undefined) return JSON.stringify(constant);
  // What tells the variants of an object from each other is most often one constant.
  const members = isRecord(properties) ? Object.entries(properties) : [];
  for (const [name, member] of members) {
    if (isRecord(member) && Object.hasOwn(member, "const")) return `${name} ${JSON.stringify(member["const"])}`;
  }
  const needed = Array.isArray(required) ? required.filter((name) => typeof name === "string") : [];
  if (needed.length > 0) return needed.slice(0, 3).join(", ");
  return typeof type === "string" ? type : `form ${index + 1}`;
}

/** How many places of a schema are looked at in one go. */
interface Effort {
  left: number;
}

const effort = (): Effort => ({ left: 2_000 });

/** What stands in the form at first: what is given, else the defaults, else what must be there. `undefined`: nothing. */
export const initialValue = (schema: unknown, root: Schema, given: unknown, isNeeded: boolean, depth = 0): unknown =>
  initially({ schema, value: given, isNeeded, depth }, root, effort());

function initially(
  { schema, value: given, isNeeded, depth }: Omit<Place, "pointer">,
  root: Schema,
  spent: Effort,
): unknown {
  spent.left -= 1;
  if (spent.left < 0) return given;
  const own = resolved(schema, root);
  const value = given === undefined ? own["default"] : given;
  const control = controlOf(own, root, depth);
  if (control.kind === "constant") return value ?? (isNeeded ? control.value : undefined);
  if (control.kind === "object" && (value === undefined || isRecord(value))) {
    if (value === undefined && !isNeeded) return undefined;
    const members = control.members.flatMap(({ name, schema: member, isRequired }) => {
      const held = isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
      // What was given is as it was: defaults are for what is new.
      const initial =
        given !== undefined && held === undefined && !isRequired
          ? undefined
          : initially({ schema: member, value: held, isNeeded: isRequired, depth: depth + 1 }, root, spent);
      return initial === undefined ? [] : [[name, initial] as const];
    });
    return { ...(isRecord(value) ? value : {}), ...Object.fromEntries(members) };
  }
  if (value !== undefined || !isNeeded) return value;
  if (control.kind === "list") return [];
  const first = control.kind === "variants" ? control.variants[0] : undefined;
  if (first !== undefined) {
    return initially({ schema: first.schema, value: undefined, isNeeded: true, depth: depth + 1 }, root, spent);
  }
  return undefined;
}

/** The variant that a value most looks like. */
export function variantOf(value: unknown, variants: readonly Variant[], root: Schema): number {
  const fits = variants.map(({ schema }) => (value === undefined ? 1 : problemsOf(schema, root, value, true).size));
  const best = Math.min(...fits);
  return Math.max(fits.indexOf(best), 0);
}

const escaped = (name: string | number): string => String(name).replaceAll("~", "~0").replaceAll("/", "~1");

export const below = (pointer: string, name: string | number): string => `${pointer}/${escaped(name)}`;

/** What is plainly wrong, by JSON Pointer. Nothing may be wrong for it that the runtime would take. */
export function problemsOf(
  schema: unknown,
  root: Schema,
  value: unknown,
  isNeeded: boolean,
): ReadonlyMap<string, string> {
  const problems = new Map<string, string>();
  visit({ schema, value, isNeeded, pointer: "", depth: 0 }, { root, spent: effort() }, problems);
  return problems;
}

interface Place {
  readonly schema: unknown;
  readonly value: unknown;
  readonly isNeeded: boolean;
  readonly pointer: string;
  readonly depth: number;
}

interface Look {
  readonly root: Schema;
  readonly spent: Effort;
}

const MAX_PROBLEMS = 100;

function visit({ schema, value, isNeeded, pointer, depth }: Place, look: Look, problems: Map<string, string>): void {
  const { root, spent } = look;
  spent.left -= 1;
  if (problems.size >= MAX_PROBLEMS || spent.left < 0) return;
  const own = resolved(schema, root);
  const control = controlOf(own, root, depth);
  if (value === undefined || isUnset(value, own, control)) {
    if (isNeeded) problems.set(pointer, "This is needed.");
    return;
  }
  if (value === null && Array.isArray(own["type"]) && own["type"].includes("null")) return;
  const say = (problem: string | undefined): void => {
    if (problem !== undefined) problems.set(pointer, problem);
  };
  switch (control.kind) {
    case "text":
      say(typeof value === "string" ? textProblem(own, value) : "This is text.");
      return;
    case "number":
      say(numberProblem(own, value, control.isInteger));
      return;
    case "flag":
      say(typeof value === "boolean" ? undefined : "This is yes or no.");
      return;
    case "choice":
      say(control.values.some((each) => isSame(each, value)) ? undefined : "This is not one of the choices.");
      return;
    case "constant":
      say(isSame(control.value, value) ? undefined : `This is ${JSON.stringify(control.value)}.`);
      return;
    case "list": {
      if (!Array.isArray(value)) {
        say("This is a list.");
        return;
      }
      const { minItems, maxItems } = own;
      if (typeof minItems === "number" && value.length < minItems) say(`At least ${minItems} are needed.`);
      if (typeof maxItems === "number" && value.length > maxItems) say(`There may be ${maxItems} at most.`);
      for (const [index, item] of value.entries()) {
        const place = { schema: control.items, value: item, isNeeded: true };
        visit({ ...place, pointer: below(pointer, index), depth: depth + 1 }, look, problems);
      }
      return;
    }
    case "object": {
      if (!isRecord(value)) {
        say("This is an object.");
        return;
      }
      for (const { name, schema: member, isRequired } of control.members) {
        const place = { schema: member, value: Object.hasOwn(value, name) ? value[name] : undefined };
        visit({ ...place, isNeeded: isRequired, pointer: below(pointer, name), depth: depth + 1 }, look, problems);
      }
      return;
    }
    case "variants": {
      const found = control.variants.map(({ schema: one }) => {
        const own = new Map<string, string>();
        visit({ schema: one, value, isNeeded, pointer, depth: depth + 1 }, look, own);
        return own;
      });
      const best = found.reduce((least, each) => (each.size < least.size ? each : least));
      for (const [at, problem] of best) problems.set(at, problem);
      return;
    }
    case "json":
      return;
  }
}

/** What stands in a list where nothing was filled in yet. */
const isUnset = (value: unknown, { type }: Schema, { kind }: Control): boolean =>
  value === null && (kind === "text" || kind === "number" || kind === "flag") && !Array.isArray(type);

export const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

function textProblem(schema: Schema, value: string): string | undefined {
  const { minLength, maxLength, format } = schema;
  const length = [...value].length;
  if (typeof minLength === "number" && length < minLength) {
    return minLength === 1 ? "This is needed." : `At least ${minLength} characters are needed.`;
  }
  if (typeof maxLength === "number" && length > maxLength) return `There may be ${maxLength} characters at most.`;
  if (format === "email" && !value.includes("@")) return "This is an address of e-mail.";
  if ((format === "uri" || format === "url") && !URL.canParse(value)) return "This is a URL, with https:// before it.";
  if (format === "date" && !/^\d{4}-\d{2}-\d{2}$/.test(value)) return "This is a day: YYYY-MM-DD.";
  if (format === "date-time" && !(/^\d{4}-\d{2}-\d{2}T/i.test(value) && !Number.isNaN(Date.parse(value)))) {
    return "This is an instant, such as 2026-01-31T09:00:00Z.";
  }
  return undefined;
}

function numberProblem(schema: Schema, value: unknown, isInteger: boolean): string | undefined {
  if (typeof value !== "number") return "This is a number.";
  if (isInteger && !Number.isInteger(value)) return "This is a whole number.";
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  if (typeof minimum === "number" && value < minimum) return `This is ${minimum} at least.`;
  if (typeof maximum === "number" && value > maximum) return `This is ${maximum} at most.`;
  if (typeof exclusiveMinimum === "number" && value <= exclusiveMinimum)
    return `This is more than ${exclusiveMinimum}.`;
  if (typeof exclusiveMaximum === "number" && value >= exclusiveMaximum)
    return `This is less than ${exclusiveMaximum}.`;
  return undefined;
}
