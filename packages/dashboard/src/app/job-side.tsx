/** Beside what a job says: what it may do, whom it asked, where it can be gone on from, and what it left behind. */
import type { JobEvent } from "@arcp/client";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Board } from "./board.ts";
import { Budget } from "./budget-chart.tsx";
import { duration, full, instantOf, now } from "./clock.ts";
import { Copy, save } from "./dialogs.tsx";
import { budgetTotals, bytes } from "./events.ts";
import { useAsked } from "./job-asked.ts";
import type { JobFeed, Noted } from "./job-feed.ts";
import { Ago, Countdown, Status } from "./parts.tsx";
import { Bytes } from "./result-view.tsx";
import { jobLink } from "./route.ts";
import { messageOf } from "./session.ts";
import { Json, jsonText, Text, visible } from "./visible-text.tsx";

export function JobSide(props: { readonly feed: JobFeed; readonly board: Board; readonly isLive: boolean }) {
  const { feed, board, isLive } = props;
  return (
    <aside class="job-side" aria-label="About the job">
      <Authority feed={feed} isLive={isLive} />
      <Input jobId={feed.jobId} />
      <Artifacts feed={feed} />
      <Family feed={feed} board={board} />
      <Attempts feed={feed} />
      <Elsewhere feed={feed} />
    </aside>
  );
}

function Authority({ feed, isLive }: { readonly feed: JobFeed; readonly isLive: boolean }) {
  void feed.version.value;
  const told = feed.subscribed.value;
  const capabilities = Object.entries(told?.lease ?? {}).filter(([name]) => name !== "cost.budget");
  const totals = budgetTotals(told?.lease ?? {});
  const expiresAt = instantOf(told?.leaseConstraints?.expiresAt);
  return (
    <section class="card" aria-label="Authority">
      <h2>What it may do</h2>
      {expiresAt === undefined ? null : isLive ? (
        <p>
          Its lease ends <Countdown at={expiresAt} past="and has ended" />
        </p>
      ) : (
        <p class="hint">{`Its lease was for until ${full(expiresAt)}`}</p>
      )}
      {[...new Set([...totals.keys(), ...feed.budgets.keys(), ...Object.keys(told?.budget ?? {})])].map((currency) => {
        const later = feed.budgets.get(currency) ?? [];
        const total = totals.get(currency) ?? later[0]?.remaining ?? 0;
        const startedAt = feed.lines[0]?.at;
        // Of a counter that has told nothing since, the subscription says where it stands.
        const still = later.length === 0 ? told?.budget?.[currency] : undefined;
        const points = [
          ...(startedAt === undefined ? [] : [{ at: startedAt, remaining: total }]),
          ...(still === undefined ? later : [{ at: now.value, remaining: still }]),
        ];
        return <Budget key={currency} currency={currency} points={points} total={total} isLive={isLive} />;
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
      <Grants grants={feed.grants} />
    </section>
  );
}

const wordOf = (event: Noted, name: string): string | undefined => {
  const value = (event.body as Readonly<Record<string, unknown>> | null)?.[name];
  return typeof value === "string" ? value : undefined;
};

const When = ({ ts }: { readonly ts: string | undefined }) => {
  const at = instantOf(ts);
  return at === undefined ? null : <Ago at={at} />;
};

/** What people granted beyond the lease, and took back. */
function Grants({ grants }: { readonly grants: readonly Noted[] }) {
  if (grants.length === 0) return null;
  return (
    <>
      <h3>What people granted</h3>
      <ol class="plain">
        {grants.map((grant) => {
          const until = instantOf(wordOf(grant, "expires_at"));
          return (
            <li key={grant.seq}>
              <Text value={wordOf(grant, "event") ?? "changed"} max={40} />{" "}
              <strong>
                <Text value={wordOf(grant, "permission") ?? ""} max={200} />
              </strong>{" "}
              <span class="mono">
                <Text value={wordOf(grant, "resource") ?? ""} max={400} />
              </span>{" "}
              <span class="hint">
                <When ts={grant.ts} />
                {until === undefined ? null : (
                  <>
                    {", ends "}
                    <Countdown at={until} past="and has ended" />
                  </>
                )}
              </span>
            </li>
          );
        })}
      </ol>
    </>
  );
}

/** What it was given. */
function Input({ jobId }: { readonly jobId: string }) {
  const asked = useAsked(jobId);
  if (asked === undefined) return null;
  const { given: known } = asked;
  if (known === undefined) {
    return (
      <section class="card" aria-label="Input">
        <h2>Input</h2>
        <p class="hint">The runtime has not kept it, or does not tell it.</p>
      </section>
    );
  }
  return (
    <section class="card" aria-label="Input">
      <header>
        <h2>Input</h2>
        <Copy text={() => jsonText(known.input)} />
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable without a mouse */}
      <section class="artifact-text" tabIndex={0} aria-label="The input">
        <Json value={known.input} max={MAX_TEXT} />
      </section>
    </section>
  );
}

function Family({ feed, board }: { readonly feed: JobFeed; readonly board: Board }) {
  void board.version.value;
  const children = [...board.jobs].filter(({ parentJobId }) => parentJobId === feed.jobId);
  if (children.length === 0) return null;
  children.sort((a, b) => a.createdAt - b.createdAt);
  return (
    <section class="card" aria-label="Delegated jobs">
      <h2>Delegated</h2>
      <ul class="plain">
        {children.slice(0, MAX_SHOWN).map((child) => (
          <li key={child.jobId} class="fact">
            <a href={jobLink(child.jobId)}>
              <Text value={child.agent} max={80} />
            </a>
            <Status status={child.status} />
            <span class="hint">
              {child.endedAt === undefined ? <Ago at={child.createdAt} /> : duration(child.endedAt - child.createdAt)}
            </span>
          </li>
        ))}
      </ul>
      {children.length > MAX_SHOWN ? <p class="hint">{`and ${children.length - MAX_SHOWN} more`}</p> : null}
    </section>
  );
}

const MAX_SHOWN = 100;

/** When it was tried again or taken up after a restart, and the places that it can be gone on from. */
function Attempts({ feed }: { readonly feed: JobFeed }) {
  void feed.version.value;
  const { attempts, checkpoints } = feed;
  if (attempts.length === 0 && checkpoints.length === 0) return null;
  return (
    <>
      {attempts.length === 0 ? null : (
        <section class="card" aria-label="Attempts">
          <h2>{`Attempt ${attempts.length + 1}`}</h2>
          <ol class="plain">
            {attempts.slice(-20).map(({ body, ts, seq }) => (
              <li key={seq}>
                <Text value={body.message === undefined ? body.phase : `${body.phase}: ${body.message}`} max={400} />{" "}
                <span class="hint">
                  <When ts={ts} />
                </span>
              </li>
            ))}
          </ol>
        </section>
      )}
      {checkpoints.length === 0 ? null : (
        <section class="card" aria-label="Checkpoints">
          <h2>Checkpoints</h2>
          <ol class="plain">
            {checkpoints.slice(-20).map((checkpoint) => (
              <li key={checkpoint.seq}>
                <Text value={wordOf(checkpoint, "label") ?? "without a label"} max={200} />{" "}
                <span class="hint">
                  <When ts={checkpoint.ts} />
                </span>
                <br />
                <span class="id">
                  <Text value={wordOf(checkpoint, "checkpoint_id") ?? ""} max={80} />
                </span>
              </li>
            ))}
          </ol>
        </section>
      )}
    </>
  );
}

type ArtifactEvent = JobEvent & { readonly kind: "artifact_ref" };

function Artifacts({ feed }: { readonly feed: JobFeed }) {
  void feed.version.value;
  if (feed.artifacts.length === 0) return null;
  return (
    <section class="card" aria-label="Artifacts">
      <h2>Artifacts</h2>
      <ul class="plain artifacts">
        {feed.artifacts.slice(-MAX_SHOWN).map((artifact) => (
          <Artifact key={`${artifact.seq} ${artifact.body.uri}`} artifact={artifact} />
        ))}
      </ul>
    </section>
  );
}

/** Can the content of an artifact at `uri` be had here? Other addresses are named, and led to by nothing. */
const isFetchable = (uri: string): boolean =>
  /^arcp:\/\/session\/[\w.:~@+-]{1,128}\/artifact\/[\w.:~@+-]{1,128}$/.test(uri);

type Content =
  | { readonly phase: "none" }
  | { readonly phase: "loading" }
  | { readonly phase: "here"; readonly bytes: Uint8Array }
  | { readonly phase: "refused"; readonly problem: string };

/** Text is shown up to here; the rest of it is in the download. */
const MAX_TEXT = 20_000;
const READABLE = /^(text\/|application\/(json|xml|yaml|x-ndjson))/;

function Artifact({ artifact }: { readonly artifact: ArtifactEvent }) {
  const { uri, content_type: type, byte_size: size } = artifact.body;
  const [content, setContent] = useState<Content>({ phase: "none" });
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  // Ids of artifacts are the principal's: many begin with that of their job.
  const name = (uri.split("/").at(-1) ?? "artifact").replace(`${artifact.jobId}.`, "");
  const load = async (use: (bytes: Uint8Array) => void): Promise<void> => {
    if (content.phase === "here") return use(content.bytes);
    setContent({ phase: "loading" });
    try {
      const { fetchArtifact } = await import("./artifacts.ts");
      const loaded = await fetchArtifact(uri, stop.current.signal);
      if (stop.current.signal.aborted) return;
      setContent({ phase: "none" });
      use(loaded);
    } catch (thrown) {
      if (!stop.current.signal.aborted) setContent({ phase: "refused", problem: messageOf(thrown) });
    }
  };
  const show = (loaded: Uint8Array): void => setContent({ phase: "here", bytes: loaded });
  return (
    <li>
      <span class="mono" title={visible(uri).slice(0, 400)}>
        <Text value={isFetchable(uri) ? name : uri} max={300} />
      </span>
      <span class="hint">
        <Text value={type} max={100} />
        {size === undefined ? null : `, ${bytes(size)}`}
      </span>
      {isFetchable(uri) ? (
        <span class="artifact-tools">
          <button
            type="button"
            class="small"
            disabled={content.phase === "loading"}
            onClick={() => void load((loaded) => save(name, loaded))}
          >
            Download
          </button>
          {content.phase === "here" ? (
            <button type="button" class="small" onClick={() => setContent({ phase: "none" })}>
              Hide
            </button>
          ) : (
            <button type="button" class="small" disabled={content.phase === "loading"} onClick={() => void load(show)}>
              {content.phase === "loading" ? "Loading…" : "Show"}
            </button>
          )}
        </span>
      ) : (
        <span class="hint">It is kept elsewhere, and not fetched from here.</span>
      )}
      {content.phase === "refused" ? (
        <p class="problem" role="alert">
          <Text value={content.problem} max={400} />
        </p>
      ) : null}
      {content.phase === "here" ? <Shown type={type} value={content.bytes} /> : null}
    </li>
  );
}

function Shown({ type, value }: { readonly type: string; readonly value: Uint8Array }) {
  if (!READABLE.test(type)) return <Bytes value={value} label="The artifact" />;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable without a mouse
    <section class="artifact-text" tabIndex={0} aria-label="The artifact">
      <pre>
        <Text value={new TextDecoder().decode(value)} max={MAX_TEXT} />
      </pre>
    </section>
  );
}

function Elsewhere({ feed }: { readonly feed: JobFeed }) {
  const { jobId } = feed;
  const traceId = feed.subscribed.value?.traceId;
  const commands = [`arcp tail ${visible(jobId)}`, `arcp replay --job ${visible(jobId)}`];
  return (
    <section class="card" aria-label="Elsewhere">
      <h2>Elsewhere</h2>
      <p class="hint">In a terminal; the second reads the runtime's database:</p>
      {commands.map((command) => (
        <div key={command} class="command">
          <code title={command}>{command}</code>
          <Copy text={() => command} />
        </div>
      ))}
      <p>
        <a href={`#/wire?q=${encodeURIComponent(jobId)}`}>Its envelopes</a>
        {traceId === undefined ? null : (
          <>
            {" · "}
            <a href={`${jobLink(jobId)}?view=trace`}>Its trace</a>
          </>
        )}
      </p>
      {traceId === undefined ? null : (
        <p class="hint">
          Trace <code class="id">{visible(traceId)}</code>
        </p>
      )}
      {feed.subscribed.value?.isHistoryTruncated ? (
        <p class="hint">Events from before are not kept any more: the first of them are missing.</p>
      ) : null}
      <p class="hint">{`Times are yours, ${Intl.DateTimeFormat().resolvedOptions().timeZone}; point at one for the exact one.`}</p>
    </section>
  );
}
