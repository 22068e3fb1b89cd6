/** What can come next on a command line, by what the commands say of themselves. */
import type { Command, Option } from "commander";

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

export interface Candidates {
  readonly candidates: readonly Candidate[];
  /** Is the name of a file or directory possible, too? */
  readonly files: boolean;
}

/** What only a runtime knows. */
export interface Live {
  readonly kind: "jobs" | "agents";
  /** Where it is, as the line says so far: `--url`, `--token-file`. */
  readonly options: Readonly<Record<string, string>>;
}

/** Resolves with what a runtime has; with nothing where none answers soon. */
export type AskLive = (live: Live) => Promise<readonly Candidate[]>;

const NOTHING: Candidates = { candidates: [], files: false };

export interface CandidateSources {
  /** The program with this command, or with all of them. */
  readonly programWith: (command: string) => Promise<Command>;
  readonly askLive: AskLive;
}

/** For `words` after `arcp`, of which the last is the one that is being typed, and may be empty. */
export async function candidatesFor(
  words: readonly string[],
  { programWith, askLive }: CandidateSources,
): Promise<Candidates> {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const [name] = before;
  const program = await programWith(name ?? "");
  if (name === undefined)
    return matching(current, current.startsWith("-") ? optionsOf(program, []) : commandsOf(program));
  const command = program.commands.find((each) => each.name() === name || each.aliases().includes(name));
  if (command === undefined) return NOTHING;
  const line = new Line(command);
  for (const word of before.slice(1)) line.take(word);
  return line.complete(current, askLive);
}

/** A command line that is read as far as it is typed. */
class Line {
  #command: Command;
  readonly #used: Option[] = [];
  readonly #values: Record<string, string> = {};
  #operands = 0;
  /** The option whose value comes next, or may come next. */
  #open: { readonly option: Option; readonly isRequired: boolean } | undefined;
  #isOperandsOnly = false;

  constructor(command: Command) {
    this.#command = command;
  }

  take(word: string): void {
    const isOption = word.startsWith("-") && word !== "-" && !this.#isOperandsOnly;
    if (this.#open !== undefined && (this.#open.isRequired || !isOption)) {
      const { option } = this.#open;
      this.#values[option.attributeName()] = word;
      this.#open = option.variadic ? { option, isRequired: false } : undefined;
    } else if (isOption) this.#takeOption(word);
    else this.#takeOperand(word);
  }

  #takeOption(word: string): void {
    this.#open = undefined;
    if (word === "--") {
      this.#isOperandsOnly = true;
      return;
    }
    const [flag = word, value] = word.startsWith("--") ? split(word) : [word];
    const option = this.#find(flag);
    if (option === undefined) return;
    this.#used.push(option);
    if (value !== undefined) this.#values[option.attributeName()] = value;
    else if (option.required || option.optional) this.#open = { option, isRequired: option.required };
  }

  #takeOperand(word: string): void {
    const below = this.#operands === 0 ? this.#command.commands.find((each) => each.name() === word) : undefined;
    if (below === undefined) this.#operands += 1;
    else this.#command = below;
  }

  async complete(current: string, askLive: AskLive): Promise<Candidates> {
    const isOption = current.startsWith("-") && !this.#isOperandsOnly;
    if (this.#open !== undefined && (this.#open.isRequired || !isOption)) {
      return this.#valuesOf(this.#open.option, current, "", askLive);
    }
    if (isOption) {
      const [flag, value] = split(current);
      const option = value === undefined ? undefined : this.#find(flag);
      if (option !== undefined && value !== undefined) return this.#valuesOf(option, value, `${flag}=`, askLive);
      return matching(current, optionsOf(this.#command, this.#used));
    }
    if (this.#operands === 0 && this.#command.commands.length > 0) return matching(current, commandsOf(this.#command));
    const { registeredArguments } = this.#command;
    const argument = registeredArguments[this.#operands] ?? registeredArguments.findLast((each) => each.variadic);
    if (argument === undefined) return NOTHING;
    return this.#named(argument.name(), argument.argChoices ?? [], current, "", askLive);
  }

  #find(flag: string): Option | undefined {
    return this.#command.options.find((option) => option.long === flag || option.short === flag);
  }

  #valuesOf(option: Option, current: string, prefix: string, askLive: AskLive): Promise<Candidates> {
    const [, placeholder = ""] = /[<[]([^>\]]+)[>\]]/.exec(option.flags) ?? [];
    // `--agent <name>` is one that the runtime has, `--agent <name=file>` is one that it is to have.
    const name = option.long === "--agent" && placeholder === "name" ? "agent" : placeholder;
    return this.#named(name, option.argChoices ?? [], current, prefix, askLive);
  }

  /** Values of what is called `name` in the help. */
  async #named(
    name: string,
    choices: readonly string[],
    current: string,
    prefix: string,
    askLive: AskLive,
  ): Promise<Candidates> {
    const { candidates } = matching(
      current,
      choices.map((value) => ({ value, description: "" })),
    );
    const live = LIVE.find(({ pattern }) => pattern.test(name));
    const found = live === undefined ? [] : await askLive({ kind: live.kind, options: this.#values });
    return {
      candidates: [...candidates, ...matching(current, found).candidates].map((each) => ({
        ...each,
        value: prefix + each.value,
      })),
      files: choices.length === 0 && FILES.test(name),
    };
  }
}

const FILES = /\b(?:file|path|database|directory|db)\b/;
const LIVE = [
  { pattern: /^job\b/, kind: "jobs" },
  { pattern: /^(?:agent|tool)$/, kind: "agents" },
] as const;

function split(word: string): readonly [flag: string, value: string | undefined] {
  const at = word.indexOf("=");
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

const commandsOf = (command: Command): readonly Candidate[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => each.name() !== "help")
    .map((each) => ({ value: each.name(), description: each.description() }));

/** Those that can still be given. */
function optionsOf(command: Command, used: readonly Option[]): readonly Candidate[] {
  const left = command
    .createHelp()
    .visibleOptions(command)
    .filter((option) => option.variadic || /repeatable/.test(option.description) || !used.includes(option));
  return left.flatMap(({ long, short, description }) => [long ?? short ?? ""].map((value) => ({ value, description })));
}

/** Those that begin with `current`, in order. */
const matching = (current: string, candidates: readonly Candidate[]): Candidates => ({
  candidates: candidates.filter(({ value }) => value.startsWith(current)),
  files: false,
});
