/** `@arcp/core/webhooks`: what a runtime tells by webhook, and how to be sure that it was that runtime. Needs no Node. */
export {
  type BudgetThresholdEvent,
  type JobEndedEvent,
  type QuestionAskedEvent,
  WEBHOOK_EVENT_TYPES,
  type WebhookEvent,
  type WebhookEventType,
  webhookEventSchema,
} from "./event.ts";
export {
  newWebhookSecret,
  type SignedWebhook,
  signWebhook,
  type VerifiedWebhook,
  type VerifyWebhookOptions,
  verifyWebhook,
  WEBHOOK_HEADERS,
  type WebhookRefusal,
  type WebhookRequest,
  WebhookVerificationError,
  webhookKey,
} from "./signature.ts";
