/** The messages by which a job asks for permission, and leases are given and taken (RFC §15.4, §15.5). */
import { z } from "zod";
import { absentOr, type messageId } from "../messages/envelope.ts";
import { entityId, instant, message10, needed, reason, text } from "./envelope.ts";

const name = text(1024);
const openText = absentOr(z.string());
const seconds = absentOr(z.number().positive());

/** RFC §15.4. */
export const permissionRequest = message10(
  "permission.request",
  z.object({
    permission: z.string().min(1),
    resource: z.string(),
    operation: z.string(),
    reason: openText,
    requested_lease_seconds: seconds,
  }),
);

/** A decision names its request by `correlation_id`. */
const deciding = <Message extends { readonly correlation_id?: z.infer<typeof messageId> | undefined }>(
  message: Message,
  context: z.RefinementCtx,
) => ({ ...message, correlation_id: needed(message.correlation_id, ["correlation_id"], context) });

const scope = { permission: name, resource: name, operation: name };

/** RFC §15.4. What it grants is what was asked for, or less: for so many seconds, until an instant, or as asked. */
export const permissionGrant = message10(
  "permission.grant",
  z.object({
    ...scope,
    lease_id: absentOr(entityId),
    lease_seconds: seconds,
    expires_at: absentOr(instant),
    granted_by: text(256),
  }),
).transform(deciding);

/** RFC §15.4. */
export const permissionDeny = message10(
  "permission.deny",
  z.object({ ...scope, reason, denied_by: text(256) }),
).transform(deciding);

/** RFC §15.5. */
export const leaseGranted = message10(
  "lease.granted",
  z.object({
    lease_id: entityId,
    permission: openText,
    resource: openText,
    operation: openText,
    expires_at: openText,
  }),
);

/** RFC §15.5. `extend_seconds` is another SDK's name for `requested_seconds`. */
export const leaseRefresh = message10(
  "lease.refresh",
  z
    .object({ lease_id: entityId, requested_seconds: seconds, extend_seconds: seconds })
    .transform(({ lease_id, requested_seconds, extend_seconds }) => ({
      lease_id,
      requested_seconds: requested_seconds ?? extend_seconds,
    })),
);

/** RFC §15.5. */
export const leaseExtended = message10("lease.extended", z.object({ lease_id: entityId, expires_at: z.string() }));

/** RFC §15.5. Whoever granted a lease may take it back. */
export const leaseRevoked = message10("lease.revoked", z.object({ lease_id: entityId, reason }));
