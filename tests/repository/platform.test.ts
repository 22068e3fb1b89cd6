import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
const lock = JSON.parse(readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8"));

interface LockedPackage {
  readonly link?: boolean;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly optionalDependencies?: Record<string, string>;
}
const lockedPackages: Record<string, LockedPackage> = lock.packages;

test("the tests run on the Node that the project pins for this platform", () => {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const names = [`node-${platform}-${process.arch}`, `node-bin-${platform}-${process.arch}`];
  const pinned = names.map((name) => manifest.optionalDependencies[name]).find((version) => version !== undefined);
  if (pinned === undefined) expect(process.features.typescript).toBe("strip");
  else expect(process.version).toBe(`v${pinned}`);
});

test("the lock file installs on every platform that its packages support", () => {
  const locked = new Set(Object.keys(lockedPackages).map((path) => path.slice(path.lastIndexOf("node_modules/") + 13)));
  const optional = Object.values(lockedPackages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  expect(optional.length).toBeGreaterThan(0);
  expect(optional.filter((name) => !locked.has(name))).toEqual([]);
});

test("the lock file names no registry and pins every package's content", () => {
  const installed = Object.entries(lockedPackages).filter(
    ([path, entry]) => path.startsWith("node_modules/") && entry.link !== true,
  );
  expect(installed.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([]);
  expect(installed.filter(([, entry]) => entry.integrity === undefined).map(([path]) => path)).toEqual([]);
});
