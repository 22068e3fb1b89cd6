/** Certificates that nobody but a test trusts. */
import { generateKeyPairSync, sign } from "node:crypto";

/** PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

const CONTEXT = 0xa0;
const ECDSA_WITH_SHA256 = der(0x30, Buffer.from("06082a8648ce3d040302", "hex"));

/** A certificate for `hosts` that vouches for itself. */
export function createCertificate(...hosts: string[]): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = der(0x30, der(0x31, der(0x30, Buffer.from("0603550403", "hex"), der(0x0c, Buffer.from("test")))));
  const validity = der(0x30, der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from("491231235959Z")));
  const names = hosts.map((host) => der(0x82, Buffer.from(host)));
  const alternativeNames = der(0x30, Buffer.from("0603551d11", "hex"), der(0x04, der(0x30, ...names)));
  const facts = der(
    0x30,
    der(CONTEXT, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1)),
    ECDSA_WITH_SHA256,
    name,
    validity,
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(CONTEXT | 3, der(0x30, alternativeNames)),
  );
  const signature = der(0x03, Buffer.of(0), sign("sha256", facts, privateKey));
  const bytes = der(0x30, facts, ECDSA_WITH_SHA256, signature).toString("base64");
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${bytes.replaceAll(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`,
  };
}

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}
