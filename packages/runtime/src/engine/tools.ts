/** The tools that agents call by name (§9.2 `tool.call`). */
import { InvalidRequestError, type JobId, type MetricPayload } from "@arcp/core";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import type { OperationCost } from "./operation.ts";

/** What a tool is told beside its input. */
export interface ToolContext {
  readonly jobId: JobId;
  readonly callId: string;
  /** Aborts when the job is cancelled or ends. */
  readonly signal: AbortSignal;
  /** Headers that carry the job's trace (§11). */
  readonly traceHeaders: Readonly<Record<string, string>>;
  /** Reports what the call costs (§9.6). */
  report(metric: MetricPayload): Promise<void>;
}

/** A tool that agents call by its name, within their leases. */
export interface Tool<Input = unknown, Result = unknown> {
  readonly description?: string;
  /** JSON Schema (2020-12) of its input. Default: any input. */
  readonly inputSchema?: Readonly<Record<string, unknown>>;
  /** What a call may cost: held back while it runs, or `"unknown"`. Default: nothing. */
  readonly cost?: OperationCost | ((input: Input) => OperationCost | undefined);
  /** What it returns is the call's result: JSON, for whoever watches the job. */
  handler(input: Input, context: ToolContext): Result | Promise<Result>;
}

interface RegisteredTool {
  readonly tool: Tool;
  readonly validate: ValidateFunction | undefined;
}

/** The names that `tool.call` patterns can match. */
const TOOL_NAME = /^[A-Za-z0-9._:@/-]{1,256}$/;

export class ToolRegistry {
  readonly #tools = new Map<string, RegisteredTool>();
  /** Made when the first schema comes: compiling is what takes time to load. */
  #schemas: Ajv2020 | undefined;

  /** Adds or replaces a tool. Throws {@link InvalidRequestError} for a name or a schema that is none. */
  register(name: string, tool: Tool): void {
    if (!TOOL_NAME.test(name))
      throw new InvalidRequestError(`not a tool's name: ${JSON.stringify(name.slice(0, 256))}`);
    this.#tools.set(name, { tool, validate: tool.inputSchema && this.#compile(name, tool.inputSchema) });
  }

  /** The tool of that name, and its input checked. Throws {@link InvalidRequestError} for either. */
  resolve(name: string, input: unknown): Tool {
    const registered = this.#tools.get(name);
    if (registered === undefined) {
      throw new InvalidRequestError(`no tool is registered as ${name}`, { details: { tool: name } });
    }
    const { tool, validate } = registered;
    if (validate === undefined || validate(input) === true) return tool;
    const [problem] = validate.errors ?? [];
    throw new InvalidRequestError(`the input of ${name} is not valid: ${problem?.instancePath} ${problem?.message}`, {
      details: { tool: name, path: problem?.instancePath ?? "", problem: problem?.message ?? "not valid" },
    });
  }

  /** What a call may cost, as the tool says; nothing for a call that {@link resolve} refuses. */
  costOf(name: string, input: unknown): OperationCost {
    const { tool, validate } = this.#tools.get(name) ?? {};
    if (tool?.cost === undefined || validate?.(input) === false) return {};
    return (typeof tool.cost === "function" ? tool.cost(input) : tool.cost) ?? {};
  }

  #compile(name: string, schema: Readonly<Record<string, unknown>>): ValidateFunction {
    try {
      this.#schemas ??= formats.default(new Ajv2020({ strict: "log", allowUnionTypes: true, logger: false }));
      return this.#schemas.compile(schema);
    } catch (cause) {
      throw new InvalidRequestError(`the input schema of ${name} is not valid JSON Schema`, { cause });
    }
  }
}
