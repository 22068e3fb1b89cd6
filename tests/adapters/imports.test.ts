import { describe, expect, test } from "vitest";
import { ADAPTERS, packagesLoadedBy } from "../../scripts/adapter-sizes.ts";

/** What nobody should get who did not ask for it. */
const HOSTS_OF: Readonly<Record<(typeof ADAPTERS)[number], readonly string[]>> = {
  "@arcp/node": [],
  "@arcp/express": ["express"],
  "@arcp/fastify": [],
  "@arcp/hono": ["hono"],
  "@arcp/hono/fetch": [],
  "@arcp/bun": [],
};
const ALL_HOSTS = ["express", "express-4", "fastify", "hono", "@hono/node-server", "@oven/bun-linux-x64"];

describe("an adapter loads no host but its own, and no other adapter beside node's", () => {
  test.each(ADAPTERS)("%s", (adapter) => {
    const names = packagesLoadedBy(adapter).map(({ name }) => name);
    expect(names).toContain(adapter.replace("/fetch", ""));
    expect(ALL_HOSTS.filter((name) => names.includes(name))).toEqual(HOSTS_OF[adapter]);
    const ours = names.filter((name) => name.startsWith("@arcp/") && name !== adapter.replace("/fetch", ""));
    const isFetchStyle = adapter === "@arcp/bun" || adapter === "@arcp/hono/fetch";
    const expected = isFetchStyle || adapter === "@arcp/node" ? ["@arcp/core"] : ["@arcp/core", "@arcp/node"];
    expect(ours.toSorted()).toEqual(expected);
  });
});
