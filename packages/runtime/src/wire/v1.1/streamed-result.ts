/** Streamed results for clients that have not negotiated `result_chunk`: the pieces joined, inline (§8.4). */
import { InternalError } from "@arcp/core";
import type { Entry } from "../../store/store.ts";
import { ENTRY } from "../../store/store.ts";

interface ChunkPayload {
  readonly body: { readonly data: string; readonly encoding: "utf8" | "base64" };
}

const STREAMED = /^\{"job_id":"[^"]*","final_status":"success","result_id":/;

/** Is this the end of a job whose result was streamed? What an agent returned may have members of any name. */
export const isStreamed = ({ code, payload }: Entry): boolean => code === ENTRY.result && STREAMED.test(payload);

/**
 * The terminal message of a job whose result was streamed in `chunks`, with the result inline: text if every chunk is
 * text, base64 otherwise. An error instead if the result is longer than `maxBytes`.
 */
export function inlineTerminal(
  terminal: Entry,
  chunks: readonly Entry[],
  maxBytes: number,
): { readonly type: "job.result" | "job.error"; readonly payload: string } {
  const { job_id, summary } = JSON.parse(terminal.payload) as { job_id: string; summary?: string };
  const bodies = chunks
    .filter((entry) => entry.code === ENTRY.result_chunk)
    .map((entry) => (JSON.parse(entry.payload) as ChunkPayload).body);
  const isText = bodies.every((body) => body.encoding === "utf8");
  const bytes = bodies.reduce((sum, body) => sum + Buffer.byteLength(body.data), 0);
  if (bytes > maxBytes) {
    const error = new InternalError("the result is streamed, and result_chunk was not negotiated", {
      details: { limit: "maxInlineResultBytes", max: maxBytes, retry: "never" },
    });
    return { type: "job.error", payload: JSON.stringify({ job_id, final_status: "error", ...error.toWire() }) };
  }
  const result = isText
    ? bodies.map((body) => body.data).join("")
    : Buffer.concat(bodies.map((body) => Buffer.from(body.data, body.encoding))).toString("base64");
  const encoding = isText ? {} : { result_encoding: "base64" };
  const payload = {
    job_id,
    final_status: "success",
    result,
    ...encoding,
    ...(summary === undefined ? {} : { summary }),
  };
  return { type: "job.result", payload: JSON.stringify(payload) };
}
