import { expect, test } from "vitest";
import { followPage } from "../../docs/site/page-session.ts";
import { compileProblems, jsonProblems, type Snippet, snippetsOf } from "../../docs/site/snippets.ts";
import { commandProblems, type KnownCommand } from "../../docs/site/typed-commands.ts";
import { repositoryRoot as root } from "../../scripts/repository-files.ts";

const snippet = (language: string, code: string, ...words: string[]): Snippet => ({
  page: "docs/page.md",
  line: 10,
  language,
  words,
  code,
});

test("blocks are found with what stands behind their language", () => {
  const page = [
    "# A page",
    "```ts run agent=a",
    "one();",
    "```",
    "```",
    "no language",
    "```",
    "- ```sh",
    "  ls",
    "  ```",
  ];
  expect(snippetsOf("docs/page.md", page.join("\n"))).toEqual([
    { page: "docs/page.md", line: 2, language: "ts", words: ["run", "agent=a"], code: "one();\n" },
    { page: "docs/page.md", line: 8, language: "sh", words: [], code: "ls\n" },
  ]);
});

test("a block that does not compile is found, at its line", async () => {
  const problems = await compileProblems(root, [
    snippet("ts", 'import { ARCPClient } from "@arcp/client";\nnew ARCPClient({ tokn: 1 });\n'),
    snippet("sh", "const"),
  ]);
  expect(problems[0]).toMatch(/^docs\/page\.md:12: error TS\d+: .*tokn/);
}, 60_000);

test("a block of JSON that is none is found", () => {
  const blocks = [snippet("json", '{ "a": 1 }'), snippet("json", '{"a":1}\n{"a":2}\n'), snippet("json", "{ a: 1 }")];
  expect(jsonProblems(blocks)).toEqual(["docs/page.md:10: it is no JSON"]);
});

type MadeCommand = { -readonly [member in keyof KnownCommand]: KnownCommand[member] };

/** With options of which those in capitals take a value. */
function command(name: string, options: readonly string[], inner: readonly MadeCommand[] = []): MadeCommand {
  const made: MadeCommand = {
    name: () => name,
    aliases: () => [],
    parent: null,
    commands: inner,
    options: options.map((long) => ({
      long: long.toLowerCase(),
      required: long !== long.toLowerCase(),
      optional: false,
    })),
  };
  for (const each of inner) each.parent = made;
  return made;
}

test("a command that the program has not is found, wherever it is typed", () => {
  const program = command(
    "arcp",
    [],
    [
      command("submit", ["--INPUT", "--detach"]),
      command("db", [], [command("check", ["--json"])]),
      command("conformance", [], [command("client", [])]),
    ],
  );
  const problems = (language: string, ...lines: string[]): readonly string[] =>
    commandProblems(program, [snippet(language, lines.join("\n"))]);
  expect(
    problems(
      "sh",
      'npx arcp submit echo --input \'{"a": "--wrong"}\' --detach # arcp nothing --wrong',
      "ARCP_TOKEN=a arcp db check --json | jq .",
      "arcp conformance client -- node client.js --wrong",
    ),
  ).toEqual([]);
  expect(problems("sh", "", "cat x | arcp submit echo --inptu 1")).toEqual([
    "docs/page.md:12: `arcp submit` has no option --inptu",
  ]);
  expect(problems("console", "$ JOB=$(arcp sbmit echo)", "arcp was here", "$ arcp db check \\", "    --jsno")).toEqual([
    "docs/page.md:11: there is no command `arcp sbmit`",
    "docs/page.md:13: `arcp db check` has no option --jsno",
  ]);
});

test("a program that prints something else than the page shows is found", async () => {
  const run = snippet("ts", "console.log([1, 2].length);\n", "run");
  expect((await followPage(root, [run, snippet("text", "2\n")])).problems).toEqual([]);
  expect((await followPage(root, [run, snippet("text", "3\n")])).problems).toEqual([
    expect.stringContaining("docs/page.md:10: line 1 of the output: expected\n    3\nprinted\n    2"),
  ]);
});
