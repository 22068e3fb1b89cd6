/** Places for the artifacts of one test. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Shelf, type ShelfOptions } from "./shelf.ts";

/** A directory that is removed after the test. */
export function temporaryDirectory(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "arcp-artifacts-")));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A shelf in a place of its own, unless it is given one. */
export const openShelf = (options: Partial<ShelfOptions> = {}): Shelf =>
  new Shelf({ directory: temporaryDirectory(), ...options });
