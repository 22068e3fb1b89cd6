/** All jobs that one may see, those that need one first. */
import { useMemo, useRef } from "preact/hooks";
import { type Board, type BoardJob, isOver } from "../board.ts";
import { now } from "../clock.ts";
import { progressText } from "../events.ts";
import { Ago, BudgetGauge, ProgressBar, Status, shortId } from "../parts.tsx";
import { jobLink, route, setQuery } from "../route.ts";
import { facts, questions } from "../session.ts";
import { VirtualList } from "../virtual-list.tsx";
import { Text, visible } from "../visible-text.tsx";

const STATUSES = ["running", "pending", "success", "error", "cancelled", "timed_out"] as const;
const TIMES: readonly (readonly [value: string, label: string, ms: number])[] = [
  ["1h", "last hour", 3_600_000],
  ["24h", "last 24 hours", 86_400_000],
  ["7d", "last 7 days", 604_800_000],
];
const ROW_HEIGHT = 52;

interface Shown {
  readonly job: BoardJob;
  readonly depth: number;
  readonly questionCount: number;
}

export function BoardPage({ board }: { readonly board: Board }) {
  const search = useRef<HTMLInputElement>(null);
  const { query } = route.value;
  const version = board.version.value;
  const asked = questions.value;
  const since = TIMES.find(([value]) => value === query.get("time"))?.[2];
  // To the minute: the list is not made anew each second.
  const from = since === undefined ? 0 : Math.floor((now.value - since) / 60_000) * 60_000;
  const { rows, counts } = useMemo(
    () => selected(board, query, from, new Map(Map.groupBy(asked, ({ jobId }) => String(jobId)).entries())),
    [version, query.toString(), from, asked],
  );
  const needing = new Set(asked.map(({ jobId }) => jobId)).size;
  const status = query.get("status") ?? "";
  const toggle = (name: string): void => setQuery({ status: status === name ? "" : name });
  const agents = facts.value?.agents ?? [];

  return (
    <main class="board">
      <h1 class="sr-only">Jobs</h1>
      <section class="counts" aria-label="Counts">
        <button
          type="button"
          class={`tile needs ${needing > 0 ? "" : "zero"}`}
          aria-pressed={status === "needs-me"}
          onClick={() => toggle("needs-me")}
        >
          <strong>{needing}</strong> need you
        </button>
        {STATUSES.map((name) => (
          <button
            type="button"
            class={`tile tile-${name} ${counts.has(name) ? "" : "zero"}`}
            aria-pressed={status === name}
            onClick={() => toggle(name)}
          >
            <strong>{(counts.get(name) ?? 0).toLocaleString()}</strong> {name.replace("_", " ")}
          </button>
        ))}
        <span class="rate" title="Events per second of the jobs that are followed">
          {board.rate(now.value).toFixed(1)} events/s
        </span>
      </section>
      <section class="filters" aria-label="Filters">
        <input
          ref={search}
          id="search"
          type="search"
          placeholder="Find by id, agent or phase  ( / )"
          aria-label="Find by id, agent or phase"
          value={query.get("q") ?? ""}
          onInput={(event) => setQuery({ q: event.currentTarget.value })}
        />
        <select
          aria-label="Agent"
          value={query.get("agent") ?? ""}
          onChange={(event) => setQuery({ agent: event.currentTarget.value })}
        >
          <option value="">every agent</option>
          {agents.map(({ name }) => (
            <option value={name}>{visible(name)}</option>
          ))}
        </select>
        <select
          aria-label="Time"
          value={query.get("time") ?? ""}
          onChange={(event) => setQuery({ time: event.currentTarget.value })}
        >
          <option value="">any time</option>
          {TIMES.map(([value, label]) => (
            <option value={value}>{label}</option>
          ))}
        </select>
        <span class="hint" role="status">
          {board.isLoading.value
            ? "Loading…"
            : `${rows.length.toLocaleString()} of ${board.size.toLocaleString()} jobs`}
        </span>
      </section>
      {board.problem.value === undefined ? null : (
        <p class="problem" role="alert">
          The list could not be brought up to date: <Text value={board.problem.value} />
        </p>
      )}
      {rows.length === 0 && !board.isLoading.value ? (
        <NoJobs isEmpty={board.size === 0} />
      ) : (
        <div class="table">
          <div class="head row-grid" aria-hidden="true">
            <span>Status</span>
            <span>Agent</span>
            <span>Progress</span>
            <span>Budget left</span>
            <span>Created</span>
          </div>
          <VirtualList
            label="Jobs"
            count={rows.length}
            rowHeight={ROW_HEIGHT}
            keyOf={(index) => rows[index]?.job.jobId ?? index}
            row={(index) => {
              const shown = rows[index];
              return shown && <Row {...shown} />;
            }}
            onKeyDown={moveFocus}
          />
        </div>
      )}
    </main>
  );
}

function Row({ job, depth, questionCount }: Shown) {
  const at = job.agent.lastIndexOf("@");
  const [name, version] = at > 0 ? [job.agent.slice(0, at), job.agent.slice(at)] : [job.agent, ""];
  return (
    <a class={`row row-grid ${questionCount > 0 ? "needs-me" : ""}`} href={jobLink(job.jobId)}>
      <span class="cell-status">
        {questionCount > 0 ? (
          <span class="badge">needs you{questionCount > 1 ? ` · ${questionCount}` : ""}</span>
        ) : (
          <Status status={job.status} />
        )}
      </span>
      <span class={`cell-agent depth-${Math.min(depth, 4)}`}>
        <span class="agent">
          {depth > 0 ? <span aria-hidden="true">↳ </span> : null}
          <Text value={name} max={80} />
          <span class="version">{visible(version)}</span>
        </span>
        <span class="id" title={visible(job.jobId)}>
          {shortId(job.jobId)}
          {job.place ? ` · ${job.place.position} of ${job.place.length} waiting` : null}
          {job.phase && !isOver(job.status) ? (
            <>
              {" · "}
              <Text value={job.phase} max={60} />
            </>
          ) : null}
        </span>
      </span>
      <span class="cell-progress" title={job.progress && visible(progressText(job.progress)).slice(0, 300)}>
        {job.progress ? <ProgressBar progress={job.progress} /> : null}
      </span>
      <span class="cell-budget">
        {[...job.budget].slice(0, 2).map(([currency, { total, remaining }]) => (
          <BudgetGauge currency={currency} total={total} remaining={remaining} />
        ))}
      </span>
      <span class="cell-time">
        <Ago at={job.createdAt} />
      </span>
    </a>
  );
}

function NoJobs({ isEmpty }: { readonly isEmpty: boolean }) {
  const agent = facts.value?.agents[0]?.name ?? "echo";
  if (!isEmpty) {
    return (
      <div class="empty">
        <h2>Nothing matches</h2>
        <button type="button" onClick={() => setQuery({ q: "", status: "", agent: "", time: "" })}>
          Show all jobs
        </button>
      </div>
    );
  }
  return (
    <div class="empty">
      <h2>No jobs yet</h2>
      <p>
        <a href="#/submit">Submit one here</a>, or in a terminal:
      </p>
      <pre>{`arcp submit ${/^[\w.-]+$/.test(agent) ? agent : "AGENT"} --input '{"hello":"world"}'`}</pre>
    </div>
  );
}

/** What passes the filters, as trees of delegated jobs, and how many there are of each status without that filter. */
function selected(
  board: Board,
  query: URLSearchParams,
  from: number,
  asked: ReadonlyMap<string, readonly unknown[]>,
): { readonly rows: readonly Shown[]; readonly counts: ReadonlyMap<string, number> } {
  const text = (query.get("q") ?? "").toLowerCase();
  const [agent, status] = [query.get("agent") ?? "", query.get("status") ?? ""];
  const counts = new Map<string, number>();
  const passing = new Map<string, BoardJob>();
  for (const job of board.jobs) {
    if (job.createdAt < from || (agent !== "" && job.agent.split("@")[0] !== agent)) continue;
    if (text !== "" && !`${job.jobId} ${job.agent} ${job.phase ?? ""}`.toLowerCase().includes(text)) continue;
    counts.set(job.status, (counts.get(job.status) ?? 0) + 1);
    if (status === "needs-me" ? asked.has(job.jobId) : status === "" || job.status === status)
      passing.set(job.jobId, job);
  }
  const questionsOf = (job: BoardJob): number => asked.get(job.jobId)?.length ?? 0;
  const rank = (job: BoardJob): number =>
    questionsOf(job) > 0 ? 0 : job.status === "running" ? 1 : isOver(job.status) ? 3 : 2;
  const sorted = [...passing.values()].sort(
    (a, b) => rank(a) - rank(b) || b.createdAt - a.createdAt || (a.jobId < b.jobId ? 1 : -1),
  );
  const children = Map.groupBy(
    sorted.filter(({ parentJobId }) => parentJobId !== undefined && passing.has(parentJobId)),
    ({ parentJobId }) => parentJobId ?? "",
  );
  const rows: Shown[] = [];
  const add = (job: BoardJob, depth: number): void => {
    rows.push({ job, depth, questionCount: questionsOf(job) });
    for (const child of children.get(job.jobId) ?? []) add(child, depth + 1);
  };
  // A tree stands where the one of it stands that needs somebody most.
  const need = (job: BoardJob): number => Math.min(rank(job), ...(children.get(job.jobId) ?? []).map(need));
  const roots = sorted.filter(({ parentJobId }) => parentJobId === undefined || !passing.has(parentJobId));
  const needs = new Map(roots.map((job) => [job.jobId, need(job)]));
  roots.sort((a, b) => (needs.get(a.jobId) ?? 0) - (needs.get(b.jobId) ?? 0));
  for (const job of roots) add(job, 0);
  return { rows, counts };
}

/** The arrows go from row to row. */
function moveFocus(event: KeyboardEvent): void {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const links = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLAnchorElement>("a.row")];
  const current = links.indexOf(document.activeElement as HTMLAnchorElement);
  const next = links[current + (event.key === "ArrowDown" ? 1 : -1)];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}
