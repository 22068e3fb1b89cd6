/** The Chromium of this machine, driven without a window. Nothing is downloaded: who has none installs one. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome.exe", "msedge.exe"];
const PLACES = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
/** On a machine that does much else. */
const LAUNCH_TIMEOUT_MS = 60_000;

export const NO_CHROMIUM =
  "Chromium is not installed, and ARCP_TEST_CHROMIUM names none (Debian: apt-get install chromium)";

/** The browser that ARCP_TEST_CHROMIUM names (a path), or one that is installed; `undefined` if there is none. */
export function chromiumPath(): string | undefined {
  const named = process.env["ARCP_TEST_CHROMIUM"];
  if (named) return named;
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return [...NAMES.flatMap((name) => directories.map((path) => join(path, name))), ...PLACES].find(existsSync);
}

/** Starts it. It ends with `close()`, and with this process however that ends. Throws if there is none. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = chromiumPath();
  if (executablePath === undefined) throw new Error(NO_CHROMIUM);
  return chromium.launch({ executablePath, headless: true, timeout: LAUNCH_TIMEOUT_MS });
}
