/** An agent that says what it was given: nobody reads it (§9.8.2, §14). */
import { Buffer } from "node:buffer";
import type { AgentHandler } from "@arcp/runtime";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { Puppet } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame } from "../support/raw-client.ts";
import { CredentialHarness, LEASE, until } from "./mint.ts";

const FORMS: Readonly<Record<string, (value: string) => string>> = {
  plain: (value) => value,
  base64: (value) => Buffer.from(`key: ${value}`).toString("base64"),
  hex: (value) => Buffer.from(value).toString("hex"),
  percent: (value) => encodeURIComponent(value).replaceAll("-", "%2D"),
};

/** Everything but what the runtime itself told the submitter. */
const emitted = (frames: readonly Frame[]): string =>
  JSON.stringify(
    frames.filter(({ type, payload }) => type !== "job.accepted" && payload?.body?.phase !== "credential_rotated"),
  );

describe.each(Object.entries(FORMS))("a credential that its agent emits, %s,", (_name, form) => {
  it("is masked for everybody, and operators are told", async () => {
    covers("V11-9.8.2-02", "V11-14-19");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({
      agents: { leaker: puppet.handler },
      server: { jobAuthorizationPolicy: () => true },
    });
    const client = await harness.rawSession();
    const accepted = await client.submit("leaker", null, { lease_request: LEASE });
    const [{ id }] = accepted.payload.credentials;
    const observer = await harness.rawSession(ALL_FEATURES, "bob");
    const { context, finish } = await puppet.next();
    await observer.ask("job.subscribe", { job_id: context.jobId, history: true });
    await harness.server.rotateCredential(context.jobId, id);
    for (const value of harness.mint.values) {
      const text = form(value);
      await context.log("info", `it is ${text}.`, { nested: { [text]: [text] } });
      await context.thought(text);
      await context.status("working", text);
      await context.toolCall({ call_id: "call_1", tool: "t", args: { text } });
      await context.toolResult({ call_id: "call_1", result: [text] });
      await context.emitEvent("x-vendor.acme.leak", { text });
    }
    finish({ result: harness.mint.values.map(form) });
    await client.end(context.jobId);
    await observer.end(context.jobId);
    await until(() => harness.mint.live.length === 0, "the revocation");
    const everywhere = [
      emitted(client.frames),
      JSON.stringify(observer.frames),
      harness.bytes(),
      harness.log.join("\n"),
    ];
    for (const value of harness.mint.values) {
      for (const text of new Set([value, form(value)])) {
        for (const place of everywhere) expect(place).not.toContain(text);
      }
    }
    expect(emitted(client.frames)).toContain("redacted");
    const alarms = harness.log.filter((line) => /credential/.test(line) && JSON.parse(line).level !== "debug");
    expect(alarms.filter((line) => line.includes(context.jobId))).not.toEqual([]);
  });
});

describe("a credential in the end of a job", () => {
  const leaks: Readonly<Record<string, AgentHandler>> = {
    chunks: async (_input, context) => {
      const value = context.credentials[0]?.reveal() ?? "";
      const stream = context.streamResult();
      for (let at = 0; at < value.length; at += 5) await stream.write(value.slice(at, at + 5));
    },
    bytes: async (_input, context) => {
      const bytes = Buffer.from(`.${context.credentials[0]?.reveal()}`);
      const stream = context.streamResult();
      for (let at = 0; at < bytes.length; at += 7) await stream.write(bytes.subarray(at, at + 7));
    },
    error: async (_input, context) => {
      throw new Error(`refused: ${context.credentials[0]?.reveal()}`);
    },
    string: async (_input, context) => {
      throw `refused: ${context.credentials[0]?.reveal()}`;
    },
    unreadable: async () => {
      throw Object.create(null);
    },
  };

  it.each(Object.keys(leaks))("is masked in %s", async (agent) => {
    covers("V11-9.8.2-02");
    await using harness = CredentialHarness.start({ agents: leaks });
    const client = await harness.rawSession();
    const accepted = await client.submit(agent, null, { lease_request: LEASE });
    await client.end(accepted.payload.job_id);
    const [value = ""] = harness.mint.values;
    const chunks = client.frames
      .filter(({ payload }) => payload?.kind === "result_chunk")
      .map(({ payload }) => payload.body);
    const text = chunks.map(({ data, encoding }) =>
      Buffer.from(data, encoding === "base64" ? "base64" : "utf8").toString(),
    );
    expect(text.join("")).not.toContain(value);
    expect(chunks.map(({ data }) => data).join("")).not.toContain(value);
    expect(emitted(client.frames)).not.toContain(value);
    expect(harness.bytes()).not.toContain(value);
    expect(harness.log.join("\n")).not.toContain(value);
    if (chunks.length > 0) expect(text.join("")).toMatch(/redacted/i);
  });
});

describe("a credential that goes from job to job", () => {
  const lease_request = { ...LEASE, "agent.delegate": ["child"] };

  it.each(["result", "error", "input"])("is masked in the %s of a delegation", async (way) => {
    covers("V11-9.8.2-02");
    await using harness = CredentialHarness.start({
      agents: {
        parent: async (_input, context) => {
          const input = way === "input" ? context.credentials[0]?.reveal() : null;
          const child = context.delegate({ agent: "child", input, lease_request: LEASE });
          const { result } = await child.done;
          await context.log("info", JSON.stringify(result));
          return result;
        },
        child: async (input, context) => {
          const value = context.credentials[0]?.reveal();
          if (way === "error") throw new Error(`refused: ${value}`);
          await context.log("info", JSON.stringify(input));
          return way === "input" ? input : value;
        },
      },
    });
    const client = await harness.rawSession();
    const accepted = await client.submit("parent", null, { lease_request });
    const end = await client.end(accepted.payload.job_id);
    expect(end.type).toBe(way === "error" ? "job.error" : "job.result");
    expect(harness.mint.values).toHaveLength(2);
    for (const value of harness.mint.values) {
      expect(emitted(client.frames)).not.toContain(value);
      expect(harness.bytes()).not.toContain(value);
      expect(harness.log.join("\n")).not.toContain(value);
    }
  });
});
