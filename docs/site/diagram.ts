/** Diagrams, drawn when the site is built: in the colours of the page, in light and dark, with nothing to load. */
import { renderMermaidSVG } from "beautiful-mermaid";

/** Of their size on paper: text as large as that of the page's small print. */
const SCALE = 0.85;

/** A figure for a page. What its styles would say is in those of the site, and names no font of others. */
export function diagramOf(mermaid: string): string {
  const svg = renderMermaidSVG(mermaid, {
    bg: "var(--vp-c-bg)",
    fg: "var(--vp-c-text-1)",
    transparent: true,
    padding: 14,
  })
    .replaceAll(/<style>[\s\S]*?<\/style>/g, "")
    .replace(
      / width="([\d.]+)" height="[\d.]+"/,
      (_, width: string) => ` width="${Math.round(Number(width) * SCALE)}"`,
    );
  return `<figure class="diagram" v-pre>${svg}</figure>\n`;
}
