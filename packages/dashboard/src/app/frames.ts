/** What was said on the wire, for whoever wants to see it as it was. */
import type { JobEvent } from "@arcp/client";
import type { Transport } from "@arcp/core";
import { signal } from "@preact/signals";

export interface Frame {
  readonly id: number;
  readonly at: number;
  readonly direction: "in" | "out";
  readonly text: string;
}

const MAX_FRAMES = 5_000;
const MAX_CHARACTERS = 16 * 1024 * 1024;
const frames: Frame[] = [];
let characters = 0;
let lastId = 0;

/** Grows with every frame, at most once per picture. */
export const framesVersion = signal(0);
let isScheduled = false;

function keep(direction: Frame["direction"], text: string): void {
  lastId += 1;
  frames.push({ id: lastId, at: Date.now(), direction, text });
  characters += text.length;
  if (frames.length > 1.25 * MAX_FRAMES || characters > MAX_CHARACTERS) forgetOldest();
  if (isScheduled) return;
  isScheduled = true;
  setTimeout(() => {
    isScheduled = false;
    framesVersion.value += 1;
  }, 250);
}

/** Many at once: each costs a move of all that are left. */
function forgetOldest(): void {
  let count = 0;
  while (frames.length - count > MAX_FRAMES || characters > MAX_CHARACTERS / 2) {
    characters -= frames[count]?.text.length ?? characters;
    count += 1;
  }
  frames.splice(0, count);
}

/** The last ones, oldest first. */
export const recentFrames = (): readonly Frame[] => frames.slice(-MAX_FRAMES);

/** The frame that brought `event`, if it is still kept. Sessions number for themselves, so the number alone does not tell. */
export function frameOf({ jobId, seq, ts }: Pick<JobEvent, "jobId" | "seq" | "ts">): string | undefined {
  const number = new RegExp(`"event_seq"\\s*:\\s*${seq ?? -1}\\b`);
  return frames.findLast(({ direction, text }) => {
    if (direction !== "in" || !text.includes(jobId) || !number.test(text)) return false;
    const read = headOf(text);
    return read.job_id === jobId && read.event_seq === seq && read.payload?.ts === ts;
  })?.text;
}

interface Head {
  readonly job_id?: string;
  readonly event_seq?: number;
  readonly payload?: { readonly ts?: string };
}

function headOf(text: string): Head {
  try {
    return JSON.parse(text) as Head;
  } catch {
    // The client has told whoever has to know.
    return {};
  }
}

export function forgetFrames(): void {
  frames.length = 0;
  characters = 0;
  framesVersion.value += 1;
}

/** `transport`, with everything that passes kept for a while. */
export function tapped(transport: Transport): Transport {
  const send = transport.send.bind(transport);
  const onFrame = transport.onFrame.bind(transport);
  return Object.assign(transport, {
    send(frame: string): void {
      keep("out", frame);
      send(frame);
    },
    onFrame(handler: (frame: string) => void): void {
      onFrame((frame) => {
        keep("in", frame);
        handler(frame);
      });
    },
  });
}

const SECRETS = /^(token|resume_token|value|secret|password|credential_value)$/;

/** A frame as JSON to look at and to copy, without tokens and values of credentials. */
export function shownFrame(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text, masked), undefined, 2);
  } catch {
    return text;
  }
}

function masked(this: unknown, name: string, value: unknown): unknown {
  if (typeof value !== "string" || !SECRETS.test(name)) return value;
  // The value of an answer or of a metric is no secret; that of a credential stands beside its scheme or its phase.
  const isSecret = name !== "value" || "scheme" in (this as object) || "phase" in (this as object);
  return isSecret ? "[not shown]" : value;
}
