/** The examples of wire 1.0: each holds over every carrier, and says so when it does not hold. */
import { AssertionError } from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type BearerVerifier, type TransportFactory, UnauthenticatedError } from "@arcp/sdk";
import { describe, expect, test } from "vitest";
import fix from "../../examples/human-input/agent.ts";
import { humanInput } from "../../examples/human-input/client.ts";
import { minimalSession } from "../../examples/minimal-session/client.ts";
import build from "../../examples/observer/agent.ts";
import { observer } from "../../examples/observer/client.ts";
import refund from "../../examples/permission-challenge/agent.ts";
import { permissionChallenge } from "../../examples/permission-challenge/client.ts";
import release from "../../examples/relay/agent.ts";
import { relay } from "../../examples/relay/client.ts";
import { bearer } from "../../examples/runtime.ts";
import read from "../../examples/tool-with-progress-and-stream/agent.ts";
import { toolWithProgressAndStream } from "../../examples/tool-with-progress-and-stream/client.ts";
import { covers } from "../support/covers.ts";
import { type HarnessOptions, startHarness } from "../support/harness.ts";

interface Example {
  readonly name: string;
  readonly agents: NonNullable<HarnessOptions["agents"]>;
  readonly scenario: (connect: TransportFactory, say: (line: string) => void) => Promise<void>;
  /** What it says, among other things and in this order. */
  readonly says: readonly (string | RegExp)[];
}

const EXAMPLES: readonly Example[] = [
  {
    name: "minimal-session",
    agents: {},
    scenario: minimalSession,
    says: [/^accepted {2}sess_/, /^runtime {3}/, /^pong {6}\d{4}-/, "closed    closed", /^refused {3}/],
  },
  {
    name: "tool-with-progress-and-stream",
    agents: { read },
    scenario: toolWithProgressAndStream,
    says: [/^accepted {2}job_/, "started", "progress  16 %", "progress  100 %", 'result    {"words":6}'],
  },
  {
    name: "human-input",
    agents: { fix },
    scenario: humanInput,
    says: [
      /^question {2}What branch/,
      /^refused {3}\/branch: must match/,
      /^log {7}terminal:demo/,
      /^result .*"default"/,
    ],
  },
  {
    name: "permission-challenge",
    agents: { refund },
    scenario: permissionChallenge,
    says: [/^request {3}payment/, /^granted {3}until/, /^extended {2}until/, /^revoked {3}the supervisor/, /^result/],
  },
  {
    name: "observer",
    agents: { build },
    scenario: observer,
    says: ["history   job.progress 50", /what comes now is new/, "live      job.progress 75", /^live .*built$/],
  },
  {
    name: "relay",
    agents: { release },
    scenario: relay,
    says: [/shows the question about the version/, /clears it: answered elsewhere/, /^published .*, as .* said$/],
  },
];

/** What a scenario says against such a runtime. */
async function saidIn(options: HarnessOptions, { scenario }: Example): Promise<string[]> {
  await using harness = startHarness(options);
  const said: string[] = [];
  let isOver = false;
  const connect = async () => {
    if (isOver) throw new UnauthenticatedError("the runtime is not there any more");
    return harness.transport();
  };
  try {
    await scenario(connect, (line) => void said.push(line));
    return said;
  } finally {
    isOver = true;
  }
}

/** An agent that does none of it. */
const idle = async (): Promise<string> => "nothing";
/** A runtime that lets everybody in. */
const careless: BearerVerifier = { verify: async () => ({ principal: "anybody" }) };

/** The lines of `said` that match, in their order. */
function inOrder(said: readonly string[], says: Example["says"]): readonly (string | undefined)[] {
  let from = 0;
  return says.map((expected) => {
    const at = said.findIndex((line, index) => index >= from && isSaid(line, expected));
    if (at >= 0) from = at + 1;
    return said[at];
  });
}

const isSaid = (line: string, expected: string | RegExp): boolean =>
  typeof expected === "string" ? line === expected : expected.test(line);

describe.each(EXAMPLES)("$name", (example) => {
  test.each(["memory", "stdio", "websocket", "socket"] as const)("holds over %s", async (carrier) => {
    covers("V10-6.3-05", "V10-6.4-08", "V10-8.1-04", "V10-9-05", "V10-12.3-01", "V10-12.3-02", "V10-12.3-04");
    covers("V10-12.4-03", "V10-13.2-02", "V10-13.3-02", "V10-15.4-01", "V10-15.4-04", "V10-15.5-01", "V10-15.5-03");
    const said = await saidIn({ carrier, agents: example.agents, server: { bearer } }, example);
    expect({ said, missing: inOrder(said, example.says).filter((line) => line === undefined) }).toMatchObject({
      missing: [],
    });
  });

  test("fails where it does not hold", async () => {
    const agents = Object.fromEntries(Object.keys(example.agents).map((name) => [name, idle]));
    const failure = saidIn({ agents, server: { bearer: careless } }, example);
    await expect(failure).rejects.toBeInstanceOf(AssertionError);
  });

  test("runs alone", async () => {
    const script = fileURLToPath(new URL(`../../examples/${example.name}/run.ts`, import.meta.url));
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script]);
    expect(stderr).toBe("");
    expect(inOrder(stdout.split("\n"), example.says)).not.toContain(undefined);
  });
});
