import { InvalidArgumentError } from "commander";

/** For options that take a number of things. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("Expected a positive whole number.");
  return Number(text);
}
