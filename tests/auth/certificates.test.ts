/** Certificates of clients over real TLS, on both wires: whom they name, in place of tokens and together with them. */
import { X509Certificate } from "node:crypto";
import { ARCPClient } from "@arcp/client";
import {
  closeCodeOf,
  StaticBearerVerifier,
  silentLogger,
  startWebSocketServer,
  TransportError,
  UnauthenticatedError,
  WebSocketTransport,
} from "@arcp/core";
import { ARCPServer, type ARCPServerOptions, type MtlsOptions, mtlsVerifier } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { certificateNames } from "../../packages/core/src/transport/certificate-names.ts";
import { type Certificate, type ClientNames, createAuthority, createCertificate } from "../operations/certificate.ts";
import { covers } from "../support/covers.ts";
import { RawClient } from "../support/raw-client.ts";
import { RawClient10 } from "../support/raw-client-10.ts";

const host = createCertificate("localhost");
const authority = createAuthority();
/** The names of the authority that counts, but not its key. */
const impostor = createAuthority();

const issue = (names?: ClientNames, commonName = "somebody"): Certificate => authority.issue(commonName, "now", names);

interface Setting extends AsyncDisposable {
  /** Who has submitted, in order. */
  readonly principals: readonly string[];
  connect(certificate?: Certificate): Promise<WebSocketTransport>;
}

async function start(
  principals: MtlsOptions["principals"],
  options: Partial<ARCPServerOptions> & { readonly required?: boolean } = {},
): Promise<Setting> {
  const { required = true, ...more } = options;
  const seen: string[] = [];
  const server = new ARCPServer({
    runtime: { name: "test", version: "1" },
    capabilities: { encodings: ["json"], agents: [] },
    authSchemes: [mtlsVerifier({ principals })],
    leasePolicy: (request, { principal }) => {
      seen.push(principal);
      return request;
    },
    logger: silentLogger,
    ...more,
  });
  server.registerAgent("echo", (input) => input);
  const listener = await startWebSocketServer({
    tls: { ...host, clientCertificates: { ca: authority.cert, required } },
    onTransport: (transport) => void server.accept(transport),
  });
  const url = listener.url.replace("127.0.0.1", "localhost");
  return {
    principals: seen,
    connect: (certificate) => WebSocketTransport.connect(url, { tls: { ca: host.cert, ...certificate } }),
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await listener.close();
    },
  };
}

/** Submits as a client of wire 1.1 that has no token, or this one. */
async function submit(it: Setting, certificate: Certificate | undefined, token?: string): Promise<void> {
  const client = new ARCPClient({ logger: silentLogger, ...(token !== undefined && { token }) });
  try {
    await client.connect(await it.connect(certificate));
    const job = await client.submit({ agent: "echo" });
    await job.done;
  } finally {
    client.closed.catch(() => {});
    await client.close();
  }
}

const ALICE = "spiffe://example.com/alice";

describe("a client of wire 1.1 without a token is who its certificate names", () => {
  test.each([
    ["san:uri", issue({ uris: [ALICE] }), ALICE],
    ["san:dns", issue({ dnsNames: ["alice.example.com"], uris: [ALICE] }), "alice.example.com"],
    ["san:email", issue({ emails: ["alice@example.com"] }), "alice@example.com"],
    ["cn", issue({ uris: [ALICE] }, "alice"), "alice"],
  ] as const)("by %s", async (rule, certificate, principal) => {
    await using it = await start(rule);
    await submit(it, certificate);
    expect(it.principals).toEqual([principal]);
  });

  test("by its fingerprint, with a tenant and permissions if the operator says so", async () => {
    await using it = await start((fingerprint, _signal, { uris }) =>
      fingerprint.startsWith("sha256:") ? { principal: uris?.[0] ?? "", tenant: "acme" } : undefined,
    );
    await submit(it, issue({ uris: [ALICE] }));
    expect(it.principals).toEqual([`@acme/${ALICE}`]);
  });

  test.each([
    ["no name of that kind", issue({ dnsNames: ["alice.example.com"] }, ALICE)],
    ["two of them", issue({ uris: [ALICE, "spiffe://example.com/root"] })],
    ["one that is empty", issue({ uris: [""] })],
    ["no alternative names at all", issue()],
  ])("and nobody with %s", async (_what, certificate) => {
    await using it = await start("san:uri");
    await expect(submit(it, certificate)).rejects.toBeInstanceOf(UnauthenticatedError);
    expect(it.principals).toEqual([]);
  });

  test("and a name that spells others is one name", async () => {
    await using it = await start("san:uri");
    const tricky = `${ALICE}, URI:spiffe://example.com/root`;
    await submit(it, issue({ uris: [tricky] }));
    expect(it.principals).toEqual([tricky]);
  });
});

test("who is certified by somebody else, or by nobody, does not get through the handshake of TLS", async () => {
  await using it = await start("cn");
  const forged = impostor.issue("alice");
  await expect(it.connect(forged)).rejects.toBeInstanceOf(TransportError);
  await expect(it.connect(undefined)).rejects.toBeInstanceOf(TransportError);
});

test("where certificates are not required, who has none needs a token", async () => {
  await using it = await start("cn", { required: false });
  const client = new RawClient(await it.connect(undefined));
  client.send("session.hello", { client: { name: "raw", version: "1" }, auth: { scheme: "none" } });
  expect((await client.next("session.error")).payload.code).toBe("UNAUTHENTICATED");
  expect((await client.transport.closed).code).toBe(closeCodeOf(new UnauthenticatedError("no")));
});

test("on wire 1.0 the client names the certificate that it shows", async () => {
  covers("V10-8.2-03");
  await using it = await start("san:uri");
  const certificate = issue({ uris: [ALICE] });
  const client = new RawClient10(await it.connect(certificate));
  const { fingerprint256 } = new X509Certificate(certificate.cert);
  const answer = await client.open({
    auth: { scheme: "mtls" },
    client: { kind: "raw", version: "1", fingerprint: fingerprint256 },
  });
  expect(answer.type).toBe("session.accepted");
  client.transport.abort();
});

describe("a token that is bound to certificates", () => {
  const bearer = new StaticBearerVerifier(new Map(["alice", "bob"].map((name) => [name, { principal: name }])));
  const options = { bearer, bindTokensToCertificates: true, required: false };

  test("counts with one of the same principal", async () => {
    await using it = await start("cn", options);
    await submit(it, issue(undefined, "alice"), "alice");
    expect(it.principals).toEqual(["alice"]);
  });

  test.each([
    ["another's", issue(undefined, "alice")],
    ["none", undefined],
    ["one that names nobody", issue(undefined, "")],
  ])("does not count with %s", async (_what, certificate) => {
    await using it = await start("cn", options);
    await expect(submit(it, certificate, "bob")).rejects.toBeInstanceOf(UnauthenticatedError);
    const client = new RawClient10(await it.connect(certificate));
    const answer = await client.open({ auth: { scheme: "bearer", token: "bob" } });
    expect(answer).toMatchObject({ type: "session.rejected", payload: { code: "UNAUTHENTICATED" } });
    expect((await client.transport.closed).code).toBe(4401);
  });

  test("needs a verifier of certificates", () => {
    const make = () =>
      new ARCPServer({
        runtime: { name: "test", version: "1" },
        capabilities: { encodings: ["json"], agents: [] },
        bindTokensToCertificates: true,
      });
    expect(make).toThrow("add mtls");
  });
});

describe("the names in a certificate", () => {
  test.each([
    ["", {}],
    ["URI:a:b, DNS:c, email:d@e, URI:f", { uris: ["a:b", "f"], dnsNames: ["c"], emails: ["d@e"] }],
    ['URI:"a, URI:b", IP Address:127.0.0.1', { uris: ["a, URI:b"] }],
    ['othername:"x\\"y", DNS:c', { dnsNames: ["c"] }],
    // Nothing that Node writes.
    ['DNS:c, URI:"a', {}],
    ['DNS:c,URI:"a"', {}],
    ["DNS", {}],
  ])("of %j are %j", (text, names) => {
    expect(certificateNames("cn", text)).toEqual({ commonNames: ["cn"], ...names });
  });
});
