import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect as connectTls, type SecureVersion, type TLSSocket } from "node:tls";
import {
  InvalidRequestError,
  type NodeWebSocketConnectOptions,
  startWebSocketServer,
  TransportError,
  type TransportPeer,
  type WebSocketTlsOptions,
  WebSocketTransport,
} from "@arcp/core";
import { describe, expect, onTestFinished, test } from "vitest";
import { upgradeRequest } from "../hostile/raw-socket.ts";
import { type Certificate, createAuthority, createCertificate } from "../operations/certificate.ts";
import { covers } from "../support/covers.ts";

const host = createCertificate("localhost");
const authority = createAuthority();
const alice = authority.issue("alice");
/** Anybody can make these. */
const impostor = createAuthority("somebody").issue("alice");
/** The names of the authority that counts, but not its key. */
const forged = createAuthority().issue("alice");

interface Listening extends AsyncDisposable {
  readonly url: string;
  readonly peers: readonly TransportPeer[];
  /** What the listener knows of a client with these options. */
  peerOf(options: NonNullable<NodeWebSocketConnectOptions["tls"]>): Promise<TransportPeer | undefined>;
}

async function startListening(options: WebSocketTlsOptions = {}): Promise<Listening> {
  const peers: TransportPeer[] = [];
  const server = await startWebSocketServer({
    tls: { ...host, ...options },
    onTransport: ({ peer }) => void peers.push(peer),
  });
  const url = server.url.replace("127.0.0.1", "localhost");
  return {
    url,
    peers,
    async peerOf(tls) {
      const transport = await WebSocketTransport.connect(url, { tls: { ca: host.cert, ...tls } });
      transport.abort();
      return peers.pop();
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** As other programs write it. */
const fingerprintOf = ({ cert }: Certificate): string =>
  `sha256:${new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase()}`;

const asked = (required: boolean) => ({ clientCertificates: { ca: authority.cert, required } });

interface RawTls {
  readonly version: SecureVersion;
  readonly identity: Partial<Certificate>;
  readonly session?: Buffer | undefined;
  readonly headers?: readonly (readonly [string, string])[];
}

/** Upgrades over TLS without anything of this project, and resolves when a transport stands for it. */
async function upgraded(
  { url, peers }: Listening,
  { version, identity, session, headers = [] }: RawTls,
): Promise<TLSSocket> {
  const socket = connectTls({
    ...{ ca: host.cert, ...identity, host: "localhost", port: Number(new URL(url).port) },
    ...{ minVersion: version, maxVersion: version },
    ...(session && { session }),
  });
  onTestFinished(() => void socket.destroy());
  const before = peers.length;
  socket.write(upgradeRequest(url, { headers }));
  await once(socket, "data");
  expect(peers.length).toBe(before + 1);
  return socket;
}

describe("a listener that asks for certificates", () => {
  test.each([true, false])(
    "knows a client by the certificate that it proves to be its own (required: %s)",
    async (required) => {
      await using listening = await startListening(asked(required));
      expect(await listening.peerOf(alice)).toMatchObject({
        ...{ kind: "websocket", isConfidential: true, certificateFingerprint: fingerprintOf(alice) },
      });
      const bob = authority.issue("bob");
      expect((await listening.peerOf(bob))?.certificateFingerprint).toBe(fingerprintOf(bob));
      expect(fingerprintOf(bob)).toMatch(/^sha256:[0-9a-f]{64}$/);
    },
  );

  const STRANGERS: readonly (readonly [name: string, identity: Partial<Certificate>])[] = [
    ["without a certificate", {}],
    ["whose certificate another authority vouches for", impostor],
    ["whose certificate vouches for itself", createCertificate("alice")],
    ["whose certificate has expired", authority.issue("alice", "over")],
  ];

  test.each(STRANGERS)("has no fingerprint of a client %s", async (_name, identity) => {
    await using listening = await startListening(asked(false));
    const peer = await listening.peerOf(identity);
    expect(peer).toMatchObject({ kind: "websocket", isConfidential: true });
    expect(peer).not.toHaveProperty("certificateFingerprint");
  });

  test.each([...STRANGERS, ["whose certificate is forged", forged] as const])(
    "refuses a client %s, if certificates are required",
    async (_name, identity) => {
      await using listening = await startListening(asked(true));
      await expect(listening.peerOf(identity)).rejects.toThrow(TransportError);
      expect(listening.peers).toEqual([]);
    },
  );

  test("does not take a forged certificate for one of its authority", async () => {
    await using listening = await startListening(asked(false));
    // OpenSSL may end such a connection although nothing asks it to.
    const peer = await listening.peerOf(forged).catch(() => undefined);
    for (const one of [peer, ...listening.peers]) expect(one?.certificateFingerprint).toBeUndefined();
  });

  test("does not let a client show the certificate of another without its key", async () => {
    await using listening = await startListening(asked(false));
    await expect(listening.peerOf({ cert: alice.cert, key: impostor.key })).rejects.toThrow();
    expect(listening.peers).toEqual([]);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("believes no earlier connection, over %s", async (version) => {
    await using listening = await startListening(asked(false));
    for (const identity of [alice, impostor, {}]) {
      const first = await upgraded(listening, { version, identity });
      const session = first.getSession();
      const second = await upgraded(listening, { version, identity: {}, session });
      expect(second.isSessionReused()).toBe(false);
      const [ofFirst, ofSecond] = listening.peers.slice(-2).map((peer) => peer.certificateFingerprint);
      expect(ofFirst).toBe(identity === alice ? fingerprintOf(alice) : undefined);
      expect(ofSecond).toBeUndefined();
    }
  });

  test("believes no header", async () => {
    await using listening = await startListening(asked(false));
    const headers = [
      ["X-Forwarded-Client-Cert", `Hash=${fingerprintOf(alice).slice(7)}`],
      ["X-SSL-Client-Verify", "SUCCESS"],
      ["X-SSL-Client-Cert", encodeURIComponent(alice.cert)],
    ] as const;
    await upgraded(listening, { version: "TLSv1.3", identity: {}, headers });
    expect(listening.peers.at(-1)).not.toHaveProperty("certificateFingerprint");
  });

  test("takes several authorities, and none for every one", async () => {
    const other = createAuthority("other");
    const ca = [authority.cert, Buffer.from(other.cert)];
    await using listening = await startListening({ clientCertificates: { ca, required: true } });
    const carol = other.issue("carol");
    expect((await listening.peerOf(carol))?.certificateFingerprint).toBe(fingerprintOf(carol));
    expect((await listening.peerOf(alice))?.certificateFingerprint).toBe(fingerprintOf(alice));
    for (const none of ["", [], Buffer.alloc(0)]) {
      await expect(startListening({ clientCertificates: { ca: none, required: true } })).rejects.toThrow(/authorities/);
    }
    const SNICallback = (): void => {};
    await expect(startListening({ ...asked(true), SNICallback })).rejects.toThrow(/SNICallback/);
  });
});

test("a listener that does not ask has no fingerprint, whatever a client would show", async () => {
  await using listening = await startListening();
  expect(await listening.peerOf(alice)).not.toHaveProperty("certificateFingerprint");
  // Node's own options say which connections are accepted, not whose word counts.
  await using withNodes = await startListening({ requestCert: true, rejectUnauthorized: true, ca: authority.cert });
  expect(await withNodes.peerOf(alice)).not.toHaveProperty("certificateFingerprint");
});

test("a client shows its certificate to no one before the runtime has shown one that it trusts", async () => {
  covers("V11-4.1-03");
  await using listening = await startListening(asked(false));
  await expect(WebSocketTransport.connect(listening.url, { tls: alice })).rejects.toThrow(TransportError);
  await expect(WebSocketTransport.connect(listening.url, { tls: { ...alice, ca: authority.cert } })).rejects.toThrow(
    TransportError,
  );
  const lax = { ...alice, rejectUnauthorized: false };
  await expect(WebSocketTransport.connect(listening.url, { tls: lax })).rejects.toThrow(TransportError);
  expect(listening.peers).toEqual([]);
  expect(() => WebSocketTransport.connect("ws://localhost/arcp", { tls: alice })).toThrow(InvalidRequestError);
});
