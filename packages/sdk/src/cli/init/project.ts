/** What `arcp init` is about to write, and where. */
import { existsSync } from "node:fs";
import { lstat, mkdir, open, readdir, readFile, realpath, rename, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { CONFIG_NAMES } from "../config-file.ts";
import { UsageError } from "../exit-code.ts";
import { isModule, type ManifestSettings, mergeManifest, newManifest, parseManifest } from "./manifest.ts";

export type Language = "typescript" | "javascript";

export interface ProjectSettings extends ManifestSettings {
  readonly directory: string;
  readonly language: Language;
  /** Is `"type": "module"` set although there are files that it changes? */
  readonly isForced: boolean;
}

/** What becomes of one file. */
export type FilePlan =
  | { readonly path: string; readonly action: "create" | "replace"; readonly text: string }
  | { readonly path: string; readonly action: "merge"; readonly text: string; readonly changes: readonly string[] }
  /** It is there, and is as good as what would be written: it stays. */
  | { readonly path: string; readonly action: "keep" };

const TEMPLATES = fileURLToPath(new URL("../../../templates/", import.meta.url));
const EXTENSIONS = { typescript: "ts", javascript: "js" } as const;
const TYPES =
  "\nNode runs TypeScript as it is. `npm install --save-dev typescript @types/node` tells your editor more, and `npx tsc` then checks types.\n";

/** Looks, and writes nothing. @throws UsageError for a directory in which a project cannot be made. */
export async function planProject(settings: ProjectSettings): Promise<readonly FilePlan[]> {
  const { directory, language } = settings;
  const extension = EXTENSIONS[language];
  await requireDirectory(directory);
  const other = CONFIG_NAMES.find((name) => name !== `arcp.config.${extension}` && existsSync(join(directory, name)));
  if (other !== undefined) throw new UsageError(`there is ${other} already: what it serves would no longer be served`);
  const template = (name: string): Promise<string> => readFile(join(TEMPLATES, language, name), "utf8");
  const own = [`arcp.config.${extension}`, `agents/hello.${extension}`, `agents/hello.test.${extension}`];
  const plans = [await planManifest(settings)];
  for (const path of own) plans.push(await planOwn(directory, path, await template(path)));
  if (language === "typescript")
    plans.push(await planExtra(directory, "tsconfig.json", await template("tsconfig.json")));
  plans.push(await planIgnored(directory));
  plans.push(await planExtra(directory, "README.md", await readMe(settings)));
  return plans;
}

async function requireDirectory(directory: string): Promise<void> {
  const facts = await stat(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new UsageError(
      `${directory} cannot be used: ${error.code === "ENOTDIR" ? "there is a file in its way" : error.message}`,
    );
  });
  if (facts?.isDirectory() === false) throw new UsageError(`${directory} is a file: name a directory`);
}

async function planManifest(settings: ProjectSettings): Promise<FilePlan> {
  const path = "package.json";
  const found = await textOf(settings.directory, path);
  if (found === undefined) return { path, action: "create", text: newManifest(settings) };
  if (!isModule(parseManifest(found)) && !settings.isForced) await requireNoScripts(settings.directory);
  const { text, changes } = mergeManifest(found, settings);
  return changes.length === 0 ? { path, action: "keep" } : { path, action: "merge", text, changes };
}

/** `"type": "module"` changes what every `.js` and `.ts` file of a package is. */
async function requireNoScripts(directory: string): Promise<void> {
  const found = await findScript(directory);
  if (found === undefined) return;
  throw new UsageError(
    `package.json has no "type": "module", which agents need, and ${relative(directory, found)} may need its absence; choose a new directory, or --force`,
  );
}

async function findScript(directory: string): Promise<string | undefined> {
  const entries = await readdir(directory, { withFileTypes: true });
  const script = entries.find((entry) => entry.isFile() && /(?<!\.d)\.[jt]sx?$/.test(entry.name));
  if (script !== undefined) return join(directory, script.name);
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name === "node_modules" || entry.name.startsWith(".")) continue;
    const found = await findScript(join(directory, entry.name));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A file that the project is nothing without. */
async function planOwn(directory: string, path: string, text: string): Promise<FilePlan> {
  const found = await textOf(directory, path);
  if (found === undefined) return { path, action: "create", text };
  return found === text ? { path, action: "keep" } : { path, action: "replace", text };
}

/** A file that an existing project has its own of. */
async function planExtra(directory: string, path: string, text: string): Promise<FilePlan> {
  return (await textOf(directory, path)) === undefined ? { path, action: "create", text } : { path, action: "keep" };
}

async function planIgnored(directory: string): Promise<FilePlan> {
  const path = ".gitignore";
  const text = await readFile(join(TEMPLATES, "any", "gitignore"), "utf8");
  const found = await textOf(directory, path);
  if (found === undefined) return { path, action: "create", text };
  const bare = (line: string): string => line.trim().replaceAll(/^\/|\/$/g, "");
  const known = new Set(found.split("\n").map(bare));
  const changes = text.split("\n").filter((line) => line !== "" && !known.has(bare(line)));
  if (changes.length === 0) return { path, action: "keep" };
  const end = found === "" || found.endsWith("\n") ? "" : "\n";
  return { path, action: "merge", text: `${found}${end}${changes.join("\n")}\n`, changes };
}

async function readMe({ name, language }: ProjectSettings): Promise<string> {
  const text = await readFile(join(TEMPLATES, "any", "README.md"), "utf8");
  return text
    .replaceAll("{name}", name)
    .replaceAll("{ext}", EXTENSIONS[language])
    .replace("{types}", language === "typescript" ? TYPES : "");
}

/** `undefined` where nothing is. */
async function textOf(directory: string, path: string): Promise<string | undefined> {
  const file = join(directory, path);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A link to nothing is something, too.
    if (code === "ENOENT" && (await lstat(file).catch(() => undefined)) === undefined) return undefined;
    throw new UsageError(`${path} is there, and cannot be read: ${code}`);
  }
}

/** Writes one file. What is created was not there a moment ago, and is never written over. */
export async function writePlanned(directory: string, plan: FilePlan): Promise<void> {
  if (plan.action === "keep") return;
  const file = join(directory, plan.path);
  await mkdir(dirname(file), { recursive: true });
  if (plan.action === "create") return writeNew(file, plan.text);
  // At once, so that nobody finds half of it.
  const target = await realpath(file);
  const { mode } = await stat(target);
  const draft = `${target}.${process.pid}.tmp`;
  await writeNew(draft, plan.text, mode);
  await rename(draft, target);
}

async function writeNew(file: string, text: string, mode = 0o666): Promise<void> {
  const handle = await open(file, "wx", mode);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
}
