/** How a client opens or resumes a session: the message and what is in it (§6.1–§6.3). */
import { type JsonObject, newSessionId } from "@arcp/core";
import type { ResolvedOptions, TokenSource } from "./options.ts";
import type { ResumeInfo } from "./session.ts";

export interface Greeting {
  readonly type: "session.hello" | "session.resume";
  readonly payload: JsonObject;
  /** On the envelope, where the message or the peer wants it. */
  readonly sessionId: string | undefined;
}

export function toGreeting(
  { client, features, compat }: Pick<ResolvedOptions, "client" | "features" | "compat">,
  auth: JsonObject,
  resume: ResumeInfo | undefined,
  resumeForm: "hello" | "resume",
): Greeting {
  if (resume !== undefined && resumeForm === "resume") {
    return { type: "session.resume", payload: { ...toPosition(resume), auth }, sessionId: resume.sessionId };
  }
  const isRuby = compat.dialect === "ruby";
  const names = isRuby ? { client_name: client.name, client_version: client.version } : {};
  const token = isRuby && resume ? { token: resume.resumeToken } : {};
  return {
    type: "session.hello",
    payload: {
      client,
      ...names,
      auth,
      capabilities: { encodings: ["json"], features },
      ...(resume === undefined ? {} : { resume: { ...toPosition(resume), ...token } }),
    },
    sessionId: isRuby ? (resume?.sessionId ?? newSessionId()) : undefined,
  };
}

const toPosition = (resume: ResumeInfo): JsonObject => ({
  session_id: resume.sessionId,
  resume_token: resume.resumeToken,
  last_event_seq: resume.lastEventSeq,
});

/** The `auth` member, with the token of this moment. */
export async function toAuth(token: TokenSource | undefined): Promise<JsonObject> {
  if (token === undefined) return { scheme: "none" };
  return { scheme: "bearer", token: typeof token === "string" ? token : await token() };
}
