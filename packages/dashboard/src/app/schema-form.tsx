/** Fields for what a JSON Schema asks for: the simple ones as fields, everything else as JSON. */
import { useState } from "preact/hooks";
import { Text, visible } from "./visible-text.tsx";

type Schema = Readonly<Record<string, unknown>>;

export type Filled = { readonly value: unknown } | { readonly problem: string };

interface Field {
  /** `undefined`: the whole value. */
  readonly name: string | undefined;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

const MAX_FIELDS = 50;

const isSchema = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function fieldsOf(schema: Schema): readonly Field[] {
  const properties = schema["properties"];
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  const entries = isSchema(properties) ? Object.entries(properties) : [];
  const isPlain = schema["type"] === "object" && entries.length > 0 && entries.length <= MAX_FIELDS;
  if (!isPlain) return [{ name: undefined, schema, isRequired: true }];
  return entries.map(([name, property]) => ({
    ...{ name, schema: isSchema(property) ? property : {} },
    isRequired: required.includes(name),
  }));
}

type Control = "text" | "number" | "flag" | "choice" | "json";

function controlOf({ type, enum: values }: Schema): Control {
  if (Array.isArray(values) && values.length > 0 && values.length <= 100) return "choice";
  if (type === "string") return "text";
  if (type === "number" || type === "integer") return "number";
  return type === "boolean" ? "flag" : "json";
}

/** What is in the fields, as the schema has it. The runtime decides whether it keeps the schema. */
function read(field: Field, text: string): Filled | undefined {
  const control = controlOf(field.schema);
  if (text === "" && control !== "flag") {
    if (control === "text" && field.isRequired) return { value: "" };
    return field.isRequired ? { problem: `${field.name ?? "The value"} is missing` } : undefined;
  }
  if (control === "text") return { value: text };
  if (control === "flag") return { value: text === "true" };
  if (control === "choice") return { value: (field.schema["enum"] as readonly unknown[])[Number(text)] };
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { problem: `${field.name ?? "The value"} is ${control === "number" ? "no number" : "not JSON"}` };
  }
}

/** How a value that there is already stands in its field. */
function write(field: Field, value: unknown): string {
  if (value === undefined) return "";
  const control = controlOf(field.schema);
  if (control === "choice") {
    const index = (field.schema["enum"] as readonly unknown[]).findIndex(
      (each) => JSON.stringify(each) === JSON.stringify(value),
    );
    return index === -1 ? "" : String(index);
  }
  return control === "text" && typeof value === "string" ? value : JSON.stringify(value);
}

export interface FormState {
  readonly fields: readonly Field[];
  readonly texts: readonly string[];
  readonly set: (index: number, text: string) => void;
  readonly filled: () => Filled;
}

export function useSchemaForm(schema: Schema, initial: unknown): FormState {
  const fields = fieldsOf(schema);
  const [texts, setTexts] = useState<readonly string[]>(() =>
    fields.map((field) => {
      const given = field.name === undefined ? initial : isSchema(initial) ? initial[field.name] : undefined;
      return write(field, given ?? field.schema["default"]);
    }),
  );
  return {
    ...{ fields, texts },
    set: (index, text) => setTexts((before) => before.map((each, at) => (at === index ? text : each))),
    filled: () => {
      const members: [string, unknown][] = [];
      for (const [index, field] of fields.entries()) {
        const found = read(field, texts[index] ?? "");
        if (found === undefined) continue;
        if ("problem" in found || field.name === undefined) return found;
        members.push([field.name, found.value]);
      }
      return { value: Object.fromEntries(members) };
    },
  };
}

export function SchemaFields({ form, label }: { readonly form: FormState; readonly label: string }) {
  return (
    <>
      {form.fields.map((field, index) => (
        // biome-ignore lint/a11y/noLabelWithoutControl: its control is what Input makes
        <label class="field">
          <span class="field-name">
            <Text value={String(field.schema["title"] ?? field.name ?? label)} max={200} />
            {field.isRequired && field.name !== undefined ? <span class="required"> required</span> : null}
          </span>
          {typeof field.schema["description"] === "string" ? (
            <span class="hint">
              <Text value={field.schema["description"]} max={1_000} />
            </span>
          ) : null}
          <Input field={field} text={form.texts[index] ?? ""} onText={(text) => form.set(index, text)} />
        </label>
      ))}
    </>
  );
}

function Input(props: { readonly field: Field; readonly text: string; readonly onText: (text: string) => void }) {
  const { field, text, onText } = props;
  const { schema } = field;
  switch (controlOf(schema)) {
    case "choice":
      return (
        <select value={text} onChange={(event) => onText(event.currentTarget.value)}>
          <option value="">choose …</option>
          {(schema["enum"] as readonly unknown[]).map((value, index) => (
            <option value={String(index)}>{visible(typeof value === "string" ? value : JSON.stringify(value))}</option>
          ))}
        </select>
      );
    case "flag":
      return (
        <select value={text || "false"} onChange={(event) => onText(event.currentTarget.value)}>
          <option value="false">no</option>
          <option value="true">yes</option>
        </select>
      );
    case "number":
      return (
        <input
          type="text"
          inputMode="decimal"
          autocomplete="off"
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      );
    case "text":
      return Number(schema["maxLength"] ?? 0) > 200 || schema["format"] === "textarea" ? (
        <textarea rows={4} value={text} onInput={(event) => onText(event.currentTarget.value)} />
      ) : (
        <input type="text" autocomplete="off" value={text} onInput={(event) => onText(event.currentTarget.value)} />
      );
    default:
      return (
        <textarea
          class="mono"
          rows={5}
          spellcheck={false}
          placeholder="JSON"
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      );
  }
}
