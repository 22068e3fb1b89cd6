/** Permissions of sessions whose node does not run what they watch. */
import { EXTENSION_FEATURE, type Identity, StaticBearerVerifier } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet } from "../support/puppet.ts";
import { ALL_FEATURES } from "../support/raw-client.ts";
import { Cluster, type Node, type NodeSettings } from "./cluster.ts";

const PEOPLE = new StaticBearerVerifier(
  new Map<string, Identity>([
    ["alice", { principal: "alice" }],
    ["bob", { principal: "bob" }],
    ["watcher", { principal: "oscar", permissions: ["observe:all"] }],
    ["demoted", { principal: "oscar", permissions: ["observe:own"] }],
  ]),
);
const EXTENDED = [...ALL_FEATURES, EXTENSION_FEATURE];

describe.skipIf(reasonForNoPostgres() !== undefined)("a session that watches a job of another node", () => {
  test("is shown nothing more of it when its credentials do not permit that any more", async () => {
    const puppet = new Puppet();
    const bearer = { bearer: PEOPLE };
    const runs: NodeSettings = { agents: { puppet: { handler: puppet.handler } }, server: bearer };
    const cluster = await Cluster.of(runs, { server: bearer });
    const [a, b] = cluster.nodes as [Node, Node];
    await b.up();
    const bob = await a.session("bob", EXTENDED);
    const { job_id } = (await bob.submit("puppet")).payload;
    const run = await puppet.next();
    const watcher = await b.session("watcher", EXTENDED);
    await watcher.ask("job.subscribe", { job_id });
    await run.context.log("info", "for oscar");
    await watcher.sees(({ payload }) => payload.body?.message === "for oscar", "the first event");
    // Another one at the same node still may.
    const other = await b.session("watcher", EXTENDED);
    await other.ask("job.subscribe", { job_id });
    watcher.transport.abort("cut");
    const demoted = await b.raw();
    await demoted.resume(watcher, 0, "demoted", EXTENDED);
    await run.context.log("info", "not for oscar any more");
    run.finish();
    await other.sees(({ payload }) => payload.body?.message === "not for oscar any more", "the second event");
    await other.sees(({ type }) => type === "job.result", "the end");
    await demoted.fence();
    const said = demoted.ofJob(String(job_id)).map(({ payload }) => payload.body?.message);
    expect(said).not.toContain("not for oscar any more");
    expect(demoted.frames.some(({ type }) => type === "job.result")).toBe(false);
  });
});
