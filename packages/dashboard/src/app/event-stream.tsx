/** The events of a job: found, filtered, followed, and one of them looked at closely. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, exact, full, toClock } from "./clock.ts";
import { Copy } from "./dialogs.tsx";
import { KINDS, type Kind, missingLease, remedyFor } from "./events.ts";
import { frameOf, shownFrame } from "./frames.ts";
import type { JobFeed, Line } from "./job-feed.ts";
import { VirtualList } from "./virtual-list.tsx";
import { Json, Text } from "./visible-text.tsx";

const ROW_HEIGHT = 28;

interface Filter {
  readonly hidden: ReadonlySet<Kind>;
  readonly text: string;
  readonly isFolded: boolean;
}

/** Lines that pass a filter. It grows with the lines, and is made anew when anything else changes. */
class Selection {
  readonly filter: Filter;
  readonly lines: Line[] = [];
  #from = 0;
  #dropped = 0;

  constructor(filter: Filter) {
    this.filter = filter;
  }

  update(feed: JobFeed): readonly Line[] {
    if (feed.dropped !== this.#dropped) {
      this.#dropped = feed.dropped;
      this.#from = 0;
      this.lines.length = 0;
    }
    const { hidden, text, isFolded } = this.filter;
    for (; this.#from < feed.lines.length; this.#from += 1) {
      const line = feed.lines[this.#from] as Line;
      if (hidden.has(line.kind) || (text !== "" && !line.searched.includes(text))) continue;
      // What is searched for is shown where it was said; otherwise results stand beside their calls.
      if (text === "" && (line.isPaired || (isFolded && line.head !== undefined))) continue;
      this.lines.push(line);
    }
    return this.lines;
  }
}

export function EventStream({ feed }: { readonly feed: JobFeed }) {
  const [hidden, setHidden] = useState<ReadonlySet<Kind>>(new Set());
  const [text, setText] = useState("");
  const [isFolded, setFolded] = useState(true);
  const [isFollowing, setFollowing] = useState(true);
  const [chosen, setChosen] = useState<Line>();
  const frozen = useRef<number | undefined>(undefined);
  const selection = useMemo(
    () => new Selection({ hidden, text: text.toLowerCase(), isFolded }),
    [hidden, text, isFolded],
  );
  void feed.version.value;
  const lines = selection.update(feed);
  // Paused: what came since is counted, and not shown.
  if (isFollowing) frozen.current = undefined;
  else frozen.current ??= lines.length;
  const count = frozen.current === undefined ? lines.length : Math.min(lines.length, frozen.current);
  const waiting = lines.length - count;
  const position = chosen === undefined ? -1 : lines.indexOf(chosen);

  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (event.key === "Escape" && chosen !== undefined) setChosen(undefined);
    if (step === undefined || count === 0) return;
    event.preventDefault();
    const next = lines[Math.max(0, Math.min(count - 1, position + step))];
    setFollowing(false);
    if (next !== undefined) setChosen(next);
  };
  const toggle = (kind: Kind): void => {
    const next = new Set(hidden);
    if (!next.delete(kind)) next.add(kind);
    setHidden(next);
  };

  return (
    <section class="stream" aria-label="Events">
      <div class="stream-tools">
        <input
          id="search"
          type="search"
          placeholder="Search the events  ( / )"
          aria-label="Search the events"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <fieldset class="kinds" aria-label="Kinds">
          {KINDS.filter((kind) => (feed.counts.get(kind) ?? 0) > 0).map((kind) => (
            <button
              type="button"
              class={`kind kind-${kind}`}
              aria-pressed={!hidden.has(kind)}
              onClick={() => toggle(kind)}
            >
              {kind} <span class="count">{feed.counts.get(kind)?.toLocaleString()}</span>
            </button>
          ))}
        </fieldset>
        {(feed.counts.get("thought") ?? 0) > 0 ? (
          <button type="button" class="small" aria-pressed={isFolded} onClick={() => setFolded(!isFolded)}>
            Fold reasoning
          </button>
        ) : null}
        <button
          type="button"
          class="small follow"
          aria-pressed={isFollowing}
          onClick={() => setFollowing(!isFollowing)}
        >
          {isFollowing ? "Following" : waiting > 0 ? `Follow (${waiting.toLocaleString()} new)` : "Follow"}
        </button>
        <span class="hint" role="status">
          {`${count.toLocaleString()} of ${(feed.lines.length + feed.dropped).toLocaleString()} events`}
        </span>
      </div>
      <div class={`stream-body ${chosen === undefined ? "" : "with-detail"}`}>
        {count === 0 ? (
          <div class="empty">
            <p>{feed.lines.length === 0 ? "No events yet." : "No event matches."}</p>
          </div>
        ) : (
          <VirtualList
            label="Event stream"
            count={count}
            rowHeight={ROW_HEIGHT}
            keyOf={(index) => lines[index]?.index ?? index}
            isFollowing={isFollowing}
            onFollowing={setFollowing}
            shown={position === -1 ? undefined : position}
            onKeyDown={onKeyDown}
            row={(index) => {
              const line = lines[index];
              return (
                line && (
                  <EventRow
                    line={line}
                    isFolded={isFolded && text === ""}
                    isChosen={line === chosen}
                    onChoose={() => {
                      setChosen(line);
                      setFollowing(false);
                    }}
                  />
                )
              );
            }}
          />
        )}
        {chosen === undefined ? null : <Detail feed={feed} line={chosen} onClose={() => setChosen(undefined)} />}
      </div>
    </section>
  );
}

function EventRow(props: {
  readonly line: Line;
  readonly isFolded: boolean;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}) {
  const { line, isFolded, isChosen, onChoose } = props;
  const { event, kind, at, summary, result, folded } = line;
  const level = event.kind === "log" ? event.body.level : undefined;
  const isFailed = (event.kind === "tool_result" && event.body.error !== undefined) || level === "error";
  return (
    <button
      type="button"
      tabIndex={-1}
      class={`event ${isFailed ? "failed" : ""} ${level === "warn" ? "warned" : ""}`}
      aria-current={isChosen ? "true" : undefined}
      onClick={onChoose}
    >
      <span class="event-time" title={at === undefined ? undefined : exact(at)}>
        {at === undefined ? "" : toClock(at)}
      </span>
      <span class={`kind kind-${kind}`}>{event.kind === "tool_result" ? "↩ result" : kind}</span>
      <span class="event-text">
        <Text value={summary.replaceAll(/\s+/g, " ")} max={300} />
        {isFolded && folded > 0 ? <span class="more">{`  + ${folded} more`}</span> : null}
      </span>
      {event.kind === "tool_call" ? <Outcome result={result} /> : null}
    </button>
  );
}

function Outcome({ result }: { readonly result: Line["result"] }) {
  if (result === undefined) return <span class="outcome">…</span>;
  const { error } = result.event.body;
  return (
    <span class={`outcome ${error === undefined ? "ok" : "failed"}`}>
      {error === undefined ? "✓ " : "✕ "}
      {error === undefined ? null : <Text value={`${error.code} `} max={60} />}
      {result.ms === undefined ? null : duration(result.ms)}
    </span>
  );
}

const MAX_FOLDED = 200;

function Detail({
  feed,
  line,
  onClose,
}: {
  readonly feed: JobFeed;
  readonly line: Line;
  readonly onClose: () => void;
}) {
  const { event, at, result } = line;
  const name = event.kind === "vendor" ? event.name : event.kind;
  return (
    <aside class="detail" aria-label="The chosen event">
      <header>
        <span class={`kind kind-${line.kind}`}>
          <Text value={name} max={80} />
        </span>
        {at === undefined ? null : (
          <time dateTime={new Date(at).toISOString()} title={exact(at)}>
            {full(at)}
          </time>
        )}
        <Copy text={() => JSON.stringify(event, undefined, 2)} label="Copy JSON" />
        <button type="button" class="small" aria-label="Close the event" onClick={onClose}>
          ✕
        </button>
      </header>
      <div class="detail-body">
        <Body feed={feed} line={line} />
        {result === undefined ? null : (
          <>
            <h3>{`Result${result.ms === undefined ? "" : ` after ${duration(result.ms)}`}`}</h3>
            <ToolOutcome body={result.event.body} />
          </>
        )}
        <Envelope line={line} />
      </div>
    </aside>
  );
}

/** The event as it was on the wire, as long as that is kept. */
function Envelope({ line }: { readonly line: Line }) {
  const [text, setText] = useState<string | null>();
  useEffect(() => setText(undefined), [line]);
  if (text === undefined) {
    return (
      <p>
        <button type="button" class="small" onClick={() => setText(frameOf(line.event) ?? null)}>
          Show the envelope
        </button>
      </p>
    );
  }
  if (text === null) return <p class="hint">Its envelope is not kept any more: the last 5,000 are.</p>;
  return (
    <>
      <h3 class="with-tool">
        Envelope <Copy text={() => shownFrame(text)} label="Copy the envelope" />
      </h3>
      <pre class="json">
        <Text value={shownFrame(text)} />
      </pre>
    </>
  );
}

function Body({ feed, line }: { readonly feed: JobFeed; readonly line: Line }) {
  const { event } = line;
  if (event.kind === "thought") {
    const start = line.index - feed.dropped;
    const run = feed.lines
      .slice(start, start + Math.min(line.folded, MAX_FOLDED) + 1)
      .filter(({ kind }) => kind === "thought");
    return (
      <div class="thoughts">
        {run.map(({ event: each, index }) => (
          <p key={index} class="prose">
            <Text value={each.kind === "thought" ? each.body.text : ""} />
          </p>
        ))}
      </div>
    );
  }
  if (event.kind === "log") {
    return (
      <>
        <p class="prose">
          <Text value={event.body.message} />
        </p>
        {event.body.attributes === undefined ? null : <Json value={event.body.attributes} />}
      </>
    );
  }
  if (event.kind === "tool_result") return <ToolOutcome body={event.body} />;
  return <Json value={event.body} />;
}

function ToolOutcome({ body }: { readonly body: Extract<Line["event"], { readonly kind: "tool_result" }>["body"] }) {
  const { error } = body;
  if (error === undefined) return <Json value={body.result ?? null} />;
  return <Refusal error={error} />;
}

/** An error, and what would have allowed it if a lease refused. */
export function Refusal({ error }: { readonly error: Parameters<typeof remedyFor>[0] & { readonly message: string } }) {
  const remedy = remedyFor(error);
  const missing = missingLease(error);
  return (
    <div class="refusal">
      <p>
        <strong>
          <Text value={error.code} max={100} />
        </strong>{" "}
        <Text value={error.message} max={4_000} />
      </p>
      {remedy === undefined ? null : (
        <p class="remedy">
          <Text value={remedy} max={2_000} />
          {missing === undefined ? null : <Copy text={() => JSON.stringify(missing)} label="Copy as lease" />}
        </p>
      )}
      {error.details === undefined || Object.keys(error.details).length === 0 ? null : (
        <details>
          <summary>Details</summary>
          <Json value={error.details} max={20_000} />
        </details>
      )}
    </div>
  );
}
