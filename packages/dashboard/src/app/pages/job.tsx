/** One job: what it does, may do, asks, has spent, and has ended with. */
import { useEffect, useState } from "preact/hooks";
import { type Board, isOver } from "../board.ts";
import { full, instantOf, now } from "../clock.ts";
import { Confirmation, Copy } from "../dialogs.tsx";
import { EventStream, Refusal } from "../event-stream.tsx";
import { budgetTotals, bytes, progressText } from "../events.ts";
import { type BudgetPoint, errorFacts, JobFeed } from "../job-feed.ts";
import { Ago, BudgetGauge, Countdown, ProgressBar, Status, shortId } from "../parts.tsx";
import { QuestionCard } from "../question-card.tsx";
import { ResultView } from "../result-view.tsx";
import { jobLink } from "../route.ts";
import { client, messageOf, questions } from "../session.ts";
import { Text, visible } from "../visible-text.tsx";

export function JobPage({ jobId, board }: { readonly jobId: string; readonly board: Board }) {
  const [feed, setFeed] = useState<JobFeed>();
  useEffect(() => {
    const opened = new JobFeed(jobId);
    setFeed(opened);
    return () => opened.close();
  }, [jobId]);
  if (feed === undefined || feed.jobId !== jobId) return <main class="job" />;
  if (feed.phase.value === "failed") return <NotShown feed={feed} />;
  return <Shown feed={feed} board={board} />;
}

function NotShown({ feed }: { readonly feed: JobFeed }) {
  const error = feed.problem.value;
  const isMissing =
    error !== undefined && ["JOB_NOT_FOUND", "PERMISSION_DENIED", "INVALID_REQUEST"].includes(error.code);
  return (
    <main class="job">
      <div class="empty">
        <h1>{isMissing ? "There is no such job" : "The job cannot be shown"}</h1>
        <p class="id">{visible(feed.jobId)}</p>
        <p>
          {isMissing ? "It does not exist, or it is not yours to see. " : null}
          {error === undefined ? null : <Text value={`${error.code}: ${error.message}`} max={1_000} />}
        </p>
        <p>
          <a href="#/">All jobs</a>
        </p>
      </div>
    </main>
  );
}

function Shown({ feed, board }: { readonly feed: JobFeed; readonly board: Board }) {
  void feed.version.value;
  void board.version.value;
  const { jobId } = feed;
  const told = feed.subscribed.value;
  const listed = board.job(jobId);
  const ending = feed.ending.value;
  const status =
    ending?.status ?? (listed && !isOver(listed.status) ? listed.status : told?.currentStatus) ?? "pending";
  const agent = told?.agent ?? listed?.agent ?? "";
  const parent = told?.parentJobId ?? listed?.parentJobId;
  const asked = questions.value.filter((question) => question.jobId === jobId);
  return (
    <main class="job">
      <header class="job-head">
        <div class="job-title">
          <h1>
            <Text value={agent === "" ? "Job" : agent} max={120} />
          </h1>
          <Status status={status} />
          {feed.lastStatus !== undefined && !isOver(status) ? (
            <span class="hint">
              <Text value={feed.lastStatus} max={80} />
            </span>
          ) : null}
          <Actions jobId={jobId} agent={agent} isLive={!isOver(status) && ending === undefined} />
        </div>
        <p class="job-facts">
          <span class="id">{visible(jobId)}</span> <Copy text={() => jobId} label="Copy id" />
          {listed === undefined ? null : (
            <span>
              created <Ago at={listed.createdAt} />
            </span>
          )}
          {parent === undefined ? null : (
            <span>
              delegated by <a href={jobLink(parent)}>{shortId(parent)}</a>
            </span>
          )}
          {feed.connection.value.phase === "reconnecting" ? <span class="badge">reconnecting</span> : null}
        </p>
        {feed.progress === undefined ? null : (
          <p class="job-progress">
            <ProgressBar progress={feed.progress} /> <Text value={progressText(feed.progress)} max={300} />
          </p>
        )}
      </header>
      <div class="job-columns">
        <div class="job-main">
          {asked.map((question) => (
            <QuestionCard key={question.id} question={question} isOnJobPage />
          ))}
          {ending !== undefined && "result" in ending ? <ResultView result={ending.result} jobId={jobId} /> : null}
          {ending !== undefined && "error" in ending ? (
            <section class="card error" aria-label="Error">
              <h2>How it ended</h2>
              <Refusal error={{ ...errorFacts(ending.error), message: ending.error.message }} />
              <p class="hint">{ending.error.retryable ? "It may be tried again." : "Trying again would not help."}</p>
            </section>
          ) : null}
          <EventStream feed={feed} />
        </div>
        <aside class="job-side" aria-label="About the job">
          <Authority feed={feed} isLive={!isOver(status)} />
          <Family feed={feed} board={board} />
          <Attempts feed={feed} />
          <Artifacts feed={feed} />
          <section class="card">
            <h2>Elsewhere</h2>
            <p class="hint">The same in a terminal:</p>
            <pre>{`arcp tail ${visible(jobId)}`}</pre>
            {told?.traceId === undefined ? null : (
              <p>
                Trace <code class="id">{visible(told.traceId)}</code>
              </p>
            )}
            <p>
              <a href={`#/wire?q=${encodeURIComponent(jobId)}`}>Envelopes of this job</a>
            </p>
          </section>
        </aside>
      </div>
    </main>
  );
}

function Actions(props: { readonly jobId: string; readonly agent: string; readonly isLive: boolean }) {
  const { jobId, agent, isLive } = props;
  const [isAsking, setAsking] = useState(false);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<string>();
  const cancel = async (): Promise<void> => {
    setAsking(false);
    try {
      await client().cancelJob(jobId, reason === "" ? {} : { reason });
      setProblem(undefined);
    } catch (thrown) {
      setProblem(messageOf(thrown));
    }
  };
  return (
    <span class="job-actions">
      <a class="button" href={`#/submit?agent=${encodeURIComponent(agent)}`}>
        Submit again
      </a>
      {isLive ? (
        <button type="button" class="danger" id="cancel-job" onClick={() => setAsking(true)}>
          Cancel
        </button>
      ) : null}
      {problem === undefined ? null : (
        <span class="problem" role="alert">
          <Text value={problem} max={1_000} />
        </span>
      )}
      {isAsking ? (
        <Confirmation
          title="Cancel this job?"
          action="Cancel the job"
          isDangerous
          onConfirm={() => void cancel()}
          onClose={() => setAsking(false)}
        >
          <p>
            It is told to stop, and jobs that it delegated with it. What it has done already stays done. This cannot be
            taken back.
          </p>
          <label class="field">
            <span class="field-name">Why (it is told so)</span>
            <input
              type="text"
              maxLength={200}
              value={reason}
              onInput={(event) => setReason(event.currentTarget.value)}
            />
          </label>
        </Confirmation>
      ) : null}
    </span>
  );
}

function Authority({ feed, isLive }: { readonly feed: JobFeed; readonly isLive: boolean }) {
  const told = feed.subscribed.value;
  const capabilities = Object.entries(told?.lease ?? {}).filter(([name]) => name !== "cost.budget");
  const totals = budgetTotals(told?.lease ?? {});
  const expiresAt = instantOf(told?.leaseConstraints?.expiresAt);
  return (
    <section class="card" aria-label="Authority">
      <h2>What it may do</h2>
      {expiresAt === undefined ? null : (
        <p>
          {isLive ? "Its lease ends " : "Its lease was for until "}
          {isLive ? <Countdown at={expiresAt} past="and has ended" /> : <span class="hint">{full(expiresAt)}</span>}
        </p>
      )}
      {[...feed.budgets].map(([currency, points]) => {
        const remaining = points.at(-1)?.remaining ?? 0;
        const total = totals.get(currency) ?? points[0]?.remaining ?? 0;
        return (
          <div class="budget">
            <BudgetGauge currency={currency} total={total} remaining={remaining} />
            <Spent points={points} total={total} />
          </div>
        );
      })}
      {capabilities.length === 0 ? (
        <p class="hint">Nothing beyond its own code: its lease names no file, server, tool or agent.</p>
      ) : (
        <dl class="lease">
          {capabilities.map(([name, patterns]) => (
            <>
              <dt>
                <Text value={name} max={100} />
              </dt>
              {patterns.map((pattern) => (
                <dd class="mono">
                  <Text value={pattern} max={1_000} />
                </dd>
              ))}
            </>
          ))}
        </dl>
      )}
    </section>
  );
}

/** The budget over time, as a line. The numbers are in the gauge, and in the events. */
function Spent({ points, total }: { readonly points: readonly BudgetPoint[]; readonly total: number }) {
  if (points.length < 3 || total <= 0) return null;
  const first = points[0]?.at ?? 0;
  const span = Math.max(1, (points.at(-1)?.at ?? 0) - first);
  const step = Math.max(1, Math.floor(points.length / 120));
  const path = points
    .filter((_, index) => index % step === 0 || index === points.length - 1)
    .map(({ at, remaining }) => `${((at - first) / span) * 200},${40 - (Math.max(0, remaining) / total) * 38}`)
    .join(" ");
  return (
    <svg class="spent" viewBox="0 0 200 42" preserveAspectRatio="none" role="img" aria-label="What was left over time">
      <polyline points={path} />
    </svg>
  );
}

/** Jobs that it delegated, in the time in which they ran. */
function Family({ feed, board }: { readonly feed: JobFeed; readonly board: Board }) {
  const children = [...board.jobs].filter(({ parentJobId }) => parentJobId === feed.jobId);
  if (children.length === 0) return null;
  children.sort((a, b) => a.createdAt - b.createdAt);
  return (
    <section class="card" aria-label="Delegated jobs">
      <h2>Delegated</h2>
      <ul class="plain">
        {children.map((child) => (
          <li>
            <a href={jobLink(child.jobId)}>
              <Text value={child.agent} max={80} />
            </a>{" "}
            <Status status={child.status} /> <Ago at={child.createdAt} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Attempts({ feed }: { readonly feed: JobFeed }) {
  if (feed.attempts.length === 0) return null;
  return (
    <section class="card" aria-label="Attempts">
      <h2>{`Attempt ${feed.attempts.length + 1}`}</h2>
      <ol class="plain">
        {feed.attempts.slice(-20).map(({ body, ts }) => (
          <li>
            <Text value={body.phase} max={60} />
            {body.message === undefined ? null : (
              <>
                {": "}
                <Text value={body.message} max={400} />
              </>
            )}
            {instantOf(ts) === undefined ? null : (
              <>
                {" "}
                <Ago at={instantOf(ts) ?? now.value} />
              </>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Artifacts({ feed }: { readonly feed: JobFeed }) {
  if (feed.artifacts.length === 0) return null;
  return (
    <section class="card" aria-label="Artifacts">
      <h2>Artifacts</h2>
      <ul class="plain">
        {feed.artifacts.slice(-100).map(({ body }) => (
          <li>
            <span class="mono">
              <Text value={body.uri} max={300} />
            </span>{" "}
            <span class="hint">
              <Text value={body.content_type} max={100} />
              {body.byte_size === undefined ? null : `, ${bytes(body.byte_size)}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
