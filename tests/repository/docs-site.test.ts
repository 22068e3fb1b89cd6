import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { builtLinkProblems } from "../../docs/site/built-links.ts";
import { cellOf, markdownOf } from "../../docs/site/docstring.ts";
import { NAVIGATION, navigationProblems, pageOf } from "../../docs/site/navigation.ts";

function built(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), "arcp-docs-site-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

test("links of the built site lead to files and anchors of it", () => {
  const directory = built({
    "index.html": '<a href="/guides/a.html#one">a</a><a href="#here">b</a><h1 id="here"></h1><img src="/x.png">',
    "guides/a.html":
      '<h2 id="one"></h2><a href="../index.html">a</a><a href="b">b</a><a href="#two">c</a><a href="/index.html#gone">d</a>',
    "x.png": "",
  });
  expect(builtLinkProblems(directory)).toEqual([
    "guides/a.html: b does not exist",
    "guides/a.html: #two has no such anchor",
    "guides/a.html: /index.html#gone has no such anchor",
  ]);
});

test("the built site loads nothing from elsewhere, and stays below its path", () => {
  const directory = built({
    "index.html":
      '<a href="https://example.com/">out</a><script src="https://example.com/x.js"></script><a href="/other/"></a>',
  });
  writeFileSync(join(directory, "x.css"), '@import url("https://fonts.example.com/x"); a { background: url(y.png); }');
  expect(builtLinkProblems(directory, "/docs/")).toEqual([
    "index.html: https://example.com/x.js would be fetched from elsewhere",
    "index.html: /other/ is not below /docs/",
    "x.css: https://fonts.example.com/x would be fetched from elsewhere",
  ]);
});

test("a document is a page, or it is none", () => {
  expect(pageOf("docs/leases.md")).toBe("leases");
  expect(pageOf("examples/echo/README.md")).toBe("examples/echo");
  expect(pageOf("packages/core/README.md")).toBe("packages/core");
  expect(pageOf(".changeset/README.md")).toBeUndefined();
});

test("a guide that nothing leads to is found, and an entry that leads nowhere", () => {
  const pages = NAVIGATION.flatMap(({ entries }) => entries.map(({ page }) => `${page}.md`));
  const found = (names: readonly string[]): string[] =>
    navigationProblems(new Map([...names, "index.md", "examples/echo.md"].map((page) => [page, ""])));
  expect(found(pages)).toEqual([]);
  expect(found([...pages.filter((page) => page !== "start.md"), "lost.md"])).toEqual([
    "docs/lost.md: docs/site/navigation.ts does not say where it stands",
    "docs/site/navigation.ts: there is no start.md",
  ]);
});

test("docstrings lead to what they name, and none of them is HTML", () => {
  const linkTo = (name: string): string | undefined => (name === "Job.done" ? "/api/client.md#job" : undefined);
  expect(markdownOf("See {@link Job.done} and {@link Job.done the end}, not {@link Gone}.", linkTo)).toBe(
    "See [`Job.done`](/api/client.md#job) and [`the end`](/api/client.md#job), not `Gone`.",
  );
  expect(markdownOf("A <b> and `Map<K, V>` (docs/storage.md).", linkTo)).toBe(
    "A &lt;b> and `Map<K, V>` ([docs/storage.md](/storage.md)).",
  );
  expect(cellOf("one | two\n  three")).toBe("one \\| two three");
});
