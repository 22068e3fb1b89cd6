/** §9.8: credentials that the runtime has issued. */
import { NotHere } from "../../judge.ts";
import { is, listOf, nothing, perhaps, shape, someText, such, text } from "../../matcher.ts";
import { jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

export const credentialCases = [
  v11(
    "credentials/issued",
    "a job's credentials come with its acceptance, whole, and are no other job's",
    ["9.8-01", "9.8.1-01", "9.8.1-03", "9.8.1-06", "9.8.2-01", "9.8.2-03"],
    ["credential"],
    async (context) => {
      const { judge } = context;
      const peer = await credentialled(context);
      const values: unknown[] = [];
      for (let job = 0; job < 3; job += 1) {
        const accepted = await context.submit(peer, "credential", {});
        const { credentials } = accepted.payload;
        const some = such("a list that is not empty", (value) => Array.isArray(value) && value.length > 0);
        judge.expect("V11-9.8.2-01", "credentials of job.accepted", credentials, some);
        const whole = { id: someText, scheme: someText, value: someText, endpoint: someText };
        judge.expect("V11-9.8.1-01", "credentials of job.accepted", credentials, listOf(shape(whole)));
        const hints = { profile: perhaps(someText), constraints: perhaps(shape({})) };
        judge.expect("V11-9.8.1-06", "credentials of job.accepted", credentials, listOf(shape(hints)));
        const scheme = text(/^(bearer|x-vendor\..+)$/, "bearer, or a vendor's");
        judge.expect("V11-9.8.1-03", "credentials of job.accepted", credentials, listOf(shape({ scheme })));
        values.push(...credentials.map(({ value }: { value: unknown }) => value));
        peer.send("job.cancel", { job_id: jobOf(accepted) }, { job_id: jobOf(accepted) });
      }
      judge.that("V11-9.8.2-03", "no value twice", new Set(values).size === values.length, `${values.length} values`);
      judge.looksAt("V11-9.8-01");
    },
  ),
  v11(
    "credentials/rotated",
    "a credential that is rotated is told by its id, with its new value",
    ["9.8.1-02", "9.8.2-07", "9.8.2-08"],
    ["credential"],
    async (context) => {
      const { judge } = context;
      const peer = await credentialled(context);
      const accepted = await context.submit(peer, "credential", { rotate: true });
      const [credential] = accepted.payload?.credentials ?? [];
      const rotated = await peer.sees("V11-9.8.2-08", "a status of phase credential_rotated", ({ payload }) => {
        return payload?.kind === "status" && payload.body?.phase === "credential_rotated";
      });
      const { body } = rotated.payload;
      judge.expect("V11-9.8.1-02", "its id", body.id, is(credential?.id));
      const another = such(
        "another value than before",
        (value) => someText.problem(value) === undefined && value !== credential.value,
      );
      judge.expect("V11-9.8.2-08", "its value", body.value, another);
      judge.looksAt("V11-9.8.2-07");
      peer.send("job.cancel", { job_id: jobOf(accepted) }, { job_id: jobOf(accepted) });
    },
  ),
  v11(
    "credentials/bounded",
    "what an upstream knows nothing of, the runtime goes on to refuse",
    ["9.8.3-04"],
    ["credential"],
    async (context) => {
      const peer = await credentialled(context);
      const operations = ["suite/allowed", "suite/forbidden"].map((target) => ({ capability: "model.use", target }));
      const lease_request = { "model.use": ["suite/allowed"] };
      const { accepted, result } = await context.perform(peer, "credential", { operations }, { lease_request });
      const { credentials = [] } = accepted.payload;
      if (credentials.length === 0) throw new NotHere("no credential was issued for a lease with model.use");
      context.judge.expect(
        "V11-9.8.3-04",
        "the use of a model that is covered, and of one that is not",
        result?.outcomes,
        is([
          { performed: true, code: null },
          { performed: false, code: "PERMISSION_DENIED" },
        ]),
      );
    },
  ),
  v11(
    "credentials/observed",
    "whoever may observe a job sees nothing of its credentials",
    ["7.6-21", "14-19", "14-20", "6.6-11"],
    ["credential", "observer", "connections"],
    async (context) => {
      const { judge } = context;
      const peer = await credentialled(context);
      const accepted = await context.submit(peer, "credential", { rotate: true });
      const jobId = jobOf(accepted);
      const [credential] = accepted.payload?.credentials ?? [];
      const { payload } = await peer.sees(undefined, "a status of phase credential_rotated", (frame) => {
        return frame.payload?.kind === "status" && frame.payload.body?.phase === "credential_rotated";
      });
      const observer = await context.session({ token: context.tokenObserver });
      const listed = (await context.jobs(observer)).find(({ job_id }) => job_id === jobId);
      if (listed === undefined) throw new NotHere("the observer is not shown the jobs of others");
      judge.looksAt("V11-6.6-11");
      judge.expect(["V11-14-20", "V11-7.6-21"], "credentials in session.jobs", listed["credentials"], nothing);
      const subscribed = await observer.ask("V11-7.6-21", "job.subscribe", { job_id: jobId, history: true });
      judge.expect("V11-7.6-21", "the answer", subscribed.type, is("job.subscribed"));
      const shown = subscribed.payload?.credentials;
      judge.expect(["V11-7.6-21", "V11-14-20"], "credentials in job.subscribed", shown, nothing);
      await observer.quiet();
      const values = [credential?.value, payload.body.value].filter((value) => typeof value === "string");
      const leaks = observer.frames.filter((frame) => values.some((value) => JSON.stringify(frame).includes(value)));
      judge.expect("V11-14-19", "messages with the value of a credential", leaks, is([]));
      peer.send("job.cancel", { job_id: jobId }, { job_id: jobId });
    },
  ),
];

/** A session that is told of credentials. */
async function credentialled(context: ServerContext): Promise<Peer> {
  const peer = await context.connect();
  const welcome = await context.greet(peer);
  if (!welcome.payload?.capabilities?.features?.includes("provisioned_credentials")) {
    throw new NotHere("provisioned_credentials is not offered on this connection");
  }
  return peer;
}
