/** §6.6: which jobs there are. */
import { aString, aTimestamp, is, listOf, shape, such } from "../../matcher.ts";
import { jobOf, type Listed } from "../context.ts";
import { v11 } from "./case.ts";

const idsOf = (jobs: readonly Listed[]): readonly unknown[] => jobs.map(({ job_id }) => job_id);

export const listingCases = [
  v11(
    "listing/entry",
    "a listed job has everything that there is to know",
    ["6.6-02", "6.6-03", "6.6-04", "7.5-10", "11-03"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const { accepted, jobId, end } = await context.perform(peer, "echo", 1);
      const requests = [{}, { filter: {} }, { filter: { status: ["success"] } }].map((payload) =>
        peer.send("session.list_jobs", payload),
      );
      for (const id of requests) {
        const page = await peer.sees(
          "V11-6.6-02",
          "session.jobs with the request's id",
          (frame) => frame.type === "session.jobs" && frame.payload?.request_id === id,
        );
        judge.expect(
          "V11-6.6-03",
          "session.jobs.payload",
          page.payload,
          shape({
            request_id: is(id),
            jobs: listOf(shape({})),
            next_cursor: such("there, a string or null", (value) => value === null || typeof value === "string"),
          }),
        );
      }
      const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
      judge.that("V11-6.6-04", `an entry for ${jobId}`, listed !== undefined, "none");
      const expected = shape({
        job_id: is(jobId),
        agent: such("name@version", (value) => typeof value === "string" && /^[^@]+@[^@]+$/.test(value)),
        status: is("success"),
        lease: shape({}),
        parent_job_id: such("null, as there is none", (value) => value === null),
        created_at: aTimestamp,
        trace_id: aString,
        last_event_seq: is(end.event_seq),
      });
      judge.expect("V11-6.6-04", "an entry of session.jobs", listed, expected);
      judge.expect("V11-7.5-10", "agent in session.jobs", listed?.["agent"], is(accepted.payload.agent));
      judge.expect("V11-11-03", "trace_id in session.jobs", listed?.["trace_id"], is(accepted.payload.trace_id));
    },
  ),
  v11(
    "listing/filters",
    "a filter keeps what it names",
    ["6.6-05", "6.6-06", "6.6-07", "6.6-08"],
    ["hold", "echo", "versioned"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const before = await context.perform(peer, "echo", 1);
      await new Promise((resolve) => setTimeout(resolve, 15));
      const between = new Date().toISOString();
      await new Promise((resolve) => setTimeout(resolve, 15));
      const holding = jobOf(await context.submit(peer, "hold"));
      await peer.sees(
        undefined,
        "the job's first event",
        ({ job_id, event_seq }) => job_id === holding && event_seq !== undefined,
      );
      const agent = context.agent("versioned").split("@")[0] ?? "";
      const [one, two] = await Promise.all(
        ["1.0.0", "2.0.0"].map((version) => peer.ask(undefined, "job.submit", { agent: `${agent}@${version}` })),
      );
      const mine = [before.jobId, holding, one && jobOf(one), two && jobOf(two)];
      await Promise.all([one, two].map((accepted) => accepted && peer.end(undefined, jobOf(accepted))));
      const of = async (filter: object, requirement: string): Promise<readonly unknown[]> => {
        const ids = idsOf(await context.jobs(peer, { filter }, requirement));
        return mine.filter((id) => ids.includes(id));
      };
      judge.expect("V11-6.6-05", "the jobs of this case without a filter", await of({}, "V11-6.6-05"), is(mine));
      judge.expect(
        "V11-6.6-06",
        "those that are running",
        await of({ status: ["running"] }, "V11-6.6-06"),
        is([holding]),
      );
      judge.expect(
        "V11-6.6-06",
        "those with success",
        await of({ status: ["success"] }, "V11-6.6-06"),
        is(mine.filter((id) => id !== holding)),
      );
      judge.expect(
        "V11-6.6-06",
        "those with either",
        await of({ status: ["success", "running"] }, "V11-6.6-06"),
        is(mine),
      );
      judge.expect("V11-6.6-07", `those of ${agent}`, await of({ agent }, "V11-6.6-07"), is(mine.slice(2)));
      judge.expect(
        "V11-6.6-07",
        `those of ${agent}@2.0.0`,
        await of({ agent: `${agent}@2.0.0` }, "V11-6.6-07"),
        is(mine.slice(3)),
      );
      judge.expect(
        "V11-6.6-07",
        "those of the beginning of its name",
        await of({ agent: agent.slice(0, -1) }, "V11-6.6-07"),
        is([]),
      );
      judge.expect(
        "V11-6.6-08",
        `those after ${between}`,
        await of({ created_after: between }, "V11-6.6-08"),
        is(mine.slice(1)),
      );
      peer.send("job.cancel", { job_id: holding }, { job_id: holding });
    },
  ),
  v11("listing/pages", "pages hold every job once", ["6.6-09"], ["echo"], async (context) => {
    const peer = await context.session();
    const after = new Date(Date.now() - 1000).toISOString();
    for (let job = 0; job < 7; job += 1) await context.perform(peer, "echo", job);
    const filter = { created_after: after };
    const all = idsOf(await context.jobs(peer, { filter, limit: 1000 }));
    const paged: unknown[] = [];
    for (let cursor: unknown; ; ) {
      const { payload } = await peer.ask("V11-6.6-09", "session.list_jobs", {
        filter,
        limit: 3,
        ...(cursor == null ? {} : { cursor }),
      });
      context.judge.that(
        "V11-6.6-09",
        "at most three jobs on a page",
        payload?.jobs?.length <= 3,
        payload?.jobs?.length,
      );
      paged.push(...idsOf(payload.jobs));
      cursor = payload.next_cursor;
      if (cursor == null) break;
    }
    context.judge.that("V11-6.6-09", "no job twice", new Set(paged).size === paged.length, paged);
    const missing = all.filter((id) => !paged.includes(id));
    context.judge.expect("V11-6.6-09", "jobs of the whole listing that are on no page", missing, is([]));
  }),
  v11(
    "listing/other-session",
    "a listing has the jobs of one's other sessions, and brings no events of them",
    ["6.6-10", "6.6-13"],
    ["count", "connections"],
    async (context) => {
      const one = await context.session();
      const two = await context.session();
      const jobId = jobOf(await context.submit(one, "count", { n: 10, delay_ms: 20 }));
      const listed = idsOf(await context.jobs(two, {}, "V11-6.6-10"));
      context.judge.that("V11-6.6-10", `${jobId}, which another session submitted`, listed.includes(jobId), listed);
      await one.end(undefined, jobId);
      await two.quiet();
      context.judge.expect("V11-6.6-13", "messages about it in the session that listed", two.ofJob(jobId), is([]));
    },
  ),
  v11(
    "listing/other-principal",
    "a listing has nothing of other principals",
    ["6.6-12", "14-11"],
    ["echo", "connections", "principals"],
    async (context) => {
      const mine = await context.session();
      const { jobId } = await context.perform(mine, "echo", 1);
      await context.perform(mine, "echo", 2);
      const { payload } = await mine.ask(undefined, "session.list_jobs", { limit: 1 });
      const other = await context.session({ token: context.tokenB });
      for (const request of [{}, { filter: { status: ["success"] } }, { filter: { agent: context.agent("echo") } }]) {
        const listed = idsOf(await context.jobs(other, request, "V11-6.6-12"));
        const both = ["V11-6.6-12", "V11-14-11"];
        context.judge.that(both, "no job of another principal", !listed.includes(jobId), listed);
      }
      const stolen = await other.ask("V11-6.6-12", "session.list_jobs", { cursor: payload?.next_cursor });
      const leaked = stolen.type === "session.jobs" && idsOf(stolen.payload?.jobs ?? []).includes(jobId);
      context.judge.that("V11-6.6-12", "nothing for another principal's cursor", !leaked, stolen);
    },
  ),
];
