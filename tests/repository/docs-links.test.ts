import { expect, test } from "vitest";
import { anchorsOf, type LinkTargets, linkProblems, withLinks } from "../../scripts/docs-links.ts";

const documents: Record<string, string> = {
  "README.md": "# Start\n",
  "docs/guide.md": "# The guide\n\n## Set up\n\n## Set up\n",
  "docs/logo.svg": "",
};

const targets: LinkTargets = {
  exists: (path) => path in documents || path === "docs/",
  markdown: (path) => (path.endsWith(".md") ? documents[path] : undefined),
};

function problemsOf(markdown: string): string[] {
  return linkProblems("docs/page.md", markdown, targets);
}

test("a link leads to a file inside the repository", () => {
  const markdown = [
    "[guide](guide.md) ![logo](logo.svg)",
    "[start](../README.md)",
    "[gone](gone.md)",
    "[out](../../elsewhere.md)",
    "[absolute](/docs/guide.md)",
    '<img src="gone.png">',
    "",
    "[reference]: missing.md",
  ].join("\n");
  expect(problemsOf(markdown)).toEqual([
    "docs/page.md:3: gone.md does not exist",
    "docs/page.md:4: ../../elsewhere.md leaves the repository",
    "docs/page.md:5: /docs/guide.md is not relative",
    "docs/page.md:6: gone.png does not exist",
    "docs/page.md:8: missing.md does not exist",
  ]);
});

test("an anchor leads to a heading", () => {
  const markdown = "# Here\n[a](#here) [b](#there) [c](guide.md#set-up-1) [d](guide.md#set-up-2) [e](logo.svg#layer)";
  expect(problemsOf(markdown)).toEqual([
    "docs/page.md:2: #there has no such heading",
    "docs/page.md:2: guide.md#set-up-2 has no such heading",
  ]);
});

test("other schemes, code and comments hold no links", () => {
  const markdown = [
    "[web](https://example.com/gone) [mail](mailto:a@example.com)",
    "`[inline](gone.md)` and ``[`double`](gone.md)``",
    "<!-- [comment](gone.md)",
    "[still](gone.md) -->",
    "```md",
    "[block](gone.md)",
    "```",
    "[after](gone.md)",
  ].join("\n");
  expect(problemsOf(markdown)).toEqual(["docs/page.md:8: gone.md does not exist"]);
});

test("anchors are spelt as GitHub spells them", () => {
  const markdown = [
    "# What's `npm test`?",
    "## A [link](x.md) & more",
    "## 4.1 Überblick_2",
    "## Same",
    "## Same",
    '<a id="explicit"></a>',
    "```",
    "# not a heading",
    "```",
  ].join("\n");
  expect([...anchorsOf(markdown)]).toEqual([
    "whats-npm-test",
    "a-link--more",
    "41-überblick_2",
    "same",
    "same-1",
    "explicit",
  ]);
});

test("links are led elsewhere, or become text", () => {
  const markdown = [
    "[a](one.md) and [`b` [c]](two.md#x) and [d](one.md), `[e](one.md)`",
    "![f](one.md) <!-- [g](one.md) -->",
    "```",
    "[h](one.md)",
    "```",
    "[i]: one.md",
  ].join("\n");
  expect(withLinks(markdown, (target) => (target === "one.md" ? "/somewhere/else.md" : undefined)).split("\n")).toEqual(
    [
      "[a](/somewhere/else.md) and `b` [c] and [d](/somewhere/else.md), `[e](one.md)`",
      "![f](/somewhere/else.md) <!-- [g](one.md) -->",
      "```",
      "[h](one.md)",
      "```",
      "[i]: /somewhere/else.md",
    ],
  );
});
