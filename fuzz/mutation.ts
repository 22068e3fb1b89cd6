/** Valid frames, made invalid in the ways that parsers, validators and state machines get wrong. */
import type { Random } from "./random.ts";

export interface Mutant {
  readonly text: string;
  /** Is it certain that no decoder may take it? */
  readonly mustBeRefused: boolean;
}

type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

/** Stands in a tree for text that is written as it is. */
const RAW = "\u0001raw:";

/** Numbers, as JSON text. */
const NUMBERS = [
  ...["-1", "0", "-0", "1.5", "1e3", "1E+2", "1e400", "-1e400", "1e-400", "0.1e1", "9007199254740991", "2147483648"],
  ...["9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616", "0.30000000000000004"],
  ...["1".repeat(400), `0.${"1".repeat(400)}`, "00", "+1", ".5", "5.", "0x10", "NaN", "Infinity", "1_000", "1e", "--1"],
];
const VALUES: readonly Json[] = [
  ...[null, true, false, 0, -1, 1.5, 2 ** 53, "", " ", "0", "null", "[]", "true"],
  ...[[], {}, [[]], [null], [{}], { a: null }, { length: 3 }, { toString: 1 }, { valueOf: null }, { toJSON: 1 }],
];
const TEXTS = [
  ...["\u0000", "\ud800", "\udc00", "\ud83d\ude00", "\u202e", "\u2028", "\u2029", "\ufeff", "\u212a", "\u00ad"],
  ...[
    "\r\n",
    "\n",
    "\t",
    "\u007f",
    "\u0085",
    "\u001b[31m",
    "..",
    "../..",
    "%2e%2e",
    "'; DROP TABLE job; --",
    "\\",
    '"',
  ],
  ...[
    "a".repeat(300),
    "\u00e9".repeat(200),
    "job_",
    "sess_",
    "rt_",
    "x-vendor.",
    "@",
    "*",
    "**",
    "2026-02-30T00:00:00Z",
  ],
];
const NAMES = [
  ...["toString", "hasOwnProperty", "valueOf", "length", "then", "toJSON", "", " ", "type", "id", "payload", "arcp"],
  ...["session_id", "job_id", "resume", "auth", "token", "features", "agent", "input", "filter", "limit", "cursor"],
  ...[
    "trace_id",
    "extensions",
    "reason",
    "lease_request",
    "cost.budget",
    "event_seq",
    "\u0000",
    "\ud800",
    "a".repeat(300),
  ],
];
const FORBIDDEN_NAMES = ["__proto__", "constructor", "prototype", "\\u005f_proto__", "constr\\u0075ctor"];
const WHITESPACE = ["", " ", "\t", "\n", "\r\n", "  "];
const MAX_DEPTH = 64;

const taken = (text: string): Mutant => ({ text, mustBeRefused: false });
const refused = (text: string): Mutant => ({ text, mustBeRefused: true });

type Mutation = (frame: string, random: Random, other: string) => Mutant;

const MUTATIONS: readonly Mutation[] = [
  flipCharacters,
  (frame, random) => taken(frame.slice(0, random.below(frame.length))),
  (frame, random, other) => taken(frame.slice(0, random.below(frame.length)) + other.slice(random.below(other.length))),
  (frame, random, other) => refused(random.oneIn(2) ? `${frame}${other}` : `${frame}\n${other}`),
  (frame, random) => refused(`${frame}${random.pick(["x", "\u0000", "]", ",", "{}"])}`),
  (frame) => refused(`\ufeff${frame}`),
  swapValue,
  swapValue,
  swapNumber,
  oddText,
  oddText,
  nest,
  addMember,
  forbiddenMember,
  duplicateMember,
  removeMember,
  renameMember,
  crossOver,
  manyMembers,
  longText,
  respell,
];

/** `frame`, which is valid JSON, mutated once. `other` is another valid frame to take parts from. */
export function mutate(frame: string, random: Random, other: string): Mutant {
  return random.pick(MUTATIONS)(frame, random, other);
}

function flipCharacters(frame: string, random: Random): Mutant {
  const units = [...frame].map((character) => character);
  for (let n = 1 + random.below(4); n > 0; n -= 1) {
    const at = random.below(units.length);
    const kind = random.below(4);
    if (kind === 0) units.splice(at, 1);
    else if (kind === 1) units.splice(at, 0, String.fromCharCode(random.below(128)));
    else if (kind === 2) units[at] = String.fromCharCode(random.below(0x1_0000));
    else units[at] = random.pick(['"', "{", "}", "[", "]", ":", ",", "\\", "0", "-", "e", " "]);
  }
  return taken(units.join(""));
}

/** A place in a tree: the container, and the name or index in it. */
interface Place {
  readonly container: Json[] | { [member: string]: Json };
  readonly key: string | number;
  readonly depth: number;
}

function placesOf(value: Json, depth = 1): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const keys = Array.isArray(value) ? value.keys().toArray() : Object.keys(value);
  return keys.flatMap((key) => [{ container: value, key, depth }, ...placesOf(childOf(value, key), depth + 1)]);
}

const childOf = (container: Place["container"], key: string | number): Json =>
  (container as Record<string | number, Json>)[key] as Json;

function put({ container, key }: Place, value: Json): void {
  (container as Record<string | number, Json>)[key] = value;
}

/** The frame with the value at one place replaced. */
function replacing(frame: string, random: Random, replace: (old: Json, place: Place) => Json): string {
  const tree = JSON.parse(frame) as Json;
  const place = random.pick(placesOf(tree));
  put(place, replace(childOf(place.container, place.key), place));
  return write(tree);
}

/** JSON, with raw text where the tree says so. */
const write = (tree: Json): string =>
  JSON.stringify(tree).replace(/"\\u0001raw:((?:\\.|[^"\\])*)"/g, (_, raw: string) => JSON.parse(`"${raw}"`) as string);

function swapValue(frame: string, random: Random): Mutant {
  return taken(replacing(frame, random, () => structuredClone(random.pick(VALUES))));
}

function swapNumber(frame: string, random: Random): Mutant {
  return taken(replacing(frame, random, () => RAW + random.pick(NUMBERS)));
}

function oddText(frame: string, random: Random): Mutant {
  const odd = random.pick(TEXTS);
  return taken(
    replacing(frame, random, (old) => {
      if (typeof old !== "string") return odd;
      const at = random.below(old.length + 1);
      return old.slice(0, at) + odd + old.slice(at);
    }),
  );
}

function nest(frame: string, random: Random): Mutant {
  const depth = random.pick([2, 30, 60, 70, 200, 5_000]);
  const [open, close] = random.oneIn(2) ? ["[", "]"] : ['{"a":', "}"];
  const text = replacing(frame, random, () => `${RAW}${open.repeat(depth)}1${close.repeat(depth)}`);
  return { text, mustBeRefused: depth > MAX_DEPTH };
}

/** Puts text behind the brace of one of the frame's objects. */
function inserting(
  frame: string,
  random: Random,
  member: (object: { readonly [name: string]: Json }) => string,
): string {
  const tree = { frame: JSON.parse(frame) as Json };
  const places = placesOf(tree).filter((place) => isObject(childOf(place.container, place.key)));
  const place = random.pick(places);
  const object = childOf(place.container, place.key) as { [name: string]: Json };
  const rest = write(object).slice(1);
  put(place, `${RAW}{${member(object)}${rest === "}" ? "" : ","}${rest}`);
  return write(tree.frame);
}

const isObject = (value: Json): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

function addMember(frame: string, random: Random): Mutant {
  return taken(
    inserting(frame, random, () => `${JSON.stringify(random.pick(NAMES))}:${JSON.stringify(random.pick(VALUES))}`),
  );
}

function forbiddenMember(frame: string, random: Random): Mutant {
  const name = random.pick(FORBIDDEN_NAMES);
  const space = random.pick(WHITESPACE);
  return refused(inserting(frame, random, () => `"${name}"${space}:{"polluted":true}`));
}

function duplicateMember(frame: string, random: Random): Mutant {
  let isDuplicate = false;
  const text = inserting(frame, random, (object) => {
    const name = random.pick([...Object.keys(object), "none"]);
    isDuplicate = Object.hasOwn(object, name);
    const spelling = random.oneIn(2) ? JSON.stringify(name) : escaped(name);
    return `${spelling}:${JSON.stringify(random.pick(VALUES))}`;
  });
  return { text, mustBeRefused: isDuplicate };
}

/** `name` as a JSON string in which every character is escaped. */
const escaped = (name: string): string =>
  `"${Array.from({ length: name.length }, (_, at) => `\\u${name.charCodeAt(at).toString(16).padStart(4, "0")}`).join("")}"`;

function removeMember(frame: string, random: Random): Mutant {
  const tree = JSON.parse(frame) as Json;
  const { container, key } = random.pick(placesOf(tree));
  if (Array.isArray(container)) container.splice(key as number, 1);
  else delete container[key];
  return taken(JSON.stringify(tree));
}

function renameMember(frame: string, random: Random): Mutant {
  const tree = JSON.parse(frame) as Json;
  const { container, key } = random.pick(placesOf(tree).filter((place) => typeof place.key === "string"));
  const object = container as { [member: string]: Json };
  const value = object[key] as Json;
  delete object[key];
  object[random.pick(NAMES)] = value;
  return taken(JSON.stringify(tree));
}

/** A part of another frame in the place of one of this frame's. */
function crossOver(frame: string, random: Random, other: string): Mutant {
  const donor = random.pick(placesOf(JSON.parse(other) as Json));
  return taken(replacing(frame, random, () => childOf(donor.container, donor.key)));
}

function manyMembers(frame: string, random: Random): Mutant {
  const count = random.pick([100, 900, 1_100, 20_000]);
  const isList = random.oneIn(2);
  const items = Array.from({ length: count }, (_, n) => (isList ? "0" : `"k${n}":0`)).join(",");
  const text = replacing(frame, random, () => `${RAW}${isList ? `[${items}]` : `{${items}}`}`);
  return { text, mustBeRefused: !isList && count > 1_024 };
}

function longText(frame: string, random: Random): Mutant {
  const length = random.pick([1_000, 10_000, 100_000, 1_000_000, 1_100_000]);
  const unit = random.pick(["x", "\\n", "\\ud83d\\ude00", "é", '\\"', "\\\\"]);
  const text = replacing(frame, random, () => `${RAW}"${unit.repeat(Math.ceil(length / unit.length))}"`);
  return { text, mustBeRefused: text.length > 1024 * 1024 };
}

/** The same frame in another spelling: order and white space mean nothing. */
function respell(frame: string, random: Random): Mutant {
  const tree = JSON.parse(frame) as { [member: string]: Json };
  const members = Object.entries(tree);
  const turned = random.oneIn(2) ? members.reverse() : members;
  return taken(JSON.stringify(Object.fromEntries(turned), null, random.pick(WHITESPACE)));
}
