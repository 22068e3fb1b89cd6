import {
  CAPABILITY_FLAGS,
  CanonicalError,
  type Capabilities10,
  capabilitiesOf,
  decodeClientMessage10,
  errorToV10,
  negotiate10,
} from "@arcp/core/v1.0";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";

/** What a runtime reads of `capabilities` in a session.open. */
function readFrom(capabilities: unknown): Capabilities10 {
  const message = decodeClientMessage10({
    arcp: "1.0",
    id: "msg_1",
    type: "session.open",
    timestamp: "2026-05-09T14:00:00Z",
    payload: { capabilities },
  });
  if (message.type !== "session.open") throw new Error("not a session.open");
  return message.payload.capabilities;
}

const NOTHING = {
  ...Object.fromEntries(CAPABILITY_FLAGS.map((flag) => [flag, false])),
  extensions: [],
  binary_encoding: [],
  required: [],
};

describe("capabilities", () => {
  test("are understood under the names of the RFC", () => {
    covers("V10-7-05");
    const whole = {
      streaming: true,
      durable_jobs: true,
      checkpoints: true,
      binary_streams: true,
      agent_handoff: true,
      human_input: true,
      artifacts: true,
      subscriptions: true,
      scheduled_jobs: true,
      interrupt: true,
      anonymous: true,
      extensions: ["arcpx.example.v1", "com.acme.workflow.v2"],
      heartbeat_interval_seconds: 15,
      heartbeat_recovery: "block",
      binary_encoding: ["base64", "sidecar"],
      artifact_retention: { default_seconds: 60, max_seconds: 600 },
    };
    expect(readFrom(whole)).toEqual({ ...whole, required: [] });
    expect(Object.keys(whole).filter((name) => whole[name as "streaming"] === true)).toEqual([...CAPABILITY_FLAGS]);
  });

  test("that are absent are not there", () => {
    covers("V10-7-02");
    for (const nothing of [undefined, null, {}]) expect(readFrom(nothing)).toEqual(NOTHING);
    const nulls = Object.fromEntries(
      Object.keys(readFrom({ heartbeat_interval_seconds: 1 })).map((name) => [name, null]),
    );
    expect(readFrom(nulls)).toEqual(NOTHING);
  });

  test("are read in other SDKs' forms", () => {
    const read = readFrom({
      binary_encoding: [{ type: "base64" }, "morse"],
      heartbeat_recovery: { type: "fail" },
      model_use: true,
    });
    expect(read).toEqual({ ...NOTHING, binary_encoding: ["base64"], heartbeat_recovery: "fail" });
    expect(readFrom({ agents: ["echo", { name: "sum", versions: ["1.0.0"], default: "1.0.0" }] }).agents).toEqual([
      { name: "echo", versions: [] },
      { name: "sum", versions: ["1.0.0"], default: "1.0.0" },
    ]);
    expect(readFrom({ agents: { echo: true } }).agents).toBeUndefined();
  });

  test.each([
    [{ streaming: "yes" }, "streaming"],
    [{ extensions: "arcpx.example.v1" }, "extensions"],
    [{ extensions: [3] }, "extensions.0"],
    [{ extensions: Array.from({ length: 257 }, (_, n) => `arcpx.acme.n${n}`) }, "extensions"],
    [{ heartbeat_interval_seconds: 0 }, "heartbeat_interval_seconds"],
    [{ heartbeat_interval_seconds: 1e9 }, "heartbeat_interval_seconds"],
    [{ heartbeat_recovery: "pray" }, "heartbeat_recovery"],
    [{ binary_encoding: "base64" }, "binary_encoding"],
    [{ artifact_retention: { default_seconds: 1 } }, "artifact_retention.max_seconds"],
    [{ required: true }, "required"],
  ])("that are wrong are refused: %j", (capabilities, path) => {
    expect(() => readFrom(capabilities)).toThrow(
      expect.objectContaining({ details: { type: "session.open", path: `payload.capabilities.${path}` } }),
    );
  });
});

const flags = fc.record(
  Object.fromEntries(CAPABILITY_FLAGS.map((flag) => [flag, fc.boolean()])) as Record<string, fc.Arbitrary<boolean>>,
);
const offer = fc
  .record({
    flags,
    extensions: fc.uniqueArray(fc.constantFrom("arcpx.a.x.v1", "arcpx.b.x.v1", "com.c.x.v1")),
    binary_encoding: fc.uniqueArray(fc.constantFrom("base64", "sidecar")),
    heartbeat_interval_seconds: fc.option(fc.integer({ min: 1, max: 120 }), { nil: undefined }),
  })
  .map(({ flags, ...rest }) => capabilitiesOf({ ...flags, ...rest } as Partial<Capabilities10>));

describe("negotiation", () => {
  test("agrees on what both have, and on nothing that only one has", () => {
    covers("V10-7-04");
    fc.assert(
      fc.property(offer, offer, (offered, requested) => {
        const agreed = negotiate10(offered, requested);
        for (const flag of CAPABILITY_FLAGS) expect(agreed[flag]).toBe(offered[flag] && requested[flag]);
        for (const name of ["arcpx.a.x.v1", "arcpx.b.x.v1", "com.c.x.v1"]) {
          const isShared = offered.extensions.includes(name) && requested.extensions.includes(name);
          expect(agreed.extensions.includes(name)).toBe(isShared);
        }
        const isSidecar = [offered, requested].every(({ binary_encoding }) => binary_encoding.includes("sidecar"));
        expect(agreed.binary_encoding).toEqual(isSidecar ? ["base64", "sidecar"] : ["base64"]);
      }),
    );
  });

  test.each([
    [undefined, undefined, 30],
    [undefined, 45, 45],
    [20, undefined, 20],
    [20, 45, 20],
    [45, 20, 20],
  ])("of heartbeats every %s s and %s s gives %s s", (offered, requested, agreed) => {
    const heartbeats = (seconds: number | undefined) => capabilitiesOf({ heartbeat_interval_seconds: seconds });
    expect(negotiate10(heartbeats(offered), heartbeats(requested)).heartbeat_interval_seconds).toBe(agreed);
  });

  test("leaves lost jobs and old artifacts to the runtime", () => {
    const retention = { default_seconds: 60, max_seconds: 600 };
    const runtime = capabilitiesOf({ artifacts: true, artifact_retention: retention, heartbeat_recovery: "block" });
    const client = capabilitiesOf({ artifacts: true, heartbeat_recovery: "fail" });
    expect(negotiate10(runtime, client)).toMatchObject({ artifact_retention: retention, heartbeat_recovery: "block" });
    expect(negotiate10(capabilitiesOf(), client).heartbeat_recovery).toBe("fail");
    expect(negotiate10(runtime, capabilitiesOf()).artifact_retention).toBeUndefined();
  });

  test("fails with UNIMPLEMENTED for what is required and not there", () => {
    const runtime = capabilitiesOf({ streaming: true, artifacts: true, extensions: ["arcpx.a.x.v1"] });
    const asking = (...required: string[]) =>
      capabilitiesOf({ streaming: true, interrupt: true, extensions: ["arcpx.a.x.v1", "com.c.x.v1"], required });
    expect(negotiate10(runtime, asking("streaming", "arcpx.a.x.v1")).streaming).toBe(true);
    for (const missing of ["interrupt", "artifacts", "com.c.x.v1", "teleport", "toString", "extensions"]) {
      try {
        negotiate10(runtime, asking("streaming", missing));
        throw new Error(`${missing} was not missed`);
      } catch (error) {
        expect(error).toBeInstanceOf(CanonicalError);
        expect(errorToV10(error)).toMatchObject({
          code: "UNIMPLEMENTED",
          retryable: false,
          details: { missing: [missing] },
        });
      }
    }
  });
});
