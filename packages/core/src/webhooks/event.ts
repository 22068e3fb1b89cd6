/** What a runtime tells by webhook. The JSON Schema of it is docs/webhook.schema.json. */
import { z } from "zod";

/** Everything that there are webhooks for. */
export const WEBHOOK_EVENT_TYPES = ["job.ended", "question.asked", "budget.threshold"] as const;

/** What webhooks tell of. */
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

const time = z.iso.datetime().describe("RFC 3339, UTC");

/** Which job it is about. There may be more members tomorrow. */
const job = {
  job_id: z.string(),
  session_id: z.string().describe("the session that submitted the job"),
  principal: z.string().describe("whose job it is, without the tenant"),
  tenant: z.string().optional().describe("whose customer the principal is"),
  agent: z.string().describe("name@version"),
  parent_job_id: z.string().optional().describe("the job that delegated it"),
  trace_id: z.string(),
};

const amount = z.number().describe("in the unit of the currency");

const jobEnded = z.looseObject({
  type: z.literal("job.ended"),
  timestamp: time,
  data: z.looseObject({
    ...job,
    status: z.enum(["success", "error", "cancelled", "timed_out"]),
    created_at: time,
    ended_at: time,
    budget_remaining: z.record(z.string(), amount).optional().describe("per currency, of a job with a budget"),
    error: z
      .looseObject({
        code: z.string(),
        retryable: z.boolean().optional(),
        message: z.string().optional().describe("only with the endpoint's `texts`"),
      })
      .optional()
      .describe("of a job that did not succeed"),
  }),
});

const questionAsked = z.looseObject({
  type: z.literal("question.asked"),
  timestamp: time,
  data: z.looseObject({
    ...job,
    question_id: z.string(),
    question: z.enum(["input", "choice", "permission"]),
    expires_at: time.describe("when it is too late to answer"),
    cause: z.string().optional().describe("`interrupt`: a person has paused the job"),
    permission: z.string().optional().describe("of a request for permission: what for"),
    operation: z.string().optional(),
    resource: z.string().optional().describe("of a URL only its origin and path"),
    prompt: z.string().optional().describe("only with the endpoint's `texts`"),
  }),
});

const budgetThreshold = z.looseObject({
  type: z.literal("budget.threshold"),
  timestamp: time,
  data: z.looseObject({
    ...job,
    currency: z.string(),
    threshold: z.number().describe("the share of the budget that is used up at least: 0.8 is 80 %"),
    initial: amount,
    remaining: amount.describe("below zero for a job that has overspent"),
  }),
});

/** The body of a webhook, by its `type`. */
export const webhookEventSchema = z.discriminatedUnion("type", [jobEnded, questionAsked, budgetThreshold]);

/** What a webhook tells of, discriminated on `type`. Times are RFC 3339 in UTC. */
export type WebhookEvent = z.infer<typeof webhookEventSchema>;
/** A job has ended, whichever way. */
export type JobEndedEvent = z.infer<typeof jobEnded>;
/** A job asks people something. */
export type QuestionAskedEvent = z.infer<typeof questionAsked>;
/** A job has used up a share of its budget. */
export type BudgetThresholdEvent = z.infer<typeof budgetThreshold>;
