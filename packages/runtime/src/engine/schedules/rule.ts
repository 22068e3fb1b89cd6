/**
 * Recurrence rules as text (RFC 5545 §3.3.10, §3.8.5): `RRULE`, with `DTSTART` and `EXDATE` beside it. Everything is
 * checked here; what is read can be evaluated in bounded time.
 */
import { InvalidRequestError } from "@arcp/core";
import { calendarDay, dayOf, dayOfDate, modulo, SECONDS_PER_DAY, TimeZone, type Weekday } from "./wall-time.ts";

export type Frequency = "YEARLY" | "MONTHLY" | "WEEKLY" | "DAILY" | "HOURLY" | "MINUTELY" | "SECONDLY";

/** Every one of that weekday, or the n-th (from the end if negative) of the month or year. */
export interface WeekdayPart {
  readonly weekday: Weekday;
  readonly ordinal: number | undefined;
}

/** A rule with what it leaves out taken from its start. Lists are ascending and without doubles. */
export interface RecurrenceRule {
  readonly frequency: Frequency;
  readonly interval: number;
  readonly count: number | undefined;
  /** The last instant that may be one, milliseconds since the epoch. */
  readonly until: number | undefined;
  readonly bySecond: readonly number[] | undefined;
  readonly byMinute: readonly number[] | undefined;
  readonly byHour: readonly number[] | undefined;
  readonly byDay: readonly WeekdayPart[] | undefined;
  /** Are the ordinals of `byDay` those of the year? */
  readonly countsWeekdaysInYear: boolean;
  readonly byMonthDay: ReadonlySet<number> | undefined;
  readonly byYearDay: ReadonlySet<number> | undefined;
  readonly byWeekNo: ReadonlySet<number> | undefined;
  readonly byMonth: ReadonlySet<number> | undefined;
  readonly bySetPos: readonly number[] | undefined;
  readonly weekStart: Weekday;
  readonly zone: TimeZone;
  /** The wall time of `DTSTART`. */
  readonly start: number;
  /** Instants that are none: `EXDATE`. */
  readonly excluded: ReadonlySet<number>;
}

const MAX_TEXT_LENGTH = 4096;
/** Also bounds the work that a rule with `COUNT` makes when it is accepted. */
const MAX_COUNT = 1000;
const MAX_INTERVAL = 1_000_000;
const MAX_EXCLUDED = 256;
const YEARS = { min: 1970, max: 2999 };

const FREQUENCIES: ReadonlySet<string> = new Set<Frequency>([
  ...(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"] as const),
]);
const WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/** The parts that are lists of numbers. `signed` ones count from the end when negative, and have no zero. */
const LISTS = {
  BYSECOND: { min: 0, max: 59, signed: false },
  BYMINUTE: { min: 0, max: 59, signed: false },
  BYHOUR: { min: 0, max: 23, signed: false },
  BYMONTHDAY: { min: 1, max: 31, signed: true },
  BYYEARDAY: { min: 1, max: 366, signed: true },
  BYWEEKNO: { min: 1, max: 53, signed: true },
  BYMONTH: { min: 1, max: 12, signed: false },
  BYSETPOS: { min: 1, max: 366, signed: true },
} as const;

const PARTS: ReadonlySet<string> = new Set([
  ...["FREQ", "UNTIL", "COUNT", "INTERVAL", "BYDAY", "WKST"],
  ...Object.keys(LISTS),
]);

/** What is wrong with `when.every`. */
export const ruleRefused = (problem: string): InvalidRequestError =>
  new InvalidRequestError(`when.every: ${problem}`, { details: { path: "when.every", problem } });

/**
 * The rule that `text` says. Without `DTSTART` it starts at `acceptedAt` (milliseconds since the epoch, the next whole
 * second of it) in UTC. Throws `InvalidRequestError` that says what is wrong.
 */
export function parseRule(text: string, acceptedAt: number): RecurrenceRule {
  const lines = linesOf(text);
  const { start, zone } = lines.start ?? { start: Math.ceil(acceptedAt / 1000), zone: TimeZone.UTC };
  const excluded = new Set(lines.excluded.flatMap((line) => exclusionsOf(line, zone)));
  if (excluded.size > MAX_EXCLUDED) throw ruleRefused(`EXDATE names more than ${MAX_EXCLUDED} instants`);
  const parts = partsOf(lines.rule);
  const { FREQ = "" } = parts;
  if (!FREQUENCIES.has(FREQ)) throw ruleRefused("FREQ is missing or none of RFC 5545");
  const frequency = FREQ as Frequency;
  const byDay = parts["BYDAY"] === undefined ? undefined : weekdaysOf(parts["BYDAY"]);
  checkCombination(frequency, parts, byDay);
  const dates: Dates = {
    ...{ byDay, byMonth: setOf(parts, "BYMONTH"), byMonthDay: setOf(parts, "BYMONTHDAY") },
    ...{ byYearDay: setOf(parts, "BYYEARDAY"), byWeekNo: setOf(parts, "BYWEEKNO") },
  };
  const times: Times = {
    bySecond: listOf(parts, "BYSECOND"),
    byMinute: listOf(parts, "BYMINUTE"),
    byHour: listOf(parts, "BYHOUR"),
  };
  return {
    frequency,
    interval: numberOf(parts, "INTERVAL", MAX_INTERVAL) ?? 1,
    count: numberOf(parts, "COUNT", MAX_COUNT),
    until: parts["UNTIL"] === undefined ? undefined : untilOf(parts["UNTIL"], zone),
    ...datesFromStart(frequency, dates, start),
    ...timesFromStart(frequency, times, start),
    countsWeekdaysInYear: frequency === "YEARLY" && parts["BYMONTH"] === undefined,
    bySetPos: listOf(parts, "BYSETPOS"),
    weekStart: parts["WKST"] === undefined ? 0 : weekdayNamed(parts["WKST"], "WKST"),
    ...{ zone, start, excluded },
  };
}

interface Lines {
  readonly rule: string;
  readonly start: { readonly start: number; readonly zone: TimeZone } | undefined;
  readonly excluded: readonly string[];
}

function linesOf(text: string): Lines {
  if (text.length > MAX_TEXT_LENGTH) throw ruleRefused(`longer than ${MAX_TEXT_LENGTH} characters`);
  // A line that begins with a space continues the one before it.
  const lines = text.replaceAll(/\r?\n[ \t]/g, "").split(/\r?\n/);
  const named = lines.filter((line) => line !== "").map((line) => (/^[A-Z]+=/i.test(line) ? `RRULE:${line}` : line));
  const of = (name: string): string[] => named.filter((line) => nameOf(line) === name);
  const unknown = named.find((line) => !["RRULE", "DTSTART", "EXDATE"].includes(nameOf(line)));
  if (unknown !== undefined) throw ruleRefused(`${quoted(nameOf(unknown))} is not supported beside RRULE`);
  const [rule, second] = of("RRULE");
  const [start, otherStart] = of("DTSTART");
  if (rule === undefined || second !== undefined) throw ruleRefused("expected one RRULE");
  if (otherStart !== undefined) throw ruleRefused("expected at most one DTSTART");
  return {
    rule: rule.slice("RRULE:".length),
    start: start === undefined ? undefined : startOf(start),
    excluded: of("EXDATE"),
  };
}

const nameOf = (line: string): string => (/^[^:;]*/.exec(line)?.[0] ?? "").toUpperCase();

function partsOf(rule: string): Readonly<Record<string, string>> {
  const parts = new Map<string, string>();
  for (const part of rule.split(";")) {
    const [, name = "", value = ""] = /^([^=]*)=(.*)$/.exec(part.toUpperCase()) ?? [];
    if (!PARTS.has(name)) throw ruleRefused(`${quoted(part)} is no part of a rule that is supported`);
    if (parts.has(name)) throw ruleRefused(`${name} stands there twice`);
    parts.set(name, value);
  }
  return Object.fromEntries(parts);
}

type Times = Pick<RecurrenceRule, "bySecond" | "byMinute" | "byHour">;
type Dates = Pick<RecurrenceRule, "byMonth" | "byMonthDay" | "byDay" | "byYearDay" | "byWeekNo">;

function setOf(parts: Readonly<Record<string, string>>, name: keyof typeof LISTS): ReadonlySet<number> | undefined {
  const list = listOf(parts, name);
  return list && new Set(list);
}

function listOf(parts: Readonly<Record<string, string>>, name: keyof typeof LISTS): readonly number[] | undefined {
  const text = parts[name];
  if (text === undefined) return undefined;
  const { min, max, signed } = LISTS[name];
  const values = text.split(",").map((item) => {
    const value = (signed ? /^[+-]?\d{1,3}$/ : /^\d{1,2}$/).test(item) ? Number(item) : Number.NaN;
    if (Math.abs(value) >= min && Math.abs(value) <= max) return value;
    throw ruleRefused(
      `${name} has ${quoted(item)}, which is not ${signed ? `±${min} to ±${max}` : `${min} to ${max}`}`,
    );
  });
  return [...new Set(values)].sort((a, b) => a - b);
}

function numberOf(
  parts: Readonly<Record<string, string>>,
  name: "COUNT" | "INTERVAL",
  max: number,
): number | undefined {
  const text = parts[name];
  if (text === undefined) return undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= max) return value;
  throw ruleRefused(`${name} is not between 1 and ${max}`);
}

const weekdaysOf = (text: string): readonly WeekdayPart[] =>
  [...new Set(text.split(","))].map((item) => {
    const [, ordinal = "", name = ""] = /^([+-]?\d{1,2})?([A-Z]{2})$/.exec(item) ?? [];
    const weekday = weekdayNamed(name, "BYDAY");
    if (ordinal === "") return { weekday, ordinal: undefined };
    if (Number(ordinal) === 0 || Math.abs(Number(ordinal)) > 53) throw ruleRefused(`BYDAY has ${quoted(item)}`);
    return { weekday, ordinal: Number(ordinal) };
  });

function weekdayNamed(name: string, part: string): Weekday {
  const weekday = WEEKDAYS.indexOf(name);
  if (weekday === -1) throw ruleRefused(`${part} has something that is no weekday`);
  return weekday as Weekday;
}

/** What RFC 5545 says must not stand together. */
function checkCombination(
  frequency: Frequency,
  parts: Readonly<Record<string, string>>,
  byDay: readonly WeekdayPart[] | undefined,
): void {
  const has = (name: string): boolean => parts[name] !== undefined;
  const isAnyOf = (...frequencies: Frequency[]): boolean => frequencies.includes(frequency);
  if (has("COUNT") && has("UNTIL")) throw ruleRefused("COUNT and UNTIL exclude each other");
  if (has("BYWEEKNO") && frequency !== "YEARLY") throw ruleRefused("BYWEEKNO needs FREQ=YEARLY");
  if (has("BYYEARDAY") && isAnyOf("MONTHLY", "WEEKLY", "DAILY"))
    throw ruleRefused(`BYYEARDAY excludes FREQ=${frequency}`);
  if (has("BYMONTHDAY") && frequency === "WEEKLY") throw ruleRefused("BYMONTHDAY excludes FREQ=WEEKLY");
  if (byDay?.some(({ ordinal }) => ordinal !== undefined) && (!isAnyOf("MONTHLY", "YEARLY") || has("BYWEEKNO"))) {
    throw ruleRefused("numbered weekdays need FREQ=MONTHLY, or FREQ=YEARLY without BYWEEKNO");
  }
  const others = Object.keys(parts).filter((name) => name.startsWith("BY") && name !== "BYSETPOS");
  if (has("BYSETPOS") && others.length === 0) throw ruleRefused("BYSETPOS needs another BY part");
}

/** The dates that the rule leaves open are those of its start. */
function datesFromStart(frequency: Frequency, dates: Dates, start: number): Dates {
  const { byMonth, byMonthDay, byDay, byYearDay, byWeekNo } = dates;
  const hasDay = byMonthDay !== undefined || byDay !== undefined || byYearDay !== undefined;
  if (hasDay || !["YEARLY", "MONTHLY", "WEEKLY"].includes(frequency)) return dates;
  const { month, dayOfMonth, weekday } = calendarDay(dayOf(start));
  if (frequency === "WEEKLY" || byWeekNo !== undefined) {
    return { ...dates, byDay: [{ weekday, ordinal: undefined }] };
  }
  const months = frequency === "YEARLY" ? (byMonth ?? new Set([month])) : byMonth;
  return { ...dates, byMonth: months, byMonthDay: new Set([dayOfMonth]) };
}

/** So are the times of day. Parts at or above the frequency only limit, and stay open. */
function timesFromStart(frequency: Frequency, { bySecond, byMinute, byHour }: Times, start: number): Times {
  const time = modulo(start, SECONDS_PER_DAY);
  return {
    bySecond: bySecond ?? (frequency === "SECONDLY" ? undefined : [time % 60]),
    byMinute: byMinute ?? (["SECONDLY", "MINUTELY"].includes(frequency) ? undefined : [Math.floor(time / 60) % 60]),
    byHour: byHour ?? (["SECONDLY", "MINUTELY", "HOURLY"].includes(frequency) ? undefined : [Math.floor(time / 3600)]),
  };
}

const DATE_TIME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z?)$/;

/** A wall time, and whether it is UTC's. */
function dateTimeOf(text: string, property: string): { readonly wall: number; readonly isUtc: boolean } {
  const [, year, month, day, hour, minute, second, suffix] = DATE_TIME.exec(text) ?? [];
  const wall =
    dayOfDate(Number(year), Number(month), Number(day)) * SECONDS_PER_DAY +
    Number(hour) * 3600 +
    Number(minute) * 60 +
    Number(second);
  const isInRange = Number(year) >= YEARS.min && Number(year) <= YEARS.max;
  // What is no date, or no time, would be read as another one.
  if (isInRange && new Date(wall * 1000).toISOString().replaceAll(/[-:]|\.000Z/g, "") === text.slice(0, 15)) {
    return { wall, isUtc: suffix === "Z" };
  }
  throw ruleRefused(`${property} has ${quoted(text)}, expected a date and a time such as 20260131T093000Z`);
}

/** `DTSTART;TZID=Europe/Berlin:20260131T093000`. Without a zone it is UTC. */
function startOf(line: string): { readonly start: number; readonly zone: TimeZone } {
  const { zone, value } = propertyOf(line, "DTSTART");
  const { wall, isUtc } = dateTimeOf(value, "DTSTART");
  if (isUtc && zone !== undefined) throw ruleRefused("DTSTART has a TZID and is in UTC");
  return { start: wall, zone: zone ?? TimeZone.UTC };
}

/** `EXDATE;TZID=Europe/Berlin:20260131T093000,20260201T093000`. Without a zone it is that of `DTSTART`. */
function exclusionsOf(line: string, startZone: TimeZone): readonly number[] {
  const { zone = startZone, value } = propertyOf(line, "EXDATE");
  return value.split(",").map((text) => {
    const { wall, isUtc } = dateTimeOf(text, "EXDATE");
    return (isUtc ? TimeZone.UTC : zone).instantNear(wall);
  });
}

function propertyOf(line: string, property: string): { readonly zone: TimeZone | undefined; readonly value: string } {
  const separator = line.indexOf(":");
  const value = line.slice(separator + 1).toUpperCase();
  let zone: TimeZone | undefined;
  for (const parameter of separator === -1 ? [] : line.slice(property.length, separator).split(";").slice(1)) {
    const [, name = "", text = ""] = /^([^=]*)="?([^"]*)"?$/.exec(parameter) ?? [];
    if (name.toUpperCase() === "VALUE" && text.toUpperCase() === "DATE-TIME") continue;
    if (name.toUpperCase() !== "TZID" || zone !== undefined) throw ruleRefused(`${property} has ${quoted(parameter)}`);
    zone = TimeZone.named(text);
    if (zone === undefined) throw ruleRefused(`${property} has the time zone ${quoted(text)}, which is not known`);
  }
  return { zone, value };
}

/** In UTC as RFC 5545 wants it; a time without `Z` is one of the rule's zone, a date the whole of that day. */
function untilOf(text: string, zone: TimeZone): number {
  const { wall, isUtc } = dateTimeOf(/^\d{8}$/.test(text) ? `${text}T235959` : text, "UNTIL");
  return (isUtc ? TimeZone.UTC : zone).instantNear(wall);
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 64).toWellFormed());
