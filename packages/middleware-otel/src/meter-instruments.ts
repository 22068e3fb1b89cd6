import type { Instruments, MetricFacts } from "@arcp/core";
import type { Meter } from "@opentelemetry/api";

/**
 * Instruments that tell a meter of OpenTelemetry: for the option `metrics` of a runtime. The meter's provider decides
 * where that goes.
 */
export function meterInstruments(meter: Meter): Instruments {
  const options = ({ unit, help, buckets }: MetricFacts) => ({
    ...{ unit, description: help },
    ...(buckets && { advice: { explicitBucketBoundaries: [...buckets] } }),
  });
  return {
    counter: (facts) => meter.createCounter(facts.name, options(facts)),
    histogram: (facts) => meter.createHistogram(facts.name, options(facts)),
    gauge(facts, observe) {
      meter.createObservableGauge(facts.name, options(facts)).addCallback((result) => {
        for (const { value, labels } of observe()) result.observe(value, labels);
      });
    },
  };
}
