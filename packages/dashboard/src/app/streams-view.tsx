/** What a job writes to its streams, as it comes. */
import { useMemo, useState } from "preact/hooks";
import { save } from "./dialogs.tsx";
import { bytes } from "./events.ts";
import type { JobFeed } from "./job-feed.ts";
import { Bytes } from "./result-view.tsx";
import { joinedOf, type ShownStream } from "./streams.ts";
import { Text, visible } from "./visible-text.tsx";

/** Of the end of a stream. Everything that is kept is in the download. */
const MAX_SHOWN = 64 * 1024;

export function StreamsView({ feed }: { readonly feed: JobFeed }) {
  void feed.version.value;
  const all = [...feed.streams.streams.values()];
  const [chosenId, setChosen] = useState<string>();
  const chosen = all.find(({ id }) => id === chosenId) ?? all.find(({ end }) => end === undefined) ?? all[0];
  return (
    <section class="stream streams" aria-label="Streams">
      {chosen === undefined ? (
        <div class="empty">
          <p>It has opened no stream.</p>
        </div>
      ) : (
        <>
          <div class="stream-tools">
            {all.map((stream) => (
              <button
                type="button"
                key={stream.id}
                class="small"
                aria-pressed={stream === chosen}
                onClick={() => setChosen(stream.id)}
              >
                <Text value={stream.kind} max={40} /> <span class="count">{bytes(stream.size)}</span>
                {stream.end === undefined ? <span class="dot live" role="img" aria-label="still open" /> : null}
              </button>
            ))}
          </div>
          <Shown stream={chosen} jobId={feed.jobId} />
        </>
      )}
    </section>
  );
}

function Shown({ stream, jobId }: { readonly stream: ShownStream; readonly jobId: string }) {
  const content = useMemo(() => joinedOf(stream), [stream, stream.chunks]);
  return (
    <>
      <p class="stream-facts hint">
        <span class="id">{visible(stream.id)}</span>
        {stream.contentType === "" ? null : <Text value={stream.contentType} max={100} />}
        <span>{`${stream.chunks.toLocaleString()} chunks, ${bytes(stream.size)}`}</span>
        {stream.isCut ? <span>the last of it is kept</span> : null}
        {stream.end === undefined ? (
          <span>still open</span>
        ) : (
          <span class={stream.isFailed ? "bad" : ""}>
            <Text value={stream.end} max={300} />
          </span>
        )}
        <button
          type="button"
          class="small"
          onClick={() => save(`${jobId}-${stream.id}.${typeof content === "string" ? "txt" : "bin"}`, content)}
        >
          Download
        </button>
      </p>
      {typeof content === "string" ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable without a mouse
        <section class="stream-content" tabIndex={0} aria-label="What the stream has brought">
          <pre>
            {content.length > MAX_SHOWN ? (
              <span class="more">{`… ${bytes(content.length - MAX_SHOWN)} before\n`}</span>
            ) : null}
            <Text value={content.slice(-MAX_SHOWN)} />
          </pre>
        </section>
      ) : (
        <div class="stream-content">
          <Bytes value={content} label="What the stream has brought" />
        </div>
      )}
    </>
  );
}
