/** Links of the built site: each leads to a file of it, and its anchor to an element with that id. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";

const FETCHED_BY_STYLES = /(?:url\(|@import )\s*["']?((?:https?:)?\/\/[^"')\s]+)/g;

/** Every broken link of the pages in the directory, each as `page: what is wrong`, and everything fetched from elsewhere. */
export function builtLinkProblems(directory: string, base = "/"): string[] {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).map((path) => path.replaceAll("\\", "/"));
  const pages = files.filter((path) => path.endsWith(".html"));
  const ids = new Map<string, ReadonlySet<string>>();
  const texts = new Map(pages.map((page) => [page, readFileSync(join(directory, page), "utf8")]));
  for (const [page, html] of texts) ids.set(page, idsOf(html));
  const problems = new Set<string>();
  for (const [page, html] of texts) {
    for (const { element, target } of targetsOf(html)) {
      const problem = problemOf(page, element, target);
      if (problem !== undefined) problems.add(`${page}: ${problem}`);
    }
  }
  for (const sheet of files.filter((path) => path.endsWith(".css"))) {
    for (const [, target] of readFileSync(join(directory, sheet), "utf8").matchAll(FETCHED_BY_STYLES)) {
      problems.add(`${sheet}: ${target} would be fetched from elsewhere`);
    }
  }
  return [...problems];

  function problemOf(page: string, element: string, target: string): string | undefined {
    if (/^(?:https?:)?\/\//.test(target))
      return element === "a" ? undefined : `${target} would be fetched from elsewhere`;
    if (/^[a-z][a-z\d+.-]*:/i.test(target)) return undefined;
    const [path = "", anchor = ""] = target.split("#", 2);
    const absolute = path.startsWith("/");
    if (absolute && !path.startsWith(base)) return `${target} is not below ${base}`;
    const linked = absolute ? path.slice(base.length) : posix.join(posix.dirname(page), path);
    const found = path === "" ? page : fileOf(decodeURIComponent(linked));
    if (found === undefined) return `${target} does not exist`;
    if (anchor === "" || ids.get(found)?.has(decodeURIComponent(anchor)) !== false) return undefined;
    return `${target} has no such anchor`;
  }

  function fileOf(path: string): string | undefined {
    const candidates = [path, `${path}.html`, posix.join(path, "index.html")];
    return candidates.find((each) => existsSync(join(directory, each)) && statSync(join(directory, each)).isFile());
  }
}

const idsOf = (html: string): ReadonlySet<string> =>
  new Set([...html.matchAll(/<[a-z][\w-]*\b[^>]*?\s(?:id|name)="([^"]*)"/g)].map(([, id]) => decoded(id ?? "")));

function targetsOf(html: string): { readonly element: string; readonly target: string }[] {
  return [...html.matchAll(/<(?<element>[a-z][\w-]*)\b[^>]*?\s(?:href|src)="(?<target>[^"]*)"/g)].map(({ groups }) => ({
    element: groups?.["element"] ?? "",
    target: decoded(groups?.["target"] ?? ""),
  }));
}

const decoded = (text: string): string =>
  text
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
