/** Publishes a release, when people have named it and allowed it. What they decide about is an artifact. */
import type { JobContext } from "@arcp/sdk";

export const version = "1.0.0";

const NOTES = "# What is new\n\n- an agent can ask wherever its people are\n";

/** Input: `{ channels }`, where its people are. */
export default async function release(input: unknown, ctx: JobContext) {
  const { channels: destinations } = input as { readonly channels: readonly string[] };
  const notes = await ctx.putArtifact(NOTES, { mediaType: "text/markdown" });

  const { value, respondedBy } = await ctx.requestHumanInput<{ version: string }>({
    prompt: `Which version do these notes make? ${notes.uri}`,
    responseSchema: {
      type: "object",
      properties: { version: { type: "string", pattern: "^\\d+\\.\\d+\\.\\d+$" } },
      required: ["version"],
    },
    destinations,
  });

  const grant = await ctx.requestPermission({
    ...{ permission: "release.publish", resource: `version:${value.version}`, operation: "publish" },
    ...{ reason: `named by ${respondedBy}`, destinations },
  });
  const published = await grant.perform(() => `example ${value.version}`);
  return { published, namedBy: respondedBy, notes };
}
