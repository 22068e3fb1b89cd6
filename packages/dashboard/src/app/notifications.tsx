/** Says that somebody waits, and not what for: a notification is seen by whoever sees the screen. */
import type { Question } from "@arcp/client";
import { effect, signal } from "@preact/signals";
import { go } from "./route.ts";
import { questions } from "./session.ts";

const KEY = "arcp.notifications";

const areThere = typeof Notification !== "undefined";
const isPermitted = (): boolean => areThere && Notification.permission === "granted";

/** Off until somebody has asked for it, with the browser's leave. */
const isNotifying = signal(localStorage.getItem(KEY) === "on" && isPermitted());
const isRefused = signal(!areThere || Notification.permission === "denied");

/** To be called by a click: browsers ask their users for nothing else. */
export async function toggleNotifications(): Promise<void> {
  if (isNotifying.value) {
    isNotifying.value = false;
    localStorage.removeItem(KEY);
    return;
  }
  if (!areThere) return;
  const permission = isPermitted() ? "granted" : await Notification.requestPermission();
  isRefused.value = permission === "denied";
  if (permission !== "granted") return;
  localStorage.setItem(KEY, "on");
  isNotifying.value = true;
}

const TITLES: Readonly<Record<Question["kind"], string>> = {
  input: "An agent asks for input",
  choice: "An agent asks for a choice",
  permission: "An agent asks for permission",
};

/** From now on, for as long as the page is there, and whether anything is drawn or not. Call it once. */
export function watchQuestions(): void {
  let known: ReadonlySet<string> = new Set();
  effect(() => {
    const open = questions.value;
    const fresh = open.filter(({ id }) => !known.has(id));
    known = new Set(open.map(({ id }) => id));
    const last = fresh.at(-1);
    if (last !== undefined && document.hidden && isNotifying.peek() && isPermitted()) notify(last, open.length);
  });
}

/** Nothing of what the agent wrote is in it. */
function notify({ kind }: Question, open: number): void {
  const notification = new Notification(TITLES[kind], { body: `${open} open`, tag: "arcp" });
  notification.onclick = () => {
    window.focus();
    go("#/inbox");
    notification.close();
  };
}

export function NotificationsSwitch() {
  if (isRefused.value) {
    return <p class="hint">{areThere ? "This browser does not let the page notify you." : null}</p>;
  }
  return (
    <button type="button" aria-pressed={isNotifying.value} onClick={() => void toggleNotifications()}>
      {isNotifying.value ? "Notifying you in the background" : "Notify me in the background"}
    </button>
  );
}
