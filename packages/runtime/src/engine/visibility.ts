/** Which entries a session is shown: the others take no number in its feed (§6.2). */
import { EXTENSION_FEATURE } from "@arcp/core";
import { ENTRY, type EntryCode } from "../store/store.ts";

/** Kinds that some session is not shown, with the feature of wire 1.1 that shows them; `null`: none does. */
const FEATURE_OF: ReadonlyMap<EntryCode, string | null> = new Map<EntryCode, string | null>([
  [ENTRY.progress, "progress"],
  [ENTRY.result_chunk, "result_chunk"],
  [ENTRY.accepted, null],
  [ENTRY.started, null],
  [ENTRY.question_asked, EXTENSION_FEATURE],
  [ENTRY.question_closed, EXTENSION_FEATURE],
  [ENTRY.stream_opened, EXTENSION_FEATURE],
  [ENTRY.stream_chunk, EXTENSION_FEATURE],
  [ENTRY.stream_closed, EXTENSION_FEATURE],
  [ENTRY.lease, EXTENSION_FEATURE],
  [ENTRY.checkpoint, EXTENSION_FEATURE],
  [ENTRY.span, EXTENSION_FEATURE],
  [ENTRY.state, EXTENSION_FEATURE],
  [ENTRY.handoff, EXTENSION_FEATURE],
]);

export const isOptional = (code: EntryCode): boolean => FEATURE_OF.has(code);

/** Wire 1.0 has no such features: its sessions are shown everything. */
export function isShown(code: EntryCode, wire: string, features: ReadonlySet<string>): boolean {
  const feature = FEATURE_OF.get(code);
  if (feature === undefined || wire === "1.0") return true;
  return feature !== null && features.has(feature);
}

/** Is a session shown entries of every kind? */
export const isShownEverything = (shows: (code: EntryCode) => boolean): boolean => {
  for (const code of FEATURE_OF.keys()) if (!shows(code)) return false;
  return true;
};
