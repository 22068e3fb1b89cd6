/** What a submitter asks for, as the command line says it (§9.2). */
import type { Lease } from "@arcp/core";
import { validateLeaseShape } from "@arcp/runtime/lease";
import type { Command } from "commander";
import { UsageError } from "./exit-code.ts";

export interface LeaseOptions {
  readonly lease?: readonly string[];
  readonly budget?: readonly string[];
}

/** Adds the options that {@link readLease} reads. */
export const withLease = (command: Command): Command =>
  command
    .option("--lease <name=pattern>", "what the job may do, e.g. 'fs.read=/data/**'; JSON too; repeatable", collect)
    .option("--budget <currency:amount>", "what the job may cost, e.g. USD:5; repeatable", collect);

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/**
 * The lease of `--lease name=pattern` or `--lease <JSON>`, and of `--budget CURRENCY:AMOUNT`, each given any number of
 * times: they add up. `undefined` when none was given. Throws {@link UsageError} for what is no lease.
 */
export function readLease({ lease: parts = [], budget: budgets = [] }: LeaseOptions): Lease | undefined {
  if (parts.length === 0 && budgets.length === 0) return undefined;
  const lease = new Map<string, unknown[]>();
  const add = (name: string, patterns: readonly unknown[]): void => {
    lease.set(name, [...(lease.get(name) ?? []), ...patterns]);
  };
  for (const part of parts) for (const [name, patterns] of entriesOf(part)) add(name, patterns);
  if (budgets.length > 0) add("cost.budget", budgets);
  try {
    return validateLeaseShape(Object.fromEntries(lease));
  } catch (error) {
    throw new UsageError(`${budgets.length > 0 ? "--lease and --budget" : "--lease"}: ${(error as Error).message}`);
  }
}

function entriesOf(part: string): readonly (readonly [string, readonly unknown[]])[] {
  if (!part.trimStart().startsWith("{")) {
    const [, name, pattern] = /^([^=]+)=(.+)$/s.exec(part) ?? [];
    if (name === undefined || pattern === undefined) {
      throw new UsageError(`--lease ${part}: expected name=pattern, e.g. 'fs.read=/data/**', or JSON`);
    }
    return [[name, [pattern]]];
  }
  return Object.entries(parse(part)).map(([name, patterns]) => {
    if (!Array.isArray(patterns)) throw new UsageError(`--lease: ${name}: expected a list of patterns`);
    return [name, patterns];
  });
}

function parse(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch (error) {
    throw new UsageError(`--lease is not JSON: ${(error as Error).message}`);
  }
}
