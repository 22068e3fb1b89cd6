import { ARCPError, type Clock } from "@arcp/core";
import { onTestFinished } from "vitest";
import type { ResponseSchemaLimits } from "../../packages/runtime/src/response-schema/limits.ts";
import { ResponseSchemas } from "../../packages/runtime/src/response-schema/response-schemas.ts";

interface Options {
  readonly limits?: Partial<ResponseSchemaLimits>;
  readonly size?: number;
  readonly clock?: Clock;
  readonly cpuTimeMs?: () => number;
  readonly script?: URL;
}

/** Schemas whose threads end with the test. */
export function responseSchemas(options: Options = {}): ResponseSchemas {
  const schemas = new ResponseSchemas(options);
  onTestFinished(() => schemas.close());
  return schemas;
}

/** What it resolved with, or code and reason of what it was refused with. */
export const outcomeOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    (value) => value,
    (error: unknown) => {
      if (!(error instanceof ARCPError)) throw error;
      return `${error.code} ${error.details?.["reason"] ?? error.details?.["limit"] ?? error.message}`;
    },
  );

/** What is wrong with `value`, or why that is not said. */
export const checked = (schemas: ResponseSchemas, schema: unknown, value: unknown): Promise<unknown> =>
  outcomeOf(schemas.compile(schema).then((compiled) => compiled.check(value)));
