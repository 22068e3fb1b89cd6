/** The way to other runtimes of wire 1.0, to which jobs are handed over (RFC §14). */
import { InvalidRequestError, newMessageId } from "@arcp/core";
import { CanonicalError, traceMembers10 } from "@arcp/core/v1.0";
import type { HandoffConnector, HandoffReceipt, HandoffRequest } from "@arcp/runtime";
import { Conversation } from "./conversation.ts";

/** A runtime that jobs may be handed over to. */
export interface HandoffPeer {
  /** `wss:`, `ws:` within this machine, or `unix:`. */
  readonly url: string;
  /** The bearer token by which it knows this runtime. */
  readonly token: string;
  /** Who it has to be (RFC §8.3): nothing is handed over to anybody else. */
  readonly fingerprint: string;
  /** Sends the token over `ws://` beyond this machine. Default: false. */
  readonly allowInsecure?: boolean;
}

/** How jobs are handed to other runtimes (RFC §14). */
export interface HandoffPeersOptions {
  /** How this runtime introduces itself. Default: `arcp-runtime`, without a version. */
  readonly client?: { readonly kind: string; readonly version: string };
  /** How long a runtime may take to accept a job. Default: 30,000. */
  readonly timeoutMs?: number;
}

/**
 * Hands jobs over to `peers`, by their names, each in a session of its own, which ends when the job was accepted.
 *
 * @throws TypeError for a peer without a fingerprint: whoever answers would be taken for it.
 */
export function handoffPeers(
  peers: Readonly<Record<string, HandoffPeer>>,
  options: HandoffPeersOptions = {},
): HandoffConnector {
  const known = new Map(Object.entries(peers));
  for (const [name, { fingerprint }] of known) {
    if (typeof fingerprint !== "string" || fingerprint === "")
      throw new TypeError(`peer ${name}: it has no fingerprint`);
  }
  return {
    runtimes: [...known.keys()],
    async handoff(request: HandoffRequest, signal: AbortSignal): Promise<HandoffReceipt> {
      const peer = known.get(request.runtime);
      if (peer === undefined) {
        throw new CanonicalError("NOT_FOUND", "there is no such runtime", { details: { runtime: request.runtime } });
      }
      return handOver(peer, request, signal, options);
    },
  };
}

async function handOver(
  { url, token, fingerprint, allowInsecure = false }: HandoffPeer,
  request: HandoffRequest,
  signal: AbortSignal,
  { client = { kind: "arcp-runtime", version: "" }, timeoutMs = 30_000 }: HandoffPeersOptions,
): Promise<HandoffReceipt> {
  await using conversation = await Conversation.open(url, {
    ...{ client, token, allowInsecure, signal, pinnedFingerprint: fingerprint },
    required: ["agent_handoff"],
    answerTimeoutMs: timeoutMs,
  });
  const { sessionId, runtime } = conversation.client.session;
  const { kind, version } = runtime;
  const answer = await conversation.ask(
    {
      id: newMessageId(),
      ...{ type: "agent.handoff", idempotency_key: request.idempotencyKey },
      ...traceMembers10(request.trace),
      payload: { to_runtime: { kind, version, fingerprint }, job: jobOf(request) },
    },
    signal,
  );
  if (answer?.message.type !== "job.accepted") {
    throw new InvalidRequestError(`the runtime answered a handoff with ${answer?.message.type}`);
  }
  return { runtime: { kind, version, fingerprint }, jobId: answer.message.job_id, sessionId };
}

/** What is to be done there, as a client would ask for it. */
const jobOf = ({ agent, input, lease, leaseConstraints }: HandoffRequest): object => ({
  type: "tool.invoke",
  payload: {
    ...{ tool: agent, arguments: input, lease_request: lease },
    ...(leaseConstraints.expires_at !== undefined && {
      lease_constraints: { expires_at: leaseConstraints.expires_at },
    }),
  },
});
