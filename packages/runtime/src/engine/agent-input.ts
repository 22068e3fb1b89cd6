/** What input an agent takes: the schema that it was registered with, and whether an input keeps it. */
import { InvalidRequestError, type JsonObject } from "@arcp/core";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { jsonText } from "../response-schema/json-text.ts";
import { DEFAULT_RESPONSE_SCHEMA_LIMITS } from "../response-schema/limits.ts";
import { standaloneSchema } from "../response-schema/schema-shape.ts";
import type { Agent } from "./agents.ts";
import type { SchemaCompiler } from "./interactions/request.ts";

/**
 * A schema of a library that can say itself as JSON Schema, by the interface that zod, ArkType and others have in common
 * (standardschema.dev).
 */
export interface StandardJsonSchema {
  readonly "~standard": {
    readonly jsonSchema: { readonly input: (options: { readonly target: "draft-2020-12" }) => object };
  };
}

/** What input an agent takes: JSON Schema (2020-12), or what can say itself as that, such as a schema of zod. */
export type AgentInputSchema = StandardJsonSchema | Readonly<Record<string, unknown>>;

/** Bytes of an input: what a frame may have. */
const MAX_INPUT_BYTES = 1024 * 1024;

/** `schema` as plain JSON Schema, a frozen copy. Throws {@link InvalidRequestError} for what is none or exceeds a limit. */
export function inputSchemaOf(agent: string, schema: AgentInputSchema): JsonObject {
  try {
    const { value } = jsonText(
      "the schema",
      jsonSchemaOf(schema),
      DEFAULT_RESPONSE_SCHEMA_LIMITS.maxSchemaBytes,
      DEFAULT_RESPONSE_SCHEMA_LIMITS,
    );
    const bare = standaloneSchema(value, DEFAULT_RESPONSE_SCHEMA_LIMITS);
    if (typeof bare !== "object" || bare === null) throw new InvalidRequestError("expected an object");
    // What is wrong with it is said to whoever registers the agent, not to its first submitter.
    formats.default(new Ajv2020({ strict: false, logger: false })).compile(bare);
    return Object.freeze(value as JsonObject);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidRequestError(`the input schema of ${agent} is not taken: ${problem}`, {
      cause,
      ...(cause instanceof InvalidRequestError && cause.details && { details: cause.details }),
    });
  }
}

function jsonSchemaOf(schema: AgentInputSchema): unknown {
  if (!("~standard" in schema)) return schema;
  const { jsonSchema } = schema["~standard"] as Partial<StandardJsonSchema["~standard"]>;
  if (jsonSchema === undefined) {
    throw new InvalidRequestError("its library does not say it as JSON Schema; convert it, e.g. with z.toJSONSchema");
  }
  return jsonSchema.input({ target: "draft-2020-12" });
}

/** `/a/0: must be a string`: the problem after the place, where there is one. */
const AT_PLACE = /^(\/.*?): ((?:must|boolean schema) .*)$/s;

/**
 * Resolves if `input` keeps the schema of `agent`. `owner` is whoever submits: owners take turns.
 *
 * @throws InvalidRequestError whose details have the agent, the problem, and as `path` a JSON Pointer into the input (empty:
 *   the input as a whole); with `details.reason` for an input that is too large, too deep, or not decided in time.
 * @throws InternalError when too many inputs wait for their turn.
 */
export async function checkInput(
  { name, version, inputSchema }: Pick<Agent, "name" | "version" | "inputSchema">,
  input: unknown,
  { schemas, owner }: { readonly schemas: SchemaCompiler; readonly owner: string },
): Promise<void> {
  if (inputSchema === undefined) return;
  const schema = await schemas.compile(inputSchema, owner, { maxValueBytes: MAX_INPUT_BYTES });
  const found = await schema.check(input ?? null);
  if (found === undefined) return;
  const [, path = "", problem = found] = AT_PLACE.exec(found) ?? [];
  throw new InvalidRequestError(`the input of ${name} is not valid: ${found}`, {
    details: { agent: `${name}@${version}`, path, problem },
  });
}
