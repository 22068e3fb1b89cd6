/** Docstrings as Markdown. */

/** Links lead where `linkTo` says, or are only code; pages of `docs` that it names are links; nothing in it is HTML. */
export function markdownOf(docstring: string, linkTo: (name: string) => string | undefined): string {
  const linked = docstring.replaceAll(/\{@link ([^}\s]+)(?: ([^}]*))?\}/g, (_, name: string, label?: string) => {
    const place = linkTo(name);
    const shown = label?.trim() || name;
    return place === undefined ? `\`${shown}\`` : `[\`${shown}\`](${place})`;
  });
  return outsideCode(linked, (text) =>
    text.replaceAll("<", "&lt;").replaceAll(/(?<![\w/]|\]\()docs\/([\w.-]+)\.md\b/g, "[docs/$1.md](/$1.md)"),
  );
}

/** One line, for a cell of a table. */
export const cellOf = (markdown: string): string => markdown.replaceAll(/\s*\n\s*/g, " ").replaceAll("|", "\\|");

const outsideCode = (markdown: string, change: (text: string) => string): string =>
  markdown
    .split(/(`+[^`]*`+)/)
    .map((part, index) => (index % 2 === 0 ? change(part) : part))
    .join("");
