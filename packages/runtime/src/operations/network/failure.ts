/** What went wrong between here and a server, as an error that names no address. */
import { ARCPError, InternalError } from "@arcp/core";
import { type FetchLimits, tooLarge } from "./limits.ts";

type Reason =
  | "name_not_found"
  | "connection_refused"
  | "connection_lost"
  | "unreachable"
  | "tls"
  | "encoding"
  | "protocol"
  | "failed";

const WORDS: { readonly [Name in Reason]: string } = {
  name_not_found: "the name of the host leads to no address",
  connection_refused: "the connection was refused",
  connection_lost: "the connection was lost",
  unreachable: "the host cannot be reached",
  tls: "the host could not be authenticated",
  encoding: "the body is not encoded as its header says",
  protocol: "the response is not HTTP as it should be",
  failed: "the request failed",
};

/** By the codes of Node.js, OpenSSL, zlib and undici, whose parser has but a name. The first that matches counts. */
const REASONS: readonly (readonly [RegExp, Reason])[] = [
  [/^(?:ENOTFOUND|EAI_\w+|ENODATA|ESERVFAIL)$/, "name_not_found"],
  [/^ECONNREFUSED$/, "connection_refused"],
  [/^(?:ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_SOCKET)$/, "connection_lost"],
  [/^(?:EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|ETIMEDOUT|EINVAL)$/, "unreachable"],
  [/^(?:ERR_TLS|ERR_SSL|CERT|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO)/, "tls"],
  [/^(?:Z_|ERR__?ERROR_|ERR_BROTLI|ERR_PADDING|ERR_ZLIB)/, "encoding"],
  [/^(?:HTTPParserError|UND_ERR_RES_|UND_ERR_RESPONSE|UND_ERR_INFO)/, "protocol"],
];

/**
 * `thrown` itself if it is a protocol error already, otherwise an InternalError with `details.reason`: an answer of
 * somebody else's server is neither the agent's fault nor certain to come again.
 */
export function upstreamFailure(thrown: unknown, { maxResponseHeaderBytes }: FetchLimits): ARCPError {
  if (thrown instanceof ARCPError) return thrown;
  const code = codeOf(thrown);
  if (code === "UND_ERR_HEADERS_OVERFLOW") return tooLarge("maxResponseHeaderBytes", maxResponseHeaderBytes);
  const reason = REASONS.find(([form]) => form.test(code))?.[1] ?? "failed";
  return failed(reason, thrown);
}

export const failed = (reason: Reason, cause?: unknown): InternalError =>
  new InternalError(`net.fetch: ${WORDS[reason]}`, { details: { reason }, ...(cause !== undefined && { cause }) });

/** Whoever has no code has a name. An attempt at several addresses has the code of the first. */
function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "";
  return "code" in thrown && typeof thrown.code === "string" ? thrown.code : thrown.name;
}
