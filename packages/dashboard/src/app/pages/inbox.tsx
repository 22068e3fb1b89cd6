/** What waits for a person. */
import { instantOf } from "../clock.ts";
import { NotificationsSwitch } from "../notifications.tsx";
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
        <NotificationsSwitch />
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
