/** What another SDK's client and runtime sent each other, read by ours. */
import type { JsonObject } from "@arcp/core";
import {
  CLIENT_TYPES,
  decodeAnyMessage10,
  decodeClientMessage10,
  decodeRuntimeMessage10,
  hasCorePrefix,
  isExtensionType,
} from "@arcp/core/v1.0";
import { expect, test } from "vitest";
import { readRecording10, recordings10 } from "../interop/recording.ts";

/** The flows in which the client says what no runtime knows. */
const UNKNOWN_TYPES: Readonly<Record<string, string>> = {
  "unknown-core-type": "job.teleport",
  "unknown-extension-optional": "arcpx.interop.unknown.v1",
  "unknown-extension-required": "arcpx.interop.unknown.v1",
};

const frames = recordings10.flatMap((name) =>
  readRecording10(name).map(({ from, frame }, index) => {
    const whole: JsonObject = { ...frame };
    return { name, line: index + 1, from, frame: whole };
  }),
);

test("there are frames of both sides", () => {
  expect(recordings10).toHaveLength(36);
  expect(frames.filter(({ from }) => from === "client")).toHaveLength(100);
  expect(frames.filter(({ from }) => from === "runtime")).toHaveLength(218);
});

test.each(recordings10)("%s is read, message by message", (name) => {
  for (const { line, from, frame } of frames.filter((row) => row.name === name)) {
    const type = frame["type"] as string;
    const where = `${name}:${line} ${type}`;
    const decode = from === "client" ? decodeClientMessage10 : decodeRuntimeMessage10;
    if (from === "client" && !CLIENT_TYPES.has(type)) {
      expect(decodeAnyMessage10(frame), where).toMatchObject({ id: frame["id"], type });
      expect(hasCorePrefix(type) || isExtensionType(type), where).toBe(true);
      expect([UNKNOWN_TYPES[name], "com.acme.workflow.v2"], where).toContain(type);
    } else {
      const { payload, ...envelope } = frame;
      const message = decode(frame);
      expect(message, where).toMatchObject(envelope);
      // Our name for `attrs` is `attributes`.
      for (const member of Object.keys(payload as object).filter((member) => member !== "attrs")) {
        expect(message.payload, where).toHaveProperty([member]);
      }
    }
  }
});
