/** What a job may do, part by part, and what that would allow: decided by the runtime's own algebra of leases. */
import { ARCPError, type Lease } from "@arcp/core";
import { validateLeaseOp, validateLeaseShape } from "@arcp/runtime/lease";
import { useId, useState } from "preact/hooks";
import { now } from "./clock.ts";
import { aboutCapability, CAPABILITIES, endOf, type Grant, type LeaseDraft, leaseOf, linesOf } from "./lease-draft.ts";
import { Text } from "./visible-text.tsx";

export function LeaseBuilder(props: { readonly draft: LeaseDraft; readonly onDraft: (draft: LeaseDraft) => void }) {
  const { draft, onDraft } = props;
  const { grants } = draft;
  const setGrants = (next: readonly Grant[]): void => onDraft({ ...draft, grants: next });
  return (
    <fieldset class="lease-builder">
      <legend>What it may do</legend>
      <p class="hint">Nothing beyond its own code, but what stands here. One pattern per line.</p>
      {grants.map((grant, index) => (
        <GrantRow
          grant={grant}
          onChange={(next) => setGrants(grants.map((each, at) => (at === index ? next : each)))}
          onRemove={() => setGrants(grants.filter((_, at) => at !== index))}
        />
      ))}
      <div class="actions start">
        <button type="button" onClick={() => setGrants([...grants, { capability: nextOf(grants), patterns: "" }])}>
          Add a capability
        </button>
      </div>
      <label class="field">
        <span class="field-name">Its lease ends after, in minutes</span>
        <input
          type="text"
          inputMode="decimal"
          value={draft.minutes}
          aria-invalid={hasNoEnd(draft)}
          onInput={(event) => onDraft({ ...draft, minutes: event.currentTarget.value })}
        />
        {hasNoEnd(draft) ? <span class="problem">This is a number of minutes, more than none.</span> : null}
      </label>
      <DryRun draft={draft} onAdd={(grant) => setGrants(withPattern(grants, grant))} />
    </fieldset>
  );
}

const hasNoEnd = (draft: LeaseDraft): boolean => Number.isNaN(endOf(draft, 0)?.getTime() ?? 0);

/** One that is not there yet. */
const nextOf = (grants: readonly Grant[]): string =>
  CAPABILITIES.find(({ name }) => !grants.some(({ capability }) => capability === name))?.name ?? "x-vendor.";

function withPattern(grants: readonly Grant[], { capability, patterns }: Grant): readonly Grant[] {
  const at = grants.findIndex((grant) => grant.capability === capability);
  if (at === -1) return [...grants, { capability, patterns }];
  return grants.map((grant, index) =>
    index === at ? { capability, patterns: [...linesOf(grant.patterns), patterns].join("\n") } : grant,
  );
}

const VENDOR = "x-vendor";

function GrantRow(props: {
  readonly grant: Grant;
  readonly onChange: (grant: Grant) => void;
  readonly onRemove: () => void;
}) {
  const { grant, onChange, onRemove } = props;
  const { capability } = grant;
  const id = useId();
  const about = aboutCapability(capability);
  const isVendor = !CAPABILITIES.some(({ name }) => name === capability);
  const problem = problemOf(grant);
  return (
    <div class="grant">
      <span class="grant-name">
        <select
          aria-label="Capability"
          value={isVendor ? VENDOR : capability}
          onChange={({ currentTarget: { value } }) =>
            onChange({ ...grant, capability: value === VENDOR ? "x-vendor." : value })
          }
        >
          {CAPABILITIES.map(({ name }) => (
            <option value={name}>{name}</option>
          ))}
          <option value={VENDOR}>x-vendor…</option>
        </select>
        {isVendor ? (
          <input
            type="text"
            class="mono"
            aria-label="Name of the capability"
            placeholder="x-vendor.acme.deploy"
            spellcheck={false}
            value={capability}
            onInput={(event) => onChange({ ...grant, capability: event.currentTarget.value })}
          />
        ) : null}
      </span>
      <span class="grant-patterns">
        <textarea
          class="mono"
          rows={2}
          aria-label={`Patterns of ${capability}`}
          aria-describedby={id}
          aria-invalid={problem !== undefined}
          placeholder={about.example}
          spellcheck={false}
          value={grant.patterns}
          onInput={(event) => onChange({ ...grant, patterns: event.currentTarget.value })}
        />
        <span id={id}>
          <span class="hint">{about.about}</span>
          {problem === undefined ? null : (
            <span class="problem">
              <Text value={problem} max={400} />
            </span>
          )}
        </span>
      </span>
      <button type="button" class="small" aria-label={`Remove ${capability}`} onClick={onRemove}>
        ✕
      </button>
    </div>
  );
}

/** Why the runtime would not take it. */
function problemOf(grant: Grant): string | undefined {
  try {
    validateLeaseShape(leaseOf([grant]));
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** "Would this be allowed?" */
function DryRun({ draft, onAdd }: { readonly draft: LeaseDraft; readonly onAdd: (grant: Grant) => void }) {
  const [capability, setCapability] = useState("fs.read");
  const [target, setTarget] = useState("");
  const known = CAPABILITIES.filter((each) => each.target !== undefined).map(({ name }) => name);
  const names = [...new Set([...known, ...draft.grants.map((grant) => grant.capability)])].filter(
    (name) => name !== "cost.budget",
  );
  const verdict = target.trim() === "" ? undefined : verdictOn(leaseOf(draft.grants), capability, target.trim(), draft);
  return (
    <div class="dry-run">
      <h3>Would this be allowed?</h3>
      <div class="dry-run-fields">
        <select
          aria-label="Operation"
          value={capability}
          onChange={(event) => setCapability(event.currentTarget.value)}
        >
          {names.map((name) => (
            <option value={name}>{name}</option>
          ))}
        </select>
        <input
          type="text"
          class="mono"
          aria-label="Target"
          placeholder={aboutCapability(capability).target ?? ""}
          spellcheck={false}
          autocomplete="off"
          value={target}
          onInput={(event) => setTarget(event.currentTarget.value)}
        />
      </div>
      <p role="status" class={verdict === undefined ? "hint" : verdict.isAllowed ? "allowed" : "problem"}>
        {verdict === undefined ? "Nothing is done: it is compared, as the runtime does before every operation." : null}
        {verdict === undefined ? null : <Text value={verdict.text} max={1_000} />}
        {verdict?.needed === undefined ? null : (
          <>
            {" "}
            <button type="button" class="small" onClick={() => onAdd({ capability, patterns: verdict.needed ?? "" })}>
              Add <Text value={verdict.needed} max={200} />
            </button>
          </>
        )}
      </p>
    </div>
  );
}

interface Verdict {
  readonly isAllowed: boolean;
  readonly text: string;
  /** The narrowest pattern that would have allowed it. */
  readonly needed?: string;
}

function verdictOn(lease: Lease, capability: string, target: string, draft: LeaseDraft): Verdict {
  try {
    const end = endOf(draft, now.value);
    const constraints = end && !Number.isNaN(end.getTime()) ? { expires_at: end.toISOString() } : undefined;
    const canonical = validateLeaseOp(lease, capability, target, { now: now.value, constraints });
    return { isAllowed: true, text: `Yes: ${capability} ${canonical}` };
  } catch (thrown) {
    const { message, details } = ARCPError.from(thrown);
    const needed = details?.["needed"];
    return { isAllowed: false, text: `No: ${message}.`, ...(typeof needed === "string" && { needed }) };
  }
}
