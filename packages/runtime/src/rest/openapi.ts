/** The REST surface, described (OpenAPI 3.1). Served at `/openapi.json`. */
import { ERROR_CODES, JOB_STATUSES } from "@arcp/core";

const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object): object => ({ "application/json": { schema } });
const answer = (description: string, schema: object): object => ({ description, content: json(schema) });
const inPath = (name: string, description: string): object => ({
  ...{ name, in: "path", required: true, description, schema: { type: "string", minLength: 1, maxLength: 128 } },
});
const inQuery = (name: string, schema: object, description: string): object => ({
  name,
  in: "query",
  schema,
  description,
});
const text = { type: "string" };
const textOrNull = { type: ["string", "null"] };
const instant = { type: "string", format: "date-time" };
const anyObject = { type: "object" };
const problems = { default: { $ref: "#/components/responses/Problem" } };

const eventStream = {
  description: "One event of the stream per event of the job, with its number as `id`. Comments keep it open.",
  ...text,
};

/** @param version Of the runtime. */
export function openApiDocument(version: string): object {
  return {
    openapi: "3.1.0",
    info: {
      title: "ARCP runtime",
      version,
      description:
        "Jobs, questions and artifacts of a runtime of the Agent Runtime Control Protocol, without its wire.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }],
    paths: {
      "/v1/jobs": {
        post: {
          operationId: "submitJob",
          summary: "Submits a job",
          parameters: [
            {
              name: "Idempotency-Key",
              in: "header",
              description:
                "The same key with the same body starts one job, and is answered alike; with another body, 409.",
              schema: { type: "string", minLength: 1, maxLength: 256 },
            },
            { name: "traceparent", in: "header", description: "W3C Trace Context.", schema: text },
          ],
          requestBody: { required: true, content: json(ref("Submission")) },
          responses: {
            202: {
              ...answer("The job is on record.", ref("Accepted")),
              headers: { Location: { description: "Where the job is.", schema: text } },
            },
            ...problems,
          },
        },
        get: {
          operationId: "listJobs",
          summary: "Jobs that may be seen, oldest first",
          parameters: [
            inQuery("status", { type: "array", items: ref("Status") }, "Repeated for several."),
            inQuery("agent", text, "`name` or `name@version`."),
            inQuery("created_after", instant, "Exclusive."),
            inQuery("created_before", instant, "Exclusive."),
            inQuery("limit", { type: "integer", minimum: 1 }, "Default: 100; at most 1000."),
            inQuery("cursor", text, "`next_cursor` of the page before."),
          ],
          responses: { 200: answer("A page.", ref("JobPage")), ...problems },
        },
      },
      "/v1/jobs/{job_id}": {
        parameters: [inPath("job_id", "The job.")],
        get: {
          operationId: "getJob",
          summary: "A job, and its result or error if it has ended",
          responses: { 200: answer("The job.", ref("Job")), ...problems },
        },
      },
      "/v1/jobs/{job_id}/cancel": {
        parameters: [inPath("job_id", "The job.")],
        post: {
          operationId: "cancelJob",
          summary: "Asks for a job's end; that it has ended is told by its last event",
          requestBody: { content: json({ type: "object", properties: { reason: text }, additionalProperties: false }) },
          responses: {
            202: answer("It will end.", { type: "object", properties: { job_id: text }, required: ["job_id"] }),
            ...problems,
          },
        },
      },
      "/v1/jobs/{job_id}/events": {
        parameters: [inPath("job_id", "The job.")],
        get: {
          operationId: "jobEvents",
          summary: "What a job has written: a page, or with Accept: text/event-stream everything until its end",
          parameters: [
            inQuery("after", { type: "integer", minimum: 0 }, "Events after this number. Default: 0."),
            inQuery("limit", { type: "integer", minimum: 1 }, "Of a page. Default: 100; at most 1000."),
            { name: "Last-Event-ID", in: "header", description: "As `after`, and before it.", schema: text },
          ],
          responses: {
            200: {
              description: "Events in order.",
              content: { ...json(ref("EventPage")), "text/event-stream": { schema: eventStream } },
            },
            204: { description: "The job has ended, and there is nothing after that number." },
            ...problems,
          },
        },
      },
      "/v1/questions/{question_id}/answer": {
        parameters: [inPath("question_id", "The `id` in the body of the event of kind `x-vendor.arcp.question`.")],
        post: {
          operationId: "answerQuestion",
          summary: "Answers what a job asks people",
          requestBody: { required: true, content: json(ref("Answer")) },
          responses: {
            200: answer("What became of it.", {
              ...{ type: "object", properties: { status: { enum: ["applied", "counted", "ignored"] } } },
              required: ["status"],
            }),
            ...problems,
          },
        },
      },
      "/v1/artifacts/{artifact_id}": {
        parameters: [inPath("artifact_id", "A letter or digit, then up to 127 of A-Z a-z 0-9 . _ ~ -")],
        get: {
          operationId: "getArtifact",
          summary: "The content of an artifact",
          responses: {
            200: {
              description: "The content, as it was stored.",
              headers: { ETag: { description: "SHA-256 of the content.", schema: text } },
              content: { "*/*": {} },
            },
            ...problems,
          },
        },
        put: {
          operationId: "putArtifact",
          summary: "Stores a content, of 8 MiB at most, under a name that is free",
          parameters: [inQuery("ttl_seconds", { type: "integer", minimum: 0 }, "How long to keep it.")],
          requestBody: { required: true, content: { "*/*": {} } },
          responses: { 201: answer("It is stored.", ref("ArtifactReference")), ...problems },
        },
      },
    },
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      responses: {
        Problem: {
          description: "Refused, as problem details (RFC 9457).",
          content: { "application/problem+json": { schema: ref("Problem") } },
        },
      },
      schemas: SCHEMAS,
    },
  };
}

const object = (properties: Readonly<Record<string, object>>, required: readonly string[]): object => ({
  ...{ type: "object", properties, required },
});

const lease = {
  type: "object",
  description: "Patterns by capability.",
  additionalProperties: { type: "array", items: text },
};
const JOB = {
  ...{ job_id: text, agent: text, status: ref("Status"), lease, parent_job_id: textOrNull, trace_id: text },
};

const SCHEMAS = {
  Status: { enum: JOB_STATUSES },
  Submission: {
    ...object(
      {
        agent: { type: "string", description: "`name` or `name@version`." },
        input: { description: "Any JSON." },
        lease_request: lease,
        lease_constraints: object({ expires_at: instant }, []),
        max_runtime_sec: { type: "integer", minimum: 1 },
      },
      ["agent"],
    ),
    additionalProperties: false,
  },
  Accepted: object({ job_id: text, agent: text, lease, accepted_at: instant, trace_id: text }, ["job_id", "agent"]),
  Job: object(
    {
      ...JOB,
      lease_constraints: anyObject,
      budget: { type: ["object", "null"] },
      result: { description: "Of a job that succeeded." },
      outcome: { type: "object", description: "What its last event says." },
      error: object({ code: text, message: text, retryable: { type: "boolean" }, details: anyObject }, [
        "code",
        "message",
        "retryable",
      ]),
    },
    ["job_id", "agent", "status", "lease"],
  ),
  JobPage: object(
    {
      jobs: { type: "array", items: object({ ...JOB, created_at: instant }, ["job_id", "status"]) },
      next_cursor: textOrNull,
    },
    ["jobs", "next_cursor"],
  ),
  Event: object(
    {
      n: { type: "integer", minimum: 1, description: "Its place among the events of the job." },
      type: { enum: ["job.event", "job.result", "job.error"] },
      job_id: text,
      trace_id: text,
      payload: { type: "object", description: "As the wire has it: `kind`, `ts`, `body`; or the end of the job." },
    },
    ["n", "type", "payload"],
  ),
  EventPage: object(
    {
      events: { type: "array", items: ref("Event") },
      next_after: { type: "integer", minimum: 0 },
      is_complete: { type: "boolean", description: "Has the job ended, and is this its last event?" },
    },
    ["events", "next_after", "is_complete"],
  ),
  Answer: {
    oneOf: [
      object({ kind: { const: "input" }, value: {}, responded_by: text }, ["kind", "value"]),
      object({ kind: { const: "choice" }, choice_id: text, responded_by: text }, ["kind", "choice_id"]),
      object(
        {
          ...{ kind: { const: "permission" }, granted: { type: "boolean" }, permission: text, resource: text },
          ...{ operation: text, lease_seconds: { type: "number" }, expires_at: instant, reason: text },
        },
        ["kind", "granted"],
      ),
    ],
  },
  ArtifactReference: object(
    { artifact_id: text, uri: text, media_type: text, size: { type: "integer" }, sha256: text, expires_at: instant },
    ["artifact_id", "uri", "size", "sha256"],
  ),
  Problem: object(
    {
      type: {
        type: "string",
        description: "`urn:arcp:error:` and the code; `about:blank` for what HTTP alone is about.",
      },
      title: text,
      status: { type: "integer" },
      detail: text,
      code: { type: "string", examples: ERROR_CODES },
      retryable: { type: "boolean" },
      details: anyObject,
      trace: { type: "string", description: "The trace id of the request." },
    },
    ["type", "title", "status"],
  ),
};
