/** Single keys, as they are pressed. */
import { emitKeypressEvents, type Key } from "node:readline";

/** What {@link Keyboard} needs of `process.stdin`. */
export interface KeyboardInput extends NodeJS.EventEmitter {
  setRawMode?(isRaw: boolean): unknown;
  resume(): unknown;
  pause(): unknown;
}

/** By its name (`up`, `return`, `escape`), or, of what has none, the character. `ctrl-c` with Ctrl. */
export type KeyName = string;

export class Keyboard {
  readonly #input: KeyboardInput;
  readonly #listener: (text: string | undefined, key: Key) => void;
  #isListening = false;

  constructor(input: KeyboardInput, onKey: (name: KeyName, text: string) => void) {
    this.#input = input;
    this.#listener = (text = "", key) => onKey(nameOf(text, key), text);
  }

  /** Ctrl-C comes as a key from now on, and not as a signal. */
  start(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    emitKeypressEvents(this.#input as NodeJS.ReadableStream);
    this.#input.setRawMode?.(true);
    this.#input.on("keypress", this.#listener);
    this.#input.resume();
  }

  stop(): void {
    if (!this.#isListening) return;
    this.#isListening = false;
    this.#input.off("keypress", this.#listener);
    this.#input.setRawMode?.(false);
    this.#input.pause();
  }
}

function nameOf(text: string, { name, ctrl, shift }: Key): KeyName {
  if (ctrl === true && name !== undefined) return `ctrl-${name}`;
  // `G` is not `g`; what has no character has a name.
  const isCharacter = text.length === 1 && text > " " && text !== "\u007f";
  return isCharacter ? text : shift === true && name === "tab" ? "shift-tab" : (name ?? text);
}
