import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { type JsonLine, Workspace } from "./arcp.ts";

/** Hands its job to the runtime of the name that it is given, and says why it could not. */
const LEAVER = `
export default async (input, ctx) => {
  try {
    await ctx.handoff({ runtime: input.to, agent: "worker", input: { from: ctx.traceId } });
  } catch (error) {
    return { stayed: error.code, message: error.message };
  }
};
`;
const WORKER = `
export default async (input, ctx) => {
  await ctx.log("info", "working");
  return { ...input, here: ctx.traceId };
};
`;
const OTHER = `sha256:${"0".repeat(64)}`;

/** A runtime that takes jobs over, and one that hands them to it under several names. */
async function twoRuntimes() {
  const workspace = await Workspace.create({ "leaver.ts": LEAVER, "worker.ts": WORKER });
  const taker = await workspace.serve(["--agent", "worker=./worker.ts", "--db", "taker.db"], {
    ARCP_TOKEN: "peer-token=giver",
  });
  const ready = await taker.command.sees(({ type }) => type === "ready");
  const peer = { url: taker.url, token: { env: "PEER_TOKEN" }, fingerprint: ready["fingerprint"] };
  const peers = {
    taker: peer,
    impostor: { ...peer, fingerprint: OTHER },
    nobody: { ...peer, url: "ws://127.0.0.1:1/arcp" },
    stranger: { ...peer, token: { env: "WRONG_TOKEN" } },
  };
  const config = { agents: { leaver: "./leaver.ts" }, db: "giver.db", tokens: { "client-token": "alice" }, peers };
  await writeFile(workspace.path("giver.json"), JSON.stringify(config), { mode: 0o600 });
  const giver = await workspace.serve(["--config", "giver.json"], { PEER_TOKEN: "peer-token", WRONG_TOKEN: "wrong" });
  const leave = (to: string) => {
    const lease = JSON.stringify({ "agent.delegate": ["worker"] });
    const payload = JSON.stringify({ tool: "leaver", arguments: { to }, lease_request: JSON.parse(lease) });
    return workspace.run(["send", "tool.invoke", payload], {
      env: { ARCP_URL: giver.url, ARCP_TOKEN: "client-token" },
    });
  };
  return {
    workspace,
    leave,
    fingerprint: ready["fingerprint"],
    [Symbol.asyncDispose]: () => workspace[Symbol.asyncDispose](),
  };
}

const ofType = (lines: readonly JsonLine[], wanted: string): JsonLine => {
  const found = lines.find(({ type }) => type === wanted);
  if (found === undefined) throw new Error(`no ${wanted} in ${JSON.stringify(lines)}`);
  return found;
};

describe("a job that an agent hands over to another runtime", () => {
  it("goes on there under the same trace, and ends here with where it went", async () => {
    covers("V10-14-04", "V10-14-05", "V10-8.3-02");
    await using world = await twoRuntimes();
    const { code, lines, stderr } = await world.leave("taker");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const handoff = ofType(lines, "agent.handoff");
    expect(handoff).toMatchObject({ payload: { to_runtime: { kind: "arcp", fingerprint: world.fingerprint } } });
    const there = String((handoff["payload"] as JsonLine)["job_id"]);
    expect(ofType(lines, "tool.result")).toMatchObject({ payload: { handoff: { job_id: there } } });

    let replayed = await world.workspace.run(["replay", "taker.db", "--job", there, "--json"]);
    while (["pending", "running"].includes(String(replayed.lines[0]?.["status"]))) {
      replayed = await world.workspace.run(["replay", "taker.db", "--job", there, "--json"]);
    }
    const [job] = replayed.lines;
    expect(job).toMatchObject({ job_id: there, agent: "worker@0.0.0", principal: "giver", status: "success" });
    expect(job?.["trace_id"]).toBe(handoff["trace_id"]);
    const trace = handoff["trace_id"];
    expect(ofType(replayed.lines, "job.result")).toMatchObject({ result: { from: trace, here: trace } });
  });

  const refusals: readonly (readonly [string, string, RegExp])[] = [
    ["with another fingerprint", "impostor", /"stayed":"UNAUTHENTICATED","message":"the runtime is not the one/],
    ["that cannot be reached", "nobody", /"stayed":"INTERNAL_ERROR","message":"could not connect/],
    ["that does not know this one", "stranger", /"stayed":"UNAUTHENTICATED"/],
    ["that the operator has not named", "elsewhere", /"stayed":"INVALID_REQUEST"/],
  ];
  it.each(refusals)("stays, and goes on, where the runtime is one %s", async (_, to, outcome) => {
    covers("V10-14-04");
    await using world = await twoRuntimes();
    const { code, lines } = await world.leave(to);
    expect(code).toBe(0);
    expect(JSON.stringify(ofType(lines, "tool.result"))).toMatch(outcome);
    const taken = await world.workspace.run(["replay", "taker.db", "--json"]);
    expect(taken.stdout).toBe("");
  });
});

describe("peers in a configuration", () => {
  const peer = { url: "wss://other.example/arcp", token: "t", fingerprint: OTHER };
  const cases: readonly (readonly [string, object, RegExp])[] = [
    ["without a fingerprint", { ...peer, fingerprint: "" }, /peer other: fingerprint is sha256: and 64 digits/],
    ["at an address that is none", { ...peer, url: "https://other.example" }, /peer other: url is not one/],
    ["with a setting that there is not", { ...peer, pin: "x" }, /peer other: there is no setting "pin"/],
    ["whose token is not there", { ...peer, token: { env: "NOWHERE" } }, /peer other: the token \(\$NOWHERE\)/],
  ];
  it.each(cases)("%s are refused", async (_, other, message) => {
    await using workspace = await Workspace.create();
    const config = { agents: { x: "./x.ts" }, peers: { other } };
    await writeFile(workspace.path("c.json"), JSON.stringify(config), { mode: 0o600 });
    await writeFile(workspace.path("x.ts"), WORKER);
    const { code, stderr } = await workspace.run(["serve", "--config", "c.json"]);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(message) });
  });
});
