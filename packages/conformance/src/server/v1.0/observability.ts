/** Logs, metrics and traces. */
import { NotHere } from "../../judge.ts";
import { aNumber, anInteger, shape, someText } from "../../matcher.ts";
import { CAPABILITIES, jobOf } from "../context.ts";
import { ending, ofJob, v10 } from "./case.ts";

export const observabilityCases = [
  v10(
    "metrics/standard",
    "what runtimes measure has its names and units",
    ["17.3.1-03", "17.3.1-04"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "echo", {}));
      await ending(peer, jobId);
      const metrics = ofJob(peer, jobId)
        .filter(({ type }) => type === "metric")
        .map(({ payload }) => payload);
      const invocations = metrics.filter(({ name }) => name === "tool.invocations");
      judge.that(
        "V10-17.3.1-04",
        "one tool.invocations of 1",
        invocations.length === 1 && invocations[0].value === 1,
        metrics,
      );
      judge.that(
        "V10-17.3.1-03",
        "latency.ms with a phase",
        metrics.some(
          ({ name, unit, dims }) =>
            name === "latency.ms" && unit === "ms" && ["queue", "exec", "total"].includes(dims?.phase),
        ),
        metrics,
      );
    },
  ),
  v10("heartbeats", "a job that is at work gives signs of life", ["10.3-01", "10.3-02"], ["hold"], async (context) => {
    const { peer, accepted } = await context.open10({
      capabilities: { ...CAPABILITIES, heartbeat_interval_seconds: 1 },
    });
    const jobId = jobOf(await context.invoke(peer, "hold"));
    const seconds = Number(accepted.payload.capabilities.heartbeat_interval_seconds);
    if (!(seconds <= 3)) throw new NotHere(`heartbeat_interval_seconds is ${seconds}, however short it was asked for`);
    const beat = await peer.sees(
      "V10-10.3-01",
      "job.heartbeat",
      ({ type, job_id }) => type === "job.heartbeat" && job_id === jobId,
      seconds * 3000 + 1000,
    );
    context.judge.expect(
      "V10-10.3-02",
      "job.heartbeat.payload",
      beat.payload,
      shape({ sequence: anInteger, deadline_ms: aNumber, state: someText }),
    );
    peer.send("cancel", { target: "job", target_id: jobId });
  }),
];
