/** People and their jobs: `interrupt`, answers to questions, permissions and their leases (RFC §10.5, §12, §15). */
import type { JobId } from "@arcp/core";
import { CanonicalError, type ClientMessage10 } from "@arcp/core/v1.0";
import type { Answer, DecidedScope } from "../../../engine/interactions/answer.ts";
import type { AnswerStatus } from "../../../engine/interactions/interactions.ts";
import type { Session } from "../../../engine/session.ts";
import { questionIdOf } from "../entry-parts.ts";
import { ack, type Caller, type Command, requireCapability } from "./command.ts";

/** RFC §10.5. */
export const interrupt: Command<"interrupt"> = async (message, caller, reply) => {
  requireCapability(caller, "interrupt");
  const { target, target_id, prompt } = message.payload;
  if (target !== "job") throw new CanonicalError("UNIMPLEMENTED", `a ${target} cannot be interrupted`);
  const request = { prompt, commandId: message.id };
  await caller.engine.people.interrupts.interrupt(caller.session, target_id as JobId, request);
  reply(() => ack(caller, message));
};

/** RFC §12.1. */
export const humanInputResponse: Command<"human.input.response"> = async (message, caller, reply) => {
  requireCapability(caller, "human_input");
  const { value, ...provenance } = message.payload;
  const status = await answer(caller, message, { kind: "input", value }, provenance);
  reply(() => ack(caller, message, { status }));
};

/** RFC §12.2. */
export const humanChoiceResponse: Command<"human.choice.response"> = async (message, caller, reply) => {
  requireCapability(caller, "human_input");
  const { choice_id: choiceId, ...provenance } = message.payload;
  const status = await answer(caller, message, { kind: "choice", choiceId }, provenance);
  reply(() => ack(caller, message, { status }));
};

/** RFC §15.4. What follows is `lease.granted`, which answers it too. */
export const permissionGrant: Command<"permission.grant"> = async (message, caller, reply) => {
  const { lease_seconds: leaseSeconds, expires_at, granted_by } = message.payload;
  const expiresAt = expires_at === undefined ? undefined : Date.parse(expires_at);
  const decision = { kind: "permission", granted: true, scope: scopeOf(message), leaseSeconds, expiresAt } as const;
  const status = await answer(caller, message, decision, { responded_by: granted_by });
  reply(() => ack(caller, message, { status }));
};

/** RFC §15.4. */
export const permissionDeny: Command<"permission.deny"> = async (message, caller, reply) => {
  const { reason, denied_by } = message.payload;
  const decision = { kind: "permission", granted: false, scope: scopeOf(message), reason } as const;
  const status = await answer(caller, message, decision, { responded_by: denied_by });
  reply(() => ack(caller, message, { status }));
};

/** RFC §15.5. It is answered by `lease.extended`, in the session's feed. */
export const leaseRefresh: Command<"lease.refresh"> = async (message, caller) => {
  const { lease_id, requested_seconds } = message.payload;
  const command = { session: sessionOf(message, caller), messageId: message.id };
  await caller.engine.people.grants.refresh(lease_id, requested_seconds, command);
};

/** RFC §15.5: who granted a lease takes it back. */
export const leaseRevoked: Command<"lease.revoked"> = async (message, caller, reply) => {
  const { lease_id, reason } = message.payload;
  const command = { session: sessionOf(message, caller), messageId: message.id };
  await caller.engine.people.grants.withdraw(lease_id, reason, command);
  reply(() => ack(caller, message));
};

const answer = (
  caller: Caller,
  message: Extract<ClientMessage10, { readonly correlation_id: string }>,
  given: Answer,
  provenance: { readonly responded_by?: string | undefined; readonly responded_at?: string | undefined },
): Promise<AnswerStatus> =>
  caller.engine.people.interactions.answer({
    session: sessionOf(message, caller),
    questionId: questionIdOf(message.correlation_id),
    answer: given,
    messageId: message.id,
    respondedBy: provenance.responded_by,
    respondedAt: provenance.responded_at,
  });

const scopeOf = ({ payload }: Parameters<Command<"permission.grant" | "permission.deny">>[0]): DecidedScope => {
  const { permission, resource, operation } = payload;
  return { permission, resource, operation };
};

/** The session that a message is of: a connection may carry resumed ones beside its own. */
const sessionOf = ({ session_id }: ClientMessage10, { carried, session }: Caller): Session =>
  carried().find(({ id }) => id === session_id) ?? session;
