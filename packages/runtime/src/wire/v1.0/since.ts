/** Where an observer goes on that names the last message it saw (RFC §13.1): in a session's feed, or in a job's journal. */
import type { JobId } from "@arcp/core";
import type { Engine } from "../../engine/engine.ts";
import type { Session } from "../../engine/session.ts";
import { questionIdOf } from "./entry-parts.ts";
import { FIRST_REPLY, MessageIds, type Position } from "./message-ids.ts";

/** What the observer has seen, up to a message. Other sessions and jobs are known up to the time of that message. */
export type Since =
  | { readonly kind: "feed"; readonly session: Session; readonly position: Position }
  /** Entry `n` of a job is not shown to its own session; up to which of its messages it was seen. */
  | { readonly kind: "journal"; readonly jobId: JobId; readonly n: number; readonly index: number };

export interface SinceOptions {
  readonly engine: Engine;
  /** Those that the observer may see. */
  readonly sessions: readonly Session[];
  /** Jobs that it may see, by name or because they live: messages of others in no feed are not found again. */
  readonly jobIds: readonly JobId[];
}

const SALT_CHARS = 8;

/** What ids are salted with that belong to a job, or to a session that is not known any more. */
export const saltOf = (id: string): string => id.slice(-SALT_CHARS);

/** `undefined` for the id of no message that is known. */
export async function sinceOf(messageId: string, options: SinceOptions): Promise<Since | undefined> {
  const { sessions, jobIds } = options;
  for (const session of sessions) {
    const position = new MessageIds(session.salt).positionOf(messageId);
    if (position !== undefined)
      return position.seq > session.feed.head ? undefined : { kind: "feed", session, position };
  }
  for (const jobId of jobIds) {
    const position = new MessageIds(saltOf(jobId)).positionOf(messageId);
    if (position !== undefined) return { kind: "journal", jobId, n: position.seq, index: position.index };
  }
  return sinceQuestion(messageId, options);
}

/** Questions have one id in every session, which tells no place. */
async function sinceQuestion(messageId: string, { engine, sessions }: SinceOptions): Promise<Since | undefined> {
  for (const principal of new Set(sessions.map((session) => session.principal))) {
    const place = await engine.people.interactions.placeOf(questionIdOf(messageId), principal);
    if (place === undefined) continue;
    const { jobId, n } = place;
    const job = engine.jobs.get(jobId) ?? (await engine.store.findJob(jobId));
    const session = sessions.find(({ id }) => id === job?.sessionId);
    const seq = session && (await engine.seqOf(session.id, jobId, n));
    if (session === undefined || seq === undefined) return { kind: "journal", jobId, n, index: FIRST_REPLY };
    return { kind: "feed", session, position: { seq, index: FIRST_REPLY } };
  }
  return undefined;
}
