/** What a stand-in answers. */
import { type ChatMessage, textOf } from "./request.ts";

export interface ToolUse {
  readonly name: string;
  readonly args: object;
}

/** A text, or the tools that the model wants called. */
export type Turn = string | readonly ToolUse[];

/** From what was said to what the model says next. */
export type Script = (messages: readonly ChatMessage[]) => Turn;

/** One after another; a function is given the text of the last message, such as the result of a tool. */
export function turns(...all: readonly (Turn | ((last: string) => Turn))[]): Script {
  return (messages) => {
    const turn = all[messages.filter(({ role }) => role === "assistant").length];
    if (turn === undefined) throw new Error(`the script ends after ${all.length} turns`);
    return typeof turn === "function" ? turn(textOf(messages.at(-1) ?? { content: "" })) : turn;
  };
}

/** A turn that calls one tool. */
export const call = (name: string, args: object = {}): Turn => [{ name, args }];
