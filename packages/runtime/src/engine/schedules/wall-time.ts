/**
 * What clocks on walls show: the times in which recurrence rules are written (RFC 5545). A wall time is the number of
 * seconds from 1970-01-01T00:00:00 to it, counted as if no clock were ever put forward or back.
 */

export const SECONDS_PER_DAY = 86_400;
const DAY_MS = SECONDS_PER_DAY * 1000;

/** Monday is 0. */
export type Weekday = 0 | 1 | 2 | 3 | 4 | 5 | 6;

export interface CalendarDay {
  /** Days since 1970-01-01. */
  readonly day: number;
  readonly year: number;
  /** From 1. */
  readonly month: number;
  readonly dayOfMonth: number;
  readonly daysInMonth: number;
  /** From 1. */
  readonly dayOfYear: number;
  readonly daysInYear: number;
  readonly weekday: Weekday;
}

export const dayOf = (wall: number): number => Math.floor(wall / SECONDS_PER_DAY);

/** 1970-01-01 was a Thursday. */
export const weekdayOf = (day: number): Weekday => modulo(day + 3, 7) as Weekday;

/** The day of a date; months below 1 and above 12 are those of other years. Years from 100 on. */
export const dayOfDate = (year: number, month: number, dayOfMonth: number): number =>
  Date.UTC(year, month - 1, dayOfMonth) / DAY_MS;

export function calendarDay(day: number): CalendarDay {
  const date = new Date(day * DAY_MS);
  const [year, month, dayOfMonth] = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
  const newYear = dayOfDate(year, 1, 1);
  return {
    day,
    year,
    month,
    dayOfMonth,
    daysInMonth: dayOfDate(year, month + 1, 1) - dayOfDate(year, month, 1),
    dayOfYear: day - newYear + 1,
    daysInYear: dayOfDate(year + 1, 1, 1) - newYear,
    weekday: weekdayOf(day),
  };
}

export const modulo = (dividend: number, divisor: number): number => ((dividend % divisor) + divisor) % divisor;

/** Formatters are slow to make. */
const MAX_KNOWN_ZONES = 64;
const known = new Map<string, TimeZone>();

export class TimeZone {
  static readonly UTC = new TimeZone("UTC", undefined);

  readonly name: string;
  /** `undefined` for UTC. */
  readonly #format: Intl.DateTimeFormat | undefined;

  private constructor(name: string, format: Intl.DateTimeFormat | undefined) {
    this.name = name;
    this.#format = format;
  }

  /** The zone of an IANA name; `undefined` if this machine knows none of that name. */
  static named(name: string): TimeZone | undefined {
    if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name)) return undefined;
    if (/^(?:UTC|Etc\/UTC|GMT)$/i.test(name)) return TimeZone.UTC;
    let zone = known.get(name);
    if (zone !== undefined) return zone;
    try {
      zone = new TimeZone(name, new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" }));
    } catch {
      return undefined; // The caller says who asked for it.
    }
    if (known.size === MAX_KNOWN_ZONES) known.clear();
    known.set(name, zone);
    return zone;
  }

  /** What its clocks show at `instant` (milliseconds since the epoch), whole seconds. */
  wallAt(instant: number): number {
    return Math.floor(instant / 1000) + this.#offsetAt(instant);
  }

  /** When its clocks show `wall`, for the first time if they do so twice; `undefined` if they never do. */
  instantOf(wall: number): number | undefined {
    return this.#instantsOf(wall).find((instant) => this.wallAt(instant) === wall);
  }

  /** When its clocks show `wall`, or would if they had not been put forward. */
  instantNear(wall: number): number {
    return this.instantOf(wall) ?? wall * 1000 - this.#offsetAt(wall * 1000 - DAY_MS) * 1000;
  }

  /** Clocks are put forward or back at most once within two days. */
  #instantsOf(wall: number): readonly number[] {
    if (this.#format === undefined) return [wall * 1000];
    const before = this.#offsetAt(wall * 1000 - DAY_MS);
    const after = this.#offsetAt(wall * 1000 + DAY_MS);
    return [Math.max(before, after), Math.min(before, after)].map((offset) => (wall - offset) * 1000);
  }

  /** Seconds that its clocks are ahead of UTC. */
  #offsetAt(instant: number): number {
    if (this.#format === undefined) return 0;
    const text = this.#format.format(instant);
    const [, sign, hours, minutes, seconds] = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? [];
    const offset = Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
    return sign === "-" ? -offset : offset;
  }
}
