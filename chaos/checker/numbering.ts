/** I2: numbers of a session go up by one, from where the client said it was; a number always stands for the same bytes. */
import { OVERCLAIM } from "../runtime-settings.ts";
import type { ConnectionStory, Story } from "./story.ts";
import type { Report } from "./violation.ts";

export function checkNumbering({ connections }: Story, report: Report): void {
  const bytes = new Map<string, string>();
  for (const connection of connections) {
    if (connection.wire === "1.1") checkConnection(connection, report);
    for (const { message, digest } of connection.received) {
      // On wire 1.0 the id of a message is its place. Replies to a connection alone have no session.
      const place = connection.wire === "1.1" ? message.event_seq : message.id;
      const session = message.session_id ?? connection.sessionId;
      if (place === undefined || session === undefined) continue;
      const key = `${session} ${place}`;
      const before = bytes.get(key);
      if (before === undefined) bytes.set(key, digest);
      else if (before !== digest)
        report("I2", `session ${session}: ${place} stands for two messages (${connection.id})`);
    }
  }
}

/** What a hello, or a `session.resume`, says that its client has. */
export function presentedBy({ sent }: ConnectionStory): number | undefined {
  const greeting = sent.find(({ message }) => message.type === "session.hello" || message.type === "session.resume");
  const payload = greeting?.message.payload;
  const resume = greeting?.message.type === "session.resume" ? payload : (payload?.["resume"] as object | undefined);
  return resume === undefined ? undefined : Number((resume as { last_event_seq?: unknown }).last_event_seq ?? 0);
}

function checkConnection(connection: ConnectionStory, report: Report): void {
  const { received, sessionId, client } = connection;
  // Whoever speaks nonsense does not always say where it is.
  if (sessionId === undefined || client === "hostile") return;
  const presented = presentedBy(connection);
  if (presented !== undefined && presented >= OVERCLAIM) {
    report("I2", `${connection.id}, session ${sessionId}: went on after ${presented}, which never was`);
    return;
  }
  let expected = (presented ?? 0) + 1;
  for (const { message } of received) {
    if (message.event_seq === undefined) continue;
    if (message.event_seq !== expected) {
      report("I2", `${connection.id}, session ${sessionId}: ${message.event_seq} came in the place of ${expected}`);
    }
    expected = message.event_seq + 1;
  }
}
