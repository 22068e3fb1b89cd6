/** What was said in a case: every frame, in both directions, when. */

export interface RecordedFrame {
  /** ISO 8601 in UTC. */
  readonly at: string;
  /** `sent` by the suite, or `received` by it; what befell the connection is `noted`. */
  readonly direction: "sent" | "received" | "noted";
  /** Which connection of the case, from 1. */
  readonly connection: number;
  /** The frame as it was; cut after {@link MAX_FRAME_TEXT} characters. */
  readonly text: string;
}

const MAX_FRAME_TEXT = 4096;
const MAX_FRAMES = 500;

export class Recording {
  readonly frames: RecordedFrame[] = [];
  #left = 0;
  #connections = 0;

  /** The number of a new connection. */
  connection(): number {
    this.#connections += 1;
    return this.#connections;
  }

  add(direction: RecordedFrame["direction"], connection: number, text: string): void {
    if (this.frames.length >= MAX_FRAMES) {
      this.frames.shift();
      this.#left += 1;
    }
    const cut = text.length > MAX_FRAME_TEXT ? `${text.slice(0, MAX_FRAME_TEXT)}… (${text.length} characters)` : text;
    this.frames.push({ at: new Date().toISOString(), direction, connection, text: cut });
  }

  /** How many of the oldest frames were let go of. */
  get omitted(): number {
    return this.#left;
  }
}
