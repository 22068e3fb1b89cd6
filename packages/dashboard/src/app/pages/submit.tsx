/** A job, with what it may do. */
import type { AgentDescription, CheckedSubmission, SubmitOptions } from "@arcp/client";
import { ARCPError, type Lease } from "@arcp/core";
import { useEffect, useState } from "preact/hooks";
import "../act.css";
import type { Board } from "../board.ts";
import { full, instantOf } from "../clock.ts";
import { askedOf } from "../job-asked.ts";
import { LeaseBuilder } from "../lease-builder.tsx";
import { endOf, grantsOf, type LeaseDraft, leaseOf } from "../lease-draft.ts";
import { refusalOf } from "../permissions.ts";
import { go, jobLink, route } from "../route.ts";
import type { Schema } from "../schema.ts";
import { SchemaFields, useSchemaForm } from "../schema-form.tsx";
import { client, facts, messageOf } from "../session.ts";
import { rememberInput } from "../submitted.ts";
import { Text, visible } from "../visible-text.tsx";

/** What a submission begins with. */
interface Beginning {
  readonly agent: string;
  readonly lease: Lease;
  /** `undefined`: there is none to begin with. */
  readonly given: { readonly input: unknown } | undefined;
  readonly maxRuntimeSec?: number | undefined;
  /** The job that is run again. */
  readonly from: string | undefined;
}

export function SubmitPage({ board }: { readonly board: Board }) {
  const from = route.value.query.get("from") ?? undefined;
  const wanted = route.value.query.get("agent") ?? "";
  const [beginning, setBeginning] = useState<Beginning>();
  const [problem, setProblem] = useState<string>();
  const first = facts.value?.agents[0]?.name ?? "";
  useEffect(() => {
    let isWanted = true;
    const plain: Beginning = { agent: wanted || first, lease: {}, given: undefined, from: undefined };
    setProblem(undefined);
    setBeginning(from === undefined ? plain : undefined);
    if (from !== undefined) {
      again(from, wanted).then(
        (found) => isWanted && setBeginning(found),
        (thrown: unknown) => {
          if (!isWanted) return;
          setProblem(messageOf(thrown));
          setBeginning(plain);
        },
      );
    }
    return () => {
      isWanted = false;
    };
  }, [from, wanted]);
  const refusal = refusalOf("submit");
  return (
    <main class="submit">
      <h1>{from === undefined ? "Submit a job" : "Submit again, with changes"}</h1>
      {refusal === undefined ? null : (
        <p class="banner" role="status">
          {refusal}
        </p>
      )}
      {problem === undefined ? null : (
        <p class="problem" role="alert">
          <Text value={`The job cannot be read: ${problem}`} max={1_000} />
        </p>
      )}
      {beginning === undefined ? (
        <p class="empty" role="status">
          Loading…
        </p>
      ) : (
        <Submission key={`${beginning.from} ${beginning.agent}`} beginning={beginning} board={board} />
      )}
    </main>
  );
}

/** Agent and version, and what was asked for as far as it is known: otherwise the lease that was granted. */
async function again(jobId: string, wanted: string): Promise<Beginning> {
  const subscription = await client().subscribe(jobId, { history: false });
  subscription.unsubscribe();
  const { agent = wanted, lease } = subscription.subscribed;
  const { given, leaseRequest, maxRuntimeSec } = await askedOf(jobId);
  return { agent, lease: leaseRequest ?? lease, given, maxRuntimeSec, from: jobId };
}

/** Name and version; the version is empty for the one that the runtime chooses. */
function parts(reference: string): readonly [name: string, version: string] {
  const at = reference.indexOf("@");
  return at === -1 ? [reference, ""] : [reference.slice(0, at), reference.slice(at + 1)];
}

/** What is known of what an agent takes. */
type Known =
  | { readonly phase: "asking" }
  | { readonly phase: "told"; readonly description: AgentDescription | undefined };

function useDescription(reference: string): Known {
  const [told, setTold] = useState<{ readonly of: string; readonly description: AgentDescription | undefined }>();
  useEffect(() => {
    let isWanted = true;
    const tell = (description: AgentDescription | undefined): void => {
      if (isWanted) setTold({ of: reference, description });
    };
    if (reference === "") tell(undefined);
    // Runtimes that tell nothing of their agents refuse: then the input is written as JSON.
    else
      client()
        .describeAgent(reference)
        .then(tell, () => tell(undefined));
    return () => {
      isWanted = false;
    };
  }, [reference]);
  return told?.of === reference ? { phase: "told", description: told.description } : { phase: "asking" };
}

function Submission({ beginning, board }: { readonly beginning: Beginning; readonly board: Board }) {
  const agents = facts.value?.agents ?? [];
  const [[name, version], setAgent] = useState(parts(beginning.agent));
  const reference = version === "" ? name : `${name}@${version}`;
  const known = useDescription(reference);
  const listed = agents.find((agent) => agent.name === name);
  const names = agents.map((agent) => agent.name);
  const versions = listed?.versions ?? [];
  const description = known.phase === "told" ? known.description : undefined;
  return (
    <div class="card">
      <div class="pair">
        <label class="field">
          <span class="field-name">Agent</span>
          <select name="agent" value={name} onChange={(event) => setAgent([event.currentTarget.value, ""])}>
            {(names.includes(name) || name === "" ? names : [name, ...names]).map((each) => (
              <option value={each}>{visible(each)}</option>
            ))}
          </select>
        </label>
        <label class="field">
          <span class="field-name">Version</span>
          <select name="version" value={version} onChange={(event) => setAgent([name, event.currentTarget.value])}>
            <option value="">
              {listed?.default === undefined ? "default" : visible(`default (${listed.default})`)}
            </option>
            {(versions.includes(version) || version === "" ? versions : [version, ...versions]).map((each) => (
              <option value={each}>{visible(each)}</option>
            ))}
          </select>
        </label>
      </div>
      {description?.description === undefined ? null : (
        <p class="about">
          <Text value={description.description} max={4_096} />
        </p>
      )}
      {known.phase === "asking" ? (
        <p class="empty" role="status">
          Asking what it takes…
        </p>
      ) : (
        <Request
          key={reference}
          reference={reference}
          schema={description?.inputSchema}
          beginning={beginning}
          board={board}
        />
      )}
    </div>
  );
}

interface RequestProps {
  readonly reference: string;
  /** `undefined`: any JSON. */
  readonly schema: Schema | undefined;
  readonly beginning: Beginning;
  readonly board: Board;
}

/** What the runtime said to a check, or to a submission. */
type Said =
  | { readonly kind: "checked"; readonly checked: CheckedSubmission }
  | { readonly kind: "refused"; readonly problem: string };

const ANYTHING: Schema = {};

function Request({ reference, schema = ANYTHING, beginning, board }: RequestProps) {
  const { given } = beginning;
  const form = useSchemaForm(schema, schema === ANYTHING ? (given === undefined ? {} : given.input) : given?.input);
  const [draft, setDraft] = useState<LeaseDraft>({ grants: grantsOf(beginning.lease), minutes: "" });
  const [runtime, setRuntime] = useState(beginning.maxRuntimeSec?.toString() ?? "");
  const [key, setKey] = useState("");
  const [said, setSaid] = useState<Said>();
  const [isBusy, setBusy] = useState(false);
  const refusal = refusalOf("submit");

  const attempt = async (act: (options: SubmitOptions) => Promise<void>): Promise<void> => {
    const filled = form.filled();
    if ("problem" in filled) return setSaid({ kind: "refused", problem: filled.problem });
    setBusy(true);
    setSaid(undefined);
    try {
      await act(optionsOf({ reference, input: filled.value, draft, runtime, key }));
    } catch (thrown) {
      const { details = {} } = ARCPError.from(thrown);
      const { path, problem } = details;
      if (typeof path === "string" && typeof problem === "string") form.blame(path, problem);
      setSaid({ kind: "refused", problem: messageOf(thrown) });
    }
    setBusy(false);
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    void attempt(async (options) => {
      const job = await client().submit(options);
      rememberInput(job.jobId, options.input);
      board.refresh();
      go(jobLink(job.jobId));
    });
  };
  const check = (): void =>
    void attempt(async (options) => setSaid({ kind: "checked", checked: await client().checkSubmission(options) }));

  return (
    <form onSubmit={submit} noValidate>
      <div class={schema === ANYTHING ? "" : "input-views"}>
        {schema === ANYTHING ? null : (
          <fieldset class="group input-form">
            <legend>Input</legend>
            <SchemaFields form={form} label="Input" />
          </fieldset>
        )}
        <RawInput form={form} isAlone={schema === ANYTHING} />
      </div>
      {beginning.from !== undefined && given === undefined ? (
        <p class="hint">
          The input of that job is not known here: the runtime has not kept it or does not tell it, and it was not
          submitted from this tab.
        </p>
      ) : null}
      <LeaseBuilder draft={draft} onDraft={setDraft} />
      <div class="pair">
        <label class="field">
          <span class="field-name">It runs at most, in seconds</span>
          <input
            type="text"
            inputMode="decimal"
            value={runtime}
            onInput={(event) => setRuntime(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          <span class="field-name">Idempotency key</span>
          <input
            type="text"
            class="mono"
            autocomplete="off"
            maxLength={512}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
          <span class="hint">Submitting twice with the same key gives the same job. Empty: one of its own.</span>
        </label>
      </div>
      {said === undefined ? null : <Saying said={said} asked={leaseOf(draft.grants)} />}
      <div class="actions">
        {facts.value?.features.has("x-vendor.arcp.describe") ? (
          <button type="button" disabled={isBusy || refusal !== undefined} onClick={check}>
            Check without submitting
          </button>
        ) : null}
        <button
          type="submit"
          class="primary"
          disabled={isBusy || reference === "" || refusal !== undefined}
          {...(refusal !== undefined && { title: refusal })}
        >
          {isBusy ? "Asking…" : "Submit"}
        </button>
      </div>
    </form>
  );
}

/** The whole input as JSON, beside its fields: a change of either shows in the other. */
function RawInput({ form, isAlone }: { readonly form: ReturnType<typeof useSchemaForm>; readonly isAlone: boolean }) {
  const [draft, setDraft] = useState<string>();
  const meant = draft === undefined ? undefined : parse(draft);
  const shown = JSON.stringify(form.value ?? null, undefined, 2);
  const isDraftShown =
    draft !== undefined && (meant === undefined || JSON.stringify(meant.value) === JSON.stringify(form.value ?? null));
  const problem = form.problems.get("");
  const isWrong = isDraftShown && meant === undefined;
  const area = (
    <label class="field">
      <span class="field-name">Input, as JSON</span>
      <textarea
        name="input"
        class="mono"
        rows={8}
        spellcheck={false}
        value={isDraftShown ? draft : shown}
        aria-invalid={isWrong}
        onInput={(event) => {
          const text = event.currentTarget.value;
          const parsed = parse(text);
          setDraft(text);
          form.setText("", parsed === undefined ? text : undefined);
          if (parsed === undefined) return;
          form.forget("");
          form.set(parsed.value);
        }}
      />
      <span class={isWrong ? "problem" : "hint"}>{isWrong ? "Not JSON yet." : "It is JSON."}</span>
      {isAlone && problem !== undefined && !isWrong ? (
        <span class="problem">
          <Text value={problem} max={400} />
        </span>
      ) : null}
    </label>
  );
  return isAlone ? (
    area
  ) : (
    <details class="input-json">
      <summary>As JSON</summary>
      {area}
    </details>
  );
}

/** `undefined` for what is not JSON. */
function parse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: text.trim() === "" ? null : JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function Saying({ said, asked }: { readonly said: Said; readonly asked: Lease }) {
  if (said.kind === "refused") {
    return (
      <p class="problem" role="alert">
        <Text value={said.problem} max={4_000} />
      </p>
    );
  }
  const { agent, lease, leaseConstraints } = said.checked;
  const refused = Object.entries(asked).flatMap(([name, patterns]) =>
    patterns.filter((pattern) => !(lease[name] ?? []).includes(pattern)).map((pattern) => `${name}: ${pattern}`),
  );
  const end = instantOf(leaseConstraints?.expiresAt);
  return (
    <div class="checked" role="status">
      <p>
        <strong>It would be taken</strong>, by <Text value={agent} max={300} />
        {end === undefined ? "" : `, with a lease until ${full(end)}`}.
      </p>
      {refused.length === 0 ? null : (
        <>
          <p>The policy of the runtime would not grant:</p>
          <ul>
            {refused.map((line) => (
              <li class="mono">
                <Text value={line} max={1_100} />
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

/** Throws what the client throws for what makes no sense. */
function optionsOf(asked: {
  readonly reference: string;
  readonly input: unknown;
  readonly draft: LeaseDraft;
  readonly runtime: string;
  readonly key: string;
}): SubmitOptions {
  const { reference, input, draft, runtime, key } = asked;
  const lease = leaseOf(draft.grants);
  const end = endOf(draft, Date.now());
  return {
    ...{ agent: reference, input },
    ...(Object.keys(lease).length > 0 && { leaseRequest: lease }),
    ...(end !== undefined && { leaseConstraints: { expiresAt: end } }),
    ...(runtime.trim() !== "" && { maxRuntimeSec: Number(runtime) }),
    ...(key.trim() !== "" && { idempotencyKey: key.trim() }),
  };
}
