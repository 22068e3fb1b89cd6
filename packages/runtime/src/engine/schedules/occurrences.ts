/** The wall times that a recurrence rule names (RFC 5545 §3.3.10), one after the other, each in bounded time. */
import type { RecurrenceRule } from "./rule.ts";
import { type CalendarDay, calendarDay, dayOf, dayOfDate, modulo, SECONDS_PER_DAY, weekdayOf } from "./wall-time.ts";

/** Periods and days that are looked at for one occurrence; a rule that needs more has none. */
const MAX_STEPS = 100_000;

/** The wall times of one rule. */
export class Occurrences {
  readonly #rule: RecurrenceRule;
  /** Seconds within a day, or within the period if that is shorter. */
  readonly #times: readonly number[];
  /** Of the period that was looked at last: the next question is mostly about the same one. */
  #dates: { readonly period: number; readonly days: readonly number[] } | undefined;

  constructor(rule: RecurrenceRule) {
    this.#rule = rule;
    this.#times = timesWithin(rule, spanOf(rule));
  }

  /**
   * The first one after `after`, and not before the rule's start; `undefined` when there is none up to `limit`. `COUNT`,
   * `UNTIL` and `EXDATE` are the caller's.
   */
  next(after: number, limit: number): number | undefined {
    const last = Math.max(after, this.#rule.start - 1);
    const unit = UNIT_SECONDS[this.#rule.frequency];
    const found = unit === undefined ? this.#nextOfDays(last, limit) : this.#nextOfTimes(unit, last, limit);
    return found !== undefined && found <= limit ? found : undefined;
  }

  /** Years, months, weeks or days: each has days, each day the same times. */
  #nextOfDays(after: number, limit: number): number | undefined {
    const rule = this.#rule;
    const { indexOf, firstDayOf } = periodsOf(rule);
    const times = this.#times;
    // Years are counted from that of the start, also when its week belongs to the year before.
    const origin = rule.frequency === "YEARLY" ? calendarDay(dayOf(rule.start)).year : indexOf(dayOf(rule.start));
    const reached = indexOf(dayOf(after));
    let period = origin + Math.ceil((reached - origin) / rule.interval) * rule.interval;
    for (; firstDayOf(period) * SECONDS_PER_DAY <= limit; period += rule.interval) {
      const days = this.#daysOf(period, firstDayOf(period), firstDayOf(period + 1));
      const found = firstAfter(rule, after, days.length * times.length, (index) => {
        const day = days[Math.floor(index / times.length)] ?? 0;
        return day * SECONDS_PER_DAY + (times[index % times.length] ?? 0);
      });
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Hours, minutes or seconds, counted in wall time; whatever the rule's other parts exclude is jumped over. */
  #nextOfTimes(unit: number, after: number, limit: number): number | undefined {
    const rule = this.#rule;
    const times = this.#times;
    const step = rule.interval * unit;
    const origin = Math.floor(rule.start / unit) * unit;
    const aligned = (wall: number): number => origin + Math.max(0, Math.ceil((wall - origin) / step)) * step;
    let date: CalendarDay | undefined;
    let isDate = false;
    let period = aligned(Math.floor(after / unit) * unit);
    for (let steps = 0; steps < MAX_STEPS && period <= limit; steps += 1) {
      const day = dayOf(period);
      if (day !== date?.day) {
        date = calendarDay(day);
        isDate = isDateOf(rule, date);
      }
      const excluded = isDate ? excludedSpan(rule, unit, period) : SECONDS_PER_DAY;
      if (excluded > 0) {
        period = aligned(Math.floor(period / excluded) * excluded + excluded);
        continue;
      }
      const start = period;
      const found = firstAfter(rule, after, times.length, (index) => start + (times[index] ?? 0));
      if (found !== undefined) return found;
      period += step;
    }
    return undefined;
  }

  #daysOf(period: number, first: number, end: number): readonly number[] {
    if (this.#dates?.period === period) return this.#dates.days;
    const days: number[] = [];
    for (let day = first; day < end; day += 1) if (isDateOf(this.#rule, calendarDay(day))) days.push(day);
    this.#dates = { period, days };
    return days;
  }
}

/** The least number of seconds between two occurrences that the rule's own times allow. */
export function tightestGap(rule: RecurrenceRule): number {
  const unit = UNIT_SECONDS[rule.frequency];
  const span = spanOf(rule);
  const times = timesWithin(rule, span);
  if (times.length <= 1) return unit === undefined ? SECONDS_PER_DAY : rule.interval * unit;
  return Math.min(...times.map((time, index) => (times[index + 1] ?? (times[0] ?? 0) + span) - time));
}

/** The most occurrences that a period of the rule can have, before `BYSETPOS` selects some of them. */
export function largestPeriod(rule: RecurrenceRule): number {
  return timesWithin(rule, spanOf(rule)).length * (MOST_DAYS[rule.frequency] ?? 1);
}

const MOST_DAYS: Readonly<Record<string, number>> = { YEARLY: 366, MONTHLY: 31, WEEKLY: 7 };

/** The periods that are shorter than a day. */
const UNIT_SECONDS: Readonly<Record<string, number>> = { HOURLY: 3600, MINUTELY: 60, SECONDLY: 1 };

/** What a rule's times are counted in. */
const spanOf = ({ frequency }: RecurrenceRule): number => UNIT_SECONDS[frequency] ?? SECONDS_PER_DAY;

interface Periods {
  /** The number of the period that a day is in. */
  indexOf(day: number): number;
  firstDayOf(index: number): number;
}

function periodsOf({ frequency, weekStart, byWeekNo }: RecurrenceRule): Periods {
  if (byWeekNo !== undefined) {
    // Years of whole weeks: 4 January is always in the first.
    return {
      indexOf: (day) => middleOfWeek(day, weekStart).year,
      firstDayOf: (year) => middleOfWeek(dayOfDate(year, 1, 4), weekStart).day - 3,
    };
  }
  if (frequency === "YEARLY") {
    return { indexOf: (day) => calendarDay(day).year, firstDayOf: (year) => dayOfDate(year, 1, 1) };
  }
  if (frequency === "MONTHLY") {
    return {
      indexOf: (day) => calendarDay(day).year * 12 + calendarDay(day).month - 1,
      firstDayOf: (index) => dayOfDate(Math.floor(index / 12), modulo(index, 12) + 1, 1),
    };
  }
  if (frequency === "WEEKLY") {
    // The first days of weeks are 4, 11, 18, … after `weekStart` is taken away: 1970-01-05 was a Monday.
    return {
      indexOf: (day) => Math.floor((day - 4 - weekStart) / 7),
      firstDayOf: (index) => index * 7 + 4 + weekStart,
    };
  }
  return { indexOf: (day) => day, firstDayOf: (day) => day };
}

/** The hour, minute or second around `period` that the rule leaves out, in seconds; 0 if it leaves out none. */
function excludedSpan({ byHour, byMinute, bySecond }: RecurrenceRule, unit: number, period: number): number {
  const time = modulo(period, SECONDS_PER_DAY);
  if (byHour?.includes(Math.floor(time / 3600)) === false) return 3600;
  if (unit <= 60 && byMinute?.includes(Math.floor(time / 60) % 60) === false) return 60;
  return unit === 1 && bySecond?.includes(time % 60) === false ? 1 : 0;
}

/** The seconds of each day, hour or minute that are occurrences, ascending. */
function timesWithin({ byHour = [], byMinute = [], bySecond = [] }: RecurrenceRule, span: number): readonly number[] {
  const hours = span > 3600 ? byHour : [0];
  const minutes = span > 60 ? byMinute : [0];
  const seconds = span > 1 ? bySecond : [0];
  return hours.flatMap((hour) =>
    minutes.flatMap((minute) => seconds.map((second) => hour * 3600 + minute * 60 + second)),
  );
}

/** The first after `after` of a period's `size` ascending wall times, of those that `BYSETPOS` selects. */
function firstAfter(
  { bySetPos }: RecurrenceRule,
  after: number,
  size: number,
  at: (index: number) => number,
): number | undefined {
  if (bySetPos === undefined) {
    const index = lowestIndex(size, (candidate) => at(candidate) > after);
    return index === size ? undefined : at(index);
  }
  const selected = bySetPos
    .map((position) => (position > 0 ? position - 1 : size + position))
    .filter((index) => index >= 0 && index < size)
    .map(at)
    .filter((wall) => wall > after);
  return selected.length === 0 ? undefined : Math.min(...selected);
}

/** The first index for which `isReached` holds, which holds for all after it; `size` if it holds for none. */
function lowestIndex(size: number, isReached: (index: number) => boolean): number {
  let [low, high] = [0, size];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (isReached(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function isDateOf(rule: RecurrenceRule, date: CalendarDay): boolean {
  const { byMonth, byMonthDay, byYearDay, byWeekNo, byDay } = rule;
  return (
    (byMonth === undefined || byMonth.has(date.month)) &&
    (byMonthDay === undefined || isAt(byMonthDay, date.dayOfMonth, date.daysInMonth)) &&
    (byYearDay === undefined || isAt(byYearDay, date.dayOfYear, date.daysInYear)) &&
    (byDay === undefined || isWeekdayOf(rule, date)) &&
    (byWeekNo === undefined || isInWeek(rule, byWeekNo, date))
  );
}

/** Is it the `position`-th of `total`, counted from either end? */
const isAt = (positions: ReadonlySet<number>, position: number, total: number): boolean =>
  positions.has(position) || positions.has(position - total - 1);

function isWeekdayOf({ byDay = [], countsWeekdaysInYear }: RecurrenceRule, date: CalendarDay): boolean {
  const [position, total] = countsWeekdaysInYear
    ? [date.dayOfYear, date.daysInYear]
    : [date.dayOfMonth, date.daysInMonth];
  const fromStart = Math.ceil(position / 7);
  const fromEnd = -Math.ceil((total - position + 1) / 7);
  return byDay.some(
    ({ weekday, ordinal }) =>
      weekday === date.weekday && (ordinal === undefined || ordinal === fromStart || ordinal === fromEnd),
  );
}

function isInWeek({ weekStart }: RecurrenceRule, byWeekNo: ReadonlySet<number>, { day }: CalendarDay): boolean {
  const weekOf = ({ dayOfYear }: CalendarDay): number => Math.ceil(dayOfYear / 7);
  const middle = middleOfWeek(day, weekStart);
  // 28 December is in the last week of its year.
  return isAt(byWeekNo, weekOf(middle), weekOf(middleOfWeek(dayOfDate(middle.year, 12, 28), weekStart)));
}

/** A week belongs to the year of its fourth day. */
const middleOfWeek = (day: number, weekStart: number): CalendarDay =>
  calendarDay(day - modulo(weekdayOf(day) - weekStart, 7) + 3);
