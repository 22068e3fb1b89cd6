/** Leases that people grant for a time, and elevations. */
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { aTimestamp, is, nothing, oneOf, shape, such } from "../../matcher.ts";
import type { ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { asked, ending, isEnd, isNack, ofJob, returned, v10 } from "./case.ts";

const READING = {
  ...{ permission: "filesystem.read", resource: "/site/a", operation: "read" },
  ...{ capability: "fs.read", target: "/site/a" },
};
/** As many as take several times as long as the lease. */
const USES = 80;
const REFUSED = oneOf("PERMISSION_DENIED", "LEASE_EXPIRED", "LEASE_REVOKED");

/** Grants what was asked for, for so long, and returns `lease.granted`. */
async function granted(peer: Peer, question: Frame, lease_seconds: number, claim: string): Promise<Frame> {
  const { permission, resource, operation } = question.payload;
  peer.send("permission.grant", { permission, resource, operation, lease_seconds }, { correlation_id: question.id });
  const isOurs = ({ type, job_id, payload }: Frame): boolean =>
    type === "lease.granted" &&
    (job_id === undefined || job_id === question.job_id) &&
    payload?.permission === permission;
  return peer.sees(claim, "lease.granted", isOurs);
}

/** A job that uses a lease of so many seconds, so often at most. */
async function using(
  context: ServerContext,
  peer: Peer,
  seconds: number,
  uses: number,
): Promise<{ readonly jobId: string; readonly lease: Frame }> {
  const input = { ...READING, uses, every_ms: 50 };
  const { jobId, question } = await asked(context, peer, "use", input, "V10-15.5-04");
  const lease = await granted(peer, question, seconds, "V10-15.5-04");
  return { jobId, lease };
}

export const leaseCases = [
  v10(
    "leases/refresh",
    "a lease is extended on request, and taken back before its end",
    ["15.5-02", "15.5-03", "15.5-04"],
    ["use"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const { jobId, lease } = await using(context, peer, 30, 600);
      const { lease_id } = lease.payload;
      await peer.sees("V10-15.5-04", "its first use", ({ type, job_id }) => type === "log" && job_id === jobId);
      const id = peer.send("lease.refresh", { lease_id, requested_seconds: 120 });
      const extended = await peer.sees(
        "V10-15.5-02",
        "lease.extended",
        ({ type, payload, correlation_id }) =>
          (type === "lease.extended" && payload?.lease_id === lease_id) || (type === "nack" && correlation_id === id),
      );
      judge.expect(
        "V10-15.5-02",
        "the answer to lease.refresh of a lease that lives",
        extended.type,
        is("lease.extended"),
      );
      const later = such(
        "a time after the first one",
        (value) => Date.parse(String(value)) > Date.parse(lease.payload.expires_at),
      );
      judge.expect(
        "V10-15.5-02",
        "lease.extended.payload",
        extended.payload,
        shape({ lease_id: is(lease_id), expires_at: aTimestamp }),
      );
      judge.expect("V10-15.5-02", "its expires_at", extended.payload.expires_at, later);
      const taken = await peer.ask("V10-15.5-03", "lease.revoked", { lease_id, reason: "suite" });
      if (taken.type === "nack") throw new NotHere(`a lease is not taken back by clients: ${taken.payload?.code}`);
      const { code } = returned(await ending(peer, jobId, "V10-15.5-04"));
      judge.looksAt("V10-15.5-03");
      judge.expect("V10-15.5-04", "the refusal of what a revoked lease covered", code, REFUSED);
      const again = await peer.ask("V10-15.5-02", "lease.refresh", { lease_id, requested_seconds: 120 });
      judge.expect("V10-15.5-02", "the answer to lease.refresh of a lease that was revoked", again.type, is("nack"));
    },
  ),
  v10(
    "leases/expiry",
    "a lease ends at its time, without a word",
    ["15.5-04", "15.5-05", "15.5-02"],
    ["use"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const { jobId, lease } = await using(context, peer, 1, USES);
      const end = await ending(peer, jobId, "V10-15.5-05");
      const { code, performed } = returned(end) ?? {};
      judge.that("V10-15.5-05", "a refusal once the lease has ended", code !== null && performed < USES, returned(end));
      judge.expect("V10-15.5-04", "the refusal of what an expired lease covered", code, REFUSED);
      const { lease_id } = lease.payload;
      const late = await peer.ask("V10-15.5-02", "lease.refresh", { lease_id, requested_seconds: 60 });
      judge.expect("V10-15.5-02", "the answer to lease.refresh of a lease that has expired", late.type, is("nack"));
    },
  ),
  v10(
    "people/entitled",
    "nobody else's session grants a permission",
    ["15.4-07"],
    ["permit", "connections", "principals"],
    async (context) => {
      const { judge } = context;
      const mine = (await context.open10()).peer;
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const { jobId, question } = await asked(context, mine, "permit", READING, "V10-15.4-07");
      const { permission, resource, operation } = question.payload;
      const grant = { permission, resource, operation, lease_seconds: 30 };
      const answer = await other.ask("V10-15.4-07", "permission.grant", grant, { correlation_id: question.id });
      judge.expect("V10-15.4-07", "the answer to a grant of another principal's", answer.type, is("nack"));
      await mine.quiet();
      const granted = ofJob(mine, jobId).filter(({ type }) => type === "lease.granted");
      judge.expect("V10-15.4-07", "what came of it", granted, is([]));
      judge.expect("V10-15.4-07", "the end of the job", mine.frames.find(isEnd(jobId)), nothing);
      mine.send("permission.deny", { reason: "no" }, { correlation_id: question.id });
      await ending(mine, jobId);
    },
  ),
  v10(
    "people/elevation",
    "more trust is a lease, and everybody who watches hears of it",
    ["15.6-01", "15.6-02"],
    ["permit"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const input = { permission: "trust.elevate.privileged", resource: "suite", operation: "elevate" };
      const jobId = (await context.invoke(peer, "permit", input)).job_id ?? "";
      const first = await peer.sees(
        "V10-15.6-01",
        "permission.request, or the end of the job",
        (frame) => (frame.type === "permission.request" && frame.job_id === jobId) || isEnd(jobId)(frame),
      );
      if (first.type !== "permission.request") throw new NotHere("nobody may raise a job's trust here");
      judge.expect("V10-15.6-01", "what is asked for", first.payload.permission, is(input.permission));
      const lease = await granted(peer, first, 30, "V10-15.6-02");
      judge.expect("V10-15.6-02", "its end", lease.payload?.expires_at, aTimestamp);
      await ending(peer, jobId, "V10-15.6-02");
      for (const kind of ["metric", "log"]) {
        const told = ofJob(peer, jobId).filter(
          (frame) => frame.type === kind && JSON.stringify(frame.payload).includes("privileged"),
        );
        judge.that(
          "V10-15.6-02",
          `a ${kind} that tells of it`,
          told.length > 0,
          ofJob(peer, jobId).map(({ type }) => type),
        );
      }
    },
  ),
  v10(
    "people/kinds-of-trust",
    "there are four levels of trust, and no fifth is asked for",
    ["15.3-01"],
    ["permit"],
    async (context) => {
      const { peer, accepted } = await context.open10();
      const levels = ["untrusted", "constrained", "trusted", "privileged"];
      const { trust_level } = accepted.payload.runtime ?? {};
      const isKnown = trust_level === undefined || levels.includes(trust_level);
      context.judge.that("V10-15.3-01", `runtime.trust_level: one of ${levels.join(", ")}`, isKnown, trust_level);
      const input = { permission: "trust.elevate.almighty", resource: "suite", operation: "elevate" };
      const jobId = (await context.invoke(peer, "permit", input)).job_id ?? "";
      const asked = (frame: Frame): boolean => frame.type === "permission.request" && frame.job_id === jobId;
      const first = await peer.sees("V10-15.3-01", "a refusal", (frame) => asked(frame) || isEnd(jobId)(frame));
      if (asked(first)) {
        const { permission, resource, operation } = first.payload;
        const grant = { permission, resource, operation, lease_seconds: 30 };
        const answer = await peer.ask("V10-15.3-01", "permission.grant", grant, { correlation_id: first.id });
        isNack(context, "V10-15.3-01", answer, ["INVALID_ARGUMENT", "PERMISSION_DENIED"], "the answer to its grant");
        return;
      }
      const { code } = returned(first) ?? {};
      context.judge.that("V10-15.3-01", "no trust of a level that there is not", code !== null, returned(first));
    },
  ),
];
