/** Signing in with JWTs from the command line: a token is made, a runtime is told of the key, and scopes count. */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ARCPClient } from "@arcp/client";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import { Workspace } from "./arcp.ts";

const made = ({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }) => ({
  token: stdout.trim(),
  /** What the command says that a runtime is to be started with. */
  serve: /arcp serve (.*)/.exec(stderr)?.[1]?.split(" ") ?? [],
});

describe("arcp token", () => {
  test.each(["ES256", "HS256"])(
    "with %s: the runtime that it names takes the token, and its scopes count",
    async (alg) => {
      await using workspace = await Workspace.create({});
      const reader = made(await workspace.run(["token", "--alg", alg, "--scope", "observe:own", "--tenant", "acme"]));
      expect(decodeProtectedHeader(reader.token).alg).toBe(alg);
      expect(decodeJwt(reader.token)).toMatchObject({ sub: "alice", scope: "observe:own", tenant: "acme" });
      const submitter = made(await workspace.run(["token", "--alg", alg, "--scope", "submit", "--tenant", "acme"]));
      const { url } = await workspace.serve(reader.serve);
      const submitted = await workspace.run(["submit", "echo", "--input", "1", "--url", url], {
        env: { ARCP_TOKEN: reader.token },
      });
      expect(submitted.code).not.toBe(0);
      expect(submitted.stderr).toContain("submit is needed");
      await using client = await ARCPClient.connect(url, { token: async () => submitter.token });
      expect((await (await client.submit({ agent: "echo", input: 7 })).done).result).toEqual({ echoed: 7 });
      const forged = `${submitter.token.slice(0, -4)}AAAA`;
      await expect(ARCPClient.connect(url, { token: forged })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    },
  );

  test("keeps its key from others, uses it again, and publishes no more than the public part", async () => {
    await using workspace = await Workspace.create({});
    await workspace.run(["token"]);
    const path = join(workspace.directory, ".arcp", "jwt-key.json");
    expect((await stat(path)).mode & 0o077).toBe(0);
    const before = await readFile(path, "utf8");
    await workspace.run(["token"]);
    expect(await readFile(path, "utf8")).toBe(before);
    const published = await readFile(join(workspace.directory, ".arcp", "jwt-key.public.json"), "utf8");
    expect(JSON.parse(published).keys).toHaveLength(1);
    expect(published).not.toContain(JSON.parse(before).d);
  });

  test.each([
    [["--scope", "everything"], "there are submit, observe:own"],
    [["--expires", "86401"], "a day"],
    [["--key", "open.json"], "others can read it"],
    [["--key", "rsa.json"], "no private key for ES256"],
    [["--alg", "HS256", "--key", "short"], "no secret of at least 32 bytes"],
  ])("%j is refused: %s", async (args, why) => {
    await using workspace = await Workspace.create({});
    await mkdir(join(workspace.directory, ".arcp"));
    await writeFile(join(workspace.directory, "open.json"), "{}", { mode: 0o644 });
    await writeFile(join(workspace.directory, "rsa.json"), '{"kty":"RSA","d":"s3cret"}', { mode: 0o600 });
    await writeFile(join(workspace.directory, "short"), "s3cret", { mode: 0o600 });
    const ended = await workspace.run(["token", ...args]);
    expect(ended).toMatchObject({ code: 64, stdout: "" });
    expect(ended.stderr).toContain(why);
    expect(ended.stderr).not.toContain("s3cret");
  });
});

test.each([
  [["--jwt-issuer", "me"], "JWTs need --jwks or --jwt-secret-file"],
  [["--jwks", "keys.json", "--jwt-issuer", "me"], "JWTs need --jwt-audience"],
  [["--jwks", "keys.json", "--jwt-audience", "me"], "JWTs need --jwt-issuer"],
  [["--jwks", "keys.json", "--jwt-audience", "me", "--jwt-issuer", "you"], "cannot read"],
  [["--jwks", "http://issuer.example.com/", "--jwt-audience", "me", "--jwt-issuer", "you"], "use https"],
  [["--client-ca", "ca.pem"], "--client-ca and --client-name go together"],
])("arcp serve %j is refused: %s", async (args, why) => {
  await using workspace = await Workspace.create({});
  const ended = await workspace.run(["serve", "--port", "0", ...args]);
  expect(ended.code).toBe(64);
  expect(ended.stderr).toContain(why);
});
