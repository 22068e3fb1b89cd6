/** A history, put together: connections with what passed on them, and jobs with what was heard of them. */
import { createHash } from "node:crypto";
import type { HistoryLine, Wire } from "../history.ts";

export interface Message {
  readonly type: string;
  readonly id?: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly event_seq?: number;
  readonly correlation_id?: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface Passed {
  readonly at: number;
  readonly message: Message;
  /** Of the message as it was on the wire. */
  readonly digest: string;
  /** Its payload, as JSON that can be compared. */
  readonly payload: string;
  readonly text: string;
}

export interface ConnectionStory {
  readonly id: string;
  readonly client: string;
  readonly principal: string;
  readonly wire: Wire;
  readonly life: number;
  readonly openedAt: number;
  closedAt: number | undefined;
  readonly sent: Passed[];
  readonly received: Passed[];
  /** From the welcome on. */
  sessionId: string | undefined;
}

export interface Acceptance {
  readonly at: number;
  readonly job: string;
  readonly connection: ConnectionStory;
  /** What was asked for; `undefined` for a job that another one delegated. */
  readonly request: Message | undefined;
  /** The secrets that it was given. */
  readonly values: readonly string[];
}

export interface Story {
  readonly lines: readonly HistoryLine[];
  readonly connections: readonly ConnectionStory[];
  readonly acceptances: readonly Acceptance[];
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

export function storyOf(lines: readonly HistoryLine[]): Story {
  const connections = new Map<string, ConnectionStory>();
  for (const line of lines) {
    if (line.kind === "opened") {
      const { connection: id, client, principal, wire, life, at } = line;
      const own = { sent: [], received: [], sessionId: undefined, closedAt: undefined };
      connections.set(id, { ...{ id, client, principal, wire, life, openedAt: at }, ...own });
    } else if (line.kind === "closed") {
      const connection = connections.get(line.connection);
      if (connection) connection.closedAt = line.at;
    } else if (line.kind === "sent" || line.kind === "received") {
      const connection = connections.get(line.connection);
      const passed = connection && passedOf(line.at, line.text);
      if (passed === undefined) continue;
      connection?.[line.kind].push(passed);
      if (line.kind === "received" && connection) note(connection, passed.message);
    }
  }
  const all = [...connections.values()];
  return { lines, connections: all, acceptances: all.flatMap(acceptancesOf) };
}

/** `undefined` for what is no message: hostile clients say anything. */
function passedOf(at: number, text: string): Passed | undefined {
  try {
    const value = JSON.parse(text) as Partial<Message> | null;
    if (value === null || typeof value !== "object" || typeof value.type !== "string") return undefined;
    const payload = value.payload !== null && typeof value.payload === "object" ? value.payload : {};
    const digest = createHash("sha256").update(text).digest("base64");
    return { at, text, digest, payload: JSON.stringify(payload), message: { ...value, type: value.type, payload } };
  } catch {
    return undefined;
  }
}

function note(connection: ConnectionStory, { type, session_id, payload }: Message): void {
  if (type === "session.welcome") connection.sessionId ??= session_id;
  if (type === "session.accepted") connection.sessionId ??= textOf(payload["session_id"]);
}

function acceptancesOf(connection: ConnectionStory): Acceptance[] {
  const asked = new Map(connection.sent.map(({ message }) => [message.id, message]));
  return connection.received
    .filter(({ message }) => message.type === "job.accepted")
    .flatMap(({ at, message }) => {
      const job = textOf(message.payload["job_id"]) ?? message.job_id;
      const request = asked.get(textOf(message.payload["request_id"]) ?? message.correlation_id);
      return job === undefined ? [] : [{ at, job, connection, request, values: valuesOf(message) }];
    });
}

function valuesOf({ payload }: Message): readonly string[] {
  const credentials = Array.isArray(payload["credentials"]) ? (payload["credentials"] as { value?: unknown }[]) : [];
  return credentials.flatMap(({ value }) => (typeof value === "string" ? [value] : []));
}

/** The terminal messages of the wires. */
const ENDINGS_11: readonly string[] = ["job.result", "job.error"];
const ENDINGS_10: readonly string[] = ["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"];

/** Is it the last message of its job? */
export function isEnding({ message }: Passed, wire: Wire): boolean {
  if (wire === "1.1") return ENDINGS_11.includes(message.type);
  return ENDINGS_10.includes(message.type) && message.job_id !== undefined;
}

/** What `key` gives for each item, with the items. */
export function grouped<Item, Key>(items: Iterable<Item>, key: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
