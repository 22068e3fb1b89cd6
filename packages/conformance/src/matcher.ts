/** Says what a value has to look like, in words that a report can show. */

export interface Matcher {
  /** `a non-empty string`. */
  readonly describes: string;
  /** `undefined` if the value is as it should be, otherwise what is wrong with it. */
  problem(value: unknown): string | undefined;
}

function simple(describes: string, holds: (value: unknown) => boolean): Matcher {
  return { describes, problem: (value) => (holds(value) ? undefined : `${shown(value)} is not ${describes}`) };
}

const MAX_SHOWN = 600;

/** A value as a report shows it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const aString: Matcher = simple("a string", (value) => typeof value === "string");
export const someText: Matcher = simple("a non-empty string", (value) => typeof value === "string" && value !== "");
export const aNumber: Matcher = simple("a number", (value) => typeof value === "number");
export const aPositiveNumber: Matcher = simple("a number above 0", (value) => typeof value === "number" && value > 0);
export const anInteger: Matcher = simple("an integer", (value) => Number.isSafeInteger(value));
export const aBoolean: Matcher = simple("a boolean", (value) => typeof value === "boolean");
export const anObject: Matcher = simple("an object", isObject);
export const nothing: Matcher = simple("absent", (value) => value === undefined || value === null);

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/;
export const aTimestamp: Matcher = simple(
  "a timestamp of ISO 8601",
  (value) => typeof value === "string" && TIMESTAMP.test(value) && !Number.isNaN(Date.parse(value)),
);
export const aTraceId: Matcher = simple(
  "a trace id of 32 lower-case hexadecimal characters, not all zero",
  (value) => typeof value === "string" && /^[0-9a-f]{32}$/.test(value) && !/^0+$/.test(value),
);

const ULID = /^(?:[a-z]+[_-])?[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;
const UUID_7 = /^(?:[a-z]+[_-])?[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i;
export const aSortableId: Matcher = simple(
  "a ULID or a UUID of version 7, perhaps after a prefix",
  (value) => ULID.test(String(value)) || UUID_7.test(String(value)),
);

export function is(expected: unknown): Matcher {
  return simple(shown(expected), (value) => isSame(value, expected));
}

export function oneOf(...values: readonly unknown[]): Matcher {
  return simple(values.map(shown).join(" or "), (value) => values.some((candidate) => isSame(value, candidate)));
}

export function text(pattern: RegExp, describes: string): Matcher {
  return simple(describes, (value) => typeof value === "string" && pattern.test(value));
}

/** Holds whatever `holds` says; `describes` follows "is not". */
export function such(describes: string, holds: (value: unknown) => boolean): Matcher {
  return simple(describes, holds);
}

/** Absent, or as `matcher` says. */
export function perhaps(matcher: Matcher): Matcher {
  return {
    describes: `${matcher.describes}, if it is there`,
    problem: (value) => (value === undefined || value === null ? undefined : matcher.problem(value)),
  };
}

export function listOf(matcher: Matcher): Matcher {
  return {
    describes: `a list, each of it ${matcher.describes}`,
    problem: (value) => {
      if (!Array.isArray(value)) return `${shown(value)} is not a list`;
      for (const [place, item] of value.entries()) {
        const wrong = matcher.problem(item);
        if (wrong !== undefined) return `[${place}]: ${wrong}`;
      }
      return undefined;
    },
  };
}

/** An object with at least these members. */
export function shape(members: Readonly<Record<string, Matcher>>): Matcher {
  const list = Object.entries(members).map(([name, { describes }]) => `${name}: ${describes}`);
  return {
    describes: `{ ${list.join(", ")} }`,
    problem: (value) => {
      if (!isObject(value)) return `${shown(value)} is not an object`;
      for (const [name, matcher] of Object.entries(members)) {
        const wrong = matcher.problem(value[name]);
        if (wrong !== undefined) return `${name}: ${wrong}`;
      }
      return undefined;
    },
  };
}

/** Whether two values of JSON are the same, in whatever order their members are. */
export function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
    return one.every((item, place) => isSame(item, other[place]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && isSame(one[name], other[name]))
  );
}
