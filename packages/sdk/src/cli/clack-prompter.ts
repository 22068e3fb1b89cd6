import { isCancel, select, text } from "@clack/prompts";
import { escapeLine } from "./escape.ts";
import type { ChoicePrompt, Prompter, TextPrompt } from "./question-prompt.ts";

/** Prompts on the terminal of this process. */
export const clackPrompter: Prompter = {
  async text({ message, initial, problem }: TextPrompt, signal: AbortSignal): Promise<string | undefined> {
    const typed = await text({
      ...{ message, signal },
      ...(initial === undefined ? {} : { initialValue: escapeLine(initial) }),
      validate: (value) => problem?.(value ?? ""),
    });
    return isCancel(typed) ? undefined : (typed ?? "");
  },

  async choose({ message, options, initial }: ChoicePrompt, signal: AbortSignal): Promise<string | undefined> {
    const chosen = await select<string>({
      ...{ message, signal, options: [...options], maxItems: 12 },
      ...(initial === undefined ? {} : { initialValue: initial }),
    });
    return isCancel(chosen) ? undefined : chosen;
  },
};
