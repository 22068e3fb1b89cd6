/** The waterfall of a trace: what took how long, beside and below what else. */
import { useEffect, useMemo } from "preact/hooks";
import type { Board } from "./board.ts";
import { duration, exact, now } from "./clock.ts";
import type { JobFeed } from "./job-feed.ts";
import { jobLink } from "./route.ts";
import { Trace, type TraceRow } from "./trace.ts";
import { VirtualList } from "./virtual-list.tsx";
import { Text, visible } from "./visible-text.tsx";

const ROW_HEIGHT = 28;
const MAX_TICKS = 5;
const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
/** Between two ticks, in milliseconds: what people count in. */
const STEPS_MS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map((seconds) => seconds * SECOND_MS),
  ...[1, 2, 3, 6, 12, 24].map((hours) => hours * 3600 * SECOND_MS),
];
/** A tick further to the right has no room for its text. */
const LAST_TICK = 0.92;
const MARKS = { job: "▸", tool: "⚙", wait: "⏸", span: "·" } as const;
const SMALLEST_PERCENT = 0.4;

export function TraceView({ feed, board }: { readonly feed: JobFeed; readonly board: Board }) {
  const client = feed.client.value;
  const trace = useMemo(() => {
    if (client === undefined) return undefined;
    const made = new Trace(feed.jobId, board, client);
    for (const { event } of feed.lines) made.take(event);
    return made;
  }, [feed, board, client]);
  useEffect(() => () => trace?.close(), [trace]);
  void trace?.version.value;
  void board.order.value;
  const rows = trace?.rows() ?? [];
  if (rows.length === 0) {
    return (
      <section class="stream trace" aria-label="Trace">
        <p class="empty">
          {client === undefined ? "Connecting…" : "The list does not have this job: there is nothing to draw it from."}
        </p>
      </section>
    );
  }
  const from = Math.min(...rows.map(({ startedAt }) => startedAt));
  const to = Math.max(from + 1, ...rows.map(({ endedAt }) => endedAt ?? now.value));
  return (
    <section class="stream trace" aria-label="Trace">
      <div class="trace-head" aria-hidden="true">
        <span class="trace-name">{`${rows.length.toLocaleString()} in ${duration(to - from)}`}</span>
        <span class="trace-track">
          {ticksOf(to - from).map((ms) => (
            <span class="tick" key={ms} style={{ left: `${(ms / (to - from)) * 100}%` }}>
              {duration(ms)}
            </span>
          ))}
        </span>
        <span class="trace-time">took</span>
      </div>
      <VirtualList
        label="Trace, in the order in which it began"
        count={rows.length}
        rowHeight={ROW_HEIGHT}
        keyOf={(index) => rows[index]?.id ?? index}
        row={(index) => {
          const row = rows[index];
          return row && <Row row={row} from={from} to={to} isOwn={row.jobId === feed.jobId} />;
        }}
      />
    </section>
  );
}

/** Where ticks stand in a span of time, in milliseconds after its beginning. */
function ticksOf(spanMs: number): number[] {
  const step =
    STEPS_MS.find((candidate) => spanMs / candidate <= MAX_TICKS) ?? Math.ceil(spanMs / DAY_MS / MAX_TICKS) * DAY_MS;
  return Array.from({ length: Math.floor((spanMs * LAST_TICK) / step) + 1 }, (_, index) => index * step);
}

function Row(props: { readonly row: TraceRow; readonly from: number; readonly to: number; readonly isOwn: boolean }) {
  const { row, from, to, isOwn } = props;
  const end = row.endedAt ?? now.value;
  const percent = (at: number): number => ((at - from) / (to - from)) * 100;
  const took = duration(end - row.startedAt);
  const state = row.endedAt === undefined ? "open" : row.isFailed ? "failed" : "";
  const name = <Text value={row.name} max={120} />;
  return (
    <div
      class={`trace-row trace-${row.kind} ${state}`}
      title={`${visible(row.name).slice(0, 200)}: began ${exact(row.startedAt)}, after ${duration(row.startedAt - from)}; took ${took}`}
    >
      <span class={`trace-name depth-${Math.min(row.depth, 4)}`}>
        <span aria-hidden="true" class="mark">
          {MARKS[row.kind]}
        </span>{" "}
        {row.kind === "job" && !isOwn ? <a href={`${jobLink(row.jobId)}?view=trace`}>{name}</a> : name}
        <span class="sr-only">{row.isFailed ? ", failed" : ""}</span>
      </span>
      <span class="trace-track" aria-hidden="true">
        <span
          class="trace-bar"
          style={{
            left: `${percent(row.startedAt)}%`,
            width: `${Math.max(SMALLEST_PERCENT, percent(end) - percent(row.startedAt))}%`,
          }}
        />
      </span>
      <span class="trace-time">{row.endedAt === undefined ? `${took} …` : took}</span>
    </div>
  );
}
