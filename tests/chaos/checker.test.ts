/** The checker of the fault harness passes a good history, and flags one that was spoilt, for each of its invariants. */
import { describe, expect, test } from "vitest";
import { BUDGET_USD, COST_MICROS, COST_USD } from "../../chaos/agents.ts";
import { violationsOf } from "../../chaos/checker/check.ts";
import type { Stored, StoredItem, StoredJob } from "../../chaos/checker/stored.ts";
import { type Story, storyOf } from "../../chaos/checker/story.ts";
import { whyVoid } from "../../chaos/checker/validity.ts";
import { INVARIANTS, type Invariant } from "../../chaos/checker/violation.ts";
import type { HistoryLine } from "../../chaos/history.ts";
import { OVERCLAIM, secretOf } from "../../chaos/runtime-settings.ts";

type Unstamped<Line> = Line extends HistoryLine ? Omit<Line, "at"> & { readonly at?: number } : never;

const SESSION = "sess_1";
const JOB = "job_1";
const DURABLE = "job_2";
const SPENDER = "job_3";
/** Which several runtimes have had. */
const MOVED = "job_4";
const SECRET = `sk-${"s".repeat(22)}`;
const STEP_MS = 1_000;
const MIB = 1024 * 1024;

const event = (job: string, count: number, text = "counted"): string =>
  JSON.stringify({ job_id: job, kind: "log", body: { message: text, attributes: { count } } });
const result = (job: string): string => JSON.stringify({ job_id: job, final_status: "success" });

/** Everything that a run leaves behind, for a test to spoil. */
class Run {
  readonly lines: Unstamped<HistoryLine>[] = [];
  readonly jobs = new Map<string, StoredJob>();
  readonly feed: StoredItem[] = [];
  readonly submitted = new Set<string>();
  readonly outstanding: { alias: string; lastError: string | null }[] = [];
  readonly artifacts = new Map<string, string>([["art_1", "digest"]]);
  integrity = "ok";
  brokenAudit: string | undefined;

  constructor() {
    this.lines.push(
      { kind: "born", life: 1 },
      { kind: "ready", life: 1 },
      ...this.opened("a", "alice", 0),
      ...this.submits("a", "submit-1", JOB, "key-1", [SECRET]),
      ...this.says("a", 1, JOB, "job.event", event(JOB, 1)),
      { kind: "flushed", job: JOB, count: 1 },
      { kind: "effect", life: 1, job: JOB, name: "effect-1" },
      { kind: "reached", job: JOB, target: "open/file", outcome: "open" },
      { kind: "artifact", job: JOB, id: "art_1", sha256: "digest" },
      ...this.says("a", 2, JOB, "job.result", result(JOB)),
      { kind: "memory", life: 1, rssBytes: 100 * MIB, queuedBytes: MIB },
      { kind: "closed", connection: "a", reason: "1006 lost" },
      { kind: "fault", fault: '{"do":"kill"}' },
      { kind: "died", life: 1, how: "SIGKILL" },
      // It goes on from further back: what it has seen comes again as it was.
      ...this.opened("b", "alice", 1),
      ...this.says("b", 2, JOB, "job.result", result(JOB)),
      ...this.submits("b", "submit-2", DURABLE, "key-2"),
      { kind: "effect", life: 1, job: DURABLE, name: "step-1" },
      { kind: "step", job: DURABLE, name: "step-1" },
      ...this.says("b", 3, DURABLE, "job.result", result(DURABLE)),
      ...this.submits("b", "submit-3", SPENDER, "key-3"),
      { kind: "spent", job: SPENDER, root: SPENDER, micros: COST_MICROS },
      ...this.says("b", 4, SPENDER, "job.result", result(SPENDER)),
      { kind: "healed" },
      { kind: "settled", missing: [] },
      { kind: "credential", alias: "alias-1", value: SECRET, isLive: false },
    );
    this.#store(JOB, "counter", null, [event(JOB, 1), result(JOB)]);
    this.#store(DURABLE, "durable", null, [result(DURABLE)]);
    this.#store(SPENDER, "spender", { USD: BUDGET_USD - COST_USD }, [result(SPENDER)]);
  }

  opened(connection: string, principal: string, last: number, session = SESSION): Unstamped<HistoryLine>[] {
    const resume = { session_id: session, resume_token: "t", last_event_seq: last };
    const hello = { type: "session.hello", id: `hello-${connection}`, payload: last > 0 ? { resume } : {} };
    const welcome = { type: "session.welcome", id: `welcome-${connection}`, session_id: session, payload: {} };
    return [
      { kind: "opened", connection, client: `client-of-${principal}`, principal, wire: "1.1", life: 1 },
      { kind: "sent", connection, text: JSON.stringify(hello) },
      { kind: "received", connection, text: JSON.stringify(welcome) },
    ];
  }

  submits(
    connection: string,
    id: string,
    job: string,
    key: string,
    secrets: readonly string[] = [],
  ): Unstamped<HistoryLine>[] {
    const submit = { type: "job.submit", id, session_id: SESSION, payload: { agent: "a", idempotency_key: key } };
    const credentials = secrets.map((value) => ({ value }));
    const accepted = {
      type: "job.accepted",
      session_id: SESSION,
      payload: { job_id: job, request_id: id, credentials },
    };
    return [
      { kind: "sent", connection, text: JSON.stringify(submit) },
      { kind: "received", connection, text: JSON.stringify(accepted) },
    ];
  }

  says(connection: string, seq: number, job: string, type: string, payload: string): Unstamped<HistoryLine>[] {
    const head = JSON.stringify({ type, id: `msg-${seq}`, session_id: SESSION, job_id: job, event_seq: seq });
    return [{ kind: "received", connection, text: `${head.slice(0, -1)},"payload":${payload}}` }];
  }

  #store(id: string, agent: string, budget: Record<string, number> | null, payloads: readonly string[]): void {
    const entries = payloads.map((payload, index) => ({
      ...{ n: index + 1, payload },
      code: index === payloads.length - 1 ? (20 as const) : (0 as const),
    }));
    const facts = { id, principal: "alice", sessionId: SESSION, agent, status: "success", isDelegated: false };
    this.jobs.set(id, { ...facts, lastN: entries.length, budget, entries });
    for (const { n, payload } of entries) this.feed.push({ seq: this.feed.length + 1, job: id, n, payload });
    this.submitted.add(id);
  }

  change(job: string, change: Partial<StoredJob>): void {
    const before = this.jobs.get(job);
    if (before === undefined) throw new Error(`no job ${job}`);
    this.jobs.set(job, { ...before, ...change });
  }

  /** Life 2 goes on with a job of life 1, under `epoch`. */
  movesTo(epoch: number): readonly Unstamped<HistoryLine>[] {
    return [
      { kind: "born", life: 2, node: "b" },
      this.commits(1, 1, 1, 2),
      { kind: "claimed", life: 2, jobs: [[MOVED, epoch]] },
    ];
  }

  commits(
    life: number,
    epoch: number,
    from: number,
    to: number,
    since = 0,
  ): Unstamped<HistoryLine> & { readonly kind: "committed" } {
    return { kind: "committed", life, since, jobs: [[MOVED, epoch, from, to]], sessions: [] };
  }

  /** Puts lines before the end of the clients' work. */
  add(...lines: readonly Unstamped<HistoryLine>[]): void {
    this.lines.splice(
      this.lines.findIndex(({ kind }) => kind === "healed"),
      0,
      ...lines,
    );
  }

  /** In the place of the first line that `matches`. */
  replace(matches: (line: Unstamped<HistoryLine>) => boolean, ...lines: readonly Unstamped<HistoryLine>[]): void {
    this.lines.splice(this.lines.findIndex(matches), 1, ...lines);
  }

  get #story(): Story {
    return storyOf(this.lines.map((line, index) => ({ at: index * STEP_MS, ...line }) as HistoryLine));
  }

  get voidBecause(): string | undefined {
    return whyVoid(this.#story);
  }

  get violated(): ReadonlySet<Invariant> {
    const stored: Stored = {
      ...{ integrity: this.integrity, damage: [], jobs: this.jobs, feeds: new Map([[SESSION, this.feed]]) },
      audit: { broken: this.brokenAudit, submitted: this.submitted },
      ...{ outstanding: this.outstanding, artifacts: this.artifacts },
    };
    return new Set(violationsOf(this.#story, stored).map(({ invariant }) => invariant));
  }
}

const isSpeech = (text: string) => (line: Unstamped<HistoryLine>) =>
  line.kind === "received" && line.text.includes(text);

/** Ways to spoil a good run, with what is violated then. */
const SPOILT: readonly (readonly [Invariant, string, (run: Run) => void])[] = [
  [
    "I1",
    "a job ends in two ways",
    (run) => run.add(...run.says("b", 5, JOB, "job.error", JSON.stringify({ job_id: JOB, code: "CANCELLED" }))),
  ],
  [
    "I1",
    "a job has two ends on disk",
    (run) => {
      const entries = run.jobs.get(JOB)?.entries ?? [];
      run.change(JOB, { lastN: 3, entries: [...entries, { n: 3, code: 21, payload: "{}" }] });
    },
  ],
  ["I1", "a job is over without an end", (run) => run.change(JOB, { entries: [], lastN: 0 })],
  ["I2", "a number is left out", (run) => run.replace(isSpeech('"event_seq":3'))],
  ["I2", "a number comes twice", (run) => run.add(...run.says("b", 4, SPENDER, "job.result", result(SPENDER)))],
  [
    "I2",
    "a number stands for something else the second time",
    (run) =>
      run.replace(
        (line) => isSpeech('"event_seq":2')(line) && "connection" in line && line.connection === "b",
        ...run.says("b", 2, JOB, "job.result", '{"x":1}'),
      ),
  ],
  ["I2", "numbers that never were are gone on from", (run) => run.add(...run.opened("c", "alice", OVERCLAIM + 4))],
  ["I3", "an accepted job is not on disk", (run) => void run.jobs.delete(JOB)],
  ["I3", "fewer events are on disk than were said to be", (run) => run.add({ kind: "flushed", job: JOB, count: 2 })],
  [
    "I3",
    "what was seen is something else on disk",
    (run) => void run.feed.splice(1, 1, { ...(run.feed[1] as StoredItem), payload: "{}" }),
  ],
  ["I3", "an entry has no number in the session of its job", (run) => void run.feed.pop()],
  [
    "I3",
    "the file is damaged",
    (run) => {
      run.integrity = "row 3 missing from index";
    },
  ],
  ["I4", "a key makes two jobs", (run) => run.add(...run.submits("b", "submit-4", DURABLE, "key-1"))],
  [
    "I4",
    "a key that is free is refused",
    (run) =>
      run.add({
        kind: "received",
        connection: "b",
        text: JSON.stringify({ type: "job.error", payload: { code: "DUPLICATE_KEY" } }),
      }),
  ],
  ["I4", "an operation is done twice", (run) => run.add({ kind: "effect", life: 1, job: JOB, name: "effect-1" })],
  [
    "I4",
    "a step is done again after it has returned",
    (run) => run.add({ kind: "effect", life: 1, job: DURABLE, name: "step-1" }),
  ],
  [
    "I5",
    "who has lost a job gets something in",
    (run) =>
      run.add(...run.movesTo(2), run.commits(1, 1, 3, 3), run.commits(2, 2, 4, 4), run.commits(1, 1, 5, 5, 90_000)),
  ],
  [
    "I5",
    "what who has lost a job wrote stands among what was written since",
    (run) => run.add(...run.movesTo(2), run.commits(2, 2, 3, 4), run.commits(1, 1, 3, 3)),
  ],
  ["I5", "two have a job under one epoch", (run) => run.add(...run.movesTo(1))],
  [
    "I5",
    "who has lost a job does one thing after another",
    (run) =>
      run.add(
        ...run.movesTo(2),
        ...["step-2", "step-3"].map((name) => ({ kind: "effect", life: 1, job: MOVED, name }) as const),
      ),
  ],
  [
    "I5",
    "who has lost a job does something long after it could know",
    (run) => run.add(...run.movesTo(2), { at: 100_000, kind: "effect", life: 1, job: MOVED, name: "step-2" } as const),
  ],
  [
    "I5",
    "a session is numbered by who has lost it",
    (run) =>
      run.add(
        { kind: "taken", life: 2, since: 18_000, session: SESSION },
        { kind: "committed", life: 1, since: 90_000, jobs: [], sessions: [SESSION] },
      ),
  ],
  [
    "I6",
    "a file outside of the lease is read",
    (run) => run.add({ kind: "reached", job: JOB, target: "open/link/file", outcome: "closed" }),
  ],
  ["I6", "a canary is touched", (run) => run.add({ kind: "canary", what: "GET /closed/page" })],
  [
    "I6",
    "what is covered is refused",
    (run) => run.add({ kind: "reached", job: JOB, target: "open/file", outcome: "refused: PERMISSION_DENIED" }),
  ],
  ["I6", "a job times out before its time", (run) => run.change(JOB, { status: "timed_out" })],
  [
    "I7",
    "more is spent than there is",
    (run) =>
      run.add(
        ...Array.from({ length: 8 }, () => ({ kind: "spent", job: JOB, root: JOB, micros: COST_MICROS }) as const),
      ),
  ],
  [
    "I7",
    "a budget is not what is left, in its last digit",
    (run) => run.change(SPENDER, { budget: { USD: 0.1 + 0.2 + 0.13 } }),
  ],
  [
    "I8",
    "a credential is alive in the end",
    (run) => run.add({ kind: "credential", alias: "alias-2", value: "v", isLive: true }),
  ],
  [
    "I8",
    "a credential belongs to two jobs",
    (run) => run.add(...run.submits("b", "submit-4", SPENDER, "key-3", [SECRET])),
  ],
  [
    "I8",
    "a credential that there is not is revoked for ever",
    (run) => void run.outstanding.push({ alias: "x", lastError: "HTTP 404" }),
  ],
  [
    "I9",
    "something is done after the end of its job",
    (run) => run.add({ kind: "effect", life: 1, job: JOB, name: "late" }),
  ],
  [
    "I9",
    "a cancelled job does not end",
    (run) =>
      run.lines.push(
        {
          kind: "received",
          connection: "b",
          text: JSON.stringify({ type: "job.cancelled", payload: { job_id: "job_9" } }),
        },
        { at: 100_000, kind: "memory", life: 1, rssBytes: 1, queuedBytes: 0 },
      ),
  ],
  ["I10", "a session is opened to another", (run) => run.add(...run.opened("m", "mallory", 4))],
  [
    "I10",
    "a session that is there cannot be resumed",
    (run) =>
      run.add(...run.opened("c", "alice", 4).slice(0, 2), {
        ...{ kind: "received", connection: "c" },
        text: JSON.stringify({ type: "session.error", payload: { code: "RESUME_WINDOW_EXPIRED" } }),
      }),
  ],
  [
    "I10",
    "a connection goes on whose session has moved",
    (run) => run.add(...run.says("a", 5, SPENDER, "job.event", event(SPENDER, 2))),
  ],
  [
    "I10",
    "what was asked for on a connection is told on the one before it",
    (run) =>
      run.add(
        ...run.submits("b", "submit-5", "job_5", "key-5"),
        ...run.says("a", 3, "job_5", "job.event", event("job_5", 1)),
      ),
  ],
  [
    "I11",
    "somebody is sent what is another's",
    (run) =>
      run.add(
        ...run.opened("m", "mallory", 0, "sess_m"),
        ...run.says("m", 1, JOB, "job.event", event(JOB, 1, secretOf("alice"))),
      ),
  ],
  ["I11", "an event holds a secret", (run) => run.add(...run.says("b", 5, JOB, "job.event", event(JOB, 2, SECRET)))],
  [
    "I11",
    "somebody is told that another's job exists",
    (run) =>
      run.add(
        ...run.opened("m", "mallory", 0, "sess_m"),
        {
          kind: "sent",
          connection: "m",
          text: JSON.stringify({ type: "job.cancel", id: "ask", payload: { job_id: JOB } }),
        },
        {
          ...{ kind: "received", connection: "m" },
          text: JSON.stringify({ type: "job.error", payload: { request_id: "ask", code: "PERMISSION_DENIED" } }),
        },
      ),
  ],
  ["I12", "memory grows", (run) => run.add({ kind: "memory", life: 1, rssBytes: 1_000 * MIB, queuedBytes: 0 })],
  ["I12", "a queue grows", (run) => run.add({ kind: "memory", life: 1, rssBytes: MIB, queuedBytes: 50 * MIB })],
  [
    "I13",
    "somebody waits in vain",
    (run) => run.replace(({ kind }) => kind === "settled", { kind: "settled", missing: ["the end of a job"] }),
  ],
  [
    "I13",
    "a job is left running",
    (run) => run.change(JOB, { status: "running", lastN: 1, entries: (run.jobs.get(JOB)?.entries ?? []).slice(0, 1) }),
  ],
  ["I13", "a durable job ends with a restart", (run) => run.change(DURABLE, { status: "error" })],
  [
    "I16",
    "the audit is not as it was written",
    (run) => {
      run.brokenAudit = "row 2: it is not what was written there";
    },
  ],
  ["I16", "nobody is on record for a job", (run) => void run.submitted.delete(JOB)],
  ["I17", "an artifact is something else", (run) => void run.artifacts.set("art_1", "another")],
  ["I17", "an artifact is gone", (run) => void run.artifacts.delete("art_1")],
];

describe("the checker", () => {
  test("passes a run of which nothing is wrong", () => {
    expect([...new Run().violated]).toEqual([]);
  });

  test("passes what comes late on a slow line whose session has moved, and was told elsewhere before", () => {
    const run = new Run();
    run.replace(isSpeech('"event_seq":2'));
    run.add(...run.says("a", 2, JOB, "job.result", result(JOB)));
    expect([...run.violated]).toEqual([]);
  });

  test("passes a refusal of a token that another connection of the same client may have voided", () => {
    const run = new Run();
    const hello = (connection: string, token: string): Unstamped<HistoryLine>[] => [
      { kind: "opened", connection, client: "client-of-alice", principal: "alice", wire: "1.1", life: 1 },
      {
        ...{ kind: "sent", connection },
        text: JSON.stringify({
          type: "session.hello",
          payload: { resume: { resume_token: token, last_event_seq: 4 } },
        }),
      },
    ];
    const refused: Unstamped<HistoryLine> = {
      ...{ kind: "received", connection: "e" },
      text: JSON.stringify({ type: "session.error", payload: { code: "RESUME_WINDOW_EXPIRED" } }),
    };
    const welcome = { type: "session.welcome", session_id: SESSION, payload: { resume_token: "t2" } };
    const told: Unstamped<HistoryLine> = { kind: "received", connection: "d", text: JSON.stringify(welcome) };
    run.add(...hello("c", "t1"), ...hello("d", "t1"), told, ...hello("e", "t2"), refused);
    expect([...run.violated]).toEqual([]);
    // Answered first, but perhaps on the quicker line: who came second is not known.
    const rival = { ...welcome, payload: { resume_token: "t3" } };
    const toldRival: Unstamped<HistoryLine> = { kind: "received", connection: "c", text: JSON.stringify(rival) };
    const both = new Run();
    both.add(...hello("c", "t1"), ...hello("d", "t1"), toldRival, told, ...hello("e", "t2"), refused);
    expect([...both.violated]).toEqual([]);
    const alone = new Run();
    alone.add(...hello("d", "t1"), told, ...hello("e", "t2"), refused);
    expect([...alone.violated]).toEqual(["I10"]);
  });

  test("passes a second end of a job that was submitted again, though no acceptance of it came in", () => {
    const submit = (n: number): Unstamped<HistoryLine> => ({
      ...{ kind: "sent", connection: "b" },
      text: JSON.stringify({ id: `lost-${n}`, type: "job.submit", payload: { idempotency_key: "key-9" } }),
    });
    const lost = "job_9";
    const end = JSON.stringify({ job_id: lost, final_status: "success" });
    const ends = (run: Run, times: number): readonly string[] => {
      for (let n = 0; n < times; n += 1) run.add(...run.says("b", 20 + n, lost, "job.result", end));
      return [...run.violated];
    };
    const again = new Run();
    again.add(submit(1), submit(2));
    expect(ends(again, 2)).not.toContain("I1");
    const once = new Run();
    once.add(submit(1));
    expect(ends(once, 2)).toContain("I1");
  });

  test("passes a runtime that finishes what it is at when it loses a job, though another one has done it since", () => {
    const run = new Run();
    run.add(
      ...run.movesTo(2),
      run.commits(2, 2, 3, 4),
      { kind: "effect", life: 2, job: MOVED, name: "step-2" },
      { kind: "step", job: MOVED, name: "step-2" },
      { kind: "effect", life: 1, job: MOVED, name: "step-2" },
    );
    expect([...run.violated]).toEqual([]);
  });

  test.each(SPOILT)("%s: %s", (invariant, _, spoil) => {
    const run = new Run();
    spoil(run);
    expect([...run.violated]).toContain(invariant);
  });

  test("a run with next to no work in it shows nothing", () => {
    const run = new Run();
    expect(run.voidBecause).toBe("3 jobs were accepted: nobody was at work");
    for (let n = 10; n < 20; n += 1) run.add(...run.submits("b", `submit-${n}`, `job_${n}`, `key-${n}`));
    // The connection broke while nobody waited for anything.
    expect(run.voidBecause).toBe("no job was running when something went wrong");
    run.add({ kind: "failpoint", life: 1, point: "commit.after:kill" });
    expect(run.voidBecause).toBeUndefined();
  });

  test("there is a way to spoil every invariant", () => {
    expect(new Set(SPOILT.map(([invariant]) => invariant))).toEqual(new Set(Object.keys(INVARIANTS)));
  });
});
