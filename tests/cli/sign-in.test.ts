/** `arcp serve` with an identity provider: who has signed in there is let in, with what the provider says of them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ARCPClient } from "@arcp/client";
import { expect, test } from "vitest";
import { IdentityProviderStub } from "../dashboard/identity-provider.ts";
import { Workspace } from "./arcp.ts";

test("who comes back from the provider gets a token of the page, and no more than its claims permit", async () => {
  await using provider = await IdentityProviderStub.start();
  await using workspace = await Workspace.create({});
  const auth = {
    oidc: {
      ...{ issuer: provider.issuer, clientId: "dashboard", publicUrls: ["http://localhost:7777/"] },
      ...{ idTokenAlgorithm: "ES256", scopesClaim: "permissions", clientSecret: { env: "OIDC_SECRET" } },
    },
  };
  await writeFile(
    join(workspace.directory, "arcp.config.mjs"),
    `import echo from "./echo.ts";
export default ${JSON.stringify({ auth })};`,
  );
  await writeFile(join(workspace.directory, "echo.ts"), "export default async (input) => input;");
  const { url } = await workspace.serve(["--agent", "echo=./echo.ts"], { OIDC_SECRET: "s3cret" });
  const page = new URL("/", url.replace(/^ws/, "http"));
  const post = (name: string, cookie = ""): Promise<Response> =>
    fetch(new URL(`auth/${name}`, page), {
      ...{ method: "POST", body: "{}" },
      headers: {
        origin: "http://localhost:7777",
        "content-type": "application/json",
        ...(cookie !== "" && { cookie }),
      },
    });
  provider.faults = { claims: { permissions: ["arcp:observe:own"] } };
  const begun = await post("begin");
  const { location } = (await begun.json()) as { readonly location: string };
  const back = provider.agree(location);
  back.host = page.host;
  const cookieOf = (answer: Response): string => answer.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const answer = await fetch(back, { headers: { cookie: cookieOf(begun) }, redirect: "manual" });
  expect([answer.status, answer.headers.get("location")]).toEqual([303, "/#/"]);
  const { token } = (await (await post("token", cookieOf(answer))).json()) as { readonly token: string };
  await using client = await ARCPClient.connect(url, { token });
  expect((await client.listJobs()).jobs).toEqual([]);
  await expect(client.submit({ agent: "echo", input: 1 })).rejects.toMatchObject({
    ...{ code: "PERMISSION_DENIED", details: { permission: "submit" } },
  });
  await expect(ARCPClient.connect(url, { token: "anything" })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
});

test.each([
  [["--oidc-issuer", "https://id.example"], "go together"],
  [["--oidc-issuer", "https://id.example", "--oidc-client-id", "arcp", "--port", "0"], "say --public-url"],
  [["--oidc-issuer", "https://id.example", "--oidc-client-id", "arcp", "--no-dashboard"], "which is not served here"],
])("%j is refused: %s", async (args, why) => {
  await using workspace = await Workspace.create({});
  const ended = await workspace.run(["serve", ...args]);
  expect([ended.code, ended.stdout]).toEqual([64, ""]);
  expect(ended.stderr).toContain(why);
});
