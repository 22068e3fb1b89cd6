/** The reference of the command line, as `arcp --help` would say it: every command, argument, option and default. */
import type { Argument, Command, Option } from "commander";
import { createProgram } from "../../packages/sdk/src/cli/program.ts";
import { cellOf } from "./docstring.ts";

/** A page for each command, with those below it, and one that lists them. */
export async function commandPages(): Promise<ReadonlyMap<string, string>> {
  const program = await createProgram("");
  const commands = shown(program);
  const pages = commands.map((command) => [`${pageOfCommand(command.name())}.md`, commandPage(command)] as const);
  return new Map([["reference/cli.md", overview(program, commands)], ...pages]);
}

const pageOfCommand = (name: string): string => `reference/cli/${name}`;

/** What the help lists; commander adds `help` itself. */
const shown = (command: Command): readonly Command[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => each.name() !== "help");

function overview(program: Command, commands: readonly Command[]): string {
  const rows = commands.map(
    (command) =>
      `| [\`arcp ${command.name()}\`](/${pageOfCommand(command.name())}.md) | ${cell(command.description())} |`,
  );
  return [
    "# Commands",
    `${program.description()}. What they are good for, with their output: [the command line](/cli.md).`,
    ["| Command | What it does |", "| --- | --- |", ...rows].join("\n"),
    ...furtherHelp(program),
    "",
  ].join("\n\n");
}

function commandPage(command: Command): string {
  return ["---\noutline: [2, 3]\n---", ...description(command, `arcp ${command.name()}`, 1), ""].join("\n\n");
}

/** The command, and those below it one level further down. */
function description(command: Command, path: string, level: number): readonly string[] {
  const inner = shown(command);
  const below = inner.flatMap((each) => description(each, `${path} ${each.name()}`, Math.min(level + 1, 3)));
  const help = command.createHelp();
  const aliases = command.aliases().map((alias) => `\`${alias}\``);
  return [
    `${"#".repeat(level)} ${path}`,
    `${escaped(command.description())}.${aliases.length === 0 ? "" : ` Also: ${aliases.join(", ")}.`}`,
    `\`\`\`text\n${path} ${command.usage()}\n\`\`\``,
    ...table(["Argument", "Default", "What it is"], help.visibleArguments(command).map(argumentRow)),
    ...table(["Option", "Default", "What it does"], help.visibleOptions(command).filter(isOwn).map(optionRow)),
    ...furtherHelp(command),
    ...below,
  ];
}

/** Every command has this one. */
const isOwn = ({ long }: Option): boolean => long !== "--help";

function argumentRow(argument: Argument): readonly string[] {
  const { text, byDefault } = splitDefault(argument.description, argument.defaultValue);
  const name = argument.required ? `<${argument.name()}>` : `[${argument.name()}]`;
  return [`\`${name}${argument.variadic ? "…" : ""}\``, byDefault, text + choices(argument.argChoices)];
}

function optionRow(option: Option): readonly string[] {
  const { text, byDefault } = splitDefault(option.description, option.negate ? undefined : option.defaultValue);
  return [`\`${option.flags.replaceAll("|", "\\|")}\``, byDefault, text + choices(option.argChoices)];
}

const choices = (values: readonly string[] | undefined): string =>
  values === undefined ? "" : `; one of ${values.map((value) => `\`${value}\``).join(", ")}`;

/** Some defaults are only told, since they depend on something. */
function splitDefault(description: string, value: unknown): { readonly text: string; readonly byDefault: string } {
  const [whole = "", told = ""] = / ?\(default: ((?:[^()]|\([^()]*\))*)\)/.exec(description) ?? [];
  const known = value === undefined || (Array.isArray(value) && value.length === 0) ? "" : `\`${String(value)}\``;
  const byDefault = /^\S+$/.test(told) ? `\`${told}\`` : cell(told);
  return { text: cell(description.replace(whole, "")), byDefault: told === "" ? known : byDefault };
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  if (rows.length === 0) return [];
  const lines = [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return [lines.join("\n")];
}

/** What the help says below its lists: examples, and what else is to be known. */
function furtherHelp(command: Command): readonly string[] {
  const printed: string[] = [];
  const { writeOut, ...output } = command.configureOutput();
  command.configureOutput({ ...output, writeOut: (text) => void printed.push(text) });
  command.outputHelp();
  command.configureOutput({ ...output, ...(writeOut && { writeOut }) });
  const further = printed.join("").replace(command.helpInformation(), "").trim();
  return further === "" ? [] : [`\`\`\`text\n${further}\n\`\`\``];
}

const cell = (text: string): string => cellOf(escaped(text));
const escaped = (text: string): string => text.replaceAll("<", "&lt;").replaceAll("*", "\\*").replaceAll("_", "\\_");
