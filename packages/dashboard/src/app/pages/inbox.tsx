/** What waits for a person. */
import { useEffect, useState } from "preact/hooks";
import { instantOf } from "../clock.ts";
import { QuestionCard } from "../question-card.tsx";
import { questions } from "../session.ts";

export function InboxPage() {
  const open = [...questions.value].sort(
    (a, b) =>
      (instantOf(a.expiresAt) ?? Number.POSITIVE_INFINITY) - (instantOf(b.expiresAt) ?? Number.POSITIVE_INFINITY),
  );
  return (
    <main class="inbox">
      <header class="page-head">
        <h1>Inbox</h1>
        <Notifications />
      </header>
      {open.length === 0 ? (
        <div class="empty">
          <h2>Nobody waits for you</h2>
          <p>Questions of your jobs come here by themselves. In a terminal they are answered with</p>
          <pre>arcp respond</pre>
        </div>
      ) : (
        open.map((question) => <QuestionCard key={question.id} question={question} />)
      )}
    </main>
  );
}

function Notifications() {
  const [permission, setPermission] = useState(
    typeof Notification === "undefined" ? "denied" : Notification.permission,
  );
  if (permission !== "default") return null;
  return (
    <button type="button" onClick={() => void Notification.requestPermission().then(setPermission)}>
      Tell me when this tab is in the background
    </button>
  );
}

/** Says that somebody waits, and not what for: a notification is seen by whoever sees the screen. */
export function useNotifications(): void {
  const count = questions.value.length;
  const [before, setBefore] = useState(count);
  useEffect(() => {
    if (
      count > before &&
      document.hidden &&
      typeof Notification !== "undefined" &&
      Notification.permission === "granted"
    ) {
      new Notification("An agent waits for you", { body: `${count} open`, tag: "arcp" });
    }
    setBefore(count);
  }, [count]);
}
