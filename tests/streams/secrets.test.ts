/** An agent that writes what it was given into its streams: nobody reads it (§9.8.2, §14). */
import { createHash } from "node:crypto";
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { CredentialHarness, LEASE } from "../credentials/mint.ts";
import { Puppet } from "../support/puppet.ts";
import { bytesOf, type SeenStream, streamsOf, textOf } from "../support/streams.ts";

const FORMS: Readonly<Record<string, (value: string) => string>> = {
  plain: (value) => value,
  hex: (value) => Buffer.from(value).toString("hex"),
};

/** `text` in pieces of `size`. */
const pieces = (text: string, size: number): string[] =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, index) => text.slice(index * size, (index + 1) * size));

/** Says `text` in every way that an agent has. */
async function leak(context: JobContext, text: string, size: number): Promise<void> {
  const [words, bytes, thoughts] = [
    context.openStream({ kind: "text" }),
    context.openStream({ kind: "binary" }),
    context.openStream({ kind: "thought" }),
  ];
  for (const piece of ["before ", ...pieces(text, size), " after"]) {
    await words.write(piece);
    await bytes.write(Buffer.from(piece));
    await thoughts.write(piece);
    await context.thought(piece);
  }
  await words.close();
  await context.openStream({ kind: "event" }).write({ [text]: [text] });
  await context.openStream({ kind: "log" }).write({ level: "info", message: text });
  await context.span(`span ${text}`, { text }, () => {});
  await context.checkpoint({ text }, { label: text.slice(0, 256) });
}

describe.each(Object.entries(FORMS))("a credential that its agent writes, %s,", (_form, form) => {
  test.each([1000, 7, 1])("is in no stream, thought, span or checkpoint, in pieces of %i", async (size) => {
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { leaker: puppet.handler } });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("leaker", {}, { lease_request: LEASE });
    const { context, finish } = await puppet.next();
    const [value = ""] = harness.mint.values;
    await leak(context, form(value), size);
    finish();
    await client.ending(job_id);
    const streams = streamsOf(client);
    const find = (kind: string, index = 0): SeenStream =>
      streams.filter(({ open }) => open.payload.kind === kind)[index] as SeenStream;
    const contents = (stream: SeenStream): string => stream.chunks.map(({ payload }) => payload.content).join("");
    const [words, bytes] = [textOf(find("text")), bytesOf(find("binary"))];
    const said = [words, bytes.toString("latin1"), contents(find("thought")), contents(find("thought", 1))];
    for (const text of said) {
      expect(text).not.toContain(form(value));
      expect(text).toMatch(/^before .+ after$/);
    }
    // What is told of the content is true of what was sent.
    expect(find("text").end?.payload.total_bytes).toBe(Buffer.byteLength(words));
    expect(find("binary").end?.payload).toMatchObject({
      total_bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    });
    for (const place of [JSON.stringify(client.frames), harness.bytes(), harness.log.join("\n")]) {
      expect(place).not.toContain(form(value));
      expect(place).not.toContain(Buffer.from(form(value)).toString("base64").slice(0, 40));
    }
    expect(harness.log.some((line) => line.includes("an agent emitted a credential"))).toBe(true);
  });
});

describe("a stream whose job's credential is rotated", () => {
  test("is masked by both, loses nothing of what it held back, and alarms once", async () => {
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { leaker: puppet.handler } });
    const draft = await harness.rawSession();
    const accepted = await draft.submit("leaker", null, { lease_request: LEASE });
    const [{ id }] = accepted.payload.credentials;
    const { context, finish } = await puppet.next();
    const stream = context.openStream({ kind: "text" });
    const [first = ""] = harness.mint.values;
    await stream.write(`old ${first} begun ${first.slice(0, 12)}`);
    await harness.server.rotateCredential(context.jobId, id);
    const [, second = ""] = harness.mint.values;
    await stream.write("|");
    await stream.write(`old ${first} new ${second} end`);
    await stream.close();
    finish();
    await draft.end(context.jobId);
    const watcher = await harness.rawSession10();
    await watcher.ask("job.subscribe", { job_id: context.jobId, history: true });
    await watcher.ending(context.jobId);
    const text = textOf(streamsOf(watcher)[0] as SeenStream);
    expect(text).not.toContain(first);
    expect(text).not.toContain(second);
    expect(text).toMatch(/^old .+ begun .+\|old .+ new .+ end$/);
    expect(text).toContain(`begun ${first.slice(0, 12)}|`);
    expect(harness.log.filter((line) => line.includes("an agent emitted a credential"))).toHaveLength(2);
  });
});
