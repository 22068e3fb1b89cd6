/** Asking a person what a job wants to know (RFC §12, §15.4), one prompt after the other, as the question's schema says. */
import type { Question, ToolQuestion } from "@arcp/client";
import type { JsonObject } from "@arcp/core";
import { escapeLine } from "./escape.ts";

/** A question of either wire. */
export type Asked<Kind extends Question["kind"] = Question["kind"]> =
  | Extract<Question, { kind: Kind }>
  | ToolQuestion<Kind>;

/** Puts one prompt on the screen. Resolves with `undefined` when the person gives up, or `signal` withdraws it. */
export interface Prompter {
  text(options: TextPrompt, signal: AbortSignal): Promise<string | undefined>;
  choose(options: ChoicePrompt, signal: AbortSignal): Promise<string | undefined>;
}

export interface TextPrompt {
  readonly message: string;
  readonly initial?: string;
  /** What is wrong with it; `undefined`: nothing. */
  readonly problem?: (text: string) => string | undefined;
}

export interface ChoicePrompt {
  readonly message: string;
  readonly options: readonly { readonly value: string; readonly label: string; readonly hint?: string }[];
  readonly initial?: string;
}

/** What a person said. */
export type Said =
  | { readonly value: unknown }
  | { readonly choiceId: string }
  | { readonly granted: true; readonly leaseSeconds?: number }
  | { readonly granted: false; readonly reason?: string };

/** Beyond these, whoever answers writes JSON. */
const MAX_PROPERTIES = 24;
const MAX_DEPTH = 3;
const MAX_OPTIONS = 100;
const MAX_LABEL = 200;

/** Nothing was said: the person gave up, or the question is closed. */
class Unsaid extends Error {}

/** What the person says, or `undefined`: then the question is left to others. */
export async function askPerson(question: Asked, prompter: Prompter, signal: AbortSignal): Promise<Said | undefined> {
  const asking = new Asking(prompter, signal);
  try {
    switch (question.kind) {
      case "input":
        return { value: await asking.value(question.responseSchema, question.prompt, question.default) };
      case "choice":
        return { choiceId: await asking.choice(question) };
      case "permission":
        return await asking.permission(question);
    }
  } catch (thrown) {
    if (thrown instanceof Unsaid) return undefined;
    throw thrown;
  }
}

/** A member that was left out. */
const LEFT_OUT = Symbol("left out");

interface Slot {
  readonly message: string;
  readonly initial: unknown;
  readonly isOptional: boolean;
  readonly depth: number;
}

class Asking {
  readonly #prompter: Prompter;
  readonly #signal: AbortSignal;

  constructor(prompter: Prompter, signal: AbortSignal) {
    this.#prompter = prompter;
    this.#signal = signal;
  }

  value(schema: JsonObject, message: string, initial: unknown): Promise<unknown> {
    return this.#value(schema, { message: label(message), initial, isOptional: false, depth: 0 });
  }

  async choice({ prompt, options, default: initial }: Asked<"choice">): Promise<string> {
    return this.#choose({
      message: label(prompt),
      options: options.slice(0, MAX_OPTIONS).map(({ id, label: text, description }) => ({
        value: id,
        label: label(text),
        ...(description === undefined ? {} : { hint: label(description) }),
      })),
      ...(initial === undefined ? {} : { initial }),
    });
  }

  async permission(question: Asked<"permission">): Promise<Said> {
    const { permission, resource, operation, reason, requestedLeaseSeconds } = question;
    const why = reason === undefined ? "" : ` — ${reason}`;
    const time = requestedLeaseSeconds === undefined ? "" : ` for ${requestedLeaseSeconds} s`;
    const decision = await this.#choose({
      message: label(`May it ${operation} ${resource} (${permission})${time}?${why}`),
      options: [
        { value: "deny", label: "Deny" },
        { value: "grant", label: "Grant" },
      ],
      initial: "deny",
    });
    if (decision === "grant") return { granted: true };
    const text = await this.#text({ message: "Why not? (empty: no reason)" });
    return text === "" ? { granted: false } : { granted: false, reason: text };
  }

  async #value(schema: JsonObject, slot: Slot): Promise<unknown> {
    const { const: constant, enum: values, type, properties } = schema;
    const initial = slot.initial ?? schema["default"];
    const known = { ...slot, initial };
    if (constant !== undefined) return constant;
    if (Array.isArray(values) && values.length > 0 && values.length <= MAX_OPTIONS) return this.#oneOf(values, known);
    if (type === "null") return null;
    if (type === "boolean") return this.#oneOf([true, false], known);
    if (type === "string") return this.#string(schema, known);
    if (type === "number" || type === "integer") return this.#number(schema, known);
    if (type === "object" && isObject(properties) && canBeAsked(properties, slot.depth)) {
      return this.#object(properties, schema["required"], known);
    }
    return type === undefined && Object.keys(schema).length === 0 ? this.#anything(known) : this.#json(known);
  }

  async #object(properties: JsonObject, required: unknown, { message, initial, depth }: Slot): Promise<JsonObject> {
    const value: Record<string, unknown> = {};
    for (const [name, schema] of Object.entries(properties)) {
      const { title, description } = schema as JsonObject;
      const named = [title, description].find((text) => typeof text === "string") ?? name;
      const isOptional = !Array.isArray(required) || !required.includes(name);
      const member = await this.#value(schema as JsonObject, {
        message: `${message} · ${label(`${named}`)}`,
        initial: isObject(initial) ? initial[name] : undefined,
        ...{ isOptional, depth: depth + 1 },
      });
      if (member !== LEFT_OUT) Object.defineProperty(value, name, { value: member, enumerable: true });
    }
    return value;
  }

  async #oneOf(values: readonly unknown[], { message, initial, isOptional }: Slot): Promise<unknown> {
    const at = values.findIndex((value) => JSON.stringify(value) === JSON.stringify(initial));
    const chosen = await this.#choose({
      message,
      options: [
        ...values.map((value, index) => ({ value: String(index), label: labelOf(value) })),
        ...(isOptional ? [{ value: "none", label: "(leave out)" }] : []),
      ],
      ...(at < 0 ? {} : { initial: String(at) }),
    });
    return chosen === "none" ? LEFT_OUT : values[Number(chosen)];
  }

  /** The schema's pattern is the runtime's matter: it may take for ever. */
  async #string({ minLength, maxLength }: JsonObject, slot: Slot): Promise<unknown> {
    const problem = (text: string): string | undefined => {
      const { length } = [...text];
      if (typeof minLength === "number" && length < minLength) return `at least ${minLength} characters`;
      return typeof maxLength === "number" && length > maxLength ? `at most ${maxLength} characters` : undefined;
    };
    return this.#typed(slot, problem, (text) => text);
  }

  async #number({ type, minimum, maximum }: JsonObject, slot: Slot): Promise<unknown> {
    const problem = (text: string): string | undefined => {
      const value = Number(text);
      if (text.trim() === "" || !Number.isFinite(value)) return "expected a number";
      if (type === "integer" && !Number.isInteger(value)) return "expected a whole number";
      if (typeof minimum === "number" && value < minimum) return `at least ${minimum}`;
      return typeof maximum === "number" && value > maximum ? `at most ${maximum}` : undefined;
    };
    return this.#typed(slot, problem, Number);
  }

  /** Text means itself, unless it looks like JSON. */
  async #anything(slot: Slot): Promise<unknown> {
    const isJson = (text: string): boolean => /^\s*["[{]/.test(text);
    const problem = (text: string): string | undefined => (isJson(text) ? problemOfJson(text) : undefined);
    return this.#typed(slot, problem, (text) => (isJson(text) ? JSON.parse(text) : text));
  }

  async #json(slot: Slot): Promise<unknown> {
    return this.#typed({ ...slot, message: `${slot.message} (as JSON)` }, problemOfJson, JSON.parse);
  }

  async #typed(
    { message, initial, isOptional }: Slot,
    problem: (text: string) => string | undefined,
    read: (text: string) => unknown,
  ): Promise<unknown> {
    const text = await this.#text({
      message: isOptional ? `${message} (empty: leave it out)` : message,
      ...(initial === undefined ? {} : { initial: typeof initial === "string" ? initial : JSON.stringify(initial) }),
      problem: (typed) => (isOptional && typed === "" ? undefined : problem(typed)),
    });
    return isOptional && text === "" ? LEFT_OUT : read(text);
  }

  async #text(options: TextPrompt): Promise<string> {
    const text = await this.#prompter.text(options, this.#signal);
    if (text === undefined) throw new Unsaid();
    return text;
  }

  async #choose(options: ChoicePrompt): Promise<string> {
    const chosen = await this.#prompter.choose(options, this.#signal);
    if (chosen === undefined) throw new Unsaid();
    return chosen;
  }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Few enough members, each with a schema, and not too deep. */
function canBeAsked(properties: JsonObject, depth: number): boolean {
  const schemas = Object.values(properties);
  return schemas.length > 0 && schemas.length <= MAX_PROPERTIES && depth < MAX_DEPTH && schemas.every(isObject);
}

function problemOfJson(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    return "expected JSON";
  }
}

/** Text of an agent for one line of a prompt. */
function label(text: string): string {
  const shown = escapeLine(text);
  return shown.length <= MAX_LABEL ? shown : `${shown.slice(0, MAX_LABEL)}…`;
}

function labelOf(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return label(typeof value === "string" ? value : JSON.stringify(value));
}
