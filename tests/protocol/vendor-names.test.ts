import { ERROR_CODES, EVENT_KINDS, EXTENSION_FEATURE, V1_1_FEATURES } from "@arcp/core";
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ALL_FEATURES } from "../support/raw-client.ts";

const isVendorName = (name: string): boolean => /^x-vendor\.[a-z0-9-]+\.[a-z0-9_.-]+$/.test(name);

/** Does everything that a job can tell of which wire 1.1 has no name for. */
const everything = async (_input: unknown, context: JobContext): Promise<string> => {
  await context.log("info", "begin");
  await context.checkpoint({ at: 1 });
  const stream = context.openStream({ kind: "text" });
  await stream.write("chunk");
  await stream.close();
  await context.span("work", {}, () => 1);
  await context.requestHumanInput({ prompt: "Which?", default: "this one", expiresInMs: 1 });
  return "done";
};

describe("what the specification does not have", () => {
  test("has a vendor's name: events, messages, features and codes of a session that does everything", async () => {
    covers("V11-15-01");
    await using harness = startHarness({ agents: { everything } });
    const client = await harness.rawSession([...ALL_FEATURES, EXTENSION_FEATURE]);
    const accepted = await client.submit("everything");
    await client.ended(accepted.payload.job_id);
    client.send("job.cancel", { job_id: accepted.payload.job_id });
    client.send("x-vendor.nobody.knows", {});
    const list = client.send("session.list_jobs", {});
    await client.reply(list);

    const kinds = client.frames.filter(({ type }) => type === "job.event").map(({ payload }) => payload.kind as string);
    const own = kinds.filter((kind) => !(EVENT_KINDS as readonly string[]).includes(kind));
    expect(new Set(own)).toEqual(
      new Set([
        "x-vendor.arcp.checkpoint",
        "x-vendor.arcp.stream.open",
        "x-vendor.arcp.stream.chunk",
        "x-vendor.arcp.stream.close",
        "x-vendor.arcp.span",
        "x-vendor.arcp.state",
        "x-vendor.arcp.question",
        "x-vendor.arcp.answer",
      ]),
    );
    expect(own.filter((kind) => !isVendorName(kind))).toEqual([]);

    const types = new Set(client.frames.map(({ type }) => type));
    expect([...types].filter((type) => !/^(session|job)\./.test(type) && !isVendorName(type))).toEqual([]);

    const features = client.frames[0]?.payload.capabilities.features as readonly string[];
    const ownFeatures = features.filter((name) => !(V1_1_FEATURES as readonly string[]).includes(name));
    expect(ownFeatures).toEqual([EXTENSION_FEATURE]);
    expect(ownFeatures.every(isVendorName)).toBe(true);

    const codes = client.frames.filter(({ type }) => type === "session.error").map(({ payload }) => payload.code);
    expect(codes.filter((code) => !(ERROR_CODES as readonly string[]).includes(code))).toEqual([]);
  });
});
