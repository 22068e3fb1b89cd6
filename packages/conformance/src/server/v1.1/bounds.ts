/** §14: what a runtime bounds, and what cannot be guessed. */
import { is, such } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { v11 } from "./case.ts";

const SESSIONS = 6;
const MIN_BITS = 128;

/** Sets of characters that tokens are written in, and how many characters there are in each. */
const ALPHABETS: readonly (readonly [RegExp, number])[] = [
  [/^\d*$/, 10],
  [/^[\da-f]*$/i, 16],
  [/^[\da-z]*$|^[\dA-Z]*$/, 32],
  [/^[\w+/=-]*$/, 64],
];
const MOST_CHARACTERS = 94;

/** How many bits at most the part of these texts holds that is not the same in all of them. */
function bitsOf(texts: readonly string[]): number {
  const length = Math.min(...texts.map((text) => text.length));
  const places = Array.from({ length }, (_, place) => texts.map((text) => text[place] ?? ""));
  const varying = places.filter((characters) => new Set(characters).size > 1);
  const all = varying.flat().join("");
  const [, size = MOST_CHARACTERS] = ALPHABETS.find(([alphabet]) => alphabet.test(all)) ?? [];
  return varying.length * Math.log2(size);
}

export const boundCases = [
  v11("bounds/tokens", "nobody can guess what a session is resumed with", ["14-02"], [], async (context) => {
    const peers = await Promise.all(Array.from({ length: SESSIONS }, () => context.session()));
    const tokens = peers.map(({ resumeToken }) => String(resumeToken));
    context.judge.expect("V11-14-02", "how many different tokens", new Set(tokens).size, is(SESSIONS));
    const enough = such(`at least ${MIN_BITS}`, (bits) => Number(bits) >= MIN_BITS);
    context.judge.expect("V11-14-02", "bits in which tokens differ", Math.floor(bitsOf(tokens)), enough);
  }),
  v11(
    "bounds/jobs",
    "a session has so many jobs at once, and one more is refused",
    ["14-09", "14-10"],
    ["hold", "limits.jobs_per_session"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const most = context.limit("jobs_per_session");
      const payload = { agent: context.agent("hold"), input: null };
      const ids = Array.from({ length: most + 1 }, () => peer.send("job.submit", payload));
      const answers = await Promise.all(ids.map((id) => peer.reply("V11-14-10", id)));
      const jobs = answers.filter(({ type }) => type === "job.accepted").map(jobOf);
      for (const job_id of jobs) peer.send("job.cancel", { job_id }, { job_id });
      judge.expect("V11-14-09", "how many of them were accepted", jobs.length, is(most));
      const [refusal] = answers.filter(({ type }) => type !== "job.accepted");
      const { code, retryable, details } = refusal?.payload ?? {};
      judge.expect("V11-14-10", "the code of the refusal", code, is("INTERNAL_ERROR"));
      const isMarked = retryable === false || details?.retry !== undefined;
      judge.that("V11-14-10", "retryable false, or details that say when to try again", isMarked, refusal);
    },
  ),
  v11(
    "bounds/chunk",
    "a chunk of a result has a bound, beyond which the job fails",
    ["14-24", "14-25"],
    ["chunks", "limits.chunk_bytes"],
    async (context) => {
      const peer = await context.session();
      const input = { piece_bytes: context.limit("chunk_bytes") + 1 };
      const end = await peer.end("V11-14-24", jobOf(await context.submit(peer, "chunks", input)));
      context.judge.expect("V11-14-24", "the end of a job with a chunk that is too large", end.type, is("job.error"));
      context.judge.expect("V11-14-25", "its code", end.payload?.code, is("INTERNAL_ERROR"));
    },
  ),
];
