/** Metrics in memory, and as Prometheus reads them: the text format, version 0.0.4. */
import type { Counter, Histogram, Instruments, MetricFacts, MetricLabels, Observation } from "@arcp/core";

/** How many series a registry takes. */
export interface MetricsRegistryOptions {
  /** Combinations of labels per metric; what comes beyond is counted as `other`. Default: 500. */
  readonly maxSeries?: number;
}

/** One metric: what is written of it. */
interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly facts: MetricFacts;
  readonly lines: () => Iterable<string>;
}

/** The values of one combination of labels. */
interface Series<State> {
  readonly text: string;
  readonly state: State;
}

const OTHER = "other";

/**
 * Instruments that keep sums in memory. Nothing is registered anywhere: who has the registry reads it.
 *
 * @throws Error when a metric is made twice.
 */
export class MetricsRegistry implements Instruments {
  /** What {@link text} is, for HTTP. */
  static readonly contentType = "text/plain; version=0.0.4; charset=utf-8";
  readonly #families = new Map<string, Family>();
  readonly #maxSeries: number;

  constructor({ maxSeries = 500 }: MetricsRegistryOptions = {}) {
    this.#maxSeries = maxSeries;
  }

  counter(facts: MetricFacts): Counter {
    const name = `${nameOf(facts)}_total`;
    const all = new AllSeries(facts, this.#maxSeries, () => ({ sum: 0 }));
    this.#add({
      ...{ name, facts, type: "counter" },
      *lines() {
        for (const { text, state } of all) yield `${name}${braced(text)} ${numeral(state.sum)}`;
      },
    });
    return {
      add: (value, labels) => {
        if (value >= 0) all.of(labels).sum += value;
      },
    };
  }

  histogram(facts: MetricFacts): Histogram {
    const name = nameOf(facts);
    const { buckets = [] } = facts;
    const all = new AllSeries(facts, this.#maxSeries, () => ({ counts: buckets.map(() => 0), sum: 0, count: 0 }));
    this.#add({
      ...{ name, facts, type: "histogram" },
      *lines() {
        for (const { text, state } of all) {
          const before = text === "" ? "" : `${text},`;
          let below = 0;
          for (const [index, bound] of buckets.entries()) {
            below += state.counts[index] ?? 0;
            yield `${name}_bucket{${before}le="${numeral(bound)}"} ${below}`;
          }
          yield `${name}_bucket{${before}le="+Inf"} ${state.count}`;
          yield `${name}_sum${braced(text)} ${numeral(state.sum)}`;
          yield `${name}_count${braced(text)} ${state.count}`;
        }
      },
    });
    return {
      record: (value, labels) => {
        if (!Number.isFinite(value)) return;
        const state = all.of(labels);
        const index = buckets.findIndex((bound) => value <= bound);
        if (index >= 0) state.counts[index] = (state.counts[index] ?? 0) + 1;
        state.sum += value;
        state.count += 1;
      },
    };
  }

  gauge(facts: MetricFacts, observe: () => Iterable<Observation>): void {
    const name = nameOf(facts);
    const maxSeries = this.#maxSeries;
    this.#add({
      ...{ name, facts, type: "gauge" },
      *lines() {
        const all = new AllSeries(facts, maxSeries, () => ({ value: 0 }));
        for (const { value, labels } of observe()) all.of(labels).value = value;
        for (const { text, state } of all) yield `${name}${braced(text)} ${numeral(state.value)}`;
      },
    });
  }

  /** All metrics as they are now, in the text format of Prometheus. */
  text(): string {
    const lines: string[] = [];
    for (const { name, type, facts, lines: linesOf } of this.#families.values()) {
      lines.push(`# HELP ${name} ${escapedHelp(facts.help)}`, `# TYPE ${name} ${type}`, ...linesOf());
    }
    return `${lines.join("\n")}\n`;
  }

  #add(family: Family): void {
    if (this.#families.has(family.name)) throw new Error(`the metric ${family.name} is there already`);
    this.#families.set(family.name, family);
  }
}

class AllSeries<State> {
  readonly #facts: MetricFacts;
  readonly #max: number;
  readonly #make: () => State;
  readonly #series = new Map<string, Series<State>>();
  /** Labels that cannot change need not be spelt again: they come with what is counted most often. */
  readonly #constant = new WeakMap<MetricLabels, State>();

  constructor(facts: MetricFacts, max: number, make: () => State) {
    this.#facts = facts;
    this.#max = max;
    this.#make = make;
    // A series that does not depend on anything is there from the beginning, so that rates begin at zero.
    if (facts.labels.length === 0) this.of({});
  }

  /** Labels that the metric does not have are not told; those that are missing are empty. */
  of(labels: MetricLabels = {}): State {
    const known = this.#constant.get(labels);
    if (known !== undefined) return known;
    const state = this.#find(labels);
    if (Object.isFrozen(labels)) this.#constant.set(labels, state);
    return state;
  }

  #find(labels: MetricLabels): State {
    const text = labelText(this.#facts.labels, (label) => labels[label] ?? "");
    const known = this.#series.get(text);
    if (known !== undefined) return known.state;
    const isFull = this.#series.size >= this.#max;
    const key = isFull ? labelText(this.#facts.labels, () => OTHER) : text;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { text: key, state: this.#make() };
      this.#series.set(key, series);
    }
    return series.state;
  }

  [Symbol.iterator](): Iterator<Series<State>> {
    return this.#series.values();
  }
}

/** What Prometheus adds for units, as the translation of OpenTelemetry has it. */
const UNITS: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

const nameOf = ({ name, unit }: MetricFacts): string => `${name.replaceAll(/[^a-zA-Z0-9_]/g, "_")}${UNITS[unit] ?? ""}`;

const labelText = (labels: readonly string[], read: (label: string) => string): string =>
  labels.map((label) => `${label}="${escapedValue(read(label))}"`).join(",");

const braced = (text: string): string => (text === "" ? "" : `{${text}}`);

const escapedValue = (value: string): string =>
  /[\\"\n]/.test(value) ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n") : value;

const escapedHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

/** As Go reads it. */
function numeral(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}
