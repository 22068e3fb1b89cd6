/** The envelopes themselves. */
import { useState } from "preact/hooks";
import { exact, toClock } from "../clock.ts";
import { Copy } from "../dialogs.tsx";
import { type Frame, framesVersion, recentFrames, shownFrame } from "../frames.ts";
import { route, setQuery } from "../route.ts";
import { VirtualList } from "../virtual-list.tsx";
import { Text } from "../visible-text.tsx";

const ROW_HEIGHT = 28;

export function WirePage() {
  const [chosen, setChosen] = useState<Frame>();
  const [isFollowing, setFollowing] = useState(true);
  void framesVersion.value;
  const text = route.value.query.get("q") ?? "";
  const frames = recentFrames().filter((frame) => text === "" || frame.text.includes(text));
  return (
    <main class="wire">
      <header class="page-head">
        <h1>Envelopes</h1>
        <input
          id="search"
          type="search"
          placeholder="Find in the envelopes  ( / )"
          aria-label="Find in the envelopes"
          value={text}
          onInput={(event) => setQuery({ q: event.currentTarget.value })}
        />
        <button type="button" class="small" aria-pressed={isFollowing} onClick={() => setFollowing(!isFollowing)}>
          {isFollowing ? "Following" : "Follow"}
        </button>
        <span class="hint">
          What this page sent and was sent, the last 5,000. Tokens and credentials are not shown.
        </span>
      </header>
      <div class={`stream-body ${chosen === undefined ? "" : "with-detail"}`}>
        <VirtualList
          label="Envelopes"
          count={frames.length}
          rowHeight={ROW_HEIGHT}
          keyOf={(index) => frames[index]?.id ?? index}
          isFollowing={isFollowing}
          onFollowing={setFollowing}
          row={(index) => {
            const frame = frames[index];
            return frame && <Row frame={frame} isChosen={frame === chosen} onChoose={() => setChosen(frame)} />;
          }}
        />
        {chosen === undefined ? null : (
          <aside class="detail" aria-label="The chosen envelope">
            <header>
              <time dateTime={new Date(chosen.at).toISOString()}>{exact(chosen.at)}</time>
              <Copy text={() => shownFrame(chosen.text)} label="Copy JSON" />
              <button type="button" class="small" aria-label="Close the envelope" onClick={() => setChosen(undefined)}>
                ✕
              </button>
            </header>
            <div class="detail-body">
              <pre class="json">
                <Text value={shownFrame(chosen.text)} />
              </pre>
            </div>
          </aside>
        )}
      </div>
    </main>
  );
}

const typeOf = (text: string): string => /"type"\s*:\s*"([^"]{1,80})"/.exec(text)?.[1] ?? "?";
const MAX_BRIEF = 240;
const PAYLOAD = '"payload":';

function Row(props: { readonly frame: Frame; readonly isChosen: boolean; readonly onChoose: () => void }) {
  const { frame, isChosen, onChoose } = props;
  // Secrets are looked for in the whole, so a part of one is not shown either.
  const hasSecret = /"(?:token|resume_token|credentials?)"/.test(frame.text);
  // What comes before is alike in all of them.
  const start = Math.max(0, frame.text.indexOf(PAYLOAD) + PAYLOAD.length);
  const brief = hasSecret ? "" : frame.text.slice(start, start + MAX_BRIEF);
  return (
    <button type="button" tabIndex={-1} class="event" aria-current={isChosen ? "true" : undefined} onClick={onChoose}>
      <span class="event-time">{toClock(frame.at)}</span>
      <span class={`kind direction-${frame.direction}`}>{frame.direction === "in" ? "← in" : "→ out"}</span>
      <span class="event-text">
        <strong>
          <Text value={typeOf(frame.text)} />
        </strong>{" "}
        <Text value={brief} />
      </span>
    </button>
  );
}
