/** A job, with what it may do. */
import type { SubmitOptions } from "@arcp/client";
import { useState } from "preact/hooks";
import type { Board } from "../board.ts";
import { go, jobLink, route } from "../route.ts";
import { client, facts, messageOf } from "../session.ts";
import { Text, visible } from "../visible-text.tsx";

interface Grant {
  readonly capability: string;
  readonly patterns: string;
}

/** What leases know, and how a pattern of each looks. */
const CAPABILITIES: readonly (readonly [name: string, example: string])[] = [
  ["fs.read", "/srv/app/**"],
  ["fs.write", "/srv/app/out/**"],
  ["net.fetch", "https://api.example.com/**"],
  ["tool.call", "search.*"],
  ["agent.delegate", "reviewer@*"],
  ["model.use", "tier-fast/*"],
  ["cost.budget", "USD:5.00"],
];

export function SubmitPage({ board }: { readonly board: Board }) {
  const agents = facts.value?.agents ?? [];
  const wanted = route.value.query.get("agent") ?? "";
  const [agent, setAgent] = useState(wanted || (agents[0]?.name ?? ""));
  const [input, setInput] = useState("{}");
  const [grants, setGrants] = useState<readonly Grant[]>([]);
  const [minutes, setMinutes] = useState("");
  const [runtime, setRuntime] = useState("");
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const parsed = parse(input);
  const references = agents.flatMap(({ name, versions }) => [name, ...versions.map((version) => `${name}@${version}`)]);
  const choices = references.includes(agent) || agent === "" ? references : [agent, ...references];

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if ("problem" in parsed) return setProblem(parsed.problem);
    setBusy(true);
    try {
      const job = await client().submit(optionsOf(agent, parsed.value, grants, minutes, runtime));
      board.refresh();
      go(jobLink(job.jobId));
    } catch (thrown) {
      setProblem(messageOf(thrown));
      setBusy(false);
    }
  };

  return (
    <main class="submit">
      <h1>Submit a job</h1>
      <form class="card" onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span class="field-name">Agent</span>
          <select name="agent" value={agent} onChange={(event) => setAgent(event.currentTarget.value)}>
            {choices.map((reference) => (
              <option value={reference}>{visible(reference)}</option>
            ))}
          </select>
        </label>
        <label class="field">
          <span class="field-name">Input, as JSON</span>
          <textarea
            name="input"
            class="mono"
            rows={8}
            spellcheck={false}
            value={input}
            aria-invalid={"problem" in parsed}
            onInput={(event) => setInput(event.currentTarget.value)}
          />
          <span class="hint">{"problem" in parsed ? parsed.problem : "It is JSON."}</span>
        </label>
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
          <button type="button" onClick={() => setGrants([...grants, { capability: "fs.read", patterns: "" }])}>
            Add a capability
          </button>
        </fieldset>
        <div class="pair">
          <label class="field">
            <span class="field-name">Its lease ends after, in minutes</span>
            <input
              type="text"
              inputMode="decimal"
              value={minutes}
              onInput={(event) => setMinutes(event.currentTarget.value)}
            />
          </label>
          <label class="field">
            <span class="field-name">It runs at most, in seconds</span>
            <input
              type="text"
              inputMode="decimal"
              value={runtime}
              onInput={(event) => setRuntime(event.currentTarget.value)}
            />
          </label>
        </div>
        {problem === undefined ? null : (
          <p class="problem" role="alert">
            <Text value={problem} max={4_000} />
          </p>
        )}
        <div class="actions">
          <button type="submit" class="primary" disabled={isBusy || agent === "" || "problem" in parsed}>
            {isBusy ? "Submitting…" : "Submit"}
          </button>
        </div>
      </form>
    </main>
  );
}

function GrantRow(props: {
  readonly grant: Grant;
  readonly onChange: (grant: Grant) => void;
  readonly onRemove: () => void;
}) {
  const { grant, onChange, onRemove } = props;
  const example = CAPABILITIES.find(([name]) => name === grant.capability)?.[1] ?? "";
  return (
    <div class="grant">
      <select
        aria-label="Capability"
        value={grant.capability}
        onChange={(event) => onChange({ ...grant, capability: event.currentTarget.value })}
      >
        {CAPABILITIES.map(([name]) => (
          <option value={name}>{name}</option>
        ))}
      </select>
      <textarea
        class="mono"
        rows={2}
        aria-label={`Patterns of ${grant.capability}`}
        placeholder={example}
        spellcheck={false}
        value={grant.patterns}
        onInput={(event) => onChange({ ...grant, patterns: event.currentTarget.value })}
      />
      <button type="button" class="small" aria-label={`Remove ${grant.capability}`} onClick={onRemove}>
        ✕
      </button>
    </div>
  );
}

const parse = (text: string): { readonly value: unknown } | { readonly problem: string } => {
  try {
    return { value: text.trim() === "" ? null : JSON.parse(text) };
  } catch (error) {
    return { problem: `Not JSON: ${error instanceof Error ? error.message : error}` };
  }
};

const MINUTE_MS = 60_000;

/** Throws what the client throws for what makes no sense. */
function optionsOf(
  agent: string,
  input: unknown,
  grants: readonly Grant[],
  minutes: string,
  runtime: string,
): SubmitOptions {
  const lease: Record<string, string[]> = {};
  for (const { capability, patterns } of grants) {
    const lines = patterns
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    if (lines.length > 0) lease[capability] = [...(lease[capability] ?? []), ...lines];
  }
  const end = minutes.trim() === "" ? undefined : new Date(Date.now() + Number(minutes) * MINUTE_MS);
  return {
    ...{ agent, input },
    ...(Object.keys(lease).length > 0 && { leaseRequest: lease }),
    ...(end !== undefined && { leaseConstraints: { expiresAt: end } }),
    ...(runtime.trim() !== "" && { maxRuntimeSec: Number(runtime) }),
  };
}
