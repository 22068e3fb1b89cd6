/** The directory that VitePress reads: every page of the site, under the address that it has. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import type { SiteContent } from "./pages.ts";

/** Makes the directory what the content says; writes only what is another than it was. */
export function stage({ pages, assets }: SiteContent, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const wanted = new Set([...pages.keys(), ...[...assets.keys()].map((path) => join("public", path))]);
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(directory.length + 1);
    if (entry.isFile() && !wanted.has(path)) rmSync(join(directory, path));
  }
  for (const [path, text] of pages) write(join(directory, path), text);
  for (const [path, source] of assets) {
    const target = join(directory, "public", path);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(repositoryRoot, source), target);
  }
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  try {
    if (readFileSync(file, "utf8") === text) return;
  } catch {
    // It is not there yet.
  }
  writeFileSync(file, text);
}
