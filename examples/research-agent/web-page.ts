/** What is read of a page. Pages of the wild need a parser; these are written as one would wish. */

export interface Link {
  readonly url: string;
  readonly title: string;
}

/** The paragraphs, as text. */
export function paragraphsOf(html: string): string[] {
  return [...html.matchAll(/<p>(.*?)<\/p>/gs)].map(([, text = ""]) => plain(text));
}

/** The links of a page that is at `base`. */
export function linksOf(html: string, base: string): Link[] {
  return [...html.matchAll(/<a href="([^"]+)">(.*?)<\/a>/gs)].map(([, href = "", title = ""]) => ({
    url: new URL(href, base).href,
    title: plain(title),
  }));
}

const plain = (html: string): string =>
  html
    .replace(/<[^>]*>/g, "")
    .replace(/\s+/g, " ")
    .trim();
