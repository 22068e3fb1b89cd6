/** What a command of wire 1.0 is carried out with. */
import type { JsonObject } from "@arcp/core";
import {
  CanonicalError,
  type Capabilities10,
  type CapabilityFlag,
  type ClientMessage10,
  type MessageOf10,
} from "@arcp/core/v1.0";
import type { Engine } from "../../../engine/engine.ts";
import type { Session } from "../../../engine/session.ts";
import type { Position } from "../message-ids.ts";
import type { Outbox10, Outlet } from "../outbox.ts";
import type { Profile10 } from "../profiles.ts";
import type { Subscriptions } from "../subscriptions.ts";

/** One client that was let in, for as long as its connection lasts. */
export interface Caller {
  readonly engine: Engine;
  readonly session: Session;
  readonly principal: string;
  readonly trustLevel: string;
  readonly profile: Profile10;
  /** What was negotiated. */
  readonly capabilities: Capabilities10;
  readonly outbox: Outbox10;
  readonly outlet: Outlet;
  readonly subscriptions: Subscriptions;
  /** Who this runtime is (RFC §8.3). */
  readonly runtime: { readonly kind: string; readonly version: string; readonly fingerprint: string | undefined };
  /** Can this connection carry binary frames beside their envelopes (RFC §11.3)? */
  readonly carriesSidecar: boolean;
  /** The binary frame that followed the message of that id. Rejects if another frame came instead. */
  binaryOf(messageId: string): Promise<Uint8Array>;
  /** Sends `session` from `after` on through this connection too, or once more; its feed keeps its own session id. */
  carry(session: Session, after: Position): Outlet;
  /** The sessions whose feeds this connection carries, its own first. */
  readonly carried: () => readonly Session[];
  /** Ends the session with `session.evicted` (RFC §8.5). */
  evict(code: string, message: string): void;
  /** Ends the connection, after everything that is on its way. */
  leave(reason: string): void;
  /** Calls `task` when the connection is over. */
  whenClosed(task: () => void): void;
}

/**
 * Carries out one message. What it throws is told in a `nack`; what it has to say, it replies itself, through `reply`,
 * which keeps replies in the order of their commands.
 */
export type Command<Type extends ClientMessage10["type"]> = (
  message: MessageOf10<Type>,
  caller: Caller,
  reply: (send: () => void) => void,
) => void | Promise<void>;

/** Throws `UNIMPLEMENTED` for what was not agreed on (RFC §7). */
export function requireCapability({ capabilities }: Caller, name: CapabilityFlag): void {
  if (!capabilities[name])
    throw new CanonicalError("UNIMPLEMENTED", `${name} was not negotiated`, { details: { name } });
}

/** Answers with `ack` (RFC §6.2). */
export const ack = (caller: Caller, message: ClientMessage10, more: JsonObject = {}): void => {
  const received_at = new Date(caller.engine.clock.now()).toISOString();
  caller.outbox.reply(message, "ack", { ack_for: message.id, received_at, ...more });
};
