/** Certificates that nobody but a test trusts. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** One that vouches for others. */
export interface Authority {
  /** PEM. */
  readonly cert: string;
  /** A certificate with which a client says that it is `name`. Default validity: now. */
  issue(name: string, validity?: "now" | "over", names?: ClientNames): Certificate;
}

/** The alternative names of a client. */
export interface ClientNames {
  readonly emails?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
}

interface Facts {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  readonly validity: "now" | "over";
  /** In DER. */
  readonly extension: Buffer;
}

const CONTEXT = 0xa0;
const ECDSA_WITH_SHA256 = der(0x30, Buffer.from("06082a8648ce3d040302", "hex"));
/** The names of extensions (RFC 5280 §4.2.1), with what they hold. */
const extensions = {
  alternativeNames: (hosts: readonly string[]): Buffer =>
    der(0x30, oid("0603551d11"), der(0x04, der(0x30, ...hosts.map((host) => der(0x82, Buffer.from(host)))))),
  isAuthority: (): Buffer =>
    der(0x30, oid("0603551d13"), der(0x01, Buffer.of(0xff)), der(0x04, der(0x30, der(0x01, Buffer.of(0xff))))),
  clientNames: ({ emails = [], dnsNames = [], uris = [] }: ClientNames): Buffer => {
    const tagged = (tag: number, names: readonly string[]) => names.map((name) => der(tag, Buffer.from(name)));
    const names = [...tagged(0x81, emails), ...tagged(0x82, dnsNames), ...tagged(0x86, uris)];
    return der(0x30, oid("0603551d11"), der(0x04, der(0x30, ...names)));
  },
  forClients: (): Buffer => der(0x30, oid("0603551d25"), der(0x04, der(0x30, oid("06082b06010505070302")))),
};

/** A certificate for `hosts` that vouches for itself. */
export function createCertificate(...hosts: string[]): Certificate {
  const { privateKey, publicKey } = newKeys();
  const extension = extensions.alternativeNames(hosts);
  const names = { subject: "test", issuer: "test", validity: "now" } as const;
  return { key: toPem(privateKey), cert: signed({ ...names, publicKey, signingKey: privateKey, extension }) };
}

/** An authority by the name of `issuer`. Two of one name have two keys. */
export function createAuthority(issuer = "authority"): Authority {
  const { privateKey: signingKey, publicKey } = newKeys();
  const extension = extensions.isAuthority();
  return {
    cert: signed({ subject: issuer, issuer, publicKey, signingKey, validity: "now", extension }),
    issue: (subject, validity = "now", names) => {
      const keys = newKeys();
      const facts = { subject, issuer, publicKey: keys.publicKey, signingKey, validity };
      const alternative = names === undefined ? [] : [extensions.clientNames(names)];
      const extension = Buffer.concat([extensions.forClients(), ...alternative]);
      return { key: toPem(keys.privateKey), cert: signed({ ...facts, extension }) };
    },
  };
}

const newKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const toPem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

/** PEM. */
function signed({ subject, issuer, publicKey, signingKey, validity, extension }: Facts): string {
  const end = validity === "now" ? "491231235959Z" : "210101000000Z";
  const facts = der(
    0x30,
    der(CONTEXT, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1)),
    ECDSA_WITH_SHA256,
    named(issuer),
    der(0x30, der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from(end))),
    named(subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(CONTEXT | 3, der(0x30, extension)),
  );
  const signature = der(0x03, Buffer.of(0), sign("sha256", facts, signingKey));
  const bytes = der(0x30, facts, ECDSA_WITH_SHA256, signature).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${bytes.replaceAll(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`;
}

function named(name: string): Buffer {
  return der(0x30, der(0x31, der(0x30, oid("0603550403"), der(0x0c, Buffer.from(name)))));
}

function oid(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}
