/** Keys that work everywhere but in fields. */

import { answer, isPaletteOpen, press } from "./palette.tsx";
import { go } from "./route.ts";
import { toggleTheme } from "./theme.ts";

const PLACES: Readonly<Record<string, string>> = { j: "#/", i: "#/inbox", s: "#/submit", w: "#/wire" };
/** How long the second key of a pair may take. */
const PAIR_MS = 1_500;

let pairUntil = 0;

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      isPaletteOpen.value = !isPaletteOpen.value;
      return;
    }
    const target = event.target as HTMLElement;
    if (event.metaKey || event.ctrlKey || event.altKey || target.closest("input, textarea, select, dialog") !== null)
      return;
    const place = event.timeStamp < pairUntil ? PLACES[event.key] : undefined;
    pairUntil = 0;
    if (place !== undefined) go(place);
    else if (event.key === "g") pairUntil = event.timeStamp + PAIR_MS;
    else if (event.key === "t") toggleTheme();
    else if (event.key === "a") answer();
    else if (event.key === "r") press("submit-again");
    else if (event.key === "x") press("cancel-job");
    else if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search")?.focus();
    }
  });
}
