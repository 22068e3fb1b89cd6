/** Remembers every frame of every connection over memory, in both directions. */
import type { HarnessOptions } from "./harness.ts";
import type { Frame } from "./raw-client.ts";

export class Recorder {
  /** What clients sent, as text. */
  readonly up: string[] = [];
  /** What the runtime sent, as text. */
  readonly down: string[] = [];

  /** Pass this to the harness. */
  readonly faults: NonNullable<HarnessOptions["faults"]> = () => ({
    left: { onSend: (frame) => this.#keep(this.up, frame) },
    right: { onSend: (frame) => this.#keep(this.down, frame) },
  });

  get sent(): readonly Frame[] {
    return this.up.map((text) => JSON.parse(text) as Frame);
  }

  get received(): readonly Frame[] {
    return this.down.map((text) => JSON.parse(text) as Frame);
  }

  #keep(into: string[], frame: string): "deliver" {
    into.push(frame);
    return "deliver";
  }
}
