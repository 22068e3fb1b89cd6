/**
 * Builds the pages of the dashboard, unless what they are made of is what it was. Plain JavaScript without dependencies of
 * its own, like `setup.mjs`, which runs it; the packages that it bundles have been built.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const directory = join(root, "packages", "dashboard");
const stampFile = join(directory, "dist", "app.stamp");

/** Sources of the pages and of what is bundled into them, and the versions of everything else. */
function inputsHash() {
  const hash = createHash("sha256");
  for (const file of [
    join(root, "package-lock.json"),
    join(directory, "package.json"),
    join(directory, "vite.config.ts"),
  ])
    hash.update(readFileSync(file));
  for (const source of [
    join(directory, "src", "app"),
    join(root, "packages/core/src"),
    join(root, "packages/client/src"),
    join(root, "packages/runtime/src/engine/lease"),
    join(root, "packages/runtime/src/lease"),
  ]) {
    const entries = readdirSync(source, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const path of entries.map((entry) => join(entry.parentPath, entry.name)).sort()) {
      hash.update(path.slice(root.length)).update("\0").update(readFileSync(path)).update("\0");
    }
  }
  return hash.digest("hex");
}

const inputs = inputsHash();
const isBuilt = existsSync(join(directory, "dist", "app", "index.html"));
if (!isBuilt || !existsSync(stampFile) || readFileSync(stampFile, "utf8") !== inputs) {
  await build({ configFile: join(directory, "vite.config.ts"), logLevel: "warn" });
  writeFileSync(stampFile, inputs);
}
