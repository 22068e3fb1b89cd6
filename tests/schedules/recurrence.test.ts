/** What `when` of a schedule means (RFC §10.6): instants, delays, and the rules of RFC 5545. */
import { InvalidRequestError } from "@arcp/core";
import fc from "fast-check";
import { RRuleTemporal } from "rrule-temporal";
import { describe, expect, test } from "vitest";
import { type RecurrenceOptions, recurrenceOf } from "../../packages/runtime/src/engine/schedules/recurrence.ts";

const NOW = Date.UTC(2026, 0, 1, 12, 0, 0, 500);

/** The first instants of `when`, at most `limit`. */
function instants(when: unknown, limit = 5, acceptedAt = NOW, options: RecurrenceOptions = {}): string[] {
  const recurrence = recurrenceOf(when, acceptedAt, options);
  const found: string[] = [];
  for (let next: number | undefined = recurrence.first; next !== undefined && found.length < limit; ) {
    found.push(new Date(next).toISOString().replace(".000Z", "Z"));
    next = recurrence.after(next);
  }
  return found;
}

function refusalOf(
  when: unknown,
  options: RecurrenceOptions = {},
): { readonly path: unknown; readonly message: string } {
  try {
    recurrenceOf(when, NOW, options);
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error;
    return { path: error.details?.["path"], message: error.message };
  }
  throw new Error("it was not refused");
}

describe("exactly one of at, every and after", () => {
  test.each([
    ...[undefined, null, "2026-05-09T13:00:00Z", 60, [], {}],
    ...[{ at: "2027-01-01T00:00:00Z", after: 5 }, { every: "FREQ=DAILY", after: 5 }, { on: "2027-01-01T00:00:00Z" }],
    { at: "2027-01-01T00:00:00Z", every: "FREQ=DAILY", after: 5 },
    ...[{ at: 5 }, { every: 5 }, { after: "5" }, { at: null }],
  ])("%j is refused", (when) => {
    expect(refusalOf(when).path).toBe("when");
  });

  test("each of them alone is taken, what is null is not there", () => {
    expect(instants({ at: "2026-05-09T13:00:00Z" })).toEqual(["2026-05-09T13:00:00Z"]);
    expect(instants({ after: 60, at: null, every: null })).toEqual(["2026-01-01T12:01:00.500Z"]);
    expect(instants({ every: "FREQ=DAILY;COUNT=1" })).toEqual(["2026-01-01T12:00:01Z"]);
  });
});

describe("an instant", () => {
  test("is read with its zone and its fractions", () => {
    expect(instants({ at: "2026-05-09T13:00:00.25+02:00" })).toEqual(["2026-05-09T11:00:00.250Z"]);
    expect(instants({ at: "2026-05-09t13:00:00.123456789z" })).toEqual(["2026-05-09T13:00:00.123Z"]);
    expect(instants({ at: "2028-02-29T23:59:59-12:00" })).toEqual(["2028-03-01T11:59:59Z"]);
    expect(instants({ at: "2026-01-01T12:00:00.5Z" })).toEqual(["2026-01-01T12:00:00.500Z"]);
  });

  test.each([
    ...["", "tomorrow", "2026-05-09", "2026-05-09T13:00Z", "2026-05-09T13:00:00", "2026-02-30T13:00:00Z"],
    ...["2026-13-01T00:00:00Z", "2026-05-09T24:00:00Z", "2026-05-09T13:00:60Z", "2026-05-09T13:00:00+24:00"],
    ...["2026-01-01T12:00:00.499Z", "1999-12-31T23:59:59Z", "+275760-09-13T00:00:00Z", "2037-01-01T00:00:00Z"],
    ...["٢٠٢٦-05-09T13:00:00Z", "2026-05-09T13:00:00Z\n"],
  ])("%j is refused", (at) => {
    expect(refusalOf({ at }).path).toBe("when.at");
  });
});

describe("a delay", () => {
  test("is in seconds from acceptance", () => {
    expect(instants({ after: 0 })).toEqual(["2026-01-01T12:00:00.500Z"]);
    expect(instants({ after: 0.0014 })).toEqual(["2026-01-01T12:00:00.501Z"]);
    expect(instants({ after: 86_400 })).toEqual(["2026-01-02T12:00:00.500Z"]);
  });

  test.each([-1, -0.001, Number.NaN, Number.POSITIVE_INFINITY, 1e18, 11 * 366 * 86_400])(
    "of %d is refused",
    (after) => {
      expect(refusalOf({ after }).path).toBe("when.after");
    },
  );
});

/** In New York, as in the examples of RFC 5545 §3.8.5.3. Dates are local, at 9 in the morning unless they say more. */
const NEW_YORK = (rule: string, start = "19970902T090000"): string =>
  `DTSTART;TZID=America/New_York:${start}\nRRULE:${rule}`;

describe("rules as RFC 5545 explains them", () => {
  test.each<[rule: string, dates: string, start?: string]>([
    ["FREQ=DAILY;COUNT=4", "1997-09-02 1997-09-03 1997-09-04 1997-09-05"],
    ["FREQ=DAILY;UNTIL=19970904T130000Z", "1997-09-02 1997-09-03 1997-09-04"],
    ["FREQ=DAILY;INTERVAL=10;COUNT=5", "1997-09-02 1997-09-12 1997-09-22 1997-10-02 1997-10-12"],
    ["FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO", "1998-01-04 1998-01-05 1998-01-11", "19980101T090000"],
    ["FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1", "1998-01-01 1998-01-02", "19980101T090000"],
    ["FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02 1997-09-16 1997-09-30 1997-10-14 1997-10-28 1997-11-11"],
    ["FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "1997-09-02 1997-09-04 1997-09-16 1997-09-18 1997-09-30"],
    ["FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07 1997-12-05 1998-01-02", "19970905T090000"],
    ["FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU", "1997-09-07 1997-09-28 1997-11-02 1997-11-30", "19970907T090000"],
    ["FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17 1997-12-22", "19970922T090000"],
    ["FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29", "19970928T090000"],
    ["FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "1997-09-30 1997-10-01 1997-10-31 1997-11-01", "19970930T090000"],
    ["FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10,11", "1997-09-10 1997-09-11 1999-03-10 1999-03-11", "19970910T090000"],
    ["FREQ=MONTHLY;INTERVAL=2;BYDAY=TU", "1997-09-02 1997-09-09 1997-09-16 1997-09-23 1997-09-30 1997-11-04"],
    ["FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "1997-06-10 1997-07-10 1998-06-10 1998-07-10", "19970610T090000"],
    [
      "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
      "1997-01-01 1997-04-10 1997-07-19 2000-01-01 2000-04-09",
      "19970101T090000",
    ],
    ["FREQ=YEARLY;BYDAY=20MO", "1997-05-19 1998-05-18 1999-05-17", "19970519T090000"],
    ["FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12 1998-05-11 1999-05-17", "19970512T090000"],
    ["FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13 1997-03-20 1997-03-27 1998-03-05", "19970313T090000"],
    ["FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13"],
    [
      "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
      "1997-09-13 1997-10-11 1997-11-08 1997-12-13",
      "19970913T090000",
    ],
    [
      "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
      "1996-11-05 2000-11-07 2004-11-02",
      "19961105T090000",
    ],
    ["FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06", "19970904T090000"],
    ["FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27 1997-12-30", "19970929T090000"],
    ["FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", "1997-09-02T09:00 1997-09-02T12:00 1997-09-02T15:00"],
    ["FREQ=MINUTELY;INTERVAL=90;COUNT=4", "1997-09-02T09:00 1997-09-02T10:30 1997-09-02T12:00 1997-09-02T13:30"],
    ["FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,20,40", "1997-09-02T09:00 1997-09-02T09:20 1997-09-02T09:40 1997-09-02T10:00"],
    ["FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10", "1997-09-02T09:00 1997-09-02T09:20 1997-09-02T09:40 1997-09-02T10:00"],
    [
      "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
      "1997-08-05 1997-08-10 1997-08-19 1997-08-24",
      "19970805T090000",
    ],
    [
      "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
      "1997-08-05 1997-08-17 1997-08-19 1997-08-31",
      "19970805T090000",
    ],
    [
      "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
      "2007-01-15 2007-01-30 2007-02-15 2007-03-15 2007-03-30",
      "20070115T090000",
    ],
    // What a start has that a month or a year lacks is left out.
    ["FREQ=MONTHLY", "1997-01-31 1997-03-31 1997-05-31 1997-07-31", "19970131T090000"],
    ["FREQ=YEARLY", "1996-02-29 2000-02-29 2004-02-29", "19960229T090000"],
    // The weekday of the start, in that week.
    ["FREQ=YEARLY;BYWEEKNO=1,-1", "1997-12-23 1997-12-30 1998-12-29 1999-01-05", "19970902T090000"],
  ])("%s", (rule, dates, start = "19970902T090000") => {
    const acceptedAt = Date.UTC(Number(start.slice(0, 4)), 0, 1);
    const expected = dates.split(" ").map((date) => (date.includes("T") ? date : `${date}T09:00`));
    const found = instants({ every: NEW_YORK(rule, start) }, expected.length, acceptedAt);
    const local = new Intl.DateTimeFormat("sv-SE", {
      timeZone: "America/New_York",
      dateStyle: "short",
      timeStyle: "short",
    });
    expect(found.map((instant) => local.format(new Date(instant)).replace(" ", "T"))).toEqual(expected);
  });

  test("US presidential elections, and labor day, come in the zone's own time", () => {
    expect(instants({ every: NEW_YORK("FREQ=YEARLY;BYMONTH=9;BYDAY=1MO") }, 2)).toEqual([
      "2026-09-07T13:00:00Z",
      "2027-09-06T13:00:00Z",
    ]);
  });
});

describe("a rule", () => {
  test("without DTSTART starts with its acceptance, in UTC", () => {
    expect(instants({ every: "FREQ=HOURLY;COUNT=3" })).toEqual([
      ...["2026-01-01T12:00:01Z", "2026-01-01T13:00:01Z", "2026-01-01T14:00:01Z"],
    ]);
    expect(instants({ every: "RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=30;BYSECOND=0" }, 2)).toEqual([
      ...["2026-01-02T09:30:00Z", "2026-01-03T09:30:00Z"],
    ]);
  });

  test("that started long ago goes on from now", () => {
    expect(instants({ every: "DTSTART:19700102T000000Z\nRRULE:FREQ=DAILY;INTERVAL=7" }, 2)).toEqual([
      ...["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"],
    ]);
    expect(instants({ every: "DTSTART:20251231T000000Z\nRRULE:FREQ=DAILY;COUNT=4" })).toEqual([
      ...["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
    ]);
  });

  test("is read in any case, order and folding, and with its exceptions", () => {
    const every = [
      "EXDATE;TZID=Europe/Berlin:20260103T090000,20260104T090000",
      "exdate:20260106T080000z",
      "rrule:freq=daily;count=",
      " 6",
      'DTSTART;VALUE=DATE-TIME;TZID="Europe/Berlin":20260102T090000',
      "",
    ].join("\r\n");
    // Those that are left out count.
    expect(instants({ every })).toEqual(["2026-01-02T08:00:00Z", "2026-01-05T08:00:00Z", "2026-01-07T08:00:00Z"]);
  });

  test("ends when UNTIL says so, in UTC, in its zone, or with that day", () => {
    const berlin = (until: string) => `DTSTART;TZID=Europe/Berlin:20260102T003000\nRRULE:FREQ=DAILY;UNTIL=${until}`;
    expect(instants({ every: berlin("20260103T233000Z") })).toHaveLength(3);
    expect(instants({ every: berlin("20260103T232959Z") })).toHaveLength(2);
    expect(instants({ every: berlin("20260104T003000") })).toHaveLength(3);
    expect(instants({ every: berlin("20260104") })).toHaveLength(3);
  });

  test("knows its last instant again without counting", () => {
    const { last, first } = recurrenceOf({ every: "FREQ=DAILY;COUNT=1000" }, NOW);
    expect(last).toBe(first + 999 * 86_400_000);
    const again = recurrenceOf({ every: "FREQ=DAILY;COUNT=1000" }, NOW, { last: first });
    expect(again.after(first)).toBeUndefined();
  });
});

describe("when clocks are put forward or back", () => {
  const berlin = (start: string, rule: string) => `DTSTART;TZID=Europe/Berlin:${start}\nRRULE:${rule}`;

  test("a local time stays what it is", () => {
    expect(instants({ every: berlin("20260328T090000", "FREQ=DAILY") }, 3)).toEqual([
      ...["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"],
    ]);
    expect(instants({ every: berlin("20261024T090000", "FREQ=DAILY") }, 3)).toEqual([
      ...["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z"],
    ]);
  });

  test("a time that is left out is none, and does not count", () => {
    expect(instants({ every: berlin("20260328T023000", "FREQ=DAILY;COUNT=3") })).toEqual([
      ...["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
    ]);
    const apia = "DTSTART;TZID=Pacific/Apia:20111229T120000\nRRULE:FREQ=DAILY";
    expect(instants({ every: apia }, 2, Date.UTC(2011, 11, 1))).toEqual([
      ...["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"],
    ]);
  });

  test("a time that comes twice is one, the first", () => {
    expect(instants({ every: berlin("20261024T023000", "FREQ=DAILY") }, 3)).toEqual([
      ...["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    ]);
    const hourly = recurrenceOf({ every: berlin("20261025T003000", "FREQ=HOURLY") }, NOW);
    const at = (text: string): number => Date.parse(`2026-10-25T${text}:00Z`);
    expect([at("00:29"), at("00:30"), at("01:00"), at("01:29")].map(hourly.after)).toEqual([
      ...[at("00:30"), at("02:30"), at("02:30"), at("02:30")],
    ]);
  });

  test("a shift of half an hour, and one of a day, are kept", () => {
    const lordHowe = "DTSTART;TZID=Australia/Lord_Howe:20260403T013000\nRRULE:FREQ=DAILY";
    expect(instants({ every: lordHowe }, 3)).toEqual([
      ...["2026-04-02T14:30:00Z", "2026-04-03T14:30:00Z", "2026-04-04T14:30:00Z"],
    ]);
    expect(instants({ every: lordHowe.replace("0403", "1003").replace("0130", "0215") }, 2)).toEqual([
      ...["2026-10-02T15:45:00Z", "2026-10-04T15:15:00Z"],
    ]);
  });
});

describe("refused are", () => {
  const list = (count: number): string => Array.from({ length: count }, (_, index) => index).join(",");

  test.each([
    // No rule, or not one of RFC 5545.
    ...["", "daily", "FREQ=DAILY;FREQ=DAILY", "INTERVAL=2", "FREQ=NEVER", "FREQ=DAILY;", "FREQ=DAILY;X-A=1"],
    ...["FREQ=DAILY;RSCALE=HEBREW", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;INTERVAL=1e9", "FREQ=DAILY;INTERVAL=-1"],
    ...["FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=-1", "FREQ=DAILY;COUNT=", "FREQ=DAILY;COUNT=3;UNTIL=20270101T000000Z"],
    ...["FREQ=DAILY;UNTIL=soon", "FREQ=DAILY;UNTIL=20270230T000000Z", "FREQ=DAILY;BYHOUR=24", "FREQ=DAILY;BYHOUR=9,"],
    ...["FREQ=DAILY;BYMINUTE=-1", "FREQ=DAILY;BYSECOND=60", "FREQ=DAILY;BYMONTH=13", "FREQ=MONTHLY;BYMONTHDAY=0"],
    ...["FREQ=MONTHLY;BYMONTHDAY=32", "FREQ=YEARLY;BYYEARDAY=-367", "FREQ=YEARLY;BYWEEKNO=54", "FREQ=DAILY;BYDAY=XX"],
    ...["FREQ=MONTHLY;BYDAY=0MO", "FREQ=MONTHLY;BYDAY=54MO", "FREQ=WEEKLY;BYDAY=1MO", "FREQ=DAILY;BYDAY=MO;WKST=1"],
    ...["FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "FREQ=MONTHLY;BYWEEKNO=1", "FREQ=WEEKLY;BYMONTHDAY=1"],
    ...["FREQ=DAILY;BYYEARDAY=1", "FREQ=DAILY;BYSETPOS=1", "FREQ=DAILY;BYSETPOS=0;BYHOUR=1"],
    ...["RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY", "DTSTART:20270101T000000Z", "RRULE:FREQ=DAILY\nRDATE:20270101T000000Z"],
    ...["RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY", "BEGIN:VEVENT\nRRULE:FREQ=DAILY", "\u202eFREQ=DAILY"],
    "DTSTART:20270101T000000Z\nDTSTART:20270101T000000Z\nRRULE:FREQ=DAILY",
    ...["DTSTART:20270101\nRRULE:FREQ=DAILY", "DTSTART;VALUE=DATE:20270101\nRRULE:FREQ=DAILY"],
    ...["DTSTART:20270230T000000Z\nRRULE:FREQ=DAILY", "DTSTART:00010101T000000Z\nRRULE:FREQ=DAILY"],
    ...[
      "DTSTART;TZID=Nowhere/Town:20270101T000000\nRRULE:FREQ=DAILY",
      "DTSTART;TZID=UTC:20270101T000000Z\nRRULE:FREQ=DAILY",
    ],
    ...["DTSTART;TZID=+05:30:20270101T000000\nRRULE:FREQ=DAILY", "DTSTART;X=1:20270101T000000\nRRULE:FREQ=DAILY"],
    ...["RRULE:FREQ=DAILY\nEXDATE:20270101", "RRULE:FREQ=DAILY\nEXDATE"],
    `RRULE:FREQ=DAILY\nEXDATE:${Array.from({ length: 300 }, (_, day) => new Date(NOW + day * 86_400_000).toISOString().replaceAll(/[-:]|\.\d+/g, "")).join(",")}`,
    `FREQ=DAILY;${"X".repeat(5000)}`,
    // Too often.
    ...["FREQ=SECONDLY", "FREQ=SECONDLY;COUNT=1000000000", "FREQ=SECONDLY;INTERVAL=59", "FREQ=MINUTELY;BYSECOND=0,30"],
    ...["FREQ=MINUTELY;BYSECOND=1,59", "FREQ=DAILY;BYSECOND=0,1", `FREQ=YEARLY;BYSECOND=${list(60)};BYSETPOS=1`],
    ...["FREQ=HOURLY;BYMINUTE=0;BYSECOND=0,59", "FREQ=DAILY;BYHOUR=0,23;BYMINUTE=0,59;BYSECOND=0,59"],
    // Never, or not in ten years.
    ...[
      "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
      "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
      "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    ],
    ...["FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MONTHLY;BYDAY=6MO"],
    ...["FREQ=SECONDLY;INTERVAL=60;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYSETPOS=366;BYMONTH=1;BYDAY=MO"],
    ...["DTSTART:20260102T000000Z\nRRULE:FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1", "FREQ=DAILY;BYHOUR=1;BYSETPOS=2"],
    ...["FREQ=DAILY;UNTIL=20251231T000000Z", "DTSTART:20251201T000000Z\nRRULE:FREQ=DAILY;COUNT=3"],
    ...["DTSTART:20400101T000000Z\nRRULE:FREQ=DAILY", "DTSTART:20260101T000000Z\nRRULE:FREQ=YEARLY;INTERVAL=11"],
    "DTSTART:20260102T000000Z\nRRULE:FREQ=DAILY;COUNT=1\nEXDATE:20260102T000000Z",
    // More than is counted.
    ...["FREQ=MINUTELY;COUNT=1001", "FREQ=YEARLY;COUNT=1000"],
  ])("%j", (every) => {
    const { path, message } = refusalOf({ every });
    expect(path).toBe("when.every");
    expect(message.length).toBeLessThan(200);
  });

  test("what is too often can be said", () => {
    expect(instants({ every: "FREQ=SECONDLY;COUNT=2" }, 5, NOW, { minIntervalSec: 1 })).toHaveLength(2);
    expect(refusalOf({ every: "FREQ=HOURLY" }, { minIntervalSec: 3601 }).message).toMatch(/more often/);
    expect(instants({ every: "FREQ=MINUTELY;COUNT=2" })).toHaveLength(2);
    expect(instants({ every: "FREQ=HOURLY;BYMINUTE=0,59;COUNT=2" })).toHaveLength(2);
  });
});

describe("random rules", () => {
  const numbers = (min: number, max: number, size = 4) =>
    fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: size });
  const signed = (max: number) => numbers(-max, max).map((list) => list.map((value) => value || 1));
  const WEEKDAY = fc.constantFrom("MO", "TU", "WE", "TH", "FR", "SA", "SU");
  const weekdays = fc.uniqueArray(WEEKDAY, { minLength: 1, maxLength: 4 });
  const numbered = fc.uniqueArray(
    fc.tuple(fc.constantFrom("1", "2", "5", "-1", "-2"), WEEKDAY).map((parts) => parts.join("")),
    { minLength: 1, maxLength: 4 },
  );
  const times = {
    ...{ BYHOUR: numbers(0, 23), BYMINUTE: numbers(0, 59), BYSECOND: numbers(0, 59, 1) },
    ...{ INTERVAL: fc.integer({ min: 1, max: 5 }), WKST: WEEKDAY },
  };
  const setPos = { BYSETPOS: signed(8) };
  const dates = { BYMONTH: numbers(1, 12), BYMONTHDAY: signed(31) };
  const rule = (frequency: string, parts: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<string> =>
    fc
      .record(parts, { requiredKeys: [] })
      .map((record) =>
        [`FREQ=${frequency}`, ...Object.entries(record).map(([name, value]) => `${name}=${value}`)].join(";"),
      );
  const RULE = fc.oneof(
    rule("YEARLY", { ...times, ...dates, BYDAY: weekdays, ...setPos }),
    // Not with BYMONTHDAY, which the other one forgets beside numbered weekdays of a year.
    rule("YEARLY", { ...times, BYMONTH: dates.BYMONTH, BYDAY: numbered, ...setPos }),
    rule("YEARLY", { ...times, BYMONTH: numbers(1, 12), BYYEARDAY: signed(366) }),
    rule("YEARLY", { ...times, BYWEEKNO: signed(53), BYDAY: weekdays }),
    rule("MONTHLY", { ...times, ...dates, BYDAY: numbered, ...setPos }),
    rule("WEEKLY", { ...times, BYMONTH: numbers(1, 12), BYDAY: weekdays, ...setPos }),
    rule("DAILY", { ...times, ...dates, BYDAY: weekdays, ...setPos }),
    rule("HOURLY", { ...times, ...dates, BYDAY: weekdays }),
    rule("MINUTELY", { ...times, ...dates, BYDAY: weekdays }),
  );
  const START = fc.constantFrom("20260101T000000", "20260131T233000", "20240229T010203", "20260328T120000");

  const otherInstants = (rruleString: string, limit: number): string[] =>
    new RRuleTemporal({ rruleString, strict: true, maxIterations: 100_000 })
      .all((_, index) => index < limit)
      .map((date) => new Date(date.toString().replace(/\[.*/, "")).toISOString().replace(".000Z", "Z"));

  /** What it names; nothing, or no such rule, when it is refused. */
  function outcome(run: () => string[]): string[] | "no rule" {
    try {
      return run();
    } catch (error) {
      if (/names no instant|selects nothing/.test(String(error))) return [];
      if (/BYSETPOS (?:MUST|needs)/.test(String(error))) return "no rule";
      throw error;
    }
  }

  test("name the same instants as another implementation does", () => {
    fc.assert(
      fc.property(RULE, START, (text, start) => {
        // It does not look at the week that the year of the start has in common with the year before: see the next test.
        fc.pre(!text.includes("BYWEEKNO") || start !== "20260101T000000");
        const every = `DTSTART:${start}Z\nRRULE:${text};UNTIL=20280101T000000Z`;
        expect(outcome(() => instants({ every }, 6, Date.UTC(2024, 0, 1), { minIntervalSec: 1 }))).toEqual(
          outcome(() => otherInstants(every, 6)),
        );
      }),
      { numRuns: 400 },
    );
  });

  test("include a first of January that is in the last week of the year before", () => {
    const every = "DTSTART:20260101T000000Z\nRRULE:FREQ=YEARLY;WKST=FR;BYWEEKNO=-1,1;UNTIL=20270101T000000Z";
    expect(instants({ every }, 6, Date.UTC(2024, 0, 1), { minIntervalSec: 1 })).toEqual([
      "2026-01-01T00:00:00Z",
      "2026-01-08T00:00:00Z",
      "2026-12-31T00:00:00Z",
    ]);
  });
});
