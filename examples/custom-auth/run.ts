/** Tokens of one's own, and whom they let in (§6.1): `node examples/custom-auth/run.ts`. */
import assert from "node:assert/strict";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { ARCPClient, type BearerVerifier, UnauthenticatedError } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const secret = randomBytes(32);
const seal = (name: string): Buffer => createHmac("sha256", secret).update(name).digest();
const tokenFor = (name: string): string => `${name}.${seal(name).toString("hex")}`;

const signedTokens: BearerVerifier = {
  async verify(token) {
    const [name = "", signature = ""] = token.split(".");
    const shown = Buffer.from(signature, "hex");
    const expected = seal(name);
    if (shown.length === expected.length && timingSafeEqual(shown, expected)) return { principal: name };
    // No hint at what is wrong with it.
    throw new UnauthenticatedError("the token is not valid");
  },
};

await withRuntime(
  { greet: async () => "hello" },
  async (connect) => {
    for (const name of ["ada", "grace"]) {
      await using client = await ARCPClient.connect(connect, { token: tokenFor(name) });
      await (await client.submit({ agent: "greet" })).done;
      const { jobs } = await client.listJobs();
      console.log(`${name.padEnd(8)} is let in, and sees ${jobs.length} job`);
      assert.equal(jobs.length, 1);
    }
    const forged = tokenFor("ada").replace("ada", "root");
    await assert.rejects(ARCPClient.connect(connect, { token: forged }), UnauthenticatedError);
    console.log("root     UNAUTHENTICATED");
  },
  { bearer: signedTokens },
);
