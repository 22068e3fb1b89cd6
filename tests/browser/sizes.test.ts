import { expect, test } from "vitest";
import { bundleForPage, PAGES } from "../../scripts/browser-sizes.ts";

test.each(Object.entries(PAGES))("a page with %s has nothing of Node, and stays small", async (_, page) => {
  const { gzipBytes, imports, packages } = await bundleForPage(page.source);
  expect(imports).toEqual([]);
  expect(packages).toEqual(["@arcp/client", "@arcp/core", "@opentelemetry/api", "zod"]);
  expect(gzipBytes).toBeLessThan(page.budget);
  // Far below the budget, the bundle has lost what it is for.
  expect(gzipBytes).toBeGreaterThan(page.budget / 2);
});

test("what needs Node is seen", async () => {
  const { imports } = await bundleForPage(`export { connect } from "node:net";`);
  expect(imports).toEqual(["node:net"]);
});
