/**
 * What the spans of a job's operations and delegations are called and say: the attributes of §11, and those of the
 * semantic conventions for generative AI (`gen_ai.*`) where a model, a tool or an agent is used.
 *
 * The targets of operations are not told: paths and URLs carry what is nobody's business. A URL's host is.
 */
import type { MetricPayload } from "@arcp/core";
import { type Attributes, SpanKind } from "@opentelemetry/api";
import type { Job } from "./job.ts";
import { startWorkSpan, type WorkSpan, type WorkSpanFacts } from "./telemetry.ts";

/** Characters of a name. */
const MAX_NAME = 256;

/** Starts the span of an operation, when it is announced; `undefined` if nobody listens. */
export function startOperationSpan(
  job: Job,
  operation: {
    readonly capability: string;
    readonly target: string;
    readonly tool: string;
    readonly callId: string;
  },
): WorkSpan | undefined {
  return startWorkSpan(() => {
    const shown = nameFor(job);
    const { capability, callId } = operation;
    const common = {
      ...{ "arcp.job_id": job.id, "arcp.session_id": job.sessionId, "arcp.agent": job.agentRef },
      ...{ "arcp.operation.capability": shown(capability), "arcp.operation.call_id": callId },
    };
    const particular = particulars(operation, shown);
    return { trace: job.trace, ...particular, attributes: { ...common, ...particular.attributes } };
  });
}

/** Starts the span of a delegation, when it is announced; `undefined` if nobody listens. */
export function startDelegationSpan(job: Job, agent: string, delegateId: string): WorkSpan | undefined {
  return startWorkSpan(() => {
    const name = nameFor(job)(agent);
    const attributes = {
      ...{ "arcp.job_id": job.id, "arcp.session_id": job.sessionId, "arcp.agent": job.agentRef },
      ...{ "arcp.delegate_id": nameFor(job)(delegateId), "arcp.delegate.agent": name },
    };
    return { trace: job.trace, name: `arcp.delegate ${name}`, kind: SpanKind.PRODUCER, attributes };
  });
}

/** Names are their agent's words: bounded, and without the secrets of its job. */
const nameFor =
  (job: Job) =>
  (name: unknown): string => {
    const text = String(name).slice(0, MAX_NAME);
    return job.secretMask?.mask(text).text ?? text;
  };

function particulars(
  { capability, target, tool, callId }: Parameters<typeof startOperationSpan>[1],
  shown: (name: unknown) => string,
): Omit<WorkSpanFacts, "trace"> {
  switch (capability) {
    case "tool.call": {
      const name = shown(target);
      return {
        ...{ name: `execute_tool ${name}`, kind: SpanKind.INTERNAL },
        attributes: {
          ...{ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function" },
          "gen_ai.tool.call.id": callId,
        },
      };
    }
    case "model.use": {
      const model = shown(target);
      return {
        ...{ name: `chat ${model}`, kind: SpanKind.CLIENT },
        attributes: { "gen_ai.operation.name": "chat", "gen_ai.request.model": model },
      };
    }
    case "agent.delegate": {
      const agent = shown(target);
      return {
        ...{ name: `${shown(tool)} ${agent}`, kind: SpanKind.PRODUCER },
        attributes: { "arcp.delegate.agent": agent },
      };
    }
    default: {
      const host = URL.parse(String(target))?.hostname;
      return {
        ...{ name: `arcp.operation ${shown(capability)}`, kind: host ? SpanKind.CLIENT : SpanKind.INTERNAL },
        attributes: host ? { "server.address": shown(host) } : {},
      };
    }
  }
}

/** What a metric that was reported for an operation says of the model that it used. */
export function usageOf({ name, value, unit, dimensions = {} }: MetricPayload): Attributes {
  const count = (member: string): number | undefined => {
    const said = dimensions[member];
    return typeof said === "number" && Number.isFinite(said) ? said : undefined;
  };
  const tokens = name === "tokens.used" && Number.isFinite(value) ? value : undefined;
  const kind = dimensions["kind"];
  return {
    "gen_ai.usage.input_tokens": count("input_tokens") ?? (kind === "input" ? tokens : undefined),
    "gen_ai.usage.output_tokens": count("output_tokens") ?? (kind === "output" ? tokens : undefined),
    "gen_ai.usage.cache_read.input_tokens":
      count("cached_input_tokens") ?? (kind === "cache_read" ? tokens : undefined),
    "gen_ai.usage.cache_creation.input_tokens":
      count("cache_write_tokens") ?? (kind === "cache_write" ? tokens : undefined),
    ...(name.startsWith("cost.") && unit !== undefined && { [`arcp.cost.${unit.slice(0, 16)}`]: value }),
  };
}
