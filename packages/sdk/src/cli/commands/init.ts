/** `arcp init`: a project with an agent, its tests and a configuration. */
import { existsSync, realpathSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import type { Command } from "commander";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { nameFrom, nameProblem } from "../init/manifest.ts";
import { type FilePlan, type Language, planProject, writePlanned } from "../init/project.ts";
import { Terminal } from "../terminal.ts";
import { NODE_RANGE, version } from "../version.ts";

interface Options {
  readonly javascript?: boolean;
  readonly name?: string;
  readonly yes?: boolean;
  readonly force?: boolean;
}

const EXAMPLES = `
Examples:
  arcp init                  in this directory; asks for what it is not told
  arcp init my-agents --yes  in a new one, with the defaults
  arcp init --javascript

What is there stays: package.json and .gitignore get what is missing in them, and a file that would be another one is
replaced with --force alone, after a question on a terminal.`;

export function addInit(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("init")
    .description("Make a project with an agent, its tests and a configuration")
    .argument("[directory]", "where; made if it is not there", ".")
    .option("--javascript", "JavaScript instead of TypeScript")
    .option("--name <name>", "of the package (default: the directory's)")
    .option("-y, --yes", "ask nothing")
    .option("--force", "replace what is there")
    .addHelpText("after", EXAMPLES)
    .action((directory: string, options: Options) => run(() => init(directory, options)));
}

/** What a person may still change. */
interface Choices {
  readonly name: string;
  readonly language: Language;
}

async function init(path: string, options: Options): Promise<ExitCode> {
  const directory = resolve(path);
  const problem = options.name === undefined ? undefined : nameProblem(options.name);
  if (problem !== undefined) throw new UsageError(`--name ${options.name}: ${problem}`);
  const asks = options.yes !== true && process.stdin.isTTY === true && process.stdout.isTTY === true;
  const given: Choices = {
    name: options.name ?? nameFrom(basename(existsSync(directory) ? realpathSync(directory) : directory)),
    language: options.javascript === true ? "javascript" : "typescript",
  };
  const choices = asks ? await (await import("../init/questions.ts")).askChoices(directory, given, options) : given;
  if (choices === undefined) return EXIT.interrupted;
  const plans = await planProject({
    ...{ ...choices, directory, version, node: NODE_RANGE, isForced: options.force === true },
  });
  const replaced = plans.filter(({ action }) => action === "replace").map((plan) => plan.path);
  if (replaced.length > 0 && options.force !== true) {
    throw new UsageError(
      `there ${replaced.length === 1 ? "is" : "are"} ${replaced.join(", ")} already; --force replaces what is there`,
    );
  }
  if (replaced.length > 0 && asks) {
    const isAgreed = await (await import("../init/questions.ts")).askReplace(replaced);
    if (!isAgreed) return EXIT.interrupted;
  }
  const terminal = new Terminal(process.stdout);
  for (const plan of plans) {
    await writePlanned(directory, plan);
    await terminal.print(lineOf(plan, terminal));
  }
  await terminal.print(
    `\nNow type:\n${nextSteps(directory, choices)
      .map((step) => `  ${step}`)
      .join("\n")}\n`,
  );
  return EXIT.success;
}

const DONE = { create: "created", replace: "replaced", merge: "added to", keep: "kept" } as const;

function lineOf(plan: FilePlan, terminal: Terminal): string {
  const done = terminal.style(plan.action === "keep" ? "gray" : "green", DONE[plan.action].padEnd(9));
  return `${done} ${plan.path}${plan.action === "merge" ? `: ${escapeLine(plan.changes.join(", "))}` : ""}`;
}

function nextSteps(directory: string, { language }: Choices): string[] {
  const path = relative(process.cwd(), directory);
  const shown = /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
  const isInstalled = existsSync(join(directory, "node_modules", "@arcp", "sdk"));
  return [
    ...(path === "" ? [] : [`cd ${escapeLine(shown)}`]),
    ...(isInstalled ? [] : ["npm install"]),
    `npm test                                          # agents/hello.test.${language === "typescript" ? "ts" : "js"}`,
    "npx arcp serve                                    # in a terminal of its own",
    `npx arcp submit hello --input '{"name":"Ada"}'`,
  ];
}
