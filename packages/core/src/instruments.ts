/** What counts and measures: a meter of OpenTelemetry, a registry for Prometheus, or nothing. */

/** What is known of a metric before there is a value. */
export interface MetricFacts {
  /** With dots, as OpenTelemetry has it: `arcp.jobs.ended`. */
  readonly name: string;
  /** UCUM: `s`, `By`, or what is counted in braces: `{job}`. */
  readonly unit: string;
  /** One sentence. */
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets, ascending, in `unit`. */
  readonly buckets?: readonly number[];
}

/** A value for each label of the metric. */
export type MetricLabels = Readonly<Record<string, string>>;

/** A number that only grows. */
export interface Counter {
  /** `value` is not below zero. */
  add(value: number, labels?: MetricLabels): void;
}

/** How often values of which size were seen. */
export interface Histogram {
  record(value: number, labels?: MetricLabels): void;
}

/** What an instrument that is looked at says when it is. */
export interface Observation {
  readonly value: number;
  readonly labels?: MetricLabels;
}

/** Makes instruments. Each metric is made once. What their methods throw is lost: they are called where work is done. */
export interface Instruments {
  counter(facts: MetricFacts): Counter;
  histogram(facts: MetricFacts): Histogram;
  /** `observe` is called whenever somebody looks. */
  gauge(facts: MetricFacts, observe: () => Iterable<Observation>): void;
}

const nothing = (): void => {};

/** Instruments that keep nothing. */
export const noInstruments: Instruments = {
  counter: () => ({ add: nothing }),
  histogram: () => ({ record: nothing }),
  gauge: nothing,
};

/** Instruments that tell all of `many`. */
export function joinedInstruments(...many: readonly Instruments[]): Instruments {
  return {
    counter(facts) {
      const counters = many.map((one) => one.counter(facts));
      return { add: (value, labels) => counters.forEach((counter) => void counter.add(value, labels)) };
    },
    histogram(facts) {
      const histograms = many.map((one) => one.histogram(facts));
      return { record: (value, labels) => histograms.forEach((histogram) => void histogram.record(value, labels)) };
    },
    gauge: (facts, observe) => many.forEach((one) => void one.gauge(facts, observe)),
  };
}
