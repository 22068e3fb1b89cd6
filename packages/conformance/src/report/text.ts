/** A report for people. */
import type { Verdict } from "../case.ts";
import { requirement } from "../requirements.ts";
import type { Report } from "./report.ts";

const MAX_FRAMES_SHOWN = 12;
const MAX_LINE = 300;

/** How much {@link textReport} tells. */
export interface TextOptions {
  /** Shows what passed, too. Default: false. */
  readonly isVerbose?: boolean;
}

/** What a terminal acts on, and what nobody sees: whoever is judged has said some of it. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

const visible = (line: string): string =>
  line.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);

/** Lines for a terminal or a log, without colours; none of them is another one's, and none acts on a terminal. */
export function textReport(report: Report, { isVerbose = false }: TextOptions = {}): string {
  const lines = [`${report.role} at ${report.target}, wire ${report.wire}`];
  for (const verdict of report.verdicts) {
    if (verdict.outcome === "failed") lines.push("", ...failureLines(verdict));
    else if (isVerbose && verdict.outcome === "passed") {
      lines.push(`  passed   ${verdict.case} (${verdict.requirements.join(", ")}; ${verdict.ms} ms)`);
    }
  }
  const skipped = report.verdicts.filter(({ outcome }) => outcome === "skipped");
  if (skipped.length > 0) lines.push("", "skipped:", ...skippedLines(skipped));
  if (isVerbose && report.unseen.length > 0) {
    lines.push("", "not to be seen over the wire:");
    for (const { id, level, reason } of report.unseen) lines.push(`  ${id} (${level}): ${reason}`);
  }
  const { passed, failed, failedBy } = report.counts;
  const levels = failed === 0 ? "" : ` (${failedBy.MUST} MUST, ${failedBy.SHOULD} SHOULD, ${failedBy.MAY} MAY)`;
  lines.push(
    "",
    `${passed} passed, ${failed} failed${levels}, ${report.counts.skipped} skipped; ` +
      `${report.unseen.length} requirements cannot be seen over the wire; ${(report.ms / 1000).toFixed(1)} s`,
  );
  return `${lines.map(visible).join("\n")}\n`;
}

function failureLines(verdict: Verdict): readonly string[] {
  const { violated } = verdict;
  const lines = [`  FAILED   ${verdict.case}: ${verdict.title}`];
  if (violated === undefined)
    lines.push(`  ${verdict.level}     of ${verdict.requirements.join(", ")}: not carried through`);
  else lines.push(`  ${verdict.level}     ${violated}: ${requirement(violated).text}`);
  for (const id of verdict.alsoViolated ?? []) lines.push(`  and      ${id}: ${requirement(id).text}`);
  lines.push(`  expected ${verdict.expected ?? ""}`, `  seen     ${verdict.seen ?? ""}`);
  const frames = verdict.frames.slice(-MAX_FRAMES_SHOWN);
  if (frames.length < verdict.frames.length) {
    lines.push(`           (${verdict.frames.length - frames.length} frames before; all of them: --json)`);
  }
  for (const { direction, connection, text } of frames) {
    const arrow = { sent: "→", received: "←", noted: "·" }[direction];
    lines.push(`    ${connection} ${arrow} ${text.length > MAX_LINE ? `${text.slice(0, MAX_LINE)}…` : text}`);
  }
  return lines;
}

/** By reason: it is the same for many. */
function skippedLines(skipped: readonly Verdict[]): readonly string[] {
  const byReason = Map.groupBy(skipped, ({ reason }) => reason ?? "");
  return [...byReason].map(
    ([reason, verdicts]) => `  ${reason}: ${verdicts.map((verdict) => verdict.case).join(", ")}`,
  );
}
