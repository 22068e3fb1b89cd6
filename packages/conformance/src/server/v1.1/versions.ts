/** §7.5: versions of agents. */
import { NotHere } from "../../judge.ts";
import { is, oneOf, text } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { begun, v11 } from "./case.ts";

export const versionCases = [
  v11("versions/grammar", "names that are none are refused", ["7.5-02"], [], async (context) => {
    const peer = await context.session();
    for (const agent of ["Foo", "-a", "a@", "a@b@c", "a b", ""]) {
      await context.refused("V11-7.5-02", peer, "job.submit", { agent, input: 1 }, ["INVALID_REQUEST"]);
    }
    await context.refused("V11-7.5-02", peer, "job.submit", { agent: "suite.none_x-1@2.0.0+build.1" }, [
      "AGENT_NOT_AVAILABLE",
    ]);
  }),
  v11(
    "versions/default",
    "a bare name is the version that the welcome calls the default",
    ["7.5-03", "7.5-04", "7.5-10"],
    ["versioned"],
    async (context) => {
      const peer = await context.connect();
      const welcome = await context.greet(peer);
      const name = context.agent("versioned").split("@")[0] ?? "";
      const entry = welcome.payload?.capabilities?.agents?.find((agent: { name?: string }) => agent.name === name);
      const accepted = await peer.ask("V11-7.5-03", "job.submit", { agent: name });
      const expected =
        entry?.default === undefined
          ? oneOf(...(entry?.versions ?? []).map((version: string) => `${name}@${version}`))
          : is(`${name}@${entry.default}`);
      context.judge.expect(
        entry?.default === undefined ? "V11-7.5-04" : "V11-7.5-03",
        "agent in job.accepted",
        accepted.payload?.agent,
        expected,
      );
      context.judge.looksAt("V11-7.5-04");
      context.judge.expect(
        "V11-7.5-10",
        "agent in job.accepted",
        accepted.payload?.agent,
        text(/^[^@]+@[^@]+$/, "name@version"),
      );
      const end = await peer.end("V11-7.5-03", jobOf(accepted));
      context.judge.expect(
        "V11-7.5-03",
        "the version that ran",
        end.payload?.result?.agent,
        is(accepted.payload?.agent),
      );
    },
  ),
  v11(
    "versions/kept",
    "a job that runs keeps its version, whatever is registered meanwhile",
    ["7.5-11"],
    ["upgraded"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const accepted = await context.submit(peer, "upgraded", {});
      const { agent } = accepted.payload;
      const jobId = jobOf(accepted);
      await begun(peer, jobId);
      const next = await context.perform(peer, "upgraded", { still: true });
      if (next.result?.agent === agent) throw new NotHere("no further version was registered");
      const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
      judge.expect("V11-7.5-11", "the agent of the job in session.jobs", listed?.["agent"], is(agent));
      const end = await peer.end("V11-7.5-11", jobId);
      judge.expect("V11-7.5-11", "the version that ran", end.payload?.result?.agent, is(agent));
    },
  ),
  v11(
    "versions/exact",
    "a version is taken by its name, and no other in its place",
    ["7.5-06", "7.5-07", "7.5-08"],
    ["versioned"],
    async (context) => {
      const peer = await context.session();
      const name = context.agent("versioned").split("@")[0] ?? "";
      for (const version of ["2.0.0", "banana"]) {
        const requirement = version === "banana" ? "V11-7.5-08" : "V11-7.5-06";
        const accepted = await peer.ask(requirement, "job.submit", { agent: `${name}@${version}` });
        context.judge.expect(requirement, "the answer", accepted.type, is("job.accepted"));
        const end = await peer.end(requirement, jobOf(accepted));
        context.judge.expect(requirement, "the version that ran", end.payload?.result?.agent, is(`${name}@${version}`));
      }
      const missing = await context.refused("V11-7.5-06", peer, "job.submit", { agent: `${name}@9.9.9` }, [
        "AGENT_VERSION_NOT_AVAILABLE",
      ]);
      context.judge.expect("V11-7.5-06", "retryable", missing.payload?.retryable, is(false));
      await context.refused("V11-7.5-08", peer, "job.submit", { agent: `${name}@1.0` }, [
        "AGENT_VERSION_NOT_AVAILABLE",
      ]);
      for (const agent of ["suite.no-such-agent", "suite.no-such-agent@1.0.0"]) {
        await context.refused("V11-7.5-07", peer, "job.submit", { agent }, ["AGENT_NOT_AVAILABLE"]);
      }
    },
  ),
];
