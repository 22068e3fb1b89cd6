/** What `arcp init` asks a person. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { confirm, isCancel, select, text } from "@clack/prompts";
import { nameProblem } from "./manifest.ts";
import type { Language } from "./project.ts";

interface Choices {
  readonly name: string;
  readonly language: Language;
}

/** Asks for what the command line does not say. `undefined`: they have had enough. */
export async function askChoices(
  directory: string,
  given: Choices,
  { name, javascript }: { readonly name?: string; readonly javascript?: boolean },
): Promise<Choices | undefined> {
  const chosen = { ...given };
  if (name === undefined && !existsSync(join(directory, "package.json"))) {
    const typed = await text({
      message: `What is the project in ${relative(process.cwd(), directory) || "this directory"} called?`,
      initialValue: given.name,
      validate: (value) => nameProblem(value ?? ""),
    });
    if (isCancel(typed)) return undefined;
    chosen.name = typed;
  }
  if (javascript === undefined) {
    const language = await select<Language>({
      message: "In which language?",
      options: [
        { value: "typescript", label: "TypeScript", hint: "Node runs it as it is" },
        { value: "javascript", label: "JavaScript" },
      ],
      initialValue: given.language,
    });
    if (isCancel(language)) return undefined;
    chosen.language = language;
  }
  return chosen;
}

/** May these files be replaced? */
export async function askReplace(paths: readonly string[]): Promise<boolean> {
  const agreed = await confirm({ message: `Replace ${paths.join(", ")}?`, initialValue: false });
  return agreed === true;
}
