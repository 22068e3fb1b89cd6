/** §9.8: credentials that the runtime has issued. */
import { NotHere } from "../../judge.ts";
import { is, listOf, perhaps, shape, someText, such, text } from "../../matcher.ts";
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
