/** Credentials of durable jobs: a secret does not outlive the process that had it, and a job that goes on gets another. */
import type { CredentialProvisioner } from "@arcp/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Lives, turns } from "./lives.ts";

let clock: ManualClock;
let lives: Lives;
let issued: string[];
let revoked: string[];
let isDown: boolean;
const secrets: (string | undefined)[] = [];

/** An upstream: it outlives every runtime. */
const provisioner: CredentialProvisioner = {
  name: "upstream",
  issuesFor: () => true,
  issue: async ({ alias }) => {
    if (isDown) throw new Error("the upstream is down");
    issued.push(alias);
    return { value: `sk-secret-${issued.length}`, endpoint: "https://upstream.example/v1" };
  },
  revoke: async ({ alias }) => void revoked.push(alias),
};

beforeEach(async () => {
  clock = new ManualClock();
  [issued, revoked, isDown] = [[], [], false];
  secrets.splice(0);
  lives = new Lives(
    {
      main: {
        handler: async (_input, context) => {
          secrets.push(context.credentials[0]?.reveal());
          await context.step("once", () => context.log("info", "only once"));
          await context.sleep(60_000);
          await context.log("info", `it is ${context.credentials[0]?.reveal()}`);
        },
      },
    },
    { clock, credentialProvisioners: [provisioner] },
  );
  await lives.begin();
});
afterEach(() => lives[Symbol.asyncDispose]());

test("a job that goes on has a new credential, the old one is revoked, and both are masked", async () => {
  covers("V11-14-21", "V11-9.8.2-04");
  const client = await lives.session();
  const { payload } = await client.submit("main", null, { lease_request: { "model.use": ["*"] } });
  await turns();
  await lives.kill();
  await lives.begin();
  const again = await lives.resumed(client);
  await turns();
  expect(secrets).toEqual(["sk-secret-1", "sk-secret-2"]);
  expect(issued).toHaveLength(2);
  expect(revoked).toContain(issued[0]);
  expect(revoked).not.toContain(issued[1]);
  clock.advance(60_000);
  expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "success" });
  await turns();
  expect(new Set(revoked)).toEqual(new Set(issued));
  const told = again.ofJob(payload.job_id).map(({ payload: event }) => event.body ?? {});
  expect(told.map(({ phase }) => phase).filter(Boolean)).toEqual(["resumed", "credential_rotated"]);
  expect(told.find(({ message }) => message?.startsWith("it is"))?.message).not.toContain("sk-secret");
});

test("a job that gets none any more ends, and says why", async () => {
  const client = await lives.session();
  const { payload } = await client.submit("main", null, { lease_request: { "model.use": ["*"] } });
  await turns();
  await lives.kill();
  isDown = true;
  await lives.begin();
  const again = await lives.resumed(client);
  expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "error", code: "INTERNAL_ERROR" });
  expect(secrets).toEqual(["sk-secret-1"]);
  expect(revoked).toContain(issued[0]);
});
