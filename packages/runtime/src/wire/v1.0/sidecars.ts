/** Binary frames of a client, each of which belongs to the message right before it (RFC §11.3; PROTOCOL.md, Sidecars). */
import { InvalidRequestError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";

/** Frames that wait to be used. */
const MAX_HELD = 8;

type Slot = PromiseWithResolvers<Uint8Array>;

export class Sidecars {
  readonly #slots = new Map<string, Slot>();
  #next: Slot | undefined;

  /** The message of that id says that a binary frame follows. */
  expect(messageId: string): void {
    const slot = Promise.withResolvers<Uint8Array>();
    slot.promise.catch(() => {});
    if (this.#slots.size >= MAX_HELD) {
      slot.reject(new CanonicalError("RESOURCE_EXHAUSTED", "too many binary frames wait"));
    }
    this.#slots.set(messageId, slot);
    this.#next = slot;
  }

  /** A frame of text came: nothing may stand between a message and its binary frame. */
  onText(): void {
    this.#next?.reject(new InvalidRequestError("expected a binary frame right after its message"));
    this.#next = undefined;
  }

  /** Takes a binary frame. Throws {@link InvalidRequestError} for one that no message announced. */
  onBinary(bytes: Uint8Array): void {
    const slot = this.#next;
    this.#next = undefined;
    if (slot === undefined) throw new InvalidRequestError("a binary frame that no message announced");
    slot.resolve(bytes);
  }

  /** The binary frame of a message, once. */
  take(messageId: string): Promise<Uint8Array> {
    const slot = this.#slots.get(messageId);
    this.#slots.delete(messageId);
    return slot?.promise ?? Promise.reject(new InvalidRequestError("the sidecar encoding was not negotiated"));
  }

  /** The connection is over. */
  close(): void {
    for (const slot of this.#slots.values()) slot.reject(new InvalidRequestError("the connection is over"));
    this.#slots.clear();
  }
}
