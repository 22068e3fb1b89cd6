/** Certificates of clients over plain HTTP: REST, Server-Sent Events, and hosts whose requests are those of the Fetch standard. */
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import {
  type ClientCertificate,
  FetchUpgrades,
  httpTransport,
  silentLogger,
  type Transport,
  V1_1_FEATURES,
} from "@arcp/core";
import { ARCPServer, mtlsVerifier, restApi } from "@arcp/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Certificate, createAuthority, createCertificate } from "../operations/certificate.ts";

const host = createCertificate("localhost");
const authority = createAuthority();
const impostor = createAuthority();
const ALICE = "spiffe://example.com/alice";
const alice = authority.issue("alice", "now", { uris: [ALICE] });
const bob = authority.issue("bob", "now", { uris: ["spiffe://example.com/bob"] });

const principals: string[] = [];
const server = new ARCPServer({
  runtime: { name: "test", version: "1" },
  capabilities: { encodings: ["json"], agents: [] },
  authSchemes: [mtlsVerifier({ principals: "san:uri" })],
  leasePolicy: (asked, { principal }) => {
    principals.push(principal);
    return asked;
  },
  logger: silentLogger,
});
server.registerAgent("echo", (input) => input);
const rules = {
  usesClientCertificates: true,
  onTransport: (transport: Transport) => server.accept(transport),
  accept: (transport: Transport) => server.accept(transport),
};
const connections = httpTransport({ ...rules, maxConnectionsPerAddress: 3 });
const rest = restApi(rules);
const listener = createServer(
  // Who has none, or one of somebody else's, gets as far as the runtime.
  { ...host, ca: authority.cert, requestCert: true, rejectUnauthorized: false },
  (asked, answer) => {
    if (!connections.handle(asked, answer) && !rest.handle(asked, answer)) answer.writeHead(404).end();
  },
);

beforeAll(() => new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve)));
afterAll(async () => {
  connections.close();
  rest.close();
  await server.close();
  listener.closeAllConnections();
  await new Promise((resolve) => listener.close(resolve));
});

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

function ask(
  certificate: Certificate | undefined,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { port } = listener.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const asked = request(
      { ...certificate, ...{ ca: host.cert, host: "localhost", port, method, path, agent: false } },
      (answer) => {
        text(answer).then(
          (read) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: read }),
          reject,
        );
      },
    );
    asked.on("error", reject);
    for (const [name, value] of Object.entries({ "content-type": "application/json", ...headers })) {
      asked.setHeader(name, value);
    }
    asked.end(body && JSON.stringify(body));
  });
}

const HELLO = {
  ...{ arcp: "1.1", id: "msg_1", type: "session.hello" },
  payload: { client: { name: "c", version: "1" }, capabilities: { encodings: ["json"], features: V1_1_FEATURES } },
};

describe("over REST a client without a token", () => {
  test("is who its certificate names", async () => {
    expect((await ask(alice, "POST", "/v1/jobs", { agent: "echo", input: 1 })).status).toBe(202);
    expect((await ask(bob, "POST", "/v1/jobs", { agent: "echo", input: 1 })).status).toBe(202);
    expect(principals.splice(0)).toEqual([ALICE, "spiffe://example.com/bob"]);
    const lists = async (one: Certificate) => JSON.parse((await ask(one, "GET", "/v1/jobs")).body).jobs;
    expect(await lists(alice)).toHaveLength(1);
    expect(await lists(bob)).toHaveLength(1);
  });

  test("puts artifacts in that name, and nobody else gets them", async () => {
    const put = await ask(alice, "PUT", "/v1/artifacts/report.bin", { a: 1 });
    expect(put.status).toBe(201);
    expect((await ask(alice, "GET", "/v1/artifacts/report.bin")).body).toBe('{"a":1}');
    expect((await ask(bob, "GET", "/v1/artifacts/report.bin")).status).toBe(404);
  });

  test.each([
    ["no certificate", undefined],
    ["one of another authority of the same name", impostor.issue("alice", "now", { uris: [ALICE] })],
    ["one that names nobody", authority.issue("alice", "now", { dnsNames: ["alice.example.com"] })],
  ])("and with %s is not let in", async (_what, certificate) => {
    const refused = await ask(certificate, "POST", "/v1/jobs", { agent: "echo", input: 1 });
    expect(refused).toMatchObject({ status: 401 });
    expect(JSON.parse(refused.body).code).toBe("UNAUTHENTICATED");
    expect((await ask(certificate, "POST", "/arcp/http", HELLO)).status).toBe(401);
    expect(principals).toEqual([]);
  });

  test("is not believed a header", async () => {
    const named = { "x-client-cert": alice.cert, "x-ssl-client-verify": "SUCCESS", "client-cert": `:${alice.cert}:` };
    const flat = Object.fromEntries(Object.entries(named).map(([name, value]) => [name, value.replaceAll("\n", " ")]));
    expect((await ask(undefined, "GET", "/v1/jobs", undefined, flat)).status).toBe(401);
  });
});

describe("a connection with Server-Sent Events", () => {
  test("belongs to the certificate that it was opened with: the key alone is of no use", async () => {
    const opened = await ask(alice, "POST", "/arcp/http", HELLO);
    expect(opened.status).toBe(201);
    const path = String(opened.headers["location"]);
    const key = { "arcp-connection-key": String(opened.headers["arcp-connection-key"]) };
    const submit = { arcp: "1.1", id: "msg_2", type: "job.submit", payload: { agent: "echo", input: 1 } };
    const { session_id } = JSON.parse(opened.body);
    const message = { ...submit, session_id };
    expect((await ask(bob, "POST", path, message, key)).status).toBe(404);
    expect((await ask(undefined, "POST", path, message, key)).status).toBe(404);
    expect((await ask(alice, "POST", path, message, { "arcp-connection-key": "x" })).status).toBe(404);
    expect((await ask(alice, "POST", path, message, key)).status).toBe(202);
    expect((await ask(bob, "DELETE", path, undefined, key)).status).toBe(404);
    expect((await ask(alice, "DELETE", path, undefined, key)).status).toBe(204);
    expect(principals.splice(0)).toEqual([ALICE]);
  });

  test("is one of so many that an address may have", async () => {
    const opened = [];
    for (let count = 0; count < 3; count += 1) opened.push(await ask(alice, "POST", "/arcp/http", HELLO));
    expect(opened.map(({ status }) => status)).toEqual([201, 201, 201]);
    const refused = await ask(alice, "POST", "/arcp/http", HELLO);
    expect(refused).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
    for (const { headers } of opened) {
      const key = { "arcp-connection-key": String(headers["arcp-connection-key"]) };
      expect((await ask(alice, "DELETE", String(headers["location"]), undefined, key)).status).toBe(204);
    }
    const again = await ask(alice, "POST", "/arcp/http", HELLO);
    expect(again.status).toBe(201);
    const key = { "arcp-connection-key": String(again.headers["arcp-connection-key"]) };
    await ask(alice, "DELETE", String(again.headers["location"]), undefined, key);
  });
});

describe("a host of the Fetch standard", () => {
  const clientCertificate: ClientCertificate = {
    certificateFingerprint: `sha256:${"a".repeat(64)}`,
    certificateNames: { commonNames: ["alice"], uris: [ALICE] },
  };

  test("tells the certificate that it has verified with the request", async () => {
    const asked = () =>
      new Request("https://localhost/v1/jobs", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ agent: "echo", input: 1 }),
      });
    expect((await rest.fetch(asked(), { clientCertificate })).status).toBe(202);
    expect(principals.splice(0)).toEqual([ALICE]);
    expect((await rest.fetch(asked(), {})).status).toBe(401);
  });

  test("and with an upgrade", () => {
    const peers: unknown[] = [];
    const upgrades = new FetchUpgrades({
      onTransport: ({ peer }) => peers.push(peer),
      clientCertificateOf: ({ url }) => (url.endsWith("/alice") ? clientCertificate : undefined),
    });
    const socket = { send: () => {}, close: () => {}, terminate: () => {}, bufferedAmount: () => 0 };
    for (const name of ["alice", "bob"]) {
      const transport = upgrades.open(socket as never, new Request(`https://localhost/${name}`), "127.0.0.1");
      transport.abort("the test is over");
    }
    expect(peers).toMatchObject([clientCertificate, { kind: "websocket" }]);
    expect(peers[1]).not.toHaveProperty("certificateFingerprint");
  });
});
