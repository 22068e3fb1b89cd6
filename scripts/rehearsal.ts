/** A release, in a clone that is thrown away: the version that changesets would give, in every package and between them. */
import { readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { repositoryRoot } from "./repository-files.ts";
import { publishedPackages } from "./sbom.ts";

/** What is wrong with it; and the version. */
export async function rehearseRelease(
  directory: string,
): Promise<{ readonly version: string; readonly problems: readonly string[] }> {
  const steps: readonly (readonly string[])[] = [
    ["clone", "--quiet", "--shared", "--no-checkout", repositoryRoot, directory],
    // What it is compared with.
    ["-C", directory, "checkout", "--quiet", "-B", "main", "--no-track"],
  ];
  for (const args of steps) await must("git", args, repositoryRoot);
  symlinkSync(join(repositoryRoot, "node_modules"), join(directory, "node_modules"), "junction");
  const changeset = join(repositoryRoot, "node_modules", "@changesets", "cli", "bin.js");
  await must(process.execPath, [changeset, "status"], directory);
  await must(process.execPath, [changeset, "version"], directory);
  const packages = publishedPackages(directory);
  const manifests = packages.map((path) => JSON.parse(readFileSync(join(directory, path, "package.json"), "utf8")));
  const [first] = manifests;
  const problems = manifests.flatMap(({ name, version, dependencies = {} }) => {
    const strays = Object.entries(dependencies).filter(
      ([other, range]) => other.startsWith("@arcp/") && range !== first.version,
    );
    return [
      ...(version === first.version ? [] : [`${name} would be ${version}, and ${first.name} ${first.version}`]),
      ...strays.map(([other, range]) => `${name} would need ${other} ${range}`),
    ];
  });
  const before = publishedPackages(repositoryRoot).map(
    (path) => JSON.parse(readFileSync(join(repositoryRoot, path, "package.json"), "utf8")).version,
  );
  const left = readdirSync(join(directory, ".changeset")).filter(
    (file) => file.endsWith(".md") && file !== "README.md",
  );
  problems.push(...left.map((file) => `.changeset/${file} would be left over`));
  const hasChanges = readdirSync(join(repositoryRoot, ".changeset")).some(
    (file) => file.endsWith(".md") && file !== "README.md",
  );
  if (hasChanges && before.includes(first.version)) problems.push(`the version would be ${first.version} again`);
  return { version: first.version, problems };
}

async function must(command: string, args: readonly string[], cwd: string): Promise<void> {
  const { succeeded, output } = await runCommand(command, args, { cwd });
  if (!succeeded) throw new Error(`${command} ${args.join(" ")}:\n${output}`);
}
