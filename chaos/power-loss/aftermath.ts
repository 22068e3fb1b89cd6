/** The first process after a power cut, and the clients of before, which go on with their sessions. */

import type { Message } from "../checker/story.ts";
import { EffectService } from "../effects.ts";
import type { HistoryLine, Recorder } from "../history.ts";
import { lineMaker } from "../lines.ts";
import { RuntimeProcess } from "../runtime-process.ts";
import { pause, unless } from "../visitors.ts";

export interface AftermathOptions {
  /** Of the database, and of everything else. */
  readonly directory: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly recorder: Recorder;
  readonly known: readonly HistoryLine[];
  readonly signal: AbortSignal;
}

interface Held {
  readonly principal: string;
  readonly token: string;
  readonly last: number;
}

const GOODBYES: readonly string[] = ["session.close", "session.bye"];
const MAX_SESSIONS = 4;
const ANSWER_MS = 10_000;
/** Whatever else the welcome brings with it. */
const LISTEN_MS = 60;

/** Returns what went wrong, as far as it is not in the history. */
export async function goOn({
  directory,
  synchronous,
  recorder,
  known,
  signal,
}: AftermathOptions): Promise<readonly string[]> {
  const problems: string[] = [];
  let port: number | undefined;
  await using effects = await EffectService.start(recorder);
  await using runtime = new RuntimeProcess({
    settings: {
      ...{ directory, effectsUrl: effects.url, store: { kind: "sqlite", directory, synchronous } },
      // Nobody is there: revocations wait.
      upstream: { url: "http://127.0.0.1:9", masterKey: "none" },
    },
    recorder,
    onPort: (opened) => {
      port = opened;
    },
    onProblem: (problem) => problems.push(problem),
  });
  await runtime.start();
  if (problems.length > 0 || signal.aborted) return problems;
  const lines = lineMaker(() => ({ url: `ws://127.0.0.1:${port}/arcp`, life: runtime.life }), recorder);
  const sessions = [...heldIn(known)].slice(-MAX_SESSIONS);
  await Promise.all(
    sessions.map(async ([session, { principal, token, last }]) => {
      const caller = { client: "after", principal, wire: "1.1" } as const;
      const transport = await lines.connect(caller, signal);
      const answered = Promise.withResolvers<void>();
      transport.onFrame(() => answered.resolve());
      const payload = {
        client: { name: "after", version: "1.0.0" },
        auth: { scheme: "bearer", token: principal },
        capabilities: { encodings: ["json"], features: [] },
        resume: { session_id: session, resume_token: token, last_event_seq: last },
      };
      transport.send(JSON.stringify({ arcp: "1.1", id: `msg_after-${session}`, type: "session.hello", payload }));
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
      await unless(limit, answered.promise);
      if (limit.aborted) problems.push(`nobody answered who went on with session ${session}`);
      await pause(LISTEN_MS, signal);
      transport.abort("enough");
    }),
  );
  await runtime.end("SIGTERM");
  return problems;
}

/** The sessions of wire 1.1 with the tokens that their clients hold, and the numbers that these have seen. */
function heldIn(known: readonly HistoryLine[]): ReadonlyMap<string, Held> {
  const owners = new Map<string, string>();
  const held = new Map<string, Held>();
  for (const line of known) {
    if (line.kind === "opened" && line.client !== "hostile") owners.set(line.connection, line.principal);
    if (line.kind !== "received" && line.kind !== "sent") continue;
    const principal = owners.get(line.connection);
    if (principal === undefined) continue; // Who means harm says anything.
    const { type, session_id, event_seq, payload } = JSON.parse(line.text) as Message;
    const session = held.get(session_id ?? "");
    if (line.kind === "sent") {
      // Who has said goodbye has no session any more.
      if (GOODBYES.includes(type)) held.delete(session_id ?? "");
      continue;
    }
    if (type === "session.welcome" && session_id !== undefined) {
      held.set(session_id, { principal, token: String(payload["resume_token"]), last: session?.last ?? 0 });
    } else if (session !== undefined && session_id !== undefined && event_seq !== undefined) {
      held.set(session_id, { ...session, last: Math.max(session.last, event_seq) });
    }
  }
  return held;
}
