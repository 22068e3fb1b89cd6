/** One question, for whoever has been given a link to it, and nothing else. */
import type { Question } from "@arcp/client";
import { useEffect, useState } from "preact/hooks";
import { QuestionCard } from "../question-card.tsx";
import { lastEnd, questions, signIn } from "../session.ts";
import { Text } from "../visible-text.tsx";

export function AnswerPage() {
  const { value } = signIn;
  const [asked, setAsked] = useState<Question>();
  const [open] = questions.value;
  useEffect(() => {
    document.title = "A question · arcp";
    if (open !== undefined) setAsked(open);
  }, [open]);
  const end = lastEnd.value;
  if (asked !== undefined && end?.id === asked.id) return <Told ending={ENDS[`question_${end.outcome}`] ?? OVER} />;
  if (value.phase === "out") {
    if (value.reason !== undefined) return <Told ending={ENDS[value.reason] ?? NOT_VALID} />;
    return <Told ending={{ title: "The runtime cannot be reached", text: value.problem ?? "Load the page again." }} />;
  }
  const question = asked ?? open;
  return (
    <main class="inbox">
      <header class="page-head">
        <h1>An agent asks you</h1>
      </header>
      {question === undefined ? <p role="status">One moment…</p> : <QuestionCard question={question} isOnJobPage />}
      <p class="hint">This link answers this question once, in the name of whoever made it, and shows nothing else.</p>
    </main>
  );
}

interface Ending {
  readonly title: string;
  readonly text: string;
}

const OVER: Ending = { title: "This question is over", text: "The job does not wait for an answer any more." };
const NOT_VALID: Ending = {
  title: "This link is not valid",
  text: "It may have been cut off on its way. Ask whoever sent it for another one.",
};

const ENDS: Readonly<Record<string, Ending>> = {
  link_used: { title: "This link was used", text: "It was good for one answer, which has been given." },
  link_expired: { title: "This link has expired", text: "Ask whoever sent it for another one." },
  question_answered: { title: "This question is answered", text: "There is nothing left to do." },
  question_default: { title: "This question is over", text: "Nobody answered in time: the default counts." },
  question_expired: { title: "This question is over", text: "Nobody answered in time. A permission is denied then." },
  question_cancelled: OVER,
  question_forgotten: OVER,
};

function Told({ ending }: { readonly ending: Ending }) {
  return (
    <main class="sign-in">
      <div class="card" role="status">
        <h1>{ending.title}</h1>
        <p>
          <Text value={ending.text} max={500} />
        </p>
      </div>
    </main>
  );
}
