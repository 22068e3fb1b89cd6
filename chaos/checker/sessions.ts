/** I10: sessions go on for whoever holds their token, in one place; I11: nobody sees what is not theirs. */
import { OVERCLAIM, PRINCIPALS, secretOf } from "../runtime-settings.ts";
import { presentedBy } from "./numbering.ts";
import type { Stored } from "./stored.ts";
import { type ConnectionStory, grouped, type Story } from "./story.ts";
import type { Report } from "./violation.ts";

/** How long what was on its way may still come in on a connection whose session has moved. */
const IN_FLIGHT_MS = 3_000;
/** On a line that delays each of its pieces it takes longer, but then it is old: another connection had it so long before. */
const OLD_MS = 500;

export function checkSessions({ connections }: Story, report: Report): void {
  for (const [session, own] of grouped(connections, ({ sessionId }) => sessionId)) {
    if (session === undefined) continue;
    const principals = new Set(own.map(({ principal }) => principal));
    if (principals.size > 1) report("I10", `session ${session} was opened to ${[...principals].join(" and ")}`);
    const tellings = tellingsOf(own);
    const welcomes = own.map((connection) => ({ connection, at: welcomedAt(connection) })).sort((a, b) => a.at - b.at);
    for (const [index, { connection }] of welcomes.entries()) {
      const next = welcomes[index + 1];
      if (next === undefined || connection.wire !== "1.1") continue;
      const isOld = (seq: number, at: number): boolean =>
        tellings.get(seq)?.some((told) => told.by !== connection && told.at < at - OLD_MS) === true;
      const late = connection.received.find(
        ({ at, message: { event_seq: seq } }) => seq !== undefined && at > next.at + IN_FLIGHT_MS && !isOld(seq, at),
      );
      if (late)
        report(
          "I10",
          `session ${session}: ${late.message.event_seq} came on ${connection.id} after ${next.connection.id} had it`,
        );
    }
  }
  for (const [session, own] of grouped(connections, ({ sessionId }) => sessionId)) {
    if (session !== undefined) checkPlace(session, own, report);
  }
  for (const connection of connections) {
    if (connection.client === "hostile" || connection.wire !== "1.1") continue;
    if ((presentedBy(connection) ?? 0) >= OVERCLAIM) continue;
    const refusal = connection.received.find(
      ({ message }) => message.type === "session.error" && message.payload["code"] === "RESUME_WINDOW_EXPIRED",
    );
    if (refusal && !isContested(connection, connections))
      report("I10", `${connection.id}: a session that has not expired could not be resumed`);
  }
}

interface Telling {
  readonly at: number;
  readonly by: ConnectionStory;
}

/** Where and when each event came in. */
function tellingsOf(connections: readonly ConnectionStory[]): ReadonlyMap<number, readonly Telling[]> {
  const tellings = new Map<number, Telling[]>();
  for (const by of connections) {
    for (const { at, message } of by.received) {
      if (message.event_seq === undefined) continue;
      const told = tellings.get(message.event_seq) ?? [];
      tellings.set(message.event_seq, told);
      told.push({ at, by });
    }
  }
  return tellings;
}

/** What was asked for on a connection is not told on those that the session had before: they were displaced by it. */
function checkPlace(session: string, own: readonly ConnectionStory[], report: Report): void {
  const order = own.filter(({ wire }) => wire === "1.1").sort((a, b) => welcomedAt(a) - welcomedAt(b));
  const firstAsked = new Map<unknown, number>();
  for (const [index, { sent }] of order.entries()) {
    for (const { message } of sent) {
      const key = message.type === "job.submit" ? message.payload["idempotency_key"] : undefined;
      if (key !== undefined && !firstAsked.has(key)) firstAsked.set(key, index);
    }
  }
  const places = new Map<unknown, number>();
  for (const { sent, received } of order) {
    const asked = new Map(sent.map(({ message }) => [message.id, message.payload["idempotency_key"]]));
    for (const { message } of received) {
      if (message.type !== "job.accepted") continue;
      const place = firstAsked.get(asked.get(String(message.payload["request_id"])));
      if (place !== undefined) places.set(message.payload["job_id"], place);
    }
  }
  for (const [index, { id, received }] of order.entries()) {
    const misplaced = received.find(({ message }) => {
      const place = places.get(message.job_id);
      return message.event_seq !== undefined && place !== undefined && index < place;
    });
    if (misplaced) {
      const { event_seq, job_id } = misplaced.message;
      report(
        "I10",
        `session ${session}: ${event_seq} of job ${job_id} came on ${id}, which it had left before it asked for it`,
      );
    }
  }
}

const presentedToken = ({ sent }: ConnectionStory): unknown => {
  const greeting = sent.find(({ message }) => message.type === "session.hello")?.message.payload["resume"];
  return (greeting as { readonly resume_token?: unknown } | undefined)?.resume_token;
};

/**
 * Has its client brought one token over two connections at the same time? The claim of the other one may have come second, and
 * have voided what this one was told: in which order answers come in over two lines says nothing about that.
 */
function isContested(refused: ConnectionStory, connections: readonly ConnectionStory[]): boolean {
  const own = connections.filter(({ client }) => client === refused.client);
  const token = presentedToken(refused);
  const giver = own.find(({ received }) =>
    received.some(({ message }) => message.type === "session.welcome" && message.payload["resume_token"] === token),
  );
  const before = giver && presentedToken(giver);
  if (giver === undefined || before === undefined) return false;
  const isAnsweredAfter = ({ received }: ConnectionStory): boolean =>
    (received[0]?.at ?? Number.POSITIVE_INFINITY) > giver.openedAt;
  return own.some((other) => other !== giver && presentedToken(other) === before && isAnsweredAfter(other));
}

const welcomedAt = ({ received, openedAt }: ConnectionStory): number =>
  received.find(({ message }) => message.type === "session.welcome")?.at ?? openedAt;

export function checkIsolation(story: Story, stored: Stored, report: Report): void {
  checkSecrets(story, stored, report);
  const { connections } = story;
  checkOracle(connections, stored, report);
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

/** The secret of a job is told to the session that submitted it, in its acceptance, and nowhere else. */
function checkSecrets({ connections, lines }: Story, { jobs }: Stored, report: Report): void {
  const values = lines.flatMap((line) => (line.kind === "credential" ? [line.value] : []));
  if (values.length === 0) return;
  const known = new Set(values);
  for (const { id, sessionId, wire, received } of connections) {
    for (const { text, message } of received) {
      const found = text.match(SECRET)?.find((value) => known.has(value));
      if (found === undefined) continue;
      const job = String(message.payload["job_id"] ?? message.job_id);
      const isAcceptance = message.type === "job.accepted";
      const isOwn = wire === "1.0" || jobs.get(job)?.sessionId === sessionId;
      if (!isAcceptance || !isOwn) report("I11", `${id} was sent the secret of job ${job} in ${message.type}`);
    }
  }
  for (const job of jobs.values()) {
    const leak = job.entries.find(({ payload }) => payload.match(SECRET)?.some((value) => known.has(value)));
    if (leak) report("I11", `entry ${leak.n} of job ${job.id} holds a secret`);
  }
}

/** As the upstream makes them. */
const SECRET = /sk-[\w-]{22}/g;

/** What is another's is, for whoever asks, what there is not. */
function checkOracle(connections: readonly ConnectionStory[], { jobs }: Stored, report: Report): void {
  for (const { id, principal, sent, received } of connections) {
    const asked = new Map(sent.map(({ message }) => [message.id, message]));
    for (const { message } of received) {
      if (message.payload["code"] !== "PERMISSION_DENIED") continue;
      const request = asked.get(String(message.payload["request_id"] ?? message.correlation_id));
      const job = jobs.get(String(request?.payload["job_id"] ?? request?.job_id));
      if (job !== undefined && job.principal !== principal) {
        report("I11", `${id} of ${principal} was told that job ${job.id} exists`);
      }
    }
  }
}
