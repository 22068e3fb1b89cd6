/** One question of a job to a person, what happens when nobody answers, and the answer. */
import type { AnswerStatus, Question, QuestionAnswer } from "@arcp/client";
import { useState } from "preact/hooks";
import { full, instantOf, now } from "./clock.ts";
import { Confirmation } from "./dialogs.tsx";
import { Countdown, shortId } from "./parts.tsx";
import { refusalOf } from "./permissions.ts";
import { jobLink } from "./route.ts";
import { SchemaFields, useSchemaForm } from "./schema-form.tsx";
import { client, messageOf } from "./session.ts";
import { jsonText, Text } from "./visible-text.tsx";

export function QuestionCard({
  question,
  isOnJobPage = false,
}: {
  readonly question: Question;
  readonly isOnJobPage?: boolean;
}) {
  const [problem, setProblem] = useState<string>();
  const [said, setSaid] = useState<AnswerStatus>();
  const [isBusy, setBusy] = useState(false);
  const answer = async (content: QuestionAnswer): Promise<void> => {
    setBusy(true);
    setProblem(undefined);
    try {
      // An id names one question for ever, with the text that stands here: what is answered is what was shown.
      setSaid(await client().respond(question.id, content));
    } catch (thrown) {
      setProblem(messageOf(thrown));
    }
    setBusy(false);
  };
  const refusal = refusalOf("answer");
  const expiresAt = instantOf(question.expiresAt);
  return (
    <article class={`card question question-${question.kind}`} aria-label={TITLES[question.kind]}>
      <header>
        <span class="badge">{TITLES[question.kind]}</span>
        {isOnJobPage ? null : (
          <a href={jobLink(question.jobId)} class="id">
            {shortId(question.jobId)}
          </a>
        )}
        <span class="deadline">
          {expiresAt === undefined ? "no deadline" : <Countdown at={expiresAt} past="over" />}
        </span>
      </header>
      {question.kind === "permission" ? (
        <Asked question={question} />
      ) : (
        <p class="prompt">
          <Text value={question.prompt} max={20_000} />
        </p>
      )}
      <p class="hint">{otherwise(question)}</p>
      {question.quorum > 1 ? <p class="hint">{`${question.quorum} people must give the same answer.`}</p> : null}
      {said === undefined ? (
        <fieldset disabled={isBusy || refusal !== undefined}>
          <legend class="sr-only">Your answer</legend>
          {question.kind === "input" ? <InputForm question={question} onAnswer={answer} /> : null}
          {question.kind === "choice" ? <Choices question={question} onAnswer={answer} /> : null}
          {question.kind === "permission" ? <Decision question={question} onAnswer={answer} /> : null}
        </fieldset>
      ) : (
        <p role="status" class="said-so">
          {OUTCOMES[said]}
        </p>
      )}
      {refusal === undefined ? null : <p class="hint">{refusal}</p>}
      {problem === undefined ? null : (
        <p class="problem" role="alert">
          <Text value={problem} max={2_000} />
        </p>
      )}
    </article>
  );
}

const TITLES: Readonly<Record<Question["kind"], string>> = {
  ...{ input: "Asks for input", choice: "Asks for a choice", permission: "Asks for permission" },
};

const OUTCOMES: Readonly<Record<AnswerStatus, string>> = {
  applied: "Answered.",
  counted: "Your answer counts. Others have to give the same one.",
  ignored: "Somebody else had answered before.",
};

/** What silence means. */
function otherwise(question: Question): string {
  if (question.expiresAt === undefined) return "It waits until somebody answers, or the job ends.";
  if (question.kind === "permission") return "Without an answer in time it is denied.";
  if (question.default === undefined) return "Without an answer in time the job is told that nobody answered.";
  return `Without an answer in time the answer is ${jsonText(question.default).slice(0, 200)}.`;
}

type Of<Kind extends Question["kind"]> = {
  readonly question: Extract<Question, { readonly kind: Kind }>;
  readonly onAnswer: (answer: QuestionAnswer) => Promise<void>;
};

function Asked({ question }: Pick<Of<"permission">, "question">) {
  const { permission, resource, operation, reason } = question;
  return (
    <dl class="facts">
      <dt>Permission</dt>
      <dd class="mono">
        <Text value={permission} max={1_024} />
      </dd>
      <dt>On</dt>
      <dd class="mono">
        <Text value={resource} max={4_096} />
      </dd>
      <dt>To do</dt>
      <dd class="mono">
        <Text value={operation} max={1_024} />
      </dd>
      {reason === undefined ? null : (
        <>
          <dt>The agent says</dt>
          <dd>
            <Text value={reason} max={4_000} />
          </dd>
        </>
      )}
    </dl>
  );
}

function InputForm({ question, onAnswer }: Of<"input">) {
  const form = useSchemaForm(question.responseSchema, question.default);
  const [problem, setProblem] = useState<string>();
  const submit = (event: Event): void => {
    event.preventDefault();
    const filled = form.filled();
    setProblem("problem" in filled ? filled.problem : undefined);
    if ("value" in filled) void onAnswer({ value: filled.value });
  };
  return (
    <form onSubmit={submit}>
      <SchemaFields form={form} label="Answer" />
      {problem === undefined ? null : (
        <p class="problem" role="alert">
          <Text value={problem} />
        </p>
      )}
      <button type="submit" class="primary">
        Answer
      </button>
    </form>
  );
}

function Choices({ question, onAnswer }: Of<"choice">) {
  return (
    <div class="choices">
      {question.options.map(({ id, label, description }) => (
        <button type="button" onClick={() => void onAnswer({ choiceId: id })}>
          <Text value={label} max={200} />
          {description === undefined ? null : (
            <span class="hint">
              <Text value={description} max={1_000} />
            </span>
          )}
        </button>
      ))}
    </div>
  );
}

function Decision({ question, onAnswer }: Of<"permission">) {
  const most = question.requestedLeaseSeconds;
  const [seconds, setSeconds] = useState(String(most ?? ""));
  const [reason, setReason] = useState("");
  const wanted = Number(seconds);
  const isWrong = seconds !== "" && (!(wanted > 0) || (most !== undefined && wanted > most));
  const [isAsking, setAsking] = useState(false);
  const grant = (): void => {
    setAsking(false);
    void onAnswer({ granted: true, ...(seconds !== "" && { leaseSeconds: wanted }) });
  };
  const seen = seconds === "" ? most : wanted;
  return (
    <div class="decision">
      <label class="field">
        <span class="field-name">Grant it for at most, in seconds</span>
        <input
          type="text"
          inputMode="numeric"
          value={seconds}
          onInput={(event) => setSeconds(event.currentTarget.value)}
        />
        <span class="hint">
          {most === undefined
            ? "Empty: as long as the runtime lets it."
            : `It asks for ${most} s; less is possible, more is not.`}
        </span>
        {isWrong ? null : (
          <span class="hint would-grant">
            Would be granted: <Text value={question.permission} max={200} /> of{" "}
            <Text value={question.resource} max={1_000} /> to this job alone
            {seen === undefined ? "" : `, until ${full(now.value + seen * 1_000)} at the latest`}.
          </span>
        )}
      </label>
      <label class="field">
        <span class="field-name">If you deny it: why</span>
        <input type="text" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
      <div class="actions">
        <button
          type="button"
          class="danger"
          onClick={() => void onAnswer({ granted: false, ...(reason !== "" && { reason }) })}
        >
          Deny
        </button>
        <button
          type="button"
          class="primary"
          disabled={isWrong}
          onClick={() => (isWide(question) ? setAsking(true) : grant())}
        >
          Grant
        </button>
      </div>
      {isAsking ? (
        <Confirmation
          title="Grant this?"
          action="Grant it"
          isDangerous
          onConfirm={grant}
          onClose={() => setAsking(false)}
        >
          <p>
            It covers more than one target: <Text value={question.permission} max={200} /> of{" "}
            <Text value={question.resource} max={1_000} />. What the job does with it cannot be taken back.
          </p>
        </Confirmation>
      ) : null}
    </div>
  );
}

/** A pattern, or a level of trust: more than the one thing that is named. */
const isWide = ({ permission, resource }: { readonly permission: string; readonly resource: string }): boolean =>
  resource.includes("*") || permission.startsWith("trust.");
