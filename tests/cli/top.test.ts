import type { ARCPClient, JobHandle, JobSummary, Question } from "@arcp/client";
import { describe, expect, it } from "vitest";
import { FullScreen, plainText } from "../../packages/sdk/src/cli/full-screen.ts";
import { displayWidth } from "../../packages/sdk/src/cli/terminal.ts";
import { Board, type BoardJob } from "../../packages/sdk/src/cli/top/board.ts";
import { columnsFor } from "../../packages/sdk/src/cli/top/columns.ts";
import { type Facts, frame } from "../../packages/sdk/src/cli/top/frame.ts";
import { type BoardFilter, NEEDS_ME, select } from "../../packages/sdk/src/cli/top/selection.ts";
import { startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";

const ALL: BoardFilter = { status: [], agent: "", text: "" };

/** A job by its id, as old as its place in the list. */
function jobOf(
  jobId: string,
  facts: Partial<BoardJob> & { readonly parent?: string; readonly agent?: string; readonly owner?: string } = {},
): BoardJob {
  const { parent, agent = "agent@1.0.0", owner: principal, ...rest } = facts;
  const owner = principal === undefined ? undefined : { principal, tenant: undefined };
  const summary = { jobId, agent, owner, parentJobId: parent, lease: {}, status: "running" } as unknown as JobSummary;
  return {
    summary,
    createdAt: 0,
    status: "running",
    phase: undefined,
    progress: undefined,
    budget: new Map(),
    ...rest,
  };
}

const questionOf = (jobId: string, prompt = "Which?"): Question =>
  ({
    kind: "input",
    id: `q_${jobId}`,
    jobId,
    prompt,
    responseSchema: {},
    expiresAt: new Date(90_000).toISOString(),
  }) as unknown as Question;

const shown = (jobs: readonly BoardJob[], questions: readonly Question[] = [], filter: BoardFilter = ALL): string[] =>
  select(jobs, questions, filter).rows.map(({ job, depth }) => `${"-".repeat(depth)}${job.summary.jobId}`);

describe("the order of the board", () => {
  it("has those that need one first, with the tree they are in", () => {
    const jobs = [
      jobOf("ended", { status: "success", createdAt: 9 }),
      jobOf("waits", { status: "pending", createdAt: 8 }),
      jobOf("runs", { createdAt: 7 }),
      jobOf("parent", { status: "success", createdAt: 1 }),
      jobOf("child", { parent: "parent", createdAt: 2 }),
      jobOf("grandchild", { parent: "child", createdAt: 3 }),
      jobOf("orphan", { parent: "elsewhere", createdAt: 6 }),
    ];
    expect(shown(jobs)).toEqual(["runs", "orphan", "parent", "-child", "--grandchild", "waits", "ended"]);
    expect(shown(jobs, [questionOf("grandchild")]).slice(0, 4)).toEqual(["parent", "-child", "--grandchild", "runs"]);
  });

  it("shows every job once, whatever a runtime says of who delegated whom", () => {
    const jobs = [jobOf("a", { parent: "b" }), jobOf("b", { parent: "a" }), jobOf("self", { parent: "self" })];
    expect(
      shown(jobs)
        .map((id) => id.replaceAll("-", ""))
        .sort(),
    ).toEqual(["a", "b", "self"]);
    const deep = Array.from({ length: 5_000 }, (_, at) => jobOf(`job_${at}`, { parent: `job_${at - 1}` }));
    expect(shown(deep)).toHaveLength(5_000);
  });

  it("filters by status, agent and text, and counts what would pass without the status", () => {
    const jobs = [
      jobOf("one", { agent: "deploy@1.0.0", phase: "Building" }),
      jobOf("two", { agent: "deploy@2.0.0", status: "error" }),
      jobOf("three", { agent: "search", owner: "carol" }),
    ];
    const asked = [questionOf("three", "Which BRANCH?")];
    expect(shown(jobs, asked, { ...ALL, agent: "deploy" })).toEqual(["one", "two"]);
    expect(shown(jobs, asked, { ...ALL, agent: "deploy@2.0.0" })).toEqual(["two"]);
    expect(shown(jobs, asked, { ...ALL, status: ["error"] })).toEqual(["two"]);
    expect(shown(jobs, asked, { ...ALL, status: [NEEDS_ME] })).toEqual(["three"]);
    expect(shown(jobs, asked, { ...ALL, text: "branch" })).toEqual(["three"]);
    expect(shown(jobs, asked, { ...ALL, text: "BUILD" })).toEqual(["one"]);
    expect(shown(jobs, asked, { ...ALL, text: "carol" })).toEqual(["three"]);
    const { counts, needing } = select(jobs, asked, { ...ALL, status: ["error"], agent: "deploy" });
    expect([[...counts], needing]).toEqual([
      [
        ["running", 1],
        ["error", 1],
      ],
      0,
    ]);
  });
});

describe("a picture of the board", () => {
  const facts = (
    jobs: readonly BoardJob[],
    change: Partial<Facts> = {},
    questions: readonly Question[] = [],
  ): Facts => ({
    ...{ columns: 100, rows: 14, now: 30_000, url: "ws://here/arcp", runtime: "r 1", problem: undefined },
    terminal: { style: (_style, text) => text },
    ...{ connection: { phase: "connected", sessionId: "s", isResumed: false }, learntAt: 30_000 },
    ...{ selection: select(jobs, questions, ALL), total: jobs.length, rates: { events: 1.5, ends: 2 }, filter: ALL },
    ...{ offset: 0, chosen: jobs[0]?.summary.jobId, pausedAt: undefined, prompt: undefined, message: undefined },
    ...{ showsHelp: false, ...change },
  });
  const EVIL = "\u001b[2J\u202e\u0301日本語日本語日本語日本語日本語日本語";

  it("keeps every text in its cell and in the window, however wide it is and whatever it says", () => {
    const job = jobOf(EVIL, {
      ...{ agent: EVIL, owner: EVIL, status: EVIL, phase: EVIL, progress: { current: 1, total: 2, message: EVIL } },
      budget: new Map([[EVIL, { cap: 2, left: 1 }]]),
    });
    for (const columns of [1, 10, 40, 58, 72, 99, 100, 250]) {
      const rows = frame(facts([job], { columns, runtime: EVIL, message: EVIL }, [questionOf(EVIL, EVIL)]));
      for (const row of rows) {
        expect(row.map(({ text }) => text).join("")).not.toMatch(/[\u0000-\u001f\u202e]/);
        for (const [at, { column, text }] of row.entries()) {
          expect(column + displayWidth(text)).toBeLessThanOrEqual(row[at + 1]?.column ?? columns);
        }
      }
    }
  });

  it("has as many rows as the window, and fewer columns in a narrow one", () => {
    const jobs = Array.from({ length: 50 }, (_, at) => jobOf(`job_${at}`));
    for (const rows of [1, 5, 14, 60])
      expect(frame(facts(jobs, { rows })).length).toBeLessThanOrEqual(Math.max(rows, 8));
    expect(columnsFor(130, false).map(({ name }) => name)).toEqual([
      "status",
      "agent",
      "job",
      "age",
      "progress",
      "budget",
      "says",
    ]);
    expect(columnsFor(130, true).map(({ name }) => name)[2]).toBe("owner");
    expect(columnsFor(39, true).map(({ name }) => name)).toEqual(["status", "agent"]);
  });

  it("says how old it is, what is being asked, and that there is nothing", () => {
    const text = (change: Partial<Facts>, jobs: readonly BoardJob[] = []): string =>
      frame(facts(jobs, change)).map(plainText).join("\n");
    const lost = {
      phase: "reconnecting",
      attempt: 3,
      delayMs: 1,
      cause: new Error(),
    } as unknown as Facts["connection"];
    expect(text({ connection: lost, learntAt: 18_000 })).toContain("○ offline, reconnecting (3), this is 0:12 old");
    expect(text({ problem: "refused" })).toContain("○ not up to date");
    expect(text({ learntAt: undefined })).toContain("asking for jobs…");
    expect(text({})).toContain("no jobs yet. Submit one with");
    expect(text({ total: 3 })).toContain("no job passes the filter");
    // What nobody has told is not made up.
    const ended = jobOf("ended", { status: "error", budget: new Map([["USD", { cap: 5, left: undefined }]]) });
    expect(text({ columns: 130 }, [ended])).toMatch(/✖ error .* {4}\? of 5 USD$/m);
    expect(text({ pausedAt: 25_000 })).toContain("PAUSED 0:05");
    expect(text({ prompt: "Sure?" })).toContain("Sure?");
    expect(text({ showsHelp: true, rows: 30 })).toContain("asks the job to stop, when you have said yes");
  });
});

describe("a full screen", () => {
  function fake() {
    const written: string[] = [];
    const listeners = new Map<string, () => void>();
    const stream = {
      ...{ columns: 20, rows: 3, isFull: false },
      write: (text: string) => {
        written.push(text);
        return !stream.isFull;
      },
      on: (event: string, listener: () => void) => listeners.set(event, listener),
      off: (event: string) => listeners.delete(event),
    };
    return { stream, written, listeners };
  }

  it("paints only rows that have changed, waits for a slow terminal, and leaves it as it was", () => {
    const { stream, written, listeners } = fake();
    let asked = 0;
    const before = process.listenerCount("exit");
    const screen = new FullScreen(stream, () => {
      asked += 1;
    });
    screen.enter();
    screen.paint([[{ column: 0, text: "one" }], [{ column: 0, text: "two" }]]);
    stream.isFull = true;
    screen.paint([[{ column: 0, text: "one" }], [{ column: 0, text: "2" }]]);
    expect(written.at(-1)).toBe("\u001b[?2026h\u001b[2;1H\u001b[K\u001b[2;1H2\u001b[?2026l");
    const count = written.length;
    screen.paint([[{ column: 0, text: "later" }]]);
    expect(written).toHaveLength(count);
    listeners.get("drain")?.();
    expect(asked).toBe(1);
    listeners.get("resize")?.();
    screen.paint([]);
    expect(written.at(-1)).toContain("\u001b[3;1H\u001b[K");
    expect(process.listenerCount("exit")).toBe(before + 1);
    // An error that nobody catches: the first screen is back before it is printed.
    process.listeners("uncaughtExceptionMonitor").at(-1)?.(new Error("crash"), "uncaughtException");
    expect(written.at(-1)).toBe("\u001b[?7h\u001b[?25h\u001b[?1049l");
    screen.leave();
    expect([process.listenerCount("exit"), listeners.size]).toEqual([before, 0]);
  });
});

describe("the board", () => {
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  it("follows what is in view before the rest, and hears how jobs end", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const submitter = await harness.client();
    const client: ARCPClient = await harness.client();
    const jobs: JobHandle[] = [];
    for (let n = 0; n < 66; n += 1) jobs.push(await submitter.submit({ agent: "puppet", input: n }));
    const [oldest, last] = [jobs[0], jobs.at(-1)];
    if (oldest === undefined || last === undefined) throw new Error("there are jobs");
    const board = new Board({ client, since: 0, intervalMs: 10 });
    // The 64 youngest are followed; the oldest is not until it is in view.
    board.show(new Set([oldest.jobId]));
    board.start();
    await until(() => board.size === 66);
    await puppet.runs[0]?.context.progress(1, { total: 2 });
    await until(() => board.job(oldest.jobId)?.progress?.current === 1);
    puppet.runs[65]?.fail(new Error("no luck"));
    await until(() => board.job(last.jobId)?.status === "error");
    // The second is not followed: it is asked for.
    puppet.runs[1]?.finish();
    await until(() => board.job(jobs[1]?.jobId ?? "")?.status === "success");
    expect(board.rates(Date.now()).ends).toBeGreaterThanOrEqual(2);
    board.close();
    for (const { finish } of puppet.runs) finish();
    await Promise.allSettled(jobs.map(({ done }) => done));
  }, 60_000);
});
