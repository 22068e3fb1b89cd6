/** The pages of the site: the documents of the repository under the addresses they have there, their links with them. */
import { existsSync, readFileSync } from "node:fs";
import { basename, extname, join, posix } from "node:path";
import { withLinks } from "../../scripts/docs-links.ts";
import { repositoryFiles } from "../../scripts/repository-files.ts";
import { pageOf } from "./navigation.ts";

/** What the site is made of, by its path in there. */
export interface SiteContent {
  /** `….md`, and the text. */
  readonly pages: ReadonlyMap<string, string>;
  /** Served as they are: where they are in the repository. */
  readonly assets: ReadonlyMap<string, string>;
}

/** Files that a page may show whole. */
const LANGUAGES: Readonly<Record<string, string>> = {
  ".ts": "ts",
  ".sh": "sh",
  ".json": "json",
  ".yaml": "yaml",
  ".html": "html",
  ".css": "css",
  ".conf": "nginx",
  ".cfg": "ini",
};

/** Every document of the checkout that is a page, and what they link to: the programs of examples, pictures, data. */
export function documentPages(root: string): SiteContent {
  const documents = repositoryFiles().filter((file) => file.endsWith(".md") && pageOf(file) !== undefined);
  const pages = new Map<string, string>();
  const assets = new Map<string, string>();

  const placeOf = (path: string, anchor: string): string | undefined => {
    const page = pageOf(existsSync(join(root, path, "README.md")) ? posix.join(path, "README.md") : path);
    if (page !== undefined) return `/${page}.md${anchor}`;
    if (path.startsWith("docs/") && extname(path) !== ".md") {
      const asset = path.slice("docs/".length);
      assets.set(asset, path);
      return `/${asset}`;
    }
    const isProgram = path.startsWith("examples/") && extname(path) in LANGUAGES && existsSync(join(root, path));
    if (!isProgram) return undefined;
    const place = `source/${path.replace(/\.(\w+)$/, "-$1.md")}`;
    pages.set(place, programPage(root, path));
    return `/${place}`;
  };

  for (const document of documents) {
    const text = withLinks(readFileSync(join(root, document), "utf8"), (target) => {
      if (/^[a-z][a-z\d+.-]*:/i.test(target) || target.startsWith("#")) return target;
      const [path = "", anchor] = target.split("#", 2);
      const linked = posix.normalize(posix.join(posix.dirname(document), decodeURIComponent(path)));
      return placeOf(linked.replace(/\/$/, ""), anchor === undefined ? "" : `#${anchor}`);
    });
    pages.set(`${pageOf(document)}.md`, document === "docs/index.md" ? landingPage(text) : text);
  }
  pages.set("project/changelog.md", `${pages.get("project/changelog.md")?.trimEnd()}\n${unreleasedChanges(root)}`);
  // It says what is said elsewhere, in the words of the specification.
  const conformance = "project/conformance.md";
  pages.set(conformance, `---\nsearch: false\n---\n\n${pages.get(conformance)}`);
  assets.set("icon.svg", "packages/dashboard/src/app/icon.svg");
  return { pages, assets };
}

/** A file of an example, whole. It is found through its example, not by searching. */
function programPage(root: string, path: string): string {
  const text = readFileSync(join(root, path), "utf8").trimEnd();
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`{3,}/g)].map(([run]) => run.length + 1)));
  const example = `${posix.dirname(path)}/README.md`;
  const page = pageOf(existsSync(join(root, example)) ? example : "examples/README.md");
  return [
    "---\nsearch: false\naside: false\nprev: false\nnext: false\n---",
    `# ${basename(path)}`,
    `A file of [${posix.dirname(path)}](/${page}.md).`,
    `${fence}${LANGUAGES[extname(path)]}\n${text}\n${fence}\n`,
  ].join("\n\n");
}

/** The first page, with its title and its first paragraph in large, and the ways on. */
function landingPage(markdown: string): string {
  const [opening = "", title = "", about = ""] = /^# (.*)\n\n([\s\S]*?)\n\n/.exec(markdown) ?? [];
  const hero = {
    name: title,
    tagline: about.replaceAll("**", "").replaceAll("\n", " "),
    actions: [
      { theme: "brand", text: "Start here", link: "/start" },
      { theme: "alt", text: "Concepts", link: "/concepts" },
      { theme: "alt", text: "Examples", link: "/examples/" },
    ],
  };
  // YAML is a superset of JSON.
  return `---\nlayout: home\nhero: ${JSON.stringify(hero)}\n---\n\n${markdown.slice(opening.length)}`;
}

/** What the next release brings, as its changesets say it. */
function unreleasedChanges(root: string): string {
  const changes = repositoryFiles()
    .filter((file) => /^\.changeset\/(?!README).*\.md$/.test(file))
    .map((file) =>
      readFileSync(join(root, file), "utf8")
        .replace(/^---\n[\s\S]*?\n---\n/, "")
        .trim(),
    );
  const items = changes.map((change) => `- ${change.replaceAll("\n", "\n  ")}`);
  return items.length === 0 ? "" : `\n## Not released yet\n\n${items.join("\n")}\n`;
}
