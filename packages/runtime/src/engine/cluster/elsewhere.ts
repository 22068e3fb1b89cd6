/** What is done in the name of a client at the node that runs its job. */
import type { JobId, SessionId } from "@arcp/core";
import type { Actor } from "../session.ts";

/** The other nodes. */
export interface Elsewhere {
  /**
   * What a method of the node that runs the job returns. Rejects with what it throws, and with InternalError, to be tried again,
   * if that node cannot be reached.
   */
  call<Result>(jobId: JobId, method: string, params: unknown): Promise<Result>;
}

/** A client, as one node tells another. */
export interface ActorFacts {
  readonly id: SessionId;
  readonly principal: string;
  readonly wire: string;
  readonly features: readonly string[];
  readonly remoteAddress?: string | undefined;
}

export const actorFacts = ({ id, principal, features, remoteAddress, record }: Actor): ActorFacts => ({
  ...{ id, principal, features: [...features], wire: record.wire },
  ...(remoteAddress !== undefined && { remoteAddress }),
});

export const actorOf = ({ id, principal, features, remoteAddress, wire }: ActorFacts): Actor => ({
  ...{ id, principal, features: new Set(features), remoteAddress, record: { wire } },
});
