/** `arcp completion`: what a shell has to be told to complete `arcp` command lines. */
import { Argument, type Command } from "commander";
import { type Candidate, type CandidateSources, candidatesFor } from "../completion/candidates.ts";
import { askRuntime } from "../completion/live.ts";
import { FILES_LINE, SCRIPTS, SHELLS, type Shell, wordsOf } from "../completion/scripts.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";

const EXAMPLES = `
Examples:
  source <(arcp completion bash)                                      for this shell
  echo 'source <(arcp completion bash)' >> ~/.bashrc                  for every one
  echo 'source <(arcp completion zsh)' >> ~/.zshrc
  arcp completion fish > ~/.config/fish/completions/arcp.fish

Commands, options and their values are completed, files where one is meant, and jobs and agents of the runtime that the line
is about, if it answers soon.`;

type Run = (work: () => Promise<ExitCode>) => Promise<void>;

export function addCompletion(program: Command, run: Run): void {
  program
    .command("completion")
    .description("Print what lets a shell complete arcp command lines")
    .addArgument(new Argument("<shell>", "which one").choices(SHELLS))
    .addHelpText("after", EXAMPLES)
    .action((shell: Shell) => run(async () => print(SCRIPTS[shell])));
}

/** What the scripts call. `programWith` makes the program with one command, or with all of them. */
export const addComplete =
  (programWith: CandidateSources["programWith"]) =>
  (program: Command, run: Run): void => {
    program
      .command("__complete", { hidden: true })
      .addArgument(new Argument("<shell>").choices(SHELLS))
      .argument("[words...]")
      .action((shell: Shell, words: readonly string[]) =>
        run(() => complete(shell, words, { programWith, askLive: askRuntime })),
      );
  };

async function complete(shell: Shell, words: readonly string[], sources: CandidateSources): Promise<ExitCode> {
  const { candidates, files } = await candidatesFor(wordsOf(shell, words), sources);
  const lines = candidates.map(candidateLine);
  return print([...lines, ...(files ? [FILES_LINE] : [])].map((line) => `${line}\n`).join(""));
}

/** As the scripts read it. Some shells show the description, which may be what a runtime says. */
export const candidateLine = ({ value, description }: Candidate): string => `${value}\t${firstLine(description)}`;

const firstLine = (text: string): string => escapeLine(text.split(/[\n\t]/)[0] ?? "");

function print(text: string): ExitCode {
  process.stdout.write(text);
  return EXIT.success;
}
