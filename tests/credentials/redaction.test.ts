import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SecretMask } from "../../packages/runtime/src/engine/credentials/redaction.ts";

const VALUE = "sk-virt-0A1b2C3d4E5f/6+7=8";
const mask = new SecretMask([VALUE]);

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const everyByte = (text: string): string =>
  [...text].map((character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");
const everyUnit = (text: string): string =>
  [...text].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

/** What a decoder finds in base64 that stands somewhere in a text. */
const decodings = (text: string): string[] =>
  (text.match(/[A-Za-z0-9+/_-]{8,}/g) ?? []).flatMap((run) =>
    [0, 1, 2, 3].map((skip) => Buffer.from(run.slice(skip), "base64").toString("latin1")),
  );

/** Every way in which `value` can be read out of `text`. */
function isReadable(text: string, value: string): boolean {
  const unpercented = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const unescaped = text.replace(/\\u([0-9a-f]{4})|\\(["\\/])/gi, (_, hex: string | undefined, character: string) =>
    hex === undefined ? character : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const hex = Buffer.from(value).toString("hex");
  const texts = [text, unpercented, unescaped];
  return texts.some(
    (one) => one.includes(value) || one.toLowerCase().includes(hex) || decodings(one).join("\0").includes(value),
  );
}

const FORMS: readonly (readonly [name: string, encode: (value: string) => string])[] = [
  ["raw", (value) => value],
  ["base64", base64],
  ["base64, one byte on", (value) => base64(`x${value}`)],
  ["base64, two bytes on", (value) => base64(`xy${value}z`)],
  ["base64url", (value) => Buffer.from(`{"k":"${value}"}`).toString("base64url")],
  ["base64, percent-encoded", (value) => encodeURIComponent(base64(value))],
  ["hex", (value) => Buffer.from(value).toString("hex")],
  ["upper-case hex", (value) => Buffer.from(value).toString("hex").toUpperCase()],
  ["percent-encoded", encodeURIComponent],
  [
    "percent-encoded in lower case",
    (value) => encodeURIComponent(value).replaceAll(/%../g, (triplet) => triplet.toLowerCase()),
  ],
  ["percent-encoded throughout", everyByte],
  ["JSON-escaped", (value) => JSON.stringify(value)],
  ["JSON-escaped throughout", everyUnit],
  ["JSON with escaped slashes", (value) => JSON.stringify(value).replaceAll("/", "\\/")],
];

/** Visible ASCII without the brackets of what stands in a secret's place. */
const values = fc
  .string({
    unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=%"\\'),
    minLength: 8,
    maxLength: 60,
  })
  .filter((value) => !/%[0-9a-f]{2}/i.test(value));
const prose = fc.string({ unit: fc.constantFrom(..." \n.,:;äß€𝄞日本()<>!?#"), maxLength: 20 });
const forms = fc.constantFrom(...FORMS.map(([, encode]) => encode));
const texts = fc.array(fc.oneof(prose, forms), { maxLength: 6 });

/** `text` cut into pieces at random places. */
const cuts = fc.array(fc.nat(400), { maxLength: 30 });
function cut(text: string, at: readonly number[]): string[] {
  const places = [...new Set(at.filter((place) => place < text.length))].sort((a, b) => a - b);
  return [0, ...places].map((place, index) => text.slice(place, places[index] ?? text.length));
}

const streamed = (of: SecretMask, pieces: readonly string[]): string => {
  const stream = of.stream();
  return pieces.map((piece) => stream.push(piece)).join("") + stream.end();
};

describe("a secret", () => {
  test.each(FORMS)("is masked: %s", (_, encode) => {
    const text = `before ${encode(VALUE)} after`;
    const { text: masked, found } = mask.mask(text);
    expect(found).toBe(true);
    expect(masked).toMatch(/^before .*\[redacted\].* after$/);
    expect(isReadable(masked, VALUE)).toBe(false);
  });

  test("is masked wherever it stands, as often as it does, and nothing else is", () => {
    expect(mask.mask(`${VALUE},${VALUE} and ${VALUE}`)).toEqual({
      text: "[redacted],[redacted] and [redacted]",
      found: true,
    });
    expect(mask.mask(`${VALUE}${VALUE}`).text).toBe("[redacted]");
    expect(mask.mask(VALUE.slice(0, -1))).toEqual({ text: VALUE.slice(0, -1), found: false });
    expect(mask.mask(VALUE.toLowerCase())).toEqual({ text: VALUE.toLowerCase(), found: false });
  });

  test("with quotes and backslashes is masked in JSON", () => {
    const value = 'pa"ss\\word-1';
    const own = new SecretMask([value]);
    expect(own.mask(`say ${JSON.stringify(value)}`).text).toBe('say "[redacted]"');
    expect(own.maskJson(JSON.stringify([value])).text).toBe('["[redacted]"]');
  });

  test("is masked beside another, and where they overlap", () => {
    const both = new SecretMask(["abcdefghij", "ghijklmnop", "cdefgh12"]);
    expect(both.mask("1abcdefghijklmnop2").text).toBe("1[redacted]2");
    expect(both.mask("abcdefgh12").text).toBe("ab[redacted]");
    expect(both.mask("abcdefghi").text).toBe("abcdefghi");
    const nested = new SecretMask(["abcdefghijklmnop", "defghijk"]);
    expect(nested.mask("abcdefghijkX").text).toBe("abc[redacted]X");
  });

  test("split over pieces in any way never comes out", () => {
    fc.assert(
      fc.property(values, texts, cuts, (value, parts, at) => {
        const own = new SecretMask([value]);
        const text = parts.map((part) => (typeof part === "string" ? part : ` ${part(value)} `)).join("");
        const output = streamed(own, cut(text, at));
        expect(isReadable(output, value)).toBe(false);
        expect(streamed(own, [...text])).toBe(own.mask(text).text);
      }),
      { numRuns: 2_000 },
    );
  });

  test("in bytes that no text could be is masked too", () => {
    const bytes = Buffer.concat([Buffer.from([0xff, 0xfe, 0x80]), Buffer.from(VALUE), Buffer.from([0xc3])]);
    const output = streamed(mask, [bytes.toString("latin1").slice(0, 9), bytes.toString("latin1").slice(9)]);
    expect(output).toBe("\u00ff\u00fe\u0080[redacted]\u00c3");
  });
});

describe("what is no secret", () => {
  test("passes unchanged, however it is cut", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), cuts, (text, at) => {
        expect(streamed(mask, cut(text, at))).toBe(text);
        expect(mask.mask(text)).toEqual({ text, found: false });
        expect(mask.maskJson(JSON.stringify(text))).toEqual({ text: JSON.stringify(text), found: false });
      }),
    );
  });

  test("is held back no longer than it may be one", () => {
    const stream = mask.stream();
    expect(stream.push("plain text")).toBe("plain text");
    expect(stream.push(`then ${VALUE.slice(0, 10)}`)).toBe("then ");
    expect(stream.push("!")).toBe(`${VALUE.slice(0, 10)}!`);
    expect(stream.push("50%")).toBe("50");
    expect(stream.push(" off")).toBe("% off");
    expect(stream.push("a\\")).toBe("a");
    expect(stream.end()).toBe("\\");
    expect(stream.found).toBe(false);
  });
});

describe("JSON", () => {
  test("stays JSON of the same shape, in members' names as well", () => {
    const body = {
      list: [1, VALUE, { [VALUE]: `a "${VALUE}"\n` }],
      quoted: JSON.stringify({ key: VALUE }),
      'it"s': "\\",
    };
    const { text, found } = mask.maskJson(JSON.stringify(body));
    expect(found).toBe(true);
    expect(JSON.parse(text)).toEqual({
      list: [1, "[redacted]", { "[redacted]": 'a "[redacted]"\n' }],
      quoted: '{"key":"[redacted]"}',
      'it"s': "\\",
    });
  });

  test("is not broken by a value that begins like an escape's letter", () => {
    const own = new SecretMask(["nsk-virtual"]);
    expect(JSON.parse(own.maskJson(JSON.stringify("\nsk-virtual nsk-virtual")).text)).toBe("\nsk-virtual [redacted]");
  });

  test("is masked string by string: what lies between two belongs to neither", () => {
    const json = JSON.stringify([VALUE.slice(0, 9), VALUE.slice(9)]);
    expect(mask.maskJson(json)).toEqual({ text: json, found: false });
  });

  test("is masked like its strings, for any value", () => {
    fc.assert(
      fc.property(values, texts, (value, parts) => {
        const own = new SecretMask([value]);
        const text = parts.map((part) => (typeof part === "string" ? part : ` ${part(value)} `)).join("");
        const masked = own.maskJson(JSON.stringify({ text, [text]: [text] }));
        const { text: expected, found } = own.mask(text);
        expect(JSON.parse(masked.text)).toEqual({ text: expected, [expected]: [expected] });
        expect(masked.found).toBe(found);
      }),
    );
  });
});
