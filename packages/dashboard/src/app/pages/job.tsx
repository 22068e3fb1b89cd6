/** One job: what it does, may do, asks, has spent, and has ended with. */
import { useEffect, useState } from "preact/hooks";
import { type Board, isOver } from "../board.ts";
import { duration, exact, instantOf, now } from "../clock.ts";
import { Copy } from "../dialogs.tsx";
import { EventStream, Refusal } from "../event-stream.tsx";
import { progressText } from "../events.ts";
import { JobActions } from "../job-actions.tsx";
import { type Ending, errorFacts, JobFeed } from "../job-feed.ts";
import { JobSide } from "../job-side.tsx";
import { lazily } from "../lazily.tsx";
import { Ago, ProgressBar, Status, shortId } from "../parts.tsx";
import { QuestionCard } from "../question-card.tsx";
import { ResultView } from "../result-view.tsx";
import { jobLink, route, setQuery } from "../route.ts";
import { questions } from "../session.ts";
import { Text, visible } from "../visible-text.tsx";

const TraceView = lazily(() => import("../trace-view.tsx").then(({ TraceView: view }) => view));
const StreamsView = lazily(() => import("../streams-view.tsx").then(({ StreamsView: view }) => view));

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
  const owner = told?.owner ?? listed?.owner;
  const endedAt = instantOf(told?.endedAt) ?? listed?.endedAt;
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
          <JobActions jobId={jobId} agent={agent} isLive={!isOver(status) && ending === undefined} />
        </div>
        <p class="job-facts">
          <span class="id">{visible(jobId)}</span> <Copy text={() => jobId} label="Copy id" />
          <Times createdAt={listed?.createdAt} endedAt={endedAt} isLive={!isOver(status)} />
          {owner === undefined ? null : (
            <span>
              of{" "}
              <Text
                value={owner.tenant === undefined ? owner.principal : `${owner.principal} (${owner.tenant})`}
                max={160}
              />
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
          {ending !== undefined && "result" in ending && viewOf(route.value.query) === "events" ? (
            <ResultView result={ending.result} jobId={jobId} />
          ) : null}
          {ending !== undefined && "error" in ending ? <HowItEnded feed={feed} ending={ending} board={board} /> : null}
          <Views feed={feed} board={board} />
        </div>
        <JobSide feed={feed} board={board} isLive={!isOver(status)} />
      </div>
    </main>
  );
}

/** When it was created, and how long it took or has taken. */
function Times(props: {
  readonly createdAt: number | undefined;
  readonly endedAt: number | undefined;
  readonly isLive: boolean;
}) {
  const { createdAt, endedAt, isLive } = props;
  if (createdAt === undefined) return null;
  return (
    <>
      <span>
        created <Ago at={createdAt} />
      </span>
      {endedAt === undefined ? null : (
        <span title={`ended ${exact(endedAt)}`}>{`took ${duration(endedAt - createdAt)}`}</span>
      )}
      {isLive ? <span>{`for ${duration(now.value - createdAt)} so far`}</span> : null}
    </>
  );
}

const VIEWS = ["events", "trace", "streams"] as const;
const viewOf = (query: URLSearchParams): (typeof VIEWS)[number] =>
  VIEWS.find((name) => name === query.get("view")) ?? "events";

/** What it says, when it did what, and what it streams: one of them at a time, named in the address. */
function Views({ feed, board }: { readonly feed: JobFeed; readonly board: Board }) {
  void feed.version.value;
  const view = viewOf(route.value.query);
  const streams = feed.streams.streams.size;
  const shown = VIEWS.filter((name) => name !== "streams" || streams > 0 || view === "streams");
  return (
    <div class="views">
      <fieldset class="tabs" aria-label="What to look at">
        {shown.map((name) => (
          <button
            type="button"
            key={name}
            class="tab"
            aria-pressed={name === view}
            onClick={() => setQuery({ view: name === "events" ? "" : name })}
          >
            {name === "events" ? "Events" : name === "trace" ? "Trace" : "Streams"}
            {name === "streams" ? <span class="count">{streams.toLocaleString()}</span> : null}
          </button>
        ))}
      </fieldset>
      {view === "events" ? <EventStream feed={feed} /> : null}
      {view === "trace" ? <TraceView feed={feed} board={board} /> : null}
      {view === "streams" ? <StreamsView feed={feed} /> : null}
    </div>
  );
}

const MAX_CAUSES = 8;

/** The errors below an error, as far as a runtime tells them. */
function causesOf(error: Error): readonly Error[] {
  const causes: Error[] = [];
  for (let next = error.cause; next instanceof Error && causes.length < MAX_CAUSES; next = next.cause)
    causes.push(next);
  return causes;
}

/** Its error, what lay below that, and what went wrong shortly before. */
function HowItEnded(props: {
  readonly feed: JobFeed;
  readonly ending: Extract<Ending, { readonly error: unknown }>;
  readonly board: Board;
}) {
  const { feed, ending, board } = props;
  void feed.version.value;
  void board.order.value;
  const { error } = ending;
  const failed = [...board.jobs].filter(
    ({ parentJobId, status }) => parentJobId === feed.jobId && isOver(status) && status !== "success",
  );
  const causes = causesOf(error);
  return (
    <section class="card error" aria-label="Error">
      <header>
        <h2>How it ended</h2>
        <span class="hint">{error.retryable ? "It may be tried again." : "Trying again would not help."}</span>
      </header>
      <Refusal error={{ ...errorFacts(error), message: error.message }} />
      {causes.length === 0 ? null : (
        <ol class="plain causes" aria-label="Causes">
          {causes.map((cause) => (
            <li>
              because <Text value={cause.message} max={1_000} />
            </li>
          ))}
        </ol>
      )}
      {feed.failures.length === 0 && failed.length === 0 ? null : (
        <details>
          <summary>{`What went wrong before (${feed.failures.length + failed.length})`}</summary>
          <ul class="plain causes">
            {feed.failures.map((line) => (
              <li key={line.index}>
                {line.at === undefined ? null : (
                  <>
                    <Ago at={line.at} />{" "}
                  </>
                )}
                <Text value={line.summary} max={600} />
              </li>
            ))}
            {failed.slice(0, 20).map(({ jobId, agent, status }) => (
              <li key={jobId}>
                <a href={jobLink(jobId)}>
                  <Text value={agent} max={80} />
                </a>
                , which it delegated to: <Status status={status} />
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}
