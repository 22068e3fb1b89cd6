/** What an agent asks people for: its request, checked, and what an answer to it must keep (RFC §12.1, §12.2). */
import { InvalidRequestError, type JsonObject } from "@arcp/core";
import { isLonger, jsonOf, timestamp } from "../entry-text.ts";
import { parseInstant } from "../lease/constraints.ts";
import type { Answer } from "./answer.ts";

/** What every question has. */
export interface QuestionOptions {
  /** How long there is for an answer, in milliseconds. Default: 5 minutes. At most 7 days, which longer waits are cut to. */
  readonly expiresInMs?: number;
  /** The same as an instant, RFC 3339 in UTC. If both are given the earlier one counts. */
  readonly expiresAt?: string;
  /** Where people are to see the question, e.g. `["ntfy:phone"]`: told to clients as it is. */
  readonly destinations?: readonly string[];
  /**
   * How many sessions must give the same answer (RFC §12.3). Default: 1, the first valid answer counts. With more, the
   * question goes to those clients that have agreed to answer so (PROTOCOL.md, Questions).
   */
  readonly quorum?: number;
  /** Withdraws the question. */
  readonly signal?: AbortSignal;
}

/** A question for a value (RFC §12.1). */
export interface HumanInputOptions extends QuestionOptions {
  readonly prompt: string;
  /** JSON Schema 2020-12 that the answer must keep; references stay within it. Default: any value will do. */
  readonly responseSchema?: object;
  /** Counts as the answer when nobody has answered in time, or can. It must keep the schema. */
  readonly default?: unknown;
}

/** A question that offers options (RFC §12.2). */
export interface HumanChoiceOptions extends QuestionOptions {
  readonly prompt: string;
  /** 1 to 100, each with an id of its own. */
  readonly options: readonly ChoiceOption[];
  /** The id of the option that counts when nobody has answered in time, or can. */
  readonly default?: string;
}

/** One of the answers that a question offers (RFC §12.2). */
export interface ChoiceOption {
  readonly id: string;
  readonly label: string;
  readonly description?: string;
}

/** What is wrong with an answer, if anything is. */
export type Check = (answer: Answer) => Promise<string | undefined> | string | undefined;

/** A question that can be asked. */
export interface QuestionDraft {
  readonly kind: Answer["kind"];
  /** What the wires say of it, apart from its id and its end. */
  readonly members: JsonObject;
  /** From when it is asked. */
  readonly expiresInMs: number;
  readonly quorum: number;
  /** What counts when nobody answers. */
  readonly fallback: Answer | undefined;
  readonly check: Check;
  readonly signal: AbortSignal | undefined;
  /** The interrupt that it is asked for; `undefined` if the agent asks. */
  readonly cause?: string;
}

/** Compiles schemas that may be hostile; see {@link ResponseSchemas}. */
export interface SchemaCompiler {
  compile(
    schema: unknown,
    owner: string,
    limits?: { readonly maxValueBytes: number },
  ): Promise<{ readonly check: (value: unknown) => Promise<string | undefined> }>;
}

const DEFAULT_WAIT_MS = 5 * 60_000;
const MAX_WAIT_MS = 7 * 24 * 3_600_000;
const MAX_PROMPT = 65_536;
const MAX_OPTIONS = 100;
const MAX_LABEL = 1_024;
const MAX_DESCRIPTION = 4_096;
const MAX_DESTINATIONS = 16;
const MAX_DESTINATION = 256;
const MAX_QUORUM = 100;
/** Bytes of an answer that no schema bounds. */
const MAX_VALUE_BYTES = 65_536;

/**
 * A question for any value (RFC §12.1). Rejects with {@link InvalidRequestError} for what cannot be asked: a schema that is
 * none or exceeds its limits, a default that does not keep it, an end that has passed.
 */
export async function inputDraft(
  options: HumanInputOptions,
  { schemas, owner, now }: { readonly schemas: SchemaCompiler; readonly owner: string; readonly now: number },
): Promise<QuestionDraft> {
  const common = commonOf(objectOf(options), now);
  const { prompt } = options;
  // What is asked is what was asked for: the agent may go on to use its objects for something else.
  const responseSchema = copyOf(options.responseSchema);
  const fallback = copyOf(options.default);
  const schema = responseSchema === undefined ? ANYTHING : await schemas.compile(responseSchema, owner);
  const check: Check = (answer) => (answer.kind === "input" ? schema.check(answer.value) : WRONG_KIND);
  if (fallback !== undefined) {
    const problem = await schema.check(fallback);
    if (problem !== undefined) throw new InvalidRequestError(`the default does not keep the schema: ${problem}`);
  }
  const members = {
    prompt: textOf("prompt", prompt, MAX_PROMPT),
    response_schema: responseSchema ?? {},
    ...(fallback !== undefined && { default: fallback }),
    ...common.members,
  };
  const answer: Answer | undefined = fallback === undefined ? undefined : { kind: "input", value: fallback };
  return { ...common, kind: "input", members, fallback: answer, check };
}

/** A question with answers to choose from (RFC §12.2). Throws {@link InvalidRequestError} for what cannot be asked. */
export function choiceDraft(given: HumanChoiceOptions, now: number): QuestionDraft {
  const common = commonOf(objectOf(given), now);
  const { prompt, options, default: fallback } = given;
  if (!Array.isArray(options) || options.length === 0 || options.length > MAX_OPTIONS) {
    throw new InvalidRequestError(`a choice has 1 to ${MAX_OPTIONS} options`);
  }
  const shown = options.map(shownOption);
  const ids = new Set(shown.map(({ id }) => id));
  if (ids.size < shown.length) throw new InvalidRequestError("two options have the same id");
  if (fallback !== undefined && !ids.has(fallback)) throw new InvalidRequestError("the default is none of the options");
  const check: Check = (answer) => {
    if (answer.kind !== "choice") return WRONG_KIND;
    return ids.has(answer.choiceId) ? undefined : "choice_id: none of the options";
  };
  const members = {
    prompt: textOf("prompt", prompt, MAX_PROMPT),
    options: shown,
    ...(fallback !== undefined && { default: fallback }),
    ...common.members,
  };
  const answer: Answer | undefined = fallback === undefined ? undefined : { kind: "choice", choiceId: fallback };
  return { ...common, kind: "choice", members, fallback: answer, check };
}

/** What options mean that every question has. Throws {@link InvalidRequestError}. */
export function commonOf(
  { expiresInMs, expiresAt, destinations, quorum = 1, signal }: QuestionOptions,
  now: number,
): Pick<QuestionDraft, "expiresInMs" | "members" | "quorum" | "signal"> {
  if (!Number.isSafeInteger(quorum) || quorum < 1 || quorum > MAX_QUORUM) {
    throw new InvalidRequestError(`a quorum is 1 to ${MAX_QUORUM} sessions`);
  }
  const places = destinations === undefined ? [] : listOf(destinations);
  return {
    expiresInMs: waitOf(expiresInMs, expiresAt, now),
    quorum,
    signal,
    members: {
      ...(places.length > 0 && { destinations: places }),
      ...(quorum > 1 && { quorum }),
    },
  };
}

/** The end of a question, as the wires write it. */
export const deadlineOf = (now: number, { expiresInMs }: QuestionDraft): { readonly expires_at: string } => ({
  expires_at: timestamp(now + expiresInMs),
});

function waitOf(expiresInMs: number | undefined, expiresAt: string | undefined, now: number): number {
  const ends = [MAX_WAIT_MS];
  if (expiresInMs !== undefined) {
    if (!Number.isFinite(expiresInMs)) throw new InvalidRequestError("expiresInMs is a number of milliseconds");
    ends.push(expiresInMs);
  }
  if (expiresAt !== undefined) {
    const at = parseInstant(String(expiresAt));
    if (at === undefined) throw new InvalidRequestError("expiresAt is RFC 3339 in UTC with a Z suffix");
    ends.push(at - now);
  }
  const wait = ends.length === 1 ? DEFAULT_WAIT_MS : Math.min(...ends);
  if (wait <= 0) throw new InvalidRequestError("a question cannot have ended before it is asked");
  return Math.ceil(wait);
}

function listOf(destinations: readonly string[]): readonly string[] {
  if (!Array.isArray(destinations) || destinations.length > MAX_DESTINATIONS) {
    throw new InvalidRequestError(`a question has at most ${MAX_DESTINATIONS} destinations`);
  }
  return destinations.map((destination) => textOf("a destination", destination, MAX_DESTINATION));
}

function shownOption(option: ChoiceOption): JsonObject {
  const { id, label, description } = objectOf(option);
  if (typeof id !== "string" || !OPTION_ID.test(id)) {
    throw new InvalidRequestError("an option's id has 1 to 128 printable ASCII characters");
  }
  return {
    id,
    label: textOf("an option's label", label, MAX_LABEL),
    ...(description !== undefined && { description: textOf("an option's description", description, MAX_DESCRIPTION) }),
  };
}

/** What an answer can name (RFC §12.2). */
const OPTION_ID = /^[\x21-\x7e]{1,128}$/;

const copyOf = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(jsonOf(value)));

/** `value`, if it is a text that is there and not too long. */
export function textOf(what: string, value: unknown, maxLength: number): string {
  if (typeof value === "string" && value !== "" && value.length <= maxLength) return value;
  throw new InvalidRequestError(`${what} is a text of 1 to ${maxLength} characters`);
}

/** `value`, if it is an object: options come from agents. */
export function objectOf<Options extends object>(value: Options): Options {
  if (typeof value === "object" && value !== null) return value;
  throw new InvalidRequestError("expected an object of options");
}

const WRONG_KIND = "the answer is of another kind than the question";

/** What checks answers to a question without a schema. */
const ANYTHING = {
  check: async (value: unknown): Promise<string | undefined> =>
    isLonger(jsonOf(value), MAX_VALUE_BYTES) ? `must NOT have more than ${MAX_VALUE_BYTES} bytes` : undefined,
};
