/** A form for what a JSON Schema asks for: nested objects, lists, choices and variants; JSON for what has no field. */
import { type StateUpdater, useId, useState } from "preact/hooks";
import {
  below,
  type Control,
  controlOf,
  initialValue,
  isRecord,
  isSame,
  MAX_DEPTH,
  problemsOf,
  resolved,
  type Schema,
  variantOf,
} from "./schema.ts";
import { Text, visible } from "./visible-text.tsx";

export type Filled = { readonly value: unknown } | { readonly problem: string };

export interface FormState {
  readonly schema: Schema;
  /** `undefined`: nothing is filled in. */
  readonly value: unknown;
  /** Where something stands that is no value yet, such as half a number, by JSON Pointer. */
  readonly texts: ReadonlyMap<string, string>;
  /** What is wrong, by JSON Pointer: as the form sees it once it was tried, or as the runtime said. */
  readonly problems: ReadonlyMap<string, string>;
  readonly set: (value: unknown) => void;
  /** `undefined`: what stands there is a value. */
  readonly setText: (pointer: string, text: string | undefined) => void;
  /** Shows what is wrong at its place from now on, and returns the value if nothing is. */
  readonly filled: () => Filled;
  /** Nothing is unfinished at or below the place any more: it is another one now. */
  readonly forget: (pointer: string) => void;
  /** What the runtime says about a place; the next change takes it away. */
  readonly blame: (pointer: string, problem: string) => void;
}

const NO_TEXTS: ReadonlyMap<string, string> = new Map();

/** The state of a form. `initial` is what is there already; the defaults of the schema are for what is new. */
export function useSchemaForm(schema: Schema, initial: unknown): FormState {
  const [value, setValue] = useState<unknown>(() => initialValue(schema, schema, initial, true));
  const [texts, setTexts] = useState(NO_TEXTS);
  const [wasTried, setTried] = useState(false);
  const [blamed, setBlamed] = useState(NO_TEXTS);
  const found = new Map(problemsOf(schema, schema, value, true));
  for (const pointer of texts.keys()) found.set(pointer, "This is not finished.");
  return {
    ...{ schema, value, texts },
    problems: wasTried ? new Map([...found, ...blamed]) : blamed,
    set: (next) => {
      setBlamed(NO_TEXTS);
      setValue(() => next);
    },
    setText: (pointer, text) => setTexts(withText(pointer, text)),
    forget: (pointer) => setTexts((before) => new Map([...before].filter(([at]) => !at.startsWith(pointer)))),
    filled: () => {
      setTried(true);
      const [first] = found;
      if (first === undefined) return { value: value === undefined ? null : value };
      return { problem: first[0] === "" ? first[1] : `${first[0].slice(1).replaceAll("/", ", ")}: ${first[1]}` };
    },
    blame: (pointer, problem) => setBlamed(new Map([[pointer, problem]])),
  };
}

const withText =
  (pointer: string, text: string | undefined): StateUpdater<ReadonlyMap<string, string>> =>
  (before) => {
    if (before.get(pointer) === text) return before;
    const next = new Map(before);
    if (text === undefined) next.delete(pointer);
    else next.set(pointer, text);
    return next;
  };

export function SchemaFields({ form, label }: { readonly form: FormState; readonly label: string }) {
  return (
    <Place
      form={form}
      schema={form.schema}
      pointer=""
      value={form.value}
      onValue={form.set}
      isRequired
      label={label}
      depth={0}
    />
  );
}

interface PlaceProps {
  readonly form: FormState;
  readonly schema: unknown;
  readonly pointer: string;
  readonly value: unknown;
  /** `undefined` takes it away. */
  readonly onValue: (value: unknown) => void;
  readonly isRequired: boolean;
  readonly label: string;
  readonly depth: number;
  /** It stands below its own heading already. */
  readonly isBare?: boolean;
}

/** One place of the value, with what is below it. */
function Place(props: PlaceProps) {
  const { form, value, onValue, isRequired, depth } = props;
  const schema = resolved(props.schema, form.schema);
  const control = controlOf(schema, form.schema, depth);
  const label = typeof schema["title"] === "string" ? schema["title"] : props.label;
  const heading = { label, schema, form, pointer: props.pointer };
  switch (control.kind) {
    case "object":
      if (depth === 0 || props.isBare) return <Members {...props} control={control} />;
      return (
        <Group {...heading} isRequired={isRequired}>
          {value === undefined ? (
            <Add label={label} onAdd={() => onValue(initialValue(schema, form.schema, undefined, true, depth))} />
          ) : (
            <>
              <Members {...props} control={control} />
              {isRequired ? null : <Remove label={label} onRemove={() => onValue(undefined)} />}
            </>
          )}
        </Group>
      );
    case "list":
      return (
        <Group {...heading} isRequired={isRequired}>
          <List {...props} items={control.items} label={label} />
        </Group>
      );
    case "variants":
      return (
        <Group {...heading} isRequired={isRequired}>
          <Variants {...props} control={control} label={label} />
        </Group>
      );
    default:
      return <Field {...props} schema={schema} control={control} label={label} />;
  }
}

function Members({ form, pointer, value, onValue, depth, control }: PlaceProps & ControlOf<"object">) {
  const held = isRecord(value) ? value : {};
  return (
    <>
      {control.members.map(({ name, schema, isRequired }) => (
        <Place
          key={name}
          form={form}
          schema={schema}
          pointer={below(pointer, name)}
          value={Object.hasOwn(held, name) ? held[name] : undefined}
          onValue={(next) => {
            const { [name]: _before, ...others } = held;
            onValue(next === undefined ? others : { ...held, [name]: next });
          }}
          isRequired={isRequired}
          label={name}
          depth={depth + 1}
        />
      ))}
    </>
  );
}

const MAX_SHOWN_ITEMS = 100;

function List({ form, pointer, value, onValue, depth, items, label }: PlaceProps & { readonly items: Schema }) {
  const list = Array.isArray(value) ? value : [];
  return (
    <>
      {list.slice(0, MAX_SHOWN_ITEMS).map((item, index) => (
        <div class="item">
          <Place
            form={form}
            schema={items}
            pointer={below(pointer, index)}
            value={item ?? undefined}
            onValue={(next) => onValue(list.map((each, at) => (at === index ? (next ?? null) : each)))}
            isRequired
            label={`${label} ${index + 1}`}
            depth={depth + 1}
          />
          <Remove
            label={`${label} ${index + 1}`}
            onRemove={() => {
              form.forget(pointer);
              onValue(list.filter((_, at) => at !== index));
            }}
          />
        </div>
      ))}
      {list.length > MAX_SHOWN_ITEMS ? (
        <p class="hint">{`${list.length - MAX_SHOWN_ITEMS} more: see the JSON.`}</p>
      ) : null}
      <Add
        label={label}
        onAdd={() => onValue([...list, initialValue(items, form.schema, undefined, true, depth + 1) ?? null])}
      />
    </>
  );
}

function Variants({
  form,
  pointer,
  value,
  onValue,
  isRequired,
  depth,
  control,
  label,
}: PlaceProps & ControlOf<"variants">) {
  const { variants } = control;
  const [chosen, setChosen] = useState(() => (value === undefined ? -1 : variantOf(value, variants, form.schema)));
  const index = value === undefined && chosen === -1 ? -1 : Math.max(chosen, 0);
  const variant = variants[index];
  return (
    <>
      <label class="field">
        <span class="field-name">Which</span>
        <select
          aria-label={`${visible(label)}: which`}
          value={String(index)}
          onChange={(event) => {
            const next = Number(event.currentTarget.value);
            setChosen(next);
            form.forget(pointer);
            onValue(initialValue(variants[next]?.schema ?? {}, form.schema, undefined, next !== -1, depth + 1));
          }}
        >
          {isRequired && index !== -1 ? null : <option value="-1">{isRequired ? "choose …" : "none"}</option>}
          {variants.map((each, at) => (
            <option value={String(at)}>{visible(each.label)}</option>
          ))}
        </select>
      </label>
      {variant === undefined ? null : (
        <Place
          key={index}
          form={form}
          schema={withoutTitle(variant.schema)}
          pointer={pointer}
          value={value}
          onValue={onValue}
          isRequired
          isBare
          label={variant.label}
          depth={depth + 1 === MAX_DEPTH ? MAX_DEPTH : depth + 1}
        />
      )}
    </>
  );
}

/** It stands in the choice already. */
const withoutTitle = ({ title: _title, ...schema }: Schema): Schema => schema;

type ControlOf<Kind extends Control["kind"]> = { readonly control: Extract<Control, { readonly kind: Kind }> };

function Add({ label, onAdd }: { readonly label: string; readonly onAdd: () => void }) {
  return (
    <button type="button" class="small" onClick={onAdd}>
      Add <Text value={label} max={100} />
    </button>
  );
}

function Remove({ label, onRemove }: { readonly label: string; readonly onRemove: () => void }) {
  return (
    <button type="button" class="small remove" aria-label={`Remove ${visible(label)}`} onClick={onRemove}>
      Remove
    </button>
  );
}

interface Heading {
  readonly form: FormState;
  readonly pointer: string;
  readonly label: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

function Group({ children, ...heading }: Heading & { readonly children: preact.ComponentChildren }) {
  return (
    <fieldset class="group">
      <legend>
        <Name {...heading} />
      </legend>
      <About {...heading} />
      {children}
      <Problem form={heading.form} pointer={heading.pointer} />
    </fieldset>
  );
}

const Name = ({ label, isRequired, pointer }: Heading) => (
  <>
    <Text value={label} max={200} />
    {isRequired && pointer !== "" ? <span class="required"> required</span> : null}
  </>
);

const About = ({ schema }: Pick<Heading, "schema">) =>
  typeof schema["description"] === "string" ? (
    <span class="hint">
      <Text value={schema["description"]} max={1_000} />
    </span>
  ) : null;

function Problem({ form, pointer, id }: Pick<Heading, "form" | "pointer"> & { readonly id?: string }) {
  const problem = form.problems.get(pointer);
  if (problem === undefined) return null;
  return (
    <span class="problem" {...(id !== undefined && { id })}>
      <Text value={problem} max={400} />
    </span>
  );
}

function Field(props: PlaceProps & { readonly control: Control; readonly schema: Schema }) {
  const id = useId();
  const { form, pointer } = props;
  const hasProblem = form.problems.has(pointer);
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: its control is what Input makes
    <label class="field">
      <span class="field-name">
        <Name {...props} />
      </span>
      <About schema={props.schema} />
      <Input {...props} described={{ "aria-invalid": hasProblem, ...(hasProblem && { "aria-describedby": id }) }} />
      <Problem form={form} pointer={pointer} id={id} />
    </label>
  );
}

interface InputProps extends PlaceProps {
  readonly control: Control;
  readonly schema: Schema;
  readonly described: { readonly "aria-invalid": boolean; readonly "aria-describedby"?: string };
}

function Input(props: InputProps) {
  const { control, value, onValue, isRequired, schema, described } = props;
  switch (control.kind) {
    case "choice":
      return (
        <select
          {...described}
          value={String(control.values.findIndex((each) => JSON.stringify(each) === JSON.stringify(value)))}
          onChange={(event) => onValue(control.values[Number(event.currentTarget.value)])}
        >
          <option value="-1">{isRequired ? "choose …" : "not set"}</option>
          {control.values.map((each, index) => (
            <option value={String(index)}>{visible(typeof each === "string" ? each : JSON.stringify(each))}</option>
          ))}
        </select>
      );
    case "flag":
      return (
        <select
          {...described}
          value={typeof value === "boolean" ? String(value) : ""}
          onChange={(event) => onValue(FLAGS.get(event.currentTarget.value))}
        >
          <option value="">{isRequired ? "choose …" : "not set"}</option>
          <option value="true">yes</option>
          <option value="false">no</option>
        </select>
      );
    case "constant":
      return (
        <select
          {...described}
          value={value === undefined ? "" : "it"}
          onChange={(event) => onValue(event.currentTarget.value === "" ? undefined : control.value)}
        >
          {isRequired && value !== undefined ? null : <option value="">not set</option>}
          <option value="it">{visible(JSON.stringify(control.value))}</option>
        </select>
      );
    case "number":
      return <Written {...props} type="number" />;
    case "text": {
      const text = typeof value === "string" ? value : "";
      // An empty field is no text; where text is needed, it is the empty one.
      const onText = (next: string): void => onValue(next === "" && !isRequired ? undefined : next);
      const { pattern, examples } = schema;
      const [example] = Array.isArray(examples) ? examples : [];
      const placeholder =
        typeof example === "string" ? visible(example).slice(0, 200) : (SHAPES[String(schema["format"])] ?? "");
      const title = typeof pattern === "string" ? `Matches ${visible(pattern).slice(0, 200)}` : undefined;
      return control.isLong ? (
        <textarea
          {...described}
          {...{ rows: 4, placeholder, title }}
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      ) : (
        <input
          {...described}
          {...{ type: "text", inputMode: control.input, autocomplete: "off", placeholder, title }}
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      );
    }
    default:
      return <Written {...props} type="json" />;
  }
}

const SHAPES: Readonly<Record<string, string>> = {
  date: "YYYY-MM-DD",
  time: "09:30:00Z",
  "date-time": "2026-01-31T09:00:00Z",
  uri: "https://",
};

const FLAGS = new Map<string, boolean>([
  ["true", true],
  ["false", false],
]);

/** What is written as JSON: it may be no value while it is written. */
function Written({
  form,
  pointer,
  value,
  onValue,
  described,
  type,
}: InputProps & { readonly type: "number" | "json" }) {
  const [draft, setDraft] = useState<string>();
  const isUnfinished = form.texts.has(pointer);
  // What was written stands as it was written, for as long as it means what is there.
  const isDraftShown = draft !== undefined && (isUnfinished || isSame(read(draft, type)?.value, value));
  const text = isDraftShown ? draft : value === undefined ? "" : JSON.stringify(value, undefined, 2);
  const onText = (next: string): void => {
    const parsed = read(next, type);
    setDraft(next);
    form.setText(pointer, parsed === undefined ? next : undefined);
    if (parsed !== undefined) onValue(parsed.value);
  };
  if (type === "number") {
    return (
      <input
        {...described}
        {...{ type: "text", inputMode: "decimal", autocomplete: "off" }}
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    );
  }
  return (
    <textarea
      {...described}
      {...{ class: "mono", rows: 5, spellcheck: false, placeholder: "JSON" }}
      value={text}
      onInput={(event) => onText(event.currentTarget.value)}
    />
  );
}

/** `undefined` for what is no value yet. */
function read(text: string, type: "number" | "json"): { readonly value: unknown } | undefined {
  if (text.trim() === "") return { value: undefined };
  try {
    const value: unknown = JSON.parse(text);
    return type === "json" || typeof value === "number" ? { value } : undefined;
  } catch {
    return undefined;
  }
}
