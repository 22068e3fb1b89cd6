/** What a client shows to be let in (RFC §8). */
import { InvalidRequestError, type JsonObject, type Transport } from "@arcp/core";
import { type Capabilities10, WIRE_VERSION_10 } from "@arcp/core/v1.0";
import type { Credentials, ResolvedToolOptions } from "./options.ts";

/** The `auth` member, with the token of this moment. */
export async function authOf(credentials: Credentials): Promise<JsonObject> {
  if (!("token" in credentials)) return { scheme: credentials.scheme };
  const { scheme, token } = credentials;
  return { scheme, token: typeof token === "string" ? token : await token() };
}

/**
 * The payload of `session.open`. Throws {@link InvalidRequestError} for a token that others could read on the way, and
 * for `mtls` without a fingerprint (RFC §8.2).
 */
export async function openingOf(options: ResolvedToolOptions, transport: Transport): Promise<JsonObject> {
  const { auth, client, compat, allowInsecure } = options;
  if ("token" in auth && !transport.peer.isConfidential && !allowInsecure) {
    throw new InvalidRequestError("refused to send a token over a connection that others can read");
  }
  if (auth.scheme === "mtls" && client.fingerprint === undefined) {
    throw new InvalidRequestError("client.fingerprint: the scheme mtls needs that of the certificate (RFC §8.2)");
  }
  return {
    ...(compat.dialect === "fsharp" && { arcp: WIRE_VERSION_10 }),
    auth: await authOf(auth),
    client,
    capabilities: capabilitiesFor(options.capabilities, transport),
  };
}

/** Bytes beside their messages need a carrier that has frames of bytes (RFC §11.3). */
function capabilitiesFor(capabilities: Capabilities10, transport: Transport): JsonObject {
  const { required, ...asked } = capabilities;
  const encodings = asked.binary_encoding.filter((encoding) => encoding !== "sidecar" || transport.carriesBinary);
  return { ...asked, binary_encoding: encodings, ...(required.length > 0 && { required }) };
}
