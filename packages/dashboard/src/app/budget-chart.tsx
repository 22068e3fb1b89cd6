/** What is left of a budget over time. The numbers are in words beside it, and in the events. */
import { duration, exact, toSecond } from "./clock.ts";
import { budgetFacts } from "./events.ts";
import type { BudgetPoint } from "./job-feed.ts";
import { BudgetGauge } from "./parts.tsx";
import { visible } from "./visible-text.tsx";

const [WIDTH, HEIGHT] = [240, 56];
/** More would not be seen. */
const MAX_POINTS = 240;

export function Budget(props: {
  readonly currency: string;
  readonly points: readonly BudgetPoint[];
  readonly total: number;
  readonly isLive: boolean;
}) {
  const { currency, points, total, isLive } = props;
  const { remaining, perMinute, lastsMs } = budgetFacts(points, total);
  const name = visible(currency);
  const rounded = (value: number): string => value.toLocaleString(undefined, { maximumSignificantDigits: 3 });
  return (
    <div class="budget">
      <BudgetGauge currency={currency} total={total} remaining={remaining} />
      <p class="hint">
        {`${rounded(Math.max(0, total - remaining))} of ${rounded(total)} ${name} spent`}
        {isLive && perMinute > 0 ? `, ${rounded(perMinute)} a minute` : ""}
        {isLive && lastsMs !== undefined ? `: enough for ${duration(lastsMs)} more` : ""}
      </p>
      <Chart points={points} total={total} />
    </div>
  );
}

function Chart({ points, total }: { readonly points: readonly BudgetPoint[]; readonly total: number }) {
  const [first, last] = [points[0], points.at(-1)];
  if (points.length < 3 || total <= 0 || first === undefined || last === undefined) return null;
  const span = Math.max(1, last.at - first.at);
  const step = Math.max(1, Math.floor(points.length / MAX_POINTS));
  const x = (at: number): number => ((at - first.at) / span) * WIDTH;
  const y = (remaining: number): number =>
    HEIGHT - 1 - (Math.min(total, Math.max(0, remaining)) / total) * (HEIGHT - 2);
  const shown = points.filter((_, index) => index % step === 0 || index === points.length - 1);
  // It is spent at once, and not little by little: steps.
  const path = shown
    .map((point, index) => {
      const before = shown[index - 1] ?? point;
      return `${x(point.at)},${y(before.remaining)} ${x(point.at)},${y(point.remaining)}`;
    })
    .join(" ");
  return (
    <figure class="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <polygon points={`0,${HEIGHT} ${path} ${WIDTH},${HEIGHT}`} />
        <polyline points={path} />
      </svg>
      <figcaption class="hint">
        <time dateTime={new Date(first.at).toISOString()} title={exact(first.at)}>
          {toSecond(first.at)}
        </time>
        <time dateTime={new Date(last.at).toISOString()} title={exact(last.at)}>
          {toSecond(last.at)}
        </time>
      </figcaption>
    </figure>
  );
}
