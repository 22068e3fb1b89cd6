/** Artifacts. */
import { setTimeout as sleep } from "node:timers/promises";
import { NotHere } from "../../judge.ts";
import { anInteger, aString, aTimestamp, is, perhaps, shape, someText, text } from "../../matcher.ts";
import { isNack, v10 } from "./case.ts";

export const artifactCases = [
  v10(
    "artifacts/kept",
    "an artifact is kept, fetched and released",
    ["16.1-01", "16.1-02", "16.2-02", "16.2-04", "16.2-06", "16.3-03"],
    [],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const data = Buffer.from("content ü").toString("base64");
      const id = peer.send("artifact.put", { media_type: "text/plain", data });
      const ref = await peer.reply("V10-16.2-02", id, "artifact.ref");
      judge.expect(
        "V10-16.2-02",
        "the answer",
        { type: ref.type, correlation_id: ref.correlation_id },
        is({ type: "artifact.ref", correlation_id: id }),
      );
      judge.expect(
        "V10-16.1-01",
        "artifact.ref.payload",
        ref.payload,
        shape({
          artifact_id: someText,
          uri: someText,
          media_type: is("text/plain"),
          size: anInteger,
          sha256: perhaps(aString),
          expires_at: perhaps(aTimestamp),
        }),
      );
      judge.expect(
        "V10-16.1-02",
        "uri",
        ref.payload.uri,
        text(/^arcp:\/\/session\/[^/]+\/artifact\/[^/]+$/, "arcp://session/…/artifact/…"),
      );
      const { artifact_id } = ref.payload;
      const fetched = await peer.ask("V10-16.2-04", "artifact.fetch", { artifact_id });
      judge.that(
        "V10-16.2-04",
        "the content, or where it is",
        fetched.payload?.data === data || typeof fetched.payload?.redirect_uri === "string",
        fetched,
      );
      await peer.ask("V10-16.2-06", "artifact.release", { artifact_id });
      for (const gone of [artifact_id, "art_none"]) {
        isNack(
          context,
          "V10-16.3-03",
          await peer.ask("V10-16.3-03", "artifact.fetch", { artifact_id: gone }),
          ["NOT_FOUND"],
          `the answer for ${gone}`,
        );
      }
    },
  ),
  v10("artifacts/invalid", "content that is not what it says is refused", ["16.2-03"], [], async (context) => {
    const { peer } = await context.open10();
    for (const wrong of [{ data: "%%%" }, { data: "eA==", size: 2 }, { data: "eA==", sha256: "0".repeat(64) }]) {
      const answer = await peer.ask("V10-16.2-03", "artifact.put", { media_type: "text/plain", ...wrong });
      context.judge.expect("V10-16.2-03", `the answer to ${JSON.stringify(wrong)}`, answer.type, is("nack"));
    }
  }),
  v10(
    "artifacts/foreign",
    "an artifact of another principal is not there",
    ["16.2-05"],
    ["connections", "principals"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const { payload } = await mine.ask(undefined, "artifact.put", { media_type: "text/plain", data: "eA==" });
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const answer = await other.ask("V10-16.2-05", "artifact.fetch", { artifact_id: payload?.artifact_id });
      isNack(context, "V10-16.2-05", answer, ["NOT_FOUND", "PERMISSION_DENIED"], "the answer");
    },
  ),
  v10(
    "artifacts/retention",
    "an artifact is kept as long as it was said, and no longer",
    ["16.3-02"],
    [],
    async (context) => {
      const { judge } = context;
      const { peer, accepted } = await context.open10();
      const put = async (ttl_seconds: number): Promise<{ readonly artifact_id: string; readonly endsInMs: number }> => {
        const content = { media_type: "text/plain", data: "eA==", ttl_seconds };
        const { payload } = await peer.ask("V10-16.3-02", "artifact.put", content);
        return { artifact_id: payload?.artifact_id, endsInMs: Date.parse(payload?.expires_at) - Date.now() };
      };
      const { max_seconds } = accepted.payload.capabilities.artifact_retention ?? {};
      if (max_seconds !== undefined) {
        const { endsInMs } = await put(max_seconds * 10);
        const isBounded = endsInMs <= max_seconds * 1000 + SLACK_MS;
        judge.that(
          "V10-16.3-02",
          `expires_at within max_seconds (${max_seconds})`,
          isBounded,
          `${endsInMs} ms from now`,
        );
      }
      const { artifact_id, endsInMs } = await put(1);
      if (!(endsInMs < SHORT_MS)) throw new NotHere("artifacts are not kept for as short as they are asked to be");
      await sleep(endsInMs + 500, undefined, { signal: context.signal });
      const answer = await peer.ask("V10-16.3-02", "artifact.fetch", { artifact_id });
      isNack(context, "V10-16.3-02", answer, ["NOT_FOUND"], "the answer for an artifact whose time is over");
    },
  ),
];

/** What clocks may differ. */
const SLACK_MS = 60_000;
/** For as long as this a case waits. */
const SHORT_MS = 5000;
