/** Money as exact decimals: integers of 10^-9, as the runtime's counters are (§9.6). Never floats. */

const SCALE_DIGITS = 9;
const SCALE = 10n ** BigInt(SCALE_DIGITS);
const DECIMAL = /^(\d{1,15})(?:\.(\d{1,9}))?$/;

/** The units of a decimal such as `"2.50"`; undefined for text that is none. */
export function parseDecimal(text: string): bigint | undefined {
  const [, whole, fraction = ""] = DECIMAL.exec(text) ?? [];
  if (whole === undefined) return undefined;
  return BigInt(whole) * SCALE + BigInt(fraction.padEnd(SCALE_DIGITS, "0"));
}

/** The decimal that `value` prints as, in units. What is below one unit is rounded up: a cost is never forgotten. */
export function unitsOf(value: number): bigint {
  const [mantissa = "0", exponent = "0"] = value.toString().split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const digits = BigInt(whole + fraction);
  const shift = SCALE_DIGITS + Number(exponent) - fraction.length;
  return shift >= 0 ? digits * 10n ** BigInt(shift) : divideUp(digits, 10n ** BigInt(-shift));
}

/** Units as a decimal without exponent, e.g. `"0.0021"`. */
export function decimalOf(units: bigint): string {
  const size = units < 0n ? -units : units;
  const fraction = (size % SCALE).toString().padStart(SCALE_DIGITS, "0").replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${size / SCALE}${fraction === "" ? "" : `.${fraction}`}`;
}

/** The number that stands for the same decimal: exact up to fifteen digits. */
export const numberOf = (units: bigint): number => Number(decimalOf(units));

export const divideUp = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;
