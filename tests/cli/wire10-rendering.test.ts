import type { ToolQuestion } from "@arcp/client";
import type { JsonObject } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { eventLine } from "../../packages/sdk/src/cli/event-line.ts";
import { frameLine } from "../../packages/sdk/src/cli/frame-line.ts";
import { questionFacts, questionText } from "../../packages/sdk/src/cli/question-view.ts";
import { frameOf, RUNTIME_SAMPLES } from "../core/v1.0-samples.ts";

const plain = { style: (_style: unknown, text: string): string => text };
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/;
const HOSTILE = "\u001b]52;c;x\u0007\u009b31m\u202e\u200b\r$(reboot)";

/** The same with every text in it, but for what makes it a message of its type, taken over. */
function poisoned(value: unknown, path = ""): unknown {
  const isStructure = /^\.(arcp|id|type|timestamp|job_id|session_id|stream_id|subscription_id)$/.test(path);
  if (typeof value === "string") return isStructure ? value : HOSTILE;
  if (Array.isArray(value)) return value.map((member) => poisoned(member, `${path}[]`));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, poisoned(member, `${path}.${name}`)]));
}

describe("a message of wire 1.0 for people", () => {
  const frames = Object.entries(RUNTIME_SAMPLES).flatMap(([type, sample]) =>
    (["least", "most"] as const).map((which) => [type, which, frameOf(type, sample, sample[which])] as const),
  );

  it.each(frames)("%s with the %s that there can be is shown, and never acts", (_type, _which, frame) => {
    const shown = frameLine(frame as JsonObject, plain);
    expect(shown).toMatch(/^ {2}(\d\d:\d\d:\d\d| {8}) \S/);
    for (const value of [frame, poisoned(frame)]) expect(frameLine(value as JsonObject, plain)).not.toMatch(UNSAFE);
  });

  const message = (type: string, payload: object, more: object = {}): JsonObject => ({
    ...{ arcp: "1.0", id: "msg_1", type, job_id: "job_1", payload },
    ...more,
  });
  const table: readonly (readonly [JsonObject, string])[] = [
    [message("tool.result", { value: { a: 1 } }), '✔        {"a":1}'],
    [message("tool.result", { value: "text" }), "✔        text"],
    [message("tool.error", { code: "NOT_FOUND", message: "none" }), "✖        NOT_FOUND: none"],
    [message("job.cancelled", { reason: "enough" }), "✖        cancelled: enough"],
    [message("job.progress", { percent: 50, message: "half" }), "progress 50% · half"],
    [message("job.progress", { current: 1, total: 4, percent: 25 }), "progress 25% 1/4"],
    [message("log", { level: "warn", message: "careful", attributes: { n: 1 } }), 'warn     careful {"n":1}'],
    [message("pong", { nonce: "n" }, { job_id: undefined }), "pong     n"],
    [message("x.unknown", { a: 1 }), 'message  x.unknown {"a":1}'],
    [
      message("human.input.request", { prompt: "Who?" }),
      "asks     Who?\n                     answer with: arcp respond msg_1",
    ],
    [message("human.input.request", { prompt: "Who?" }, { id: "$(reboot)" }), "asks     Who?\n                     "],
    [
      message("nack", {
        ...{ code: "PERMISSION_DENIED", message: "no" },
        details: { capability: "fs.read", needed: "/etc/*" },
      }),
      "✖        PERMISSION_DENIED: no\n                     it would take fs.read: /etc/*",
    ],
  ];
  it.each(table)("%j is a line", (frame, line) => {
    expect(frameLine(frame, plain).slice(11)).toBe(line);
  });
});

describe("what jobs tell beyond wire 1.1", () => {
  const told = (name: string, body: unknown): string =>
    eventLine({ jobId: "job_1" as never, seq: undefined, ts: undefined, kind: "vendor", name, body } as never, plain);
  const table: readonly (readonly [string, unknown, string])[] = [
    ["accepted", { command: "tool.invoke", agent: "a@1" }, "accepted tool.invoke a@1"],
    ["state", { state: "blocked", reason: "input q_1" }, "state    blocked input q_1"],
    [
      "question",
      { id: "q_1", question: "input", prompt: "Who?" },
      "asks     Who?\n                     answer with: arcp respond q_1",
    ],
    ["answer", { outcome: "answered", responded_by: "alice" }, "answer   answered alice"],
    [
      "lease",
      { event: "granted", permission: "fs.read", operation: "read", resource: "/x" },
      "granted  fs.read read /x",
    ],
    ["stream.chunk", { stream_id: "str_1", data: { a: 1 } }, 'stream   str_1: {"a":1}'],
    ["other", { a: 1 }, 'event    x-vendor.arcp.other {"a":1}'],
    ["state", null, "event    x-vendor.arcp.state null"],
  ];
  it.each(table)("%s of %j is a line", (name, body, line) => {
    expect(told(`x-vendor.arcp.${name}`, body).slice(11)).toBe(line);
    expect(told(`x-vendor.arcp.${name}`, poisoned(body))).not.toMatch(UNSAFE);
  });
});

it("questions are listed without their acting on a terminal", () => {
  const facts = { id: HOSTILE, jobId: HOSTILE, sessionId: undefined, refusal: undefined, expiresAt: undefined };
  const asked = { ...facts, destinations: [], prompt: HOSTILE };
  const questions: readonly ToolQuestion[] = [
    { ...asked, kind: "input", responseSchema: {}, default: HOSTILE, expiresAt: "2999-01-01T00:00:00Z" },
    { ...asked, kind: "choice", options: [{ id: HOSTILE, label: HOSTILE }], default: undefined },
    {
      ...{ ...asked, kind: "permission", permission: HOSTILE, resource: HOSTILE, operation: HOSTILE, reason: HOSTILE },
      requestedLeaseSeconds: 1,
    },
  ];
  for (const question of questions) {
    const text = questionText(question, plain, true);
    expect(text).not.toMatch(UNSAFE);
    expect(text).toContain("arcp respond <id>");
    expect(questionFacts(question)).toMatchObject({ type: "question", kind: question.kind });
  }
});
