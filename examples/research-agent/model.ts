/** What the stand-in says, to whoever it is: it reads every page, notes sentences with numbers, and writes them down. */
import type { Script } from "../model/model.ts";
import { textOf } from "../model/request.ts";

export const script: Script = ([instructions, asked]) => {
  const role = textOf(instructions ?? { content: "" });
  const text = textOf(asked ?? { content: "" });
  if (role.startsWith("You lead")) {
    return [...text.matchAll(/^(http\S+)/gm)].map(([url]) => ({ name: "read_page", args: { url } }));
  }
  if (role.startsWith("You take notes")) {
    const [, paragraph = ""] = text.split("The paragraph: ");
    const sentences = paragraph.split(/(?<=\.) /);
    return sentences.find((sentence) => /\d %|\d+ (?:years|minutes)/.test(sentence)) ?? "Nothing.";
  }
  const [, notes = ""] = text.split("The notes:\n");
  return `Yes, with the right light. What speaks for it and against it:\n\n${notes}`;
};
