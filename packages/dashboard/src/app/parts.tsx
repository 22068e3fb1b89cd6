/** Small things that several pages show. */
import { ago, duration, exact, now } from "./clock.ts";
import type { Progress } from "./events.ts";
import { visible } from "./visible-text.tsx";

const WORDS: Readonly<Record<string, string>> = { timed_out: "timed out" };
const MARKS: Readonly<Record<string, string>> = {
  ...{ pending: "○", running: "●", success: "✓", error: "✕", cancelled: "⊘", timed_out: "⏱" },
};

/** Told by a mark and a word, and by the colour besides. */
export function Status({ status }: { readonly status: string }) {
  const known = status in MARKS ? status : "unknown";
  return (
    <span class={`status status-${known}`}>
      <span aria-hidden="true" class="mark">
        {MARKS[status] ?? "?"}
      </span>
      {WORDS[status] ?? visible(status)}
    </span>
  );
}

/** How long ago; exactly when, for whoever points at it. */
export function Ago({ at }: { readonly at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={exact(at)}>
      {ago(now.value - at)}
    </time>
  );
}

/** How long until then. */
export function Countdown({ at, past }: { readonly at: number; readonly past: string }) {
  const left = at - now.value;
  return (
    <time dateTime={new Date(at).toISOString()} title={exact(at)} class={left < 60_000 ? "soon" : ""}>
      {left <= 0 ? past : `in ${duration(left)}`}
    </time>
  );
}

export function ProgressBar({ progress }: { readonly progress: Progress }) {
  const { current, total } = progress;
  if (total === undefined || total <= 0) {
    return (
      <span class="count">{`${current.toLocaleString()}${progress.units ? ` ${visible(progress.units)}` : ""}`}</span>
    );
  }
  const part = Math.min(1, current / total);
  return (
    <span class="bar-with-count">
      <progress class="bar" max={1} value={part} aria-label="Progress">
        {Math.round(part * 100)} %
      </progress>
      <span class="count">{Math.floor(part * 100)} %</span>
    </span>
  );
}

export function BudgetGauge(props: { readonly currency: string; readonly total: number; readonly remaining: number }) {
  const { currency, total, remaining } = props;
  const part = total <= 0 ? 0 : Math.max(0, Math.min(1, remaining / total));
  const name = visible(currency);
  return (
    <span class={`gauge ${part < 0.1 ? "low" : ""}`} title={`${remaining} of ${total} ${name} left`}>
      <meter min={0} max={1} low={0.1} value={part} aria-label={`Budget left in ${name}`} />
      <span class="count">
        {amount(remaining)} {name}
      </span>
    </span>
  );
}

const amount = (value: number): string => value.toLocaleString(undefined, { maximumFractionDigits: 4 });

/** The short form of an id: its end, by which people tell it from others. */
export const shortId = (id: string): string => (id.length > 14 ? `…${visible(id.slice(-8))}` : visible(id));
