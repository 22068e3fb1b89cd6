/** A strict reader of the text format of Prometheus (0.0.4): what its own parser refuses, this refuses. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"/;
const VALUE = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;
const UNESCAPED: Readonly<Record<string, string>> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

/** Throws for everything that the format does not allow, and for histograms that do not add up. */
export function parsePrometheus(text: string): ReadonlyMap<string, MetricFamily> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  let current: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    if (line.startsWith("#")) {
      const [, keyword = "", name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
      if (NAME.exec(name)?.[0] !== name) throw new Error(`a comment that says nothing: ${line}`);
      if (keyword === "HELP") {
        if (families.has(name)) throw new Error(`${name} is there twice`);
        if (rest.replaceAll(/\\[\\n]/g, "").includes("\\")) throw new Error(`a help with a bare backslash: ${line}`);
        families.set(name, { type: "", help: rest, samples: [] });
        current = name;
      } else {
        const family = families.get(name);
        if (family === undefined || name !== current || family.type !== "") throw new Error(`out of place: ${line}`);
        if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`no type: ${line}`);
        family.type = rest;
      }
      continue;
    }
    const sample = parseSample(line);
    const family = families.get(current ?? "");
    if (family === undefined || !belongs(sample.name, current ?? "", family.type)) {
      throw new Error(`outside of its family: ${line}`);
    }
    const key = JSON.stringify([sample.name, sample.labels]);
    if (family.samples.some(({ name, labels }) => JSON.stringify([name, labels]) === key)) {
      throw new Error(`twice: ${line}`);
    }
    family.samples.push(sample);
  }
  for (const [name, family] of families) if (family.type === "histogram") assertHistogram(name, family);
  return families;
}

/** The value of one sample; `undefined` without it. `labels` are those that it has at least. */
export function valueIn(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  for (const { samples } of parsePrometheus(text).values()) {
    const found = samples.find(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
    if (found !== undefined) return found.value;
  }
  return undefined;
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type !== "histogram") return sample === family && type !== "";
  return ["_bucket", "_sum", "_count"].some((suffix) => sample === `${family}${suffix}`);
}

function parseSample(line: string): Sample {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw new Error(`no name: ${line}`);
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    while (!rest.startsWith("}")) {
      const [whole, label, value] = LABEL.exec(rest) ?? [];
      if (whole === undefined || label === undefined || value === undefined) throw new Error(`no label: ${line}`);
      if (Object.hasOwn(labels, label)) throw new Error(`a label twice: ${line}`);
      labels[label] = value.replaceAll(/\\./g, (escaped) => UNESCAPED[escaped] ?? escaped);
      rest = rest.slice(whole.length);
      if (rest.startsWith(",")) rest = rest.slice(1);
      else if (!rest.startsWith("}")) throw new Error(`labels that do not end: ${line}`);
    }
    rest = rest.slice(1);
  }
  if (!rest.startsWith(" ") || !VALUE.test(rest.slice(1))) throw new Error(`no value: ${line}`);
  return { name, labels, value: Number(rest.slice(1).replace("Inf", "Infinity")) };
}

function assertHistogram(name: string, { samples }: MetricFamily): void {
  const groups = new Map<string, { buckets: [number, number][]; count?: number; sum?: number }>();
  for (const sample of samples) {
    const { le, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    const group = groups.get(key) ?? { buckets: [] };
    groups.set(key, group);
    if (sample.name.endsWith("_bucket")) group.buckets.push([Number(le?.replace("Inf", "Infinity")), sample.value]);
    else if (sample.name.endsWith("_count")) group.count = sample.value;
    else group.sum = sample.value;
  }
  for (const [key, { buckets, count, sum }] of groups) {
    const bounds = buckets.map(([bound]) => bound);
    const counts = buckets.map(([, value]) => value);
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY || counts.at(-1) !== count || sum === undefined) {
      throw new Error(`${name}${key}: the last bucket, the count and the sum`);
    }
    if (bounds.some((bound, index) => index > 0 && bound <= (bounds[index - 1] ?? 0)))
      throw new Error(`${name}: bounds`);
    if (counts.some((value, index) => index > 0 && value < (counts[index - 1] ?? 0)))
      throw new Error(`${name}: counts`);
  }
}
