/** A report as a badge, which a README shows. */
import type { Report } from "./report.ts";

const CHARACTER_WIDTH = 7;

function wordsOf(report: Report): { readonly label: string; readonly message: string; readonly color: string } {
  const { passed, failed, failedBy } = report.counts;
  const label = `arcp ${report.wire} ${report.role}`;
  if (failedBy.MUST > 0) return { label, message: `${failed} of ${passed + failed} fail`, color: "#c0392b" };
  if (failed > 0) return { label, message: `conforms, ${failed} SHOULD`, color: "#b7791f" };
  return { label, message: `${passed} pass`, color: "#2e7d32" };
}

/** An SVG of one line. */
export function badgeReport(report: Report): string {
  const { label, message, color } = wordsOf(report);
  const left = label.length * CHARACTER_WIDTH + 10;
  const right = message.length * CHARACTER_WIDTH + 10;
  const width = left + right;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="20" role="img" aria-label="${label}: ${message}">
  <title>${label}: ${message}</title>
  <rect width="${left}" height="20" fill="#444"/>
  <rect x="${left}" width="${right}" height="20" fill="${color}"/>
  <g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
    <text x="${left / 2}" y="14">${label}</text>
    <text x="${left + right / 2}" y="14">${message}</text>
  </g>
</svg>
`;
}

/** What shields.io makes a badge of (`https://img.shields.io/endpoint?url=…`). */
export function shieldsReport(report: Report): string {
  return `${JSON.stringify({ schemaVersion: 1, ...wordsOf(report) })}\n`;
}
