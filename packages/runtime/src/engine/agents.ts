/** The agents that can be submitted to, by name and version (§7.5). */
import {
  AGENT_REFERENCE,
  type AgentInventoryEntry,
  AgentNotAvailableError,
  AgentVersionNotAvailableError,
  InvalidRequestError,
  type JsonObject,
} from "@arcp/core";
import { type AgentInputSchema, inputSchemaOf } from "./agent-input.ts";
import type { JobContext } from "./job-context.ts";
import { assertRetryTerms, type RetryTerms } from "./retry.ts";
import { assertHeartbeatTerms, type HeartbeatTerms } from "./watchdog.ts";

/** Does the work of a job. What it returns is the job's result; what it throws is the job's error. */
export type AgentHandler = (input: unknown, context: JobContext) => unknown | Promise<unknown>;

/** What is known of an agent beside its name: which version it is, what it takes, whether it is durable. */
export interface AgentOptions {
  /** Makes this version the one that a bare name means. Otherwise that is the version registered last. */
  readonly isDefault?: boolean;
  /**
   * The signs of life that it promises (RFC §10.3): whatever its jobs write, and `context.heartbeat`. After two intervals
   * without one they fail with `HEARTBEAT_LOST`, or are blocked until there is one. None is missed while the agent sleeps
   * with `context.sleep`, or waits for a person, a job that it delegated, or to be called again. Default: it is not watched.
   */
  readonly heartbeat?: HeartbeatTerms;
  /** Calls it again after failures that may pass (RFC §10.1). Default: it is called once. */
  readonly retry?: RetryTerms;
  /**
   * Its jobs survive the process: after a restart the agent is called again with the same input, what it has done in steps
   * is not done again, and what it has told is not told again (docs/durable-agents.md). Default: its jobs end with the
   * process, with an error that may be tried again.
   */
  readonly durable?: boolean | DurableTerms;
  /**
   * What its input is: JSON Schema 2020-12, or a schema of a library that can say itself as one, as zod does. A submission
   * whose input does not keep it is refused with `INVALID_REQUEST`, and clients are told the schema when they ask. It is
   * bounded as answers of people are (docs/agents.md). Default: any input.
   */
  readonly inputSchema?: AgentInputSchema;
  /** What it does, for whoever is about to submit to it: 4096 characters at most. */
  readonly description?: string;
  /** How many jobs of this version work at once; one more waits until another has ended. Default: as many as there are. */
  readonly concurrency?: number;
}

/** How often a durable job is begun again without getting on. */
export interface DurableTerms {
  /** Restarts without a new step or checkpoint between them, after which a job fails with `crash_loop`. Default: 10. */
  readonly maxRestarts?: number;
}

/** Also of jobs whose agent is not durable any more. */
export const DEFAULT_MAX_RESTARTS = 10;

/** One version of one agent, wherever it is. */
export interface AgentName {
  readonly name: string;
  readonly version: string;
}

/** One version of one agent. A job keeps the one that it was accepted with. */
export interface Agent {
  readonly name: string;
  readonly version: string;
  readonly handler: AgentHandler;
  /** `undefined`: nobody watches it. */
  readonly heartbeat: HeartbeatTerms | undefined;
  /** `undefined`: it is called once. */
  readonly retry: RetryTerms | undefined;
  /** `undefined`: its jobs end with the process. */
  readonly durable: Required<DurableTerms> | undefined;
  /** JSON Schema, as it was registered. `undefined`: any input. */
  readonly inputSchema: JsonObject | undefined;
  readonly description: string | undefined;
  /** `undefined`: as many jobs of its as there are work at once. */
  readonly concurrency: number | undefined;
}

/** What an agent that was registered without a version is listed as. */
const UNVERSIONED = "0.0.0";

interface Versions {
  readonly byVersion: Map<string, Agent>;
  defaultVersion: string;
  /** Was the default chosen, or is it just the last one? */
  isPinned: boolean;
}

export class AgentRegistry {
  readonly #agents = new Map<string, Versions>();
  readonly #onRegistered: (() => void)[] = [];

  /** `name@version` of every agent. */
  get references(): readonly string[] {
    return [...this.#agents].flatMap(([name, { byVersion }]) =>
      [...byVersion.keys()].map((version) => `${name}@${version}`),
    );
  }

  /** Adds or replaces `name` or `name@version`. Running jobs keep the handler that they started with. */
  register(reference: string, handler: AgentHandler, options: AgentOptions = {}): void {
    const { name, version = UNVERSIONED } = parseReference(reference);
    if (options.heartbeat !== undefined) assertHeartbeatTerms(options.heartbeat);
    if (options.retry !== undefined) assertRetryTerms(options.retry);
    const { description } = options;
    if (description !== undefined) assertDescription(description);
    const inputSchema = options.inputSchema && inputSchemaOf(reference, options.inputSchema);
    let versions = this.#agents.get(name);
    if (versions === undefined) {
      versions = { byVersion: new Map(), defaultVersion: version, isPinned: false };
      this.#agents.set(name, versions);
    }
    const { heartbeat, retry, concurrency } = options;
    if (concurrency !== undefined) assertConcurrency(concurrency);
    versions.byVersion.set(version, {
      name,
      version,
      handler,
      heartbeat,
      retry,
      durable: durableTerms(options.durable),
      concurrency,
      inputSchema,
      description,
    });
    if (options.isDefault === true || !versions.isPinned) {
      versions.defaultVersion = version;
      versions.isPinned = options.isDefault === true;
    }
    for (const listener of this.#onRegistered) listener();
  }

  /** Calls `listener` after each registration. */
  whenRegistered(listener: () => void): void {
    this.#onRegistered.push(listener);
  }

  /** That version; `undefined` if it is not registered. */
  find(name: string, version: string): Agent | undefined {
    return this.#agents.get(name)?.byVersion.get(version);
  }

  /** Makes a registered version the default. Returns whether there is such a version. */
  pinDefault(name: string, version: string): boolean {
    const versions = this.#agents.get(name);
    if (!versions?.byVersion.has(version)) return false;
    versions.defaultVersion = version;
    versions.isPinned = true;
    return true;
  }

  /**
   * The agent that `reference` names. Throws {@link AgentNotAvailableError} or
   * {@link AgentVersionNotAvailableError}. Versions are compared as opaque strings.
   */
  resolve(reference: string): Agent {
    const { name, version } = parseReference(reference);
    const versions = this.#agents.get(name);
    if (versions === undefined) {
      throw new AgentNotAvailableError(`no agent is registered as ${name}`, { details: { agent: name } });
    }
    const agent = versions.byVersion.get(version ?? versions.defaultVersion);
    if (agent === undefined) {
      throw new AgentVersionNotAvailableError(`${name} has no version ${version}`, {
        details: { agent: name, version, available: [...versions.byVersion.keys()] },
      });
    }
    return agent;
  }

  /** Every agent with its versions, in the order of registration. */
  inventory(): readonly AgentInventoryEntry[] {
    return [...this.#agents].map(([name, { byVersion, defaultVersion }]) => ({
      name,
      versions: [...byVersion.keys()],
      default: defaultVersion,
    }));
  }
}

/** @throws InvalidRequestError for terms that make no sense. */
function durableTerms(durable: AgentOptions["durable"]): Required<DurableTerms> | undefined {
  if (durable === undefined || durable === false) return undefined;
  const { maxRestarts = DEFAULT_MAX_RESTARTS } = durable === true ? {} : durable;
  if (Number.isInteger(maxRestarts) && maxRestarts >= 0) return { maxRestarts };
  throw new InvalidRequestError("durable: maxRestarts is a whole number, not below zero");
}

/** @throws InvalidRequestError for what is no number of jobs. */
function assertConcurrency(concurrency: number): void {
  if (Number.isInteger(concurrency) && concurrency >= 1) return;
  throw new InvalidRequestError("concurrency: a whole number, not below one");
}

const MAX_DESCRIPTION = 4_096;

/** @throws InvalidRequestError for what is no text, or too long. */
function assertDescription(description: unknown): void {
  if (typeof description === "string" && description.length <= MAX_DESCRIPTION) return;
  throw new InvalidRequestError(`description: text of at most ${MAX_DESCRIPTION} characters`);
}

/** Splits `name` or `name@version`. Throws {@link InvalidRequestError} for anything else. */
export function parseReference(reference: string): { readonly name: string; readonly version?: string } {
  const match = AGENT_REFERENCE.exec(reference);
  if (!match) throw new InvalidRequestError("an agent is named name or name@version (§7.5)");
  const [, name = "", version] = match;
  return version === undefined ? { name } : { name, version };
}
