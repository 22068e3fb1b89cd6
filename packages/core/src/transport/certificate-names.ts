/** Whom a certificate names, out of the text that Node makes of it. */
import type { CertificateNames } from "./transport.ts";

/** One name: its kind, and either text that Node has quoted because it could be misread, or text without commas. */
const NAME = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/y;

const MEMBERS: ReadonlyMap<string, keyof CertificateNames> = new Map([
  ["URI", "uris"],
  ["DNS", "dnsNames"],
  ["email", "emails"],
]);

/**
 * `commonName` and `alternativeNames` as `tls.PeerCertificate` has them. What cannot be read as Node writes it names nobody: then
 * there are no alternative names at all.
 */
export function certificateNames(
  commonName: string | readonly string[] | undefined,
  alternativeNames: string | undefined,
): CertificateNames {
  const commonNames = commonName === undefined ? [] : [commonName].flat();
  const names: Record<string, string[]> = {};
  const text = alternativeNames ?? "";
  NAME.lastIndex = 0;
  while (NAME.lastIndex < text.length) {
    const [, kind = "", value] = NAME.exec(text) ?? [];
    const name = value === undefined ? undefined : unquoted(value);
    if (name === undefined) return { commonNames };
    const member = MEMBERS.get(kind);
    if (member !== undefined) names[member] = [...(names[member] ?? []), name];
  }
  return { commonNames, ...names };
}

function unquoted(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? value : undefined;
  } catch {
    // Nothing that Node writes: the caller goes without.
    return undefined;
  }
}
