/** A trace, drawn as text. */
import type { ReceivedSpan } from "./receiver.ts";

const NS_PER_MS = 1e6;
const NAME_WIDTH = 58;

/** The lines of one trace: each span below its parent, in the order of their beginnings; equal neighbours as one line. */
export function drawTrace(spans: readonly ReceivedSpan[]): string[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const roots = spans.filter(({ parentSpanId }) => !ids.has(parentSpanId)).sort(byTime);
  return draw(roots, spans, "");
}

/** The spans from the root of the trace down to `span`. */
export function pathTo(span: ReceivedSpan, spans: readonly ReceivedSpan[]): ReceivedSpan[] {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  return parent === undefined ? [span] : [...pathTo(parent, spans), span];
}

function draw(siblings: readonly ReceivedSpan[], spans: readonly ReceivedSpan[], indent: string): string[] {
  const groups = grouped(siblings, spans);
  return groups.flatMap((group, index) => {
    const [first] = group;
    if (first === undefined) return [];
    const isLast = index === groups.length - 1;
    const [branch, below] = indent === "" && groups.length === 1 ? ["", ""] : isLast ? ["└─ ", "   "] : ["├─ ", "│  "];
    const name = `${indent}${branch}${labelOf(first)}${group.length > 1 ? ` ×${group.length}` : ""}`;
    const line = `${name.padEnd(NAME_WIDTH)} ${first.service.padEnd(9)}${millisecondsOf(group)}${first.isError ? "  error" : ""}`;
    return [line, ...draw(childrenOf(first, spans), spans, `${indent}${below}` || " ")];
  });
}

/** Spans without children that differ in nothing that is drawn are one line. */
function grouped(siblings: readonly ReceivedSpan[], spans: readonly ReceivedSpan[]): ReceivedSpan[][] {
  const groups: ReceivedSpan[][] = [];
  for (const span of siblings) {
    const isLeaf = childrenOf(span, spans).length === 0;
    const known = groups.find(
      ([other]) =>
        isLeaf &&
        other !== undefined &&
        labelOf(other) === labelOf(span) &&
        other.service === span.service &&
        childrenOf(other, spans).length === 0,
    );
    if (known === undefined) groups.push([span]);
    else known.push(span);
  }
  return groups;
}

const childrenOf = ({ spanId }: ReceivedSpan, spans: readonly ReceivedSpan[]): ReceivedSpan[] =>
  spans.filter(({ parentSpanId }) => parentSpanId === spanId).sort(byTime);

const byTime = (left: ReceivedSpan, right: ReceivedSpan): number => Number(left.startedAt - right.startedAt);

function labelOf({ name, attributes }: ReceivedSpan): string {
  const about =
    name === "arcp.job"
      ? attributes.get("arcp.agent")
      : name.startsWith("arcp.")
        ? attributes.get("arcp.type")
        : undefined;
  return about === undefined ? name : `${name} ${about}`;
}

const millisecondsOf = (group: readonly ReceivedSpan[]): string => {
  const total = group.reduce((sum, { startedAt, endedAt }) => sum + Number(endedAt - startedAt), 0);
  return `${(total / NS_PER_MS).toFixed(1).padStart(8)} ms`;
};
