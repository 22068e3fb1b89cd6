/** What Vite has built, read into memory once. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

export interface StaticFile {
  readonly type: string;
  readonly etag: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same, compressed with gzip. */
  readonly gzip: Uint8Array<ArrayBuffer>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Beside `src` and `dist` alike. */
const BUILT = fileURLToPath(new URL("../dist/app", import.meta.url));

let files: ReadonlyMap<string, StaticFile> | undefined;

/** Every file by its path from the root, `index.html` among them. Empty where nothing has been built. */
export function staticFiles(): ReadonlyMap<string, StaticFile> {
  if (files === undefined || files.size === 0) files = readFiles();
  return files;
}

function readFiles(): ReadonlyMap<string, StaticFile> {
  const found = new Map<string, StaticFile>();
  for (const path of pathsIn(BUILT)) {
    const type = TYPES[extname(path)];
    if (type === undefined) continue;
    const bytes = Uint8Array.from(readFileSync(path));
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    const name = relative(BUILT, path).split(sep).join("/");
    found.set(name, { type, etag, bytes, gzip: Uint8Array.from(gzipSync(bytes, { level: 9 })) });
  }
  return found;
}

function pathsIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
