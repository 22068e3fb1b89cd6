import type { TransportPeer } from "@arcp/core";
import type { AuthRequest } from "@arcp/runtime";

export const peerAt = (remoteAddress: string): TransportPeer => ({
  kind: "websocket",
  isConfidential: true,
  remoteAddress,
});

/** What a client shows that connects from 192.0.2.1. */
export const shown = (scheme: string, members: Partial<AuthRequest> = {}): AuthRequest => ({
  scheme,
  peer: peerAt("192.0.2.1"),
  params: { scheme },
  ...members,
});

export const { signal: NEVER } = new AbortController();
