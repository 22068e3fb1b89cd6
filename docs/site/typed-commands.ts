/** Commands of `arcp` in the documents: the program has them, with the options that they are given. */
import type { Snippet } from "./snippets.ts";

/** What has to be known of a command; one of commander is one. */
export interface KnownCommand {
  name(): string;
  aliases(): readonly string[];
  readonly parent: KnownCommand | null;
  readonly commands: readonly KnownCommand[];
  readonly options: readonly {
    readonly short?: string | undefined;
    readonly long?: string | undefined;
    /** Has it a value, and need it have one? */
    readonly required: boolean;
    readonly optional: boolean;
  }[];
}

/** What is wrong with the commands in blocks of `sh` and `console`, each as `file:line: what`. */
export function commandProblems(program: KnownCommand, snippets: readonly Snippet[]): readonly string[] {
  return snippets
    .filter(({ language }) => language === "sh" || language === "console")
    .flatMap((snippet) =>
      typedLines(snippet).flatMap(({ text, line }) =>
        invocations(text).flatMap((words) => {
          const problem = invocationProblem(program, words);
          return problem === undefined ? [] : [`${snippet.page}:${line}: ${problem}`];
        }),
      ),
    );
}

/** What a person types: of a console, what stands behind `$ `; lines that are continued are one. */
function typedLines({ language, code, line }: Snippet): readonly { readonly text: string; readonly line: number }[] {
  const lines = code.split("\n");
  const typed: { text: string; line: number }[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    let text = lines[index] ?? "";
    const at = line + index + 1;
    while (text.endsWith("\\") && index + 1 < lines.length) {
      index += 1;
      text = `${text.slice(0, -1)}${lines[index]}`;
    }
    if (language === "sh") typed.push({ text, line: at });
    else if (text.startsWith("$ ")) typed.push({ text: text.slice(2), line: at });
  }
  return typed;
}

/** The words behind each `arcp` of a line of shell. */
function invocations(text: string): readonly (readonly string[])[] {
  const words: { readonly text: string; readonly isOperator: boolean }[] = [
    ...text.matchAll(/(?<operator>\|\||&&|[|;&)(]|\$\()|(?<word>(?:'[^']*'|"(?:\\.|[^"])*"|\\.|[^\s|;&()'"])+)/g),
  ].map(({ groups }) => ({ text: groups?.["word"] ?? "", isOperator: groups?.["operator"] !== undefined }));
  const found: string[][] = [];
  let current: string[] | undefined;
  let isAtStart = true;
  for (const word of words) {
    if (word.isOperator) {
      current = undefined;
      isAtStart = true;
    } else if (word.text.startsWith("#")) break;
    else if (current !== undefined) current.push(word.text.replaceAll(/["']/g, ""));
    else if (isAtStart && word.text === "arcp") {
      current = [];
      found.push(current);
    } else isAtStart = isAtStart && (word.text === "npx" || /^\w+=/.test(word.text));
  }
  return found;
}

function invocationProblem(program: KnownCommand, words: readonly string[]): string | undefined {
  let command: KnownCommand = program;
  let isNext = true;
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    if (word === "--") return undefined;
    if (/^-./.test(word) && !/^-\d/.test(word)) {
      const [flag = ""] = word.split("=", 1);
      if (["--help", "-h", "--version", "-V"].includes(flag)) continue;
      const option = command.options.find(({ short, long }) => flag === short || flag === long);
      if (option === undefined) return `\`arcp ${pathOf(command)}\` has no option ${flag}`;
      if ((option.required || option.optional) && !word.includes("=")) index += 1;
      continue;
    }
    if (!isNext || command.commands.length === 0) continue;
    const inner = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (inner !== undefined) command = inner;
    else if (command === program && word !== "help" && /^\w/.test(word)) return `there is no command \`arcp ${word}\``;
    else isNext = false;
  }
  return undefined;
}

const pathOf = (command: KnownCommand): string =>
  command.parent === null ? "" : `${pathOf(command.parent)} ${command.name()}`.trim();
