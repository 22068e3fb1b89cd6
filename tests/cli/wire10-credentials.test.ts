import { X509Certificate } from "node:crypto";
import { stat, writeFile } from "node:fs/promises";
import { ARCPToolClient, type Credentials } from "@arcp/client";
import { silentLogger, WebSocketTransport } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { AUDIENCE, SigningKey } from "../auth/tokens.ts";
import { createAuthority, createCertificate } from "../operations/certificate.ts";
import { covers } from "../support/covers.ts";
import { ECHO } from "./agents.ts";
import { Workspace } from "./arcp.ts";

async function configured(settings: object): Promise<Workspace> {
  const workspace = await Workspace.create({ "echo.ts": ECHO });
  const config = { agents: { echo: "./echo.ts" }, db: ":memory:", ...settings };
  await writeFile(workspace.path("arcp.config.json"), JSON.stringify(config), { mode: 0o600 });
  return workspace;
}

const inAnHour = (): number => Math.floor(Date.now() / 1000) + 3600;

/** Whose session these credentials open, or what they are refused with. */
async function opened(target: string | WebSocketTransport, auth: Credentials, fingerprint?: string): Promise<string> {
  const certificate = fingerprint === undefined ? {} : { fingerprint };
  try {
    const client = await ARCPToolClient.open(target, {
      ...{ auth, client: { kind: "test", version: "1", ...certificate }, logger: silentLogger },
    });
    const { value } = await client.invoke("echo", { n: 1 }).done;
    await client.close();
    return JSON.stringify(value);
  } catch (error) {
    return (error as { readonly code: string }).code;
  }
}

describe("auth in a configuration", () => {
  it("lets signed tokens in over both wires, and nobody else", async () => {
    covers("V10-8.2-05");
    const key = await SigningKey.generate("ES256");
    const jwks = { keys: [await key.jwk()] };
    await using workspace = await configured({ auth: { jwt: { audience: AUDIENCE, jwks } } });
    const { url } = await workspace.serve([]);
    const token = await key.sign({ sub: "alice", aud: AUDIENCE, exp: inAnHour() });
    const other = await key.sign({ sub: "alice", aud: "https://elsewhere.example", exp: inAnHour() });
    expect(await opened(url, { scheme: "signed_jwt", token })).toBe('{"echoed":{"n":1}}');
    expect(await opened(url, { scheme: "signed_jwt", token: other })).toBe("UNAUTHENTICATED");
    const asBearer = (value: string) => workspace.run(["jobs"], { env: { ARCP_URL: url, ARCP_TOKEN: value } });
    expect((await asBearer(token)).lines).toMatchObject([{ agent: "echo@1.2.0" }]);
    expect((await asBearer(other)).code).toBe(1);
    await expect(stat(workspace.path(".arcp/token"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("keeps configured tokens as they are beside it", async () => {
    const secret = "a-secret-of-more-than-thirty-two-bytes";
    const jwt = { audience: AUDIENCE, jwks: { secret: { env: "JWT_SECRET" } } };
    await using workspace = await configured({ auth: { jwt }, tokens: { "opaque-token": "bob" } });
    const { url } = await workspace.serve(["--ws"], { JWT_SECRET: secret });
    expect(await opened(url, { scheme: "bearer", token: "opaque-token" })).toBe('{"echoed":{"n":1}}');
    expect(await opened(url, { scheme: "bearer", token: "any" })).toBe("UNAUTHENTICATED");
    expect(await opened(url, { scheme: "signed_jwt", token: "any" })).toBe("UNAUTHENTICATED");
  });

  it("knows clients by their certificates", async () => {
    covers("V10-8.2-02", "V10-8.2-03");
    const host = createCertificate("localhost");
    const authority = createAuthority();
    const [alice, mallory] = [authority.issue("alice"), authority.issue("mallory")];
    const fingerprintOf = ({ cert }: { readonly cert: string | Buffer }): string =>
      `sha256:${new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase()}`;
    const mtls = { ca: "clients.pem", principals: { [fingerprintOf(alice)]: "alice" } };
    await using workspace = await configured({ auth: { mtls }, tls: { cert: "cert.pem", key: "key.pem" } });
    await writeFile(workspace.path("cert.pem"), host.cert);
    await writeFile(workspace.path("key.pem"), host.key);
    await writeFile(workspace.path("clients.pem"), authority.cert);
    const { url } = await workspace.serve([]);
    const as = async (identity: typeof alice, named = fingerprintOf(identity)) => {
      const tls = { ca: host.cert, ...identity };
      const transport = await WebSocketTransport.connect(url.replace("127.0.0.1", "localhost"), { tls });
      return opened(transport as WebSocketTransport, { scheme: "mtls" }, named);
    };
    expect(await as(alice)).toBe('{"echoed":{"n":1}}');
    expect(await as(mallory)).toBe("UNAUTHENTICATED");
    expect(await as(mallory, fingerprintOf(alice))).toBe("UNAUTHENTICATED");
  });

  const jwt = { audience: AUDIENCE, jwks: "https://issuer.example/keys" };
  const wrong: readonly (readonly [string, object, RegExp])[] = [
    ["a scheme that there is not", { auth: { saml: {} } }, /auth: there is no setting "saml"; there are jwt/],
    ["certificates without TLS", { auth: { mtls: { ca: "echo.ts", principals: {} } } }, /auth\.mtls needs --tls-cert/],
    ["an authority that is not there", { auth: { mtls: { ca: "no.pem", principals: {} } } }, /cannot read no\.pem/],
    ["keys that are nowhere", { auth: { jwt: { ...jwt, jwks: "keys" } } }, /auth\.jwt: cannot read \S*keys: ENOENT/],
    [
      "a secret that is not set",
      { auth: { jwt: { ...jwt, jwks: { secret: { env: "NO" } } } } },
      /\(\$NO\): it is empty/,
    ],
    ["a secret that is too short", { auth: { jwt: { ...jwt, jwks: { secret: "short" } } } }, /at least 32 bytes/],
    ["no audience", { auth: { jwt: { ...jwt, audience: "" } } }, /auth: audience: expected a name/],
    ["a misspelt setting", { artifactCap: {} }, /there is no setting "artifactCap"/],
  ];
  it.each(wrong)("with %s is refused", async (_, settings, message) => {
    await using workspace = await configured(settings);
    const { code, stderr } = await workspace.run(["serve", "--port", "0"]);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(message) });
    expect(stderr).toMatch(/^arcp: [^\n]+\n$/);
  });

  it.runIf(process.platform !== "win32")("keeps secrets out of files that others can read", async () => {
    await using workspace = await configured({});
    const jwks = { secret: "a-secret-of-more-than-thirty-two-bytes" };
    for (const settings of [
      { auth: { jwt: { ...jwt, jwks } } },
      { peers: { lab: { url: "wss://lab.example/arcp", token: "t", fingerprint: "sha256:00" } } },
    ]) {
      await writeFile(workspace.path("open.json"), JSON.stringify({ agents: {}, ...settings }), { mode: 0o644 });
      const { code, stderr } = await workspace.run(["serve", "--config", "open.json"]);
      expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringContaining("others can read it") });
    }
  });
});

it("limits what artifacts take, as configured", async () => {
  await using workspace = await configured({ artifactCaps: { maxArtifactBytes: 10 } });
  const { url } = await workspace.serve(["--ws"]);
  const put = (input: string) =>
    workspace.run(["artifact", "put", "-"], { env: { ARCP_URL: url, ARCP_TOKEN: "any" }, input });
  expect((await put("0123456789")).code).toBe(0);
  expect(await put("0123456789a")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^arcp: RESOURCE_EXHAUSTED: maxArtifactBytes \(10\)/),
  });
});
