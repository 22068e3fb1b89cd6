/** I10: sessions go on for whoever holds their token, in one place; I11: nobody sees what is not theirs. */
import { PRINCIPALS, secretOf } from "../runtime-settings.ts";
import { grouped, type Story } from "./story.ts";
import type { Report } from "./violation.ts";

/** How long what was on its way may still come in on a connection whose session has moved. */
const IN_FLIGHT_MS = 3_000;

export function checkSessions({ connections }: Story, report: Report): void {
  for (const [session, own] of grouped(connections, ({ sessionId }) => sessionId)) {
    if (session === undefined) continue;
    const principals = new Set(own.map(({ principal }) => principal));
    if (principals.size > 1) report("I10", `session ${session} was opened to ${[...principals].join(" and ")}`);
    const welcomes = own
      .map((connection) => ({
        connection,
        at: connection.received.find(({ message }) => message.type === "session.welcome")?.at ?? connection.openedAt,
      }))
      .sort((a, b) => a.at - b.at);
    for (const [index, { connection }] of welcomes.entries()) {
      const next = welcomes[index + 1];
      if (next === undefined || connection.wire !== "1.1") continue;
      const late = connection.received.find(
        ({ at, message }) => message.event_seq !== undefined && at > next.at + IN_FLIGHT_MS,
      );
      if (late)
        report(
          "I10",
          `session ${session}: ${late.message.event_seq} came on ${connection.id} after ${next.connection.id} had it`,
        );
    }
  }
  for (const connection of connections) {
    if (connection.client === "hostile" || connection.wire !== "1.1") continue;
    const refusal = connection.received.find(
      ({ message }) => message.type === "session.error" && message.payload["code"] === "RESUME_WINDOW_EXPIRED",
    );
    if (refusal) report("I10", `${connection.id}: a session that has not expired could not be resumed`);
  }
}

export function checkIsolation({ connections }: Story, report: Report): void {
  for (const { id, principal, received } of connections) {
    for (const foreign of PRINCIPALS.filter((name) => name !== principal)) {
      const leak = received.find(({ text }) => text.includes(secretOf(foreign)));
      if (leak)
        report(
          "I11",
          `${id} of ${principal} was sent what is ${foreign}'s: ${leak.message.type} of job ${leak.message.job_id}`,
        );
    }
  }
}
