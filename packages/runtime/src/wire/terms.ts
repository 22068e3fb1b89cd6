/** What each command of a client takes, on both wires. A new one does not compile without its row. */
import type { ClientMessage } from "@arcp/core";
import type { ClientMessage10 } from "@arcp/core/v1.0";
import type { Terms } from "../engine/access.ts";

type Row = Terms | "free";

/** It makes something run. */
const SUBMIT: Terms = { permission: "submit", rate: "submitsPerMinute" };
/** It concerns what one has submitted. */
const CONTROL: Terms = { permission: "submit" };
const OBSERVE: Terms = { permission: "observe:own" };
const ANSWER: Terms = { permission: "answer", isAnswer: true };
/** It changes what was granted, or has others answer. */
const DECIDE: Terms = { permission: "answer" };

const TERMS: { readonly [Type in ClientMessage["type"] | ClientMessage10["type"]]: Row } = {
  // The session itself.
  "session.hello": "free",
  "session.resume": "free",
  "session.open": "free",
  "session.authenticate": "free",
  "session.ping": "free",
  "session.pong": "free",
  "session.ack": "free",
  "session.close": "free",
  "session.bye": "free",
  ping: "free",
  pong: "free",
  ack: "free",
  nack: "free",
  backpressure: "free",
  // Jobs.
  "job.submit": SUBMIT,
  "tool.invoke": SUBMIT,
  "workflow.start": SUBMIT,
  "job.schedule": SUBMIT,
  "agent.delegate": SUBMIT,
  "agent.handoff": SUBMIT,
  "checkpoint.restore": SUBMIT,
  "x-vendor.arcp.agent.describe": CONTROL,
  "x-vendor.arcp.job.check": CONTROL,
  "job.cancel": CONTROL,
  cancel: CONTROL,
  interrupt: CONTROL,
  "checkpoint.create": CONTROL,
  "artifact.put": CONTROL,
  "artifact.release": CONTROL,
  // Looking on.
  "session.list_jobs": OBSERVE,
  "job.subscribe": OBSERVE,
  "x-vendor.arcp.job.describe": OBSERVE,
  subscribe: OBSERVE,
  resume: OBSERVE,
  "artifact.fetch": OBSERVE,
  "job.unsubscribe": "free",
  unsubscribe: "free",
  // People.
  "human.input.response": ANSWER,
  "human.choice.response": ANSWER,
  "permission.grant": ANSWER,
  "permission.deny": ANSWER,
  "lease.refresh": DECIDE,
  "lease.revoked": DECIDE,
  "x-vendor.arcp.human.input.response": ANSWER,
  "x-vendor.arcp.human.choice.response": ANSWER,
  "x-vendor.arcp.permission.grant": ANSWER,
  "x-vendor.arcp.permission.deny": ANSWER,
  "x-vendor.arcp.answer_link": DECIDE,
};

/** `undefined` for what every client may do, as often as it likes. */
export function termsOf(type: keyof typeof TERMS): Terms | undefined {
  const row = TERMS[type];
  return row === "free" ? undefined : row;
}
