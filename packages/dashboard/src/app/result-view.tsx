/** What a job has ended with. */
import type { JobResult } from "@arcp/client";
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Copy, save } from "./dialogs.tsx";
import { bytes } from "./events.ts";
import { Json, jsonText, Text } from "./visible-text.tsx";

export function ResultView({ result, jobId }: { readonly result: JobResult; readonly jobId: string }) {
  const value = result.result;
  return (
    <section class="card result" aria-label="Result">
      <header>
        <h2>Result</h2>
        {value === undefined ? null : <Tools value={value} jobId={jobId} />}
      </header>
      {result.summary === undefined ? null : (
        <p>
          <Text value={result.summary} max={4_000} />
        </p>
      )}
      <Value value={value} />
    </section>
  );
}

function Tools({ value, jobId }: { readonly value: unknown; readonly jobId: string }) {
  const text = (): string => (typeof value === "string" ? value : jsonText(value));
  if (value instanceof Uint8Array) {
    return (
      <button type="button" class="small" onClick={() => save(`${jobId}.bin`, value)}>
        Download
      </button>
    );
  }
  return (
    <>
      <Copy text={text} />
      <button
        type="button"
        class="small"
        onClick={() => save(`${jobId}.${typeof value === "string" ? "txt" : "json"}`, text())}
      >
        Download
      </button>
    </>
  );
}

function Value({ value }: { readonly value: unknown }) {
  if (value === undefined) return <p class="hint">It ended well, without a result.</p>;
  if (value instanceof Uint8Array) return <Bytes value={value} label="The result of the job" />;
  if (typeof value === "string") return <Words text={value} />;
  return <Json value={value} />;
}

type View = "read" | "source";

/** Text is Markdown where it may be; its reader is loaded when there is something to read. */
function Words({ text }: { readonly text: string }) {
  const [view, setView] = useState<View>("read");
  const [markdown, setMarkdown] = useState<{ readonly View: ComponentType<{ readonly text: string }> }>();
  useEffect(() => {
    let isWanted = true;
    void import("./markdown.tsx").then(({ Markdown }) => {
      if (isWanted) setMarkdown({ View: Markdown });
    });
    return () => {
      isWanted = false;
    };
  }, []);
  const isRead = view === "read" && markdown !== undefined;
  return (
    <>
      <fieldset class="tabs" aria-label="How to show it">
        <button type="button" class="small" aria-pressed={view === "read"} onClick={() => setView("read")}>
          Formatted
        </button>
        <button type="button" class="small" aria-pressed={view === "source"} onClick={() => setView("source")}>
          As it is
        </button>
      </fieldset>
      {isRead ? (
        <markdown.View text={text} />
      ) : (
        <pre class="prose">
          <Text value={text} />
        </pre>
      )}
    </>
  );
}

/** Images by how they begin, whatever was said of them. None of these can hold a script. */
const IMAGES: readonly (readonly [type: string, start: readonly number[]])[] = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
];
const MAX_IMAGE = 16 * 1024 * 1024;

/** Bytes, as an image if they are one. */
export function Bytes({ value, label }: { readonly value: Uint8Array; readonly label: string }) {
  const [url, setUrl] = useState<string>();
  const type = IMAGES.find(([, start]) => start.every((byte, index) => value[index] === byte))?.[0];
  useEffect(() => {
    if (type === undefined || value.length > MAX_IMAGE) return;
    const made = URL.createObjectURL(new Blob([Uint8Array.from(value)], { type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [value, type]);
  return (
    <>
      <p class="hint">{`${bytes(value.length)}${type === undefined ? "" : `, ${type}`}`}</p>
      {url === undefined ? null : <img class="result-image" src={url} alt={label} />}
    </>
  );
}
