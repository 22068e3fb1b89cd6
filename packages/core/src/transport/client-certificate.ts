/** The certificate that a client has proven to be its own in the TLS handshake of its connection. */
import { createHash } from "node:crypto";
import { type PeerCertificate, TLSSocket } from "node:tls";
import { certificateNames } from "./certificate-names.ts";
import type { TransportPeer } from "./transport.ts";

/** As a transport tells of it. */
export type ClientCertificate = Pick<TransportPeer, "certificateFingerprint" | "certificateNames">;

/** `undefined` where there is none that an accepted authority vouches for. */
export function certificateOf(socket: object): ClientCertificate | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  // OpenSSL may take a client without any certificate for authorized.
  const { raw, subject, subjectaltname } = (socket.getPeerCertificate() ?? {}) as Partial<PeerCertificate>;
  if (raw === undefined) return undefined;
  return {
    certificateFingerprint: `sha256:${createHash("sha256").update(raw).digest("hex")}`,
    certificateNames: certificateNames(subject?.CN, subjectaltname),
  };
}
