/** A thread that compiles schemas and checks values, one call at a time. It is ended when one takes too long. */
import { parentPort } from "node:worker_threads";
import { Ajv2020, type ErrorObject, type Options, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import type { SchemaReply, SchemaRequest } from "./schema-threads.ts";

/** Schemas that are kept compiled. */
const MAX_COMPILED = 64;
const MAX_MESSAGE_LENGTH = 300;

const OPTIONS: Options = {
  // Unknown keywords are annotations (JSON Schema 2020-12, 6.5).
  strict: false,
  logger: false,
  // `toString` is not a member of `{}`.
  ownProperties: true,
  // The code grows with the schema, not with what its references multiply.
  inlineRefs: false,
};

/** Knows what a schema is. It never sees one as a schema of its own, so that none can stand in another's way. */
const metaSchema = new Ajv2020(OPTIONS);

const compiled = new Map<string, ValidateFunction>();

class NotASchema extends Error {}

function compile(text: string): ValidateFunction {
  const schema = JSON.parse(text);
  if (metaSchema.validateSchema(schema) !== true) throw new NotASchema(problemOf(metaSchema.errors));
  const ajv = new Ajv2020({ ...OPTIONS, meta: false, validateSchema: false });
  formats.default(ajv);
  // `constructor` is not a format.
  Object.setPrototypeOf(ajv.formats, null);
  return ajv.compile(schema);
}

/** The most recently used last. */
function compiledOf({ digest, schema }: SchemaRequest): ValidateFunction {
  const known = compiled.get(digest);
  compiled.delete(digest);
  const validate = known ?? compile(schema);
  compiled.set(digest, validate);
  const [oldest] = compiled.keys();
  if (compiled.size > MAX_COMPILED && oldest !== undefined) compiled.delete(oldest);
  return validate;
}

/** JSON Pointer and what is wrong there. */
function problemOf(errors: readonly ErrorObject[] | null | undefined): string {
  const { instancePath = "", message = "is not valid" } = errors?.[0] ?? {};
  return bounded(instancePath === "" ? message : `${instancePath}: ${message}`);
}

const bounded = (text: string): string => text.slice(0, MAX_MESSAGE_LENGTH).toWellFormed();

/** Never throws: what goes wrong is the reply. */
function perform(request: SchemaRequest): SchemaReply {
  let validate: ValidateFunction;
  try {
    validate = compiledOf(request);
  } catch (error) {
    if (error instanceof RangeError) return { refused: "too_complex", message: "the schema is too complex" };
    const message = error instanceof Error ? bounded(error.message) : "";
    return { refused: "not_a_schema", message: `the schema is not valid JSON Schema: ${message}` };
  }
  if (request.value === undefined) return { problem: undefined };
  parentPort?.postMessage("compiled" satisfies SchemaReply);
  try {
    return { problem: validate(JSON.parse(request.value)) === true ? undefined : problemOf(validate.errors) };
  } catch {
    return { refused: "too_complex", message: "the schema is too complex for this value" };
  }
}

// What is loaded at the first use is loaded now, before the clock runs.
compile('{"type":"object","properties":{"a":{"type":"string","format":"date"}}}')({ a: "" });

parentPort?.on("message", (request: SchemaRequest) => parentPort?.postMessage(perform(request)));
parentPort?.postMessage("ready" satisfies SchemaReply);
