/** Sessions that are taken while others take them, and what comes before a node is one. */
import type { SharedStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { Cluster, type Node, replacing, until } from "./cluster.ts";

/** The store, whose commits wait while there is something to wait for. */
function gated(): { readonly wrap: (store: SharedStore) => SharedStore; hold(): () => void; readonly waiting: number } {
  let gate: Promise<void> = Promise.resolve();
  let waiting = 0;
  return {
    wrap: (store) =>
      replacing(store, "commit", (commit) => async (batch) => {
        waiting += 1;
        await gate;
        waiting -= 1;
        return commit(batch);
      }),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    get waiting() {
      return waiting;
    },
  };
}

describe.skipIf(reasonForNoPostgres() !== undefined)("of two connections that bring a token", () => {
  test("to a node that the session comes to, one has it, and the other comes back", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    let takings = 0;
    const cluster = await Cluster.of(
      { agents },
      {
        agents,
        wrap: (store) =>
          replacing(store, "takeSession", (take) => async (...args) => {
            takings += 1;
            const taken = await take(...args);
            // Long enough for another one to begin, where that is possible.
            await settle(40);
            return taken;
          }),
      },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    const first = await a.session();
    await first.submit("puppet", 1);
    const run = await puppet.next();
    first.cut();
    const both = [await b.raw(), await b.raw()];
    const answers = await Promise.all(both.map((client) => client.resume(first, 0)));
    expect(answers.map(({ type }) => type).sort()).toEqual(["session.error", "session.welcome"]);
    expect(takings).toBe(1);
    const refusal = answers.find(({ type }) => type === "session.error");
    expect(refusal?.payload).toMatchObject({ retryable: true, details: { reason: "resume_in_progress" } });
    // The token of the welcome is the one that is stored.
    const winner = both.find(({ resumeToken }) => resumeToken !== undefined);
    winner?.cut();
    const again = await a.raw();
    expect((await again.resume(winner ?? first, 0)).type).toBe("session.welcome");
    run.finish("done");
    await again.sees(({ type }) => type === "job.result");
  });

  test("what the first one still says does not void it for the second", async () => {
    const gate = gated();
    const cluster = await Cluster.of({ wrap: gate.wrap });
    const [a] = cluster.nodes as [Node];
    const first = await a.session();
    const token = { sessionId: first.sessionId, resumeToken: first.resumeToken };
    const second = await a.raw();
    const open = gate.hold();
    const welcomed = second.resume(token, 0);
    await until(() => gate.waiting > 0);
    // It was on its way when the session was claimed again.
    first.send("session.ping", { nonce: "late", sent_at: new Date(0).toISOString() });
    await settle();
    open();
    expect((await welcomed).type).toBe("session.welcome");
    // The client has never heard that.
    second.cut();
    await settle();
    const third = await a.raw();
    expect((await third.resume(token, 0)).type).toBe("session.welcome");
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a job that was made while its session left", () => {
  test("is shown from its beginning on to who submits it again", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const gate = gated();
    const cluster = await Cluster.of(
      { agents, wrap: gate.wrap },
      // It hears of nothing.
      { agents, wrap: (store) => replacing(store, "watch", () => () => () => {}) },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    const first = await a.session();
    const open = gate.hold();
    first.send("job.submit", { agent: "puppet", input: 1, idempotency_key: "once" });
    const run = await puppet.next();
    await until(() => gate.waiting > 0);
    first.cut();
    const again = await b.raw();
    expect((await again.resume(first, 0)).type).toBe("session.welcome");
    open();
    await run.context.log("info", "hello");
    run.finish("done");
    await until(async () => (await cluster.ask("SELECT FROM job WHERE ended_at IS NOT NULL")).length === 1);
    await again.submit("puppet", 1, { idempotency_key: "once" });
    await again.sees(({ type }) => type === "job.result");
    expect(again.numbered.map(({ type, event_seq }) => [type, event_seq])).toEqual([
      ["job.event", 1],
      ["job.result", 2],
    ]);
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a job that has ended at another node", () => {
  test("and is still on its way is shown once to who submits it again", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const held = Promise.withResolvers<void>();
    const cluster = await Cluster.of(
      { agents },
      {
        agents,
        wrap: (store) =>
          replacing(store, "readJournal", (readJournal) => async (...args) => {
            await held.promise;
            return readJournal(...args);
          }),
      },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    const first = await a.session();
    const { job_id } = (await first.submit("puppet", 1, { idempotency_key: "once" })).payload;
    const run = await puppet.next();
    first.cut();
    const again = await b.raw();
    expect((await again.resume(first, 0)).type).toBe("session.welcome");
    await run.context.log("info", "hello");
    run.finish("done");
    await until(async () => (await cluster.ask("SELECT FROM job WHERE ended_at IS NOT NULL")).length === 1);
    expect((await again.submit("puppet", 1, { idempotency_key: "once" })).payload.job_id).toBe(job_id);
    held.resolve();
    await again.end(job_id);
    await again.listJobs();
    expect(again.numbered.map(({ type, event_seq }) => [type, event_seq])).toEqual([
      ["job.event", 1],
      ["job.result", 2],
    ]);
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a job of another node that two look for at once", () => {
  test("is shown once, though one of them has seen that it was not shown at all", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const gate = gated();
    const looked = Promise.withResolvers<void>();
    let looks = 0;
    const cluster = await Cluster.of(
      { agents, wrap: gate.wrap },
      {
        agents,
        wrap: (store) =>
          replacing(store, "feedPosition", (feedPosition) => async (...args) => {
            const isFirst = looks === 0;
            looks += 1;
            const position = await feedPosition(...args);
            // The one who was told of it by the other node.
            if (isFirst) await looked.promise;
            return position;
          }),
      },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    const first = await a.session();
    const open = gate.hold();
    first.send("job.submit", { agent: "puppet", input: 1, idempotency_key: "once" });
    const run = await puppet.next();
    await until(() => gate.waiting > 0);
    first.cut();
    const again = await b.raw();
    expect((await again.resume(first, 0)).type).toBe("session.welcome");
    open();
    await until(() => looks === 1);
    await run.context.log("info", "hello");
    run.finish("done");
    await until(async () => (await cluster.ask("SELECT FROM job WHERE ended_at IS NOT NULL")).length === 1);
    await again.submit("puppet", 1, { idempotency_key: "once" });
    await again.sees(({ event_seq }) => event_seq === 2);
    looked.resolve();
    await settle(50);
    // What comes after it has the next number.
    const { payload } = await again.submit("puppet", 2);
    (await puppet.next()).finish("done");
    expect((await again.end(payload.job_id)).event_seq).toBe(3);
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("before it is a node", () => {
  test("a process refuses who is not let in, and becomes one all the same", async () => {
    const joining = Promise.withResolvers<void>();
    const cluster = await Cluster.of({
      wrap: (store) =>
        replacing(store, "join", (join) => async (...args) => {
          await joining.promise;
          return join(...args);
        }),
    });
    const [a] = cluster.nodes as [Node];
    const stranger = await a.raw();
    const { payload } = await stranger.hello(undefined, "nobody");
    expect(payload.code).toBe("UNAUTHENTICATED");
    await settle();
    joining.resolve();
    await a.session();
    const audited = await cluster.ask<{ action: string }>("SELECT action FROM audit");
    expect(audited.map(({ action }) => action)).toContain("session.refused");
  });
});
