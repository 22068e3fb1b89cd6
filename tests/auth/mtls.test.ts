import { X509Certificate } from "node:crypto";
import { InvalidRequestError, UnauthenticatedError } from "@arcp/core";
import { type AuthRequest, mtlsVerifier } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { createCertificate } from "../operations/certificate.ts";
import { covers } from "../support/covers.ts";
import { failureOf } from "./failure.ts";
import { NEVER, peerAt, shown } from "./requests.ts";

/** As OpenSSL writes it, and as the transport does. */
const fingerprintOf = ({ cert }: { readonly cert: string }) => {
  const { fingerprint256 } = new X509Certificate(cert);
  return { written: fingerprint256, proven: `sha256:${fingerprint256.replaceAll(":", "").toLowerCase()}` };
};
const alice = fingerprintOf(createCertificate("alice"));
const mallory = fingerprintOf(createCertificate("mallory"));

/** What a client says that has connected with a certificate. */
const connected = (fingerprint: string | undefined, certificate: string | undefined, token?: string): AuthRequest =>
  shown("mtls", {
    fingerprint,
    token,
    peer: { ...peerAt("192.0.2.1"), ...(certificate !== undefined && { certificateFingerprint: certificate }) },
  });

const principals = new Map([
  [alice.written, "alice"],
  [mallory.proven, "mallory"],
]);

describe("a client that names the certificate of its connection", () => {
  test.each([
    ["with a prefix", alice.proven],
    ["without it", alice.proven.slice("sha256:".length)],
    ["in upper case", alice.proven.toUpperCase()],
    ["with colons", alice.written],
    ["with both", `sha256:${alice.written}`],
    ["as OpenSSL does", `SHA256 Fingerprint=${alice.written}`],
  ])("%s is its owner", async (_what, fingerprint) => {
    covers("V10-8.2-02", "V10-8.2-03", "V10-8.2-08");
    const verifier = mtlsVerifier({ principals });
    expect(await verifier.verify(connected(fingerprint, alice.proven), NEVER)).toEqual({ principal: "alice" });
  });

  test("is looked up by a function, and trusted as configured", async () => {
    const asked: string[] = [];
    const verifier = mtlsVerifier({
      principals: async (fingerprint) => {
        asked.push(fingerprint);
        return fingerprint === alice.proven ? "alice" : undefined;
      },
      trustLevel: "privileged",
    });
    const identity = await verifier.verify(connected(alice.written, alice.proven), NEVER);
    expect(identity).toEqual({ principal: "alice", trustLevel: "privileged" });
    await failureOf(verifier.verify(connected(mallory.written, mallory.proven), NEVER));
    await failureOf(verifier.verify(connected(alice.written, mallory.proven), NEVER));
    expect(asked).toEqual([alice.proven, mallory.proven]);
  });
});

describe("refused is a client", () => {
  const verifier = mtlsVerifier({ principals: new Map([[alice.proven, "alice"]]) });

  test.each([
    ["that names another's certificate", connected(alice.proven, mallory.proven)],
    ["that has connected without a certificate", connected(alice.proven, undefined)],
    ["whose certificate nobody knows", connected(mallory.proven, mallory.proven)],
    ["whose transport names its certificate in another way", connected(alice.proven, "sha1:00")],
  ])("%s", async (_what, request) => {
    covers("V10-8.2-03");
    expect(await failureOf(verifier.verify(request, NEVER))).toBeInstanceOf(UnauthenticatedError);
  });

  test.each([
    ["that names none", connected(undefined, alice.proven)],
    ["that names an empty one", connected("", alice.proven)],
    ["that names half of one", connected(alice.proven.slice(0, 39), alice.proven)],
    ["that names it by another digest", connected(`sha1:${alice.proven.slice(7)}`, alice.proven)],
    ["that sends a token as well", connected(alice.proven, alice.proven, "token")],
  ])("%s", async (_what, request) => {
    covers("V10-8.2-02");
    expect(await failureOf(verifier.verify(request, NEVER))).toBeInstanceOf(InvalidRequestError);
  });
});

test("fingerprints that are none are refused at once", () => {
  expect(() => mtlsVerifier({ principals: new Map([["sha256:00", "alice"]]) })).toThrow(TypeError);
});
