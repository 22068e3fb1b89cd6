/** All jobs that one may see, those that need one first. */
import type { Question } from "@arcp/client";
import { useMemo } from "preact/hooks";
import { type Board, type BoardJob, isOver } from "../board.ts";
import { duration, exact, instantOf, now } from "../clock.ts";
import { progressText } from "../events.ts";
import { Ago, BudgetGauge, ProgressBar, Status, shortId } from "../parts.tsx";
import { jobLink, route, setQuery } from "../route.ts";
import { facts, questions } from "../session.ts";
import { VirtualList } from "../virtual-list.tsx";
import { Text, visible } from "../visible-text.tsx";

const STATUSES = ["running", "pending", "success", "error", "cancelled", "timed_out"] as const;
const TIMES: readonly (readonly [value: string, label: string, ms: number])[] = [
  ["15m", "last 15 minutes", 900_000],
  ["1h", "last hour", 3_600_000],
  ["24h", "last 24 hours", 86_400_000],
  ["7d", "last 7 days", 604_800_000],
];
/** From one instant to another, both in the address. */
const BETWEEN = "between";
const ROW_HEIGHT = 52;
const NO_FILTERS = { q: "", status: "", agent: "", owner: "", tenant: "", time: "", from: "", to: "" };

interface Shown {
  readonly jobId: string;
  readonly depth: number;
  readonly asked: readonly Question[];
  /** How many it has delegated, of those that are shown. */
  readonly children: number;
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/** Which time is asked for. To the minute, so that the list is not made anew each second. */
function spanOf(query: URLSearchParams): Span {
  const time = query.get("time");
  if (time === BETWEEN) {
    const at = (name: string): number | undefined => instantOf(query.get(name) ?? undefined);
    return { from: at("from") ?? 0, to: at("to") ?? Number.POSITIVE_INFINITY };
  }
  const since = TIMES.find(([value]) => value === time)?.[2];
  const from = since === undefined ? 0 : Math.floor((now.value - since) / 60_000) * 60_000;
  return { from, to: Number.POSITIVE_INFINITY };
}

export function BoardPage({ board }: { readonly board: Board }) {
  const { query } = route.value;
  const order = board.order.value;
  // The rows are looked up when they are drawn: what changes in one of them leaves the list as it is.
  void board.version.value;
  const asked = questions.value;
  const { from, to } = spanOf(query);
  const { rows, counts, names } = useMemo(
    () =>
      selected(
        board,
        query,
        { from, to },
        Map.groupBy(asked, ({ jobId }) => String(jobId)),
      ),
    [board, order, query.toString(), from, to, asked],
  );
  const needing = new Set(asked.map(({ jobId }) => jobId)).size;
  const status = query.get("status") ?? "";
  const toggle = (name: string): void => setQuery({ status: status === name ? "" : name });
  const hasOwners = names.owner.length > 0;

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
        <RatesLine board={board} />
      </section>
      <Filters query={query} names={names}>
        {board.isLoading.value ? "Loading…" : `${rows.length.toLocaleString()} of ${board.size.toLocaleString()} jobs`}
      </Filters>
      {board.problem.value === undefined ? null : (
        <p class="problem" role="alert">
          The list could not be brought up to date: <Text value={board.problem.value} />
        </p>
      )}
      {rows.length === 0 && !board.isLoading.value ? (
        <NoJobs isEmpty={board.size === 0} />
      ) : (
        <div class={`table ${hasOwners ? "with-owners" : ""}`}>
          <div class="head row-grid" aria-hidden="true">
            <span>Status</span>
            <span>Agent</span>
            {hasOwners ? <span class="cell-owner">Owner</span> : null}
            <span>Progress</span>
            <span>Budget left</span>
            <span>Created</span>
          </div>
          <VirtualList
            label="Jobs"
            count={rows.length}
            rowHeight={ROW_HEIGHT}
            keyOf={(index) => rows[index]?.jobId ?? index}
            row={(index) => {
              const shown = rows[index];
              const job = shown && board.job(shown.jobId);
              return job && <Row job={job} hasOwner={hasOwners} {...shown} />;
            }}
            onKeyDown={moveFocus}
          />
        </div>
      )}
    </main>
  );
}

function RatesLine({ board }: { readonly board: Board }) {
  void board.order.value;
  const { eventsPerSecond, startedPerMinute, endedPerMinute } = board.rates(now.value);
  return (
    <span class="rates">
      <span title="Events per second of the jobs that are followed, in the last five seconds">
        <strong>{eventsPerSecond.toFixed(1)}</strong> events/s
      </span>
      <span title="Jobs that began in the last minute">
        <strong>{startedPerMinute.toLocaleString()}</strong> began/min
      </span>
      <span title="Jobs that ended in the last minute, as far as the runtime says when they did">
        <strong>{endedPerMinute.toLocaleString()}</strong> ended/min
      </span>
    </span>
  );
}

/** What there is to choose from, in the jobs that are known. */
interface Names {
  readonly agent: readonly string[];
  readonly owner: readonly string[];
  readonly tenant: readonly string[];
}

function Filters(props: { readonly query: URLSearchParams; readonly names: Names; readonly children: string }) {
  const { query, names } = props;
  const choice = (name: keyof Names, label: string, every: string) => (
    <select
      aria-label={label}
      value={query.get(name) ?? ""}
      onChange={(event) => setQuery({ [name]: event.currentTarget.value })}
    >
      <option value="">{every}</option>
      {[...new Set([...names[name], query.get(name) ?? ""])].filter(Boolean).map((value) => (
        <option value={value}>{visible(value).slice(0, 80)}</option>
      ))}
    </select>
  );
  const instant = (name: "from" | "to", label: string) => (
    <input
      type="datetime-local"
      aria-label={label}
      value={localInput(query.get(name))}
      onChange={(event) => setQuery({ [name]: instantInput(event.currentTarget.value) })}
    />
  );
  const isSet = Object.keys(NO_FILTERS).some((name) => query.has(name));
  return (
    <section class="filters" aria-label="Filters">
      <input
        id="search"
        type="search"
        placeholder="Find by id, agent, phase or owner  ( / )"
        aria-label="Find jobs"
        value={query.get("q") ?? ""}
        onInput={(event) => setQuery({ q: event.currentTarget.value })}
      />
      {choice("agent", "Agent", "every agent")}
      {names.owner.length > 0 || query.has("owner") ? choice("owner", "Owner", "every owner") : null}
      {names.tenant.length > 0 || query.has("tenant") ? choice("tenant", "Tenant", "every tenant") : null}
      <select
        aria-label="Time"
        value={query.get("time") ?? ""}
        onChange={(event) => setQuery({ time: event.currentTarget.value, from: "", to: "" })}
      >
        <option value="">any time</option>
        {TIMES.map(([value, label]) => (
          <option value={value}>{label}</option>
        ))}
        <option value={BETWEEN}>between …</option>
      </select>
      {query.get("time") === BETWEEN ? (
        <>
          {instant("from", "From")}
          {instant("to", "To")}
        </>
      ) : null}
      {isSet ? (
        <button type="button" class="small" onClick={() => setQuery(NO_FILTERS)}>
          Clear
        </button>
      ) : null}
      <span class="hint" role="status">
        {props.children}
      </span>
    </section>
  );
}

/** An instant of the address in the form that the field for the reader's own time wants, and back. */
function localInput(text: string | null): string {
  const at = instantOf(text ?? undefined);
  if (at === undefined) return "";
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const instantInput = (text: string): string => {
  const at = Date.parse(text);
  return Number.isNaN(at) ? "" : new Date(at).toISOString();
};

const promptOf = (question: Question): string =>
  question.kind === "permission" ? `may it ${question.operation}?` : question.prompt;

function Row(props: Shown & { readonly job: BoardJob; readonly hasOwner: boolean }) {
  const { job, depth, asked, children, hasOwner } = props;
  const at = job.agent.lastIndexOf("@");
  const [name, version] = at > 0 ? [job.agent.slice(0, at), job.agent.slice(at)] : [job.agent, ""];
  const [question] = asked;
  return (
    <a class={`row row-grid ${question === undefined ? "" : "needs-me"}`} href={jobLink(job.jobId)}>
      <span class="cell-status">
        {question === undefined ? (
          <Status status={job.status} />
        ) : (
          <span class="badge">needs you{asked.length > 1 ? ` · ${asked.length}` : ""}</span>
        )}
      </span>
      <span class={`cell-agent depth-${Math.min(depth, 4)}`}>
        <span class="agent">
          {depth > 0 ? <span aria-hidden="true">↳ </span> : null}
          <Text value={name} max={80} />
          <span class="version">{visible(version)}</span>
          {children > 0 ? <span class="version">{` · ${children.toLocaleString()} delegated`}</span> : null}
        </span>
        <span class="second" title={visible(job.jobId)}>
          <span class="id">{shortId(job.jobId)}</span>
          {job.place ? ` · ${job.place.position} of ${job.place.length} waiting` : null}
          {question !== undefined ? (
            <>
              {" · "}
              <Text value={promptOf(question)} max={160} />
            </>
          ) : job.phase && !isOver(job.status) ? (
            <>
              {" · "}
              <Text value={job.phase} max={60} />
            </>
          ) : null}
        </span>
      </span>
      {hasOwner ? <Owner owner={job.owner} /> : null}
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
        <Took job={job} />
      </span>
    </a>
  );
}

function Owner({ owner }: Pick<BoardJob, "owner">) {
  return (
    <span class="cell-owner">
      {owner === undefined ? null : (
        <>
          <Text value={owner.principal} max={80} />
          {owner.tenant === undefined ? null : (
            <span class="id">
              <Text value={owner.tenant} max={64} />
            </span>
          )}
        </>
      )}
    </span>
  );
}

/** How long it took, or has taken so far. */
function Took({ job }: { readonly job: BoardJob }) {
  const { status, createdAt, endedAt } = job;
  if (!isOver(status)) return status === "running" ? <span>{`for ${duration(now.value - createdAt)}`}</span> : null;
  if (endedAt === undefined) return null;
  return <span title={`ended ${exact(endedAt)}`}>{`took ${duration(endedAt - createdAt)}`}</span>;
}

function NoJobs({ isEmpty }: { readonly isEmpty: boolean }) {
  const agent = facts.value?.agents[0]?.name ?? "echo";
  if (!isEmpty) {
    return (
      <div class="empty">
        <h2>Nothing matches</h2>
        <button type="button" onClick={() => setQuery(NO_FILTERS)}>
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

const tenantOf = ({ owner }: BoardJob): string => owner?.tenant ?? "";
const agentOf = ({ agent }: BoardJob): string => agent.split("@")[0] ?? agent;

/**
 * What passes the filters, as trees of delegated jobs; how many there are of each status without that filter; and what
 * can be chosen from.
 */
function selected(
  board: Board,
  query: URLSearchParams,
  { from, to }: Span,
  asked: ReadonlyMap<string, readonly Question[]>,
): { readonly rows: readonly Shown[]; readonly counts: ReadonlyMap<string, number>; readonly names: Names } {
  const text = (query.get("q") ?? "").toLowerCase();
  const wanted = (name: string): string => query.get(name) ?? "";
  const [agent, owner, tenant, status] = [wanted("agent"), wanted("owner"), wanted("tenant"), wanted("status")];
  const counts = new Map<string, number>();
  const passing = new Map<string, BoardJob>();
  const agents = new Set(facts.value?.agents.map(({ name }) => name));
  const [owners, tenants] = [new Set<string>(), new Set<string>()];
  for (const job of board.jobs) {
    agents.add(agentOf(job));
    if (job.owner !== undefined) owners.add(job.owner.principal);
    if (job.owner?.tenant !== undefined) tenants.add(job.owner.tenant);
    if (job.createdAt < from || job.createdAt > to || (agent !== "" && agentOf(job) !== agent)) continue;
    if ((owner !== "" && job.owner?.principal !== owner) || (tenant !== "" && tenantOf(job) !== tenant)) continue;
    const searched = `${job.jobId} ${job.agent} ${job.phase ?? ""} ${job.owner?.principal ?? ""}`;
    if (text !== "" && !searched.toLowerCase().includes(text)) continue;
    counts.set(job.status, (counts.get(job.status) ?? 0) + 1);
    if (status === "needs-me" ? asked.has(job.jobId) : status === "" || job.status === status)
      passing.set(job.jobId, job);
  }
  const rank = (job: BoardJob): number =>
    asked.has(job.jobId) ? 0 : job.status === "running" ? 1 : isOver(job.status) ? 3 : 2;
  const sorted = [...passing.values()].sort(
    (a, b) => rank(a) - rank(b) || b.createdAt - a.createdAt || (a.jobId < b.jobId ? 1 : -1),
  );
  const children = Map.groupBy(
    sorted.filter(({ parentJobId }) => parentJobId !== undefined && passing.has(parentJobId)),
    ({ parentJobId }) => parentJobId ?? "",
  );
  const rows: Shown[] = [];
  const add = ({ jobId }: BoardJob, depth: number): void => {
    const below = children.get(jobId) ?? [];
    rows.push({ jobId, depth, asked: asked.get(jobId) ?? [], children: below.length });
    for (const child of below) add(child, depth + 1);
  };
  // A tree stands where the one of it stands that needs somebody most.
  const need = (job: BoardJob): number => Math.min(rank(job), ...(children.get(job.jobId) ?? []).map(need));
  const roots = sorted.filter(({ parentJobId }) => parentJobId === undefined || !passing.has(parentJobId));
  const needs = new Map(roots.map((job) => [job.jobId, need(job)]));
  roots.sort((a, b) => (needs.get(a.jobId) ?? 0) - (needs.get(b.jobId) ?? 0));
  for (const job of roots) add(job, 0);
  const inOrder = (names: ReadonlySet<string>): readonly string[] => [...names].sort();
  return { rows, counts, names: { agent: inOrder(agents), owner: inOrder(owners), tenant: inOrder(tenants) } };
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
