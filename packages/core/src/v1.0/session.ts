/** The messages that open, keep and end a session (RFC §8, §9). */
import { z } from "zod";
import { TRUST_LEVELS } from "../auth.ts";
import { absentOr, counter, jsonObject, sessionId } from "../messages/envelope.ts";
import { sessionAck as sessionAck11 } from "../messages/session.ts";
import { capabilities10 } from "./capabilities.ts";
import { anything, entityId, message10, needed, openWord, reason, text, word } from "./envelope.ts";
import { errorPayload10, isErrorCode10 } from "./errors.ts";

/** How a client proves who it is (RFC §8.2). Which schemes are supported is the runtime's matter. */
export const AUTH_SCHEMES = ["bearer", "mtls", "oauth2", "signed_jwt", "none"] as const;
/** How a client of wire 1.0 proves who it is (RFC §8.2). */
export type AuthScheme = (typeof AUTH_SCHEMES)[number];

const auth = z.object({ scheme: openWord, token: text(16_384), fingerprint: text(512) });

const name = text(256);
const client = z
  .object({ kind: name, version: name, fingerprint: text(512), principal: name })
  .nullish()
  .transform((given) => ({
    kind: given?.kind ?? "unknown",
    version: given?.version ?? "",
    fingerprint: given?.fingerprint,
    principal: given?.principal,
  }));

const capabilities = capabilities10.nullish().transform((given) => given ?? capabilities10.parse({}));

/** RFC §8.1, §8.2. A fingerprint in `auth` is another SDK's place for `client.fingerprint`. */
export const sessionOpen = message10(
  "session.open",
  z.object({ auth: absentOr(auth), client, capabilities }).transform(({ auth, client, capabilities }, context) => {
    const fingerprint = client.fingerprint ?? auth?.fingerprint;
    if (auth?.scheme === "mtls") needed(fingerprint, ["client", "fingerprint"], context);
    return {
      auth: auth && { scheme: auth.scheme, token: auth.token },
      client: { ...client, fingerprint },
      capabilities,
    };
  }),
);

/** RFC §8.1. Every SDK names the members in its own way. */
export const sessionChallenge = message10(
  "session.challenge",
  z
    .object({
      challenge_id: absentOr(entityId),
      type: absentOr(openWord),
      scheme: absentOr(openWord),
      params: absentOr(jsonObject),
      challenge: absentOr(z.string()),
      nonce: absentOr(z.string()),
      expires_at: absentOr(z.string()),
    })
    .transform(({ challenge_id, type, scheme, params, challenge, nonce, expires_at }) => ({
      challenge_id,
      type: type ?? scheme ?? "challenge",
      params: params ?? {},
      challenge: challenge ?? nonce,
      expires_at,
    })),
);

/** RFC §8.1, §8.4: the answer to a challenge, or fresh credentials. */
export const sessionAuthenticate = message10(
  "session.authenticate",
  z
    .object({ challenge_id: absentOr(entityId), response: anything, auth: absentOr(auth) })
    .refine(({ response, auth }) => (response ?? auth) !== undefined, {
      path: ["response"],
      message: "expected response or auth",
    }),
);

const openName = absentOr(z.string());
const runtime = z
  .object({
    kind: openName,
    version: openName,
    fingerprint: openName,
    trust_level: absentOr(word(TRUST_LEVELS)).catch(undefined),
  })
  .nullish()
  .transform((given) => ({
    kind: given?.kind ?? "unknown",
    version: given?.version ?? "",
    fingerprint: given?.fingerprint,
    trust_level: given?.trust_level,
  }));

const sessionLease = absentOr(z.object({ expires_at: z.string() })).catch(undefined);

/** RFC §8.3. The id of the session is in the payload, on the envelope, or in both. */
export const sessionAccepted = message10(
  "session.accepted",
  z.object({
    session_id: absentOr(sessionId),
    runtime,
    capabilities,
    lease: sessionLease,
    resume_token: openName,
    heartbeat_interval_seconds: absentOr(z.number()),
  }),
).transform((message, context) => {
  const session_id = needed(message.payload.session_id ?? message.session_id, ["payload", "session_id"], context);
  return { ...message, session_id, payload: { ...message.payload, session_id } };
});

/** RFC §6.2: a challenge was answered wrongly, and may be answered again. */
export const sessionUnauthenticated = message10(
  "session.unauthenticated",
  z
    .object({ code: absentOr(z.string()), message: openName, reason: openName })
    .transform(({ code, message, reason }) => ({
      code: code ?? "UNAUTHENTICATED",
      message: message ?? reason ?? "",
    })),
);

/** RFC §8.1: the end of a handshake that failed. */
export const sessionRejected = message10("session.rejected", errorPayload10);

/** RFC §8.4. The time to answer is a span, an instant, or both. */
export const sessionRefresh = message10(
  "session.refresh",
  z
    .object({
      reason: openName,
      deadline_ms: absentOr(z.number().nonnegative()),
      deadline: openName,
      challenge_id: absentOr(entityId),
      challenge: openName,
      nonce: openName,
      scheme: absentOr(openWord),
    })
    .transform(({ challenge, nonce, ...rest }) => ({ ...rest, challenge: challenge ?? nonce })),
);

/** RFC §8.5. The reason is a code of RFC §18.2, in any case, or a text beside one. */
export const sessionEvicted = message10(
  "session.evicted",
  z
    .object({ reason: openName, code: openName, message: openName, allow_resume: absentOr(z.boolean()) })
    .transform(({ reason, code, message, allow_resume }) => {
      const named = reason?.toUpperCase();
      const isCode = named !== undefined && isErrorCode10(named);
      return {
        code: code ?? (isCode ? named : "UNKNOWN"),
        message: message ?? (isCode ? "" : (reason ?? "")),
        reason,
        allow_resume: allow_resume ?? true,
      };
    }),
);

/** RFC §9. What becomes of open jobs; `detach` as a truth value is another SDK's form. */
export const sessionClose = message10(
  "session.close",
  z
    .object({ reason, dispose_jobs: absentOr(word(["cancel", "detach"])), detach: absentOr(z.boolean()) })
    .transform(({ reason, dispose_jobs, detach }) => ({
      reason,
      dispose_jobs:
        dispose_jobs ?? (detach === undefined ? undefined : detach ? ("detach" as const) : ("cancel" as const)),
    })),
);

// What follows is not in the RFC: another SDK speaks of sessions as wire 1.1 does.

export const sessionClosed = message10("session.closed", z.object({ reason: openName }));

export const sessionResume = message10(
  "session.resume",
  z.object({
    session_id: absentOr(sessionId),
    resume_token: text(1024),
    last_event_seq: absentOr(counter),
    /** The message that the client saw last, instead of a number. */
    after_message_id: absentOr(entityId),
    auth: absentOr(auth),
  }),
).transform((message) => ({ ...message, session_id: message.payload.session_id ?? message.session_id }));

export const sessionResumed = message10(
  "session.resumed",
  z.object({
    session_id: absentOr(sessionId),
    resume_token: openName,
    replayed_from: absentOr(z.number()),
    replayed: absentOr(z.union([z.boolean(), z.number()])).catch(undefined),
  }),
).transform((message, context) => {
  const session_id = needed(message.payload.session_id ?? message.session_id, ["payload", "session_id"], context);
  return { ...message, session_id, payload: { ...message.payload, session_id } };
});

export const sessionPing = message10("session.ping", z.object({ nonce: name, sent_at: name }));
export const sessionPong = message10("session.pong", z.object({ ping_nonce: name, received_at: name }));
export const sessionAck = message10("session.ack", sessionAck11.shape.payload);
