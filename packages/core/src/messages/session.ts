/** The messages that open, keep and close a session (§6). */
import { z } from "zod";
import { absentOr, counter, jsonObject, messageEnvelope } from "./envelope.ts";
import { errorPayload } from "./event.ts";

const name = z.string().max(256);
const nameList = z.array(z.string().max(256)).max(256);

const auth = z.looseObject({ scheme: z.string().max(64).optional(), token: z.string().max(16_384).optional() });

/** Resume as hello carries it. `token` is another SDK's name for `resume_token`. */
const resumeBlock = z
  .looseObject({
    session_id: z.string().max(128).optional(),
    resume_token: z.string().max(1024).optional(),
    token: z.string().max(1024).optional(),
    last_event_seq: counter,
  })
  .transform(({ session_id, resume_token, token, last_event_seq }) => ({
    session_id,
    resume_token: resume_token ?? token ?? "",
    last_event_seq,
  }));

const peer = z.looseObject({ name: name.optional(), version: name.optional(), principal: z.unknown().optional() });

/** §6.2. `client_name` and `client_version` are another SDK's flat form. */
export const sessionHello = messageEnvelope(
  "session.hello",
  z.object({
    client: absentOr(peer),
    client_name: absentOr(name),
    client_version: absentOr(name),
    auth: absentOr(auth),
    capabilities: absentOr(
      z.looseObject({ encodings: absentOr(nameList), features: absentOr(nameList), extensions: absentOr(nameList) }),
    ),
    resume: absentOr(resumeBlock),
  }),
);

/** §6.3. The features of the session that is resumed stay as they were. */
export const sessionResume = messageEnvelope("session.resume", resumeBlock.and(z.object({ auth: absentOr(auth) })));

/** §6.4. */
export const sessionPing = messageEnvelope(
  "session.ping",
  z.looseObject({ nonce: z.string().max(256).optional(), sent_at: z.string().max(64).optional() }),
);

/** §6.4. */
export const sessionPong = messageEnvelope(
  "session.pong",
  z.looseObject({ ping_nonce: z.string().max(256).optional(), received_at: z.string().max(64).optional() }),
);

/** §6.5. */
export const sessionAck = messageEnvelope("session.ack", z.object({ last_processed_seq: counter }));

/** The statuses of a job (§7.3): two that it lives in, four that it ends in. */
export const JOB_STATUSES = ["pending", "running", "success", "error", "cancelled", "timed_out"] as const;
/** Where a job stands (§7.3). */
export type JobStatus = (typeof JOB_STATUSES)[number];

/** RFC 3339 with a zone. */
const instant = z.iso.datetime({ offset: true });

/** The schema of the filter of `session.list_jobs` (§6.6). */
export const jobFilter = z.strictObject({
  status: absentOr(z.array(z.enum(JOB_STATUSES)).max(16)),
  agent: absentOr(z.string().max(512)),
  created_after: absentOr(instant),
  created_before: absentOr(instant),
});

/** §6.6. */
export const sessionListJobs = messageEnvelope(
  "session.list_jobs",
  z.object({
    filter: absentOr(jobFilter),
    limit: absentOr(z.int().positive()),
    cursor: absentOr(z.string().max(1024)),
  }),
);

/** §6.7. */
export const sessionClose = messageEnvelope("session.close", z.looseObject({ reason: absentOr(z.string().max(1024)) }));

/** The base draft's way to end a session, unacknowledged. */
export const sessionBye = messageEnvelope("session.bye", z.looseObject({ reason: absentOr(z.string().max(1024)) }));

const agentEntry = z.union([
  z.string(),
  z.looseObject({
    name: z.string(),
    versions: z
      .array(z.string())
      .nullish()
      .transform((value) => value ?? []),
    default: absentOr(z.string()),
  }),
]);

/** §6.2. `runtime_name` and `runtime_version` are another SDK's flat form. */
export const sessionWelcome = messageEnvelope(
  "session.welcome",
  z
    .looseObject({
      runtime: absentOr(peer),
      runtime_name: absentOr(z.string()),
      runtime_version: absentOr(z.string()),
      resume_token: absentOr(z.string()),
      resume_window_sec: absentOr(z.number()),
      heartbeat_interval_sec: absentOr(z.number()),
      capabilities: absentOr(
        z.looseObject({
          encodings: absentOr(z.array(z.string())),
          features: absentOr(z.array(z.string())),
          agents: absentOr(z.array(agentEntry)),
        }),
      ),
      request_id: absentOr(z.string()),
    })
    .transform(({ runtime, runtime_name, runtime_version, ...rest }) => ({
      ...rest,
      runtime: {
        name: runtime?.name ?? runtime_name ?? "unknown",
        version: runtime?.version ?? runtime_version ?? "",
      },
    })),
);

/** §12. A reply to a request, or the word that precedes a close. */
export const sessionError = messageEnvelope("session.error", errorPayload);

/** §6.6. */
export const sessionJobs = messageEnvelope(
  "session.jobs",
  z.looseObject({
    request_id: absentOr(z.string()),
    jobs: z
      .array(
        z.looseObject({
          job_id: z.string(),
          agent: z.string(),
          status: z.string(),
          lease: absentOr(jsonObject),
          parent_job_id: absentOr(z.string()),
          created_at: absentOr(z.string()),
          trace_id: absentOr(z.string()),
          last_event_seq: absentOr(z.number()),
        }),
      )
      .nullish()
      .transform((jobs) => jobs ?? []),
    next_cursor: z
      .string()
      .nullish()
      .transform((cursor) => cursor ?? null),
  }),
);

/** §6.7. */
export const sessionClosed = messageEnvelope("session.closed", z.looseObject({ reason: absentOr(z.string()) }));
