/** Whatever happens in whatever order: when all is well again, no key lives that no job has. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Issuance } from "../../packages/runtime/src/engine/credentials/credentials.ts";
import type { CredentialProvisioner } from "../../packages/runtime/src/engine/credentials/provisioner.ts";
import { covers } from "../support/covers.ts";
import type { ManualClock } from "../support/manual-clock.ts";
import { inTime, Ledger, type LogLine, type Process, request, rows } from "./ledger.ts";

/** What an upstream does with a call. */
const MOODS = ["well", "refuses", "does it and fails", "does it later and fails", "hangs", "does it later"] as const;
type Mood = (typeof MOODS)[number];

const LATEST_MS = 25_000;

/** An upstream in memory, in a mood for each call. */
class MoodyUpstream implements CredentialProvisioner {
  readonly name = "moody";
  readonly live = new Map<string, string>();
  readonly minted: string[] = [];
  readonly #late: { readonly at: number; readonly run: () => void }[] = [];
  readonly #clock: ManualClock;
  #moods: readonly Mood[] = [];
  #calls = 0;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  /** From now on calls meet with these, over and over. */
  become(moods: readonly Mood[]): void {
    this.#moods = moods;
  }

  doLate(): void {
    for (const { run } of this.#late.splice(0)) run();
  }

  /** Time goes by: whatever it is late with, it is so by less than the time in which a secret comes into being. */
  advance(ms: number): void {
    if (this.#late.some(({ at }) => this.#clock.now() + ms - at > LATEST_MS)) this.doLate();
    this.#clock.advance(ms);
  }

  #later(run: () => void): void {
    this.#late.push({ at: this.#clock.now(), run });
  }

  issuesFor(): boolean {
    return true;
  }

  async issue({ alias }: { readonly alias: string }, signal: AbortSignal) {
    return this.#call(signal, () => {
      const value = `sk-virtual-${this.minted.length}`;
      this.minted.push(value);
      this.live.set(alias, value);
      return { value, endpoint: "https://gateway.example" };
    });
  }

  async revoke({ alias }: { readonly alias: string }, signal: AbortSignal): Promise<void> {
    await this.#call(signal, () => this.live.delete(alias));
  }

  #call<Result>(signal: AbortSignal, act: () => Result): Promise<Result> {
    const mood = this.#moods[this.#calls % Math.max(this.#moods.length, 1)] ?? "well";
    this.#calls += 1;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const failure = Object.assign(new Error("moody"), { status: 500 });
    if (mood === "well") resolve(act());
    else if (mood === "refuses") reject(failure);
    else if (mood === "hangs") signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    else if (mood === "does it later") this.#later(() => resolve(act()));
    else if (mood === "does it and fails") {
      act();
      reject(failure);
    } else if (mood === "does it later and fails") {
      this.#later(() => void act());
      reject(failure);
    }
    return promise;
  }
}

const which = fc.nat(7);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("issue" as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("commit" as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("abandon" as const), which }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("rotate" as const), which }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("release" as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("crash" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("late" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.constantFrom(500, 5_000, 11_000, 60_000) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("moods" as const),
      moods: fc.array(fc.constantFrom(...MOODS), { maxLength: 4 }),
    }),
  },
);

/** A crash ends what its journal was about to commit. */
const isOfTheDead = (line: LogLine): boolean => JSON.stringify(line).includes("the process is no more");

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("K06, K07, K08: any interleaving of jobs, crashes and faults ends with no live key and no orphan", async () => {
  covers("V11-9.8.2-03", "V11-9.8.2-04", "V11-9.8.2-05");
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      await using ledger = new Ledger();
      const upstream = new MoodyUpstream(ledger.clock);
      const start = async (): Promise<Process> => {
        const started = ledger.start([upstream]);
        await started.credentials.recover();
        return started;
      };
      let process = await start();
      let issuances: Issuance[] = [];
      const asking = new Set<Promise<void>>();
      let jobs = new Set<ReturnType<typeof request>["jobId"]>();
      const values = new Set<string>();
      const keep = (asked: Promise<Issuance>): void => {
        const from = process;
        const kept = asked.then(
          (issuance) => {
            if (from === process) issuances.push(issuance);
          },
          () => {},
        );
        asking.add(kept);
        void kept.then(() => asking.delete(kept));
      };
      for (const one of steps) {
        if (one.kind === "issue") {
          const facts = request();
          const from = process;
          const asked = from.credentials.issue(facts).then((issuance) => ({
            ...issuance,
            commit: () => {
              const isCommitted = issuance.commit();
              if (isCommitted && from === process) jobs.add(facts.jobId);
              for (const { value } of issuance.credentials) values.add(value.reveal());
              return isCommitted;
            },
          }));
          keep(asked);
        } else if (one.kind === "commit") issuances.splice(one.which % (issuances.length || 1), 1)[0]?.commit();
        else if (one.kind === "abandon") issuances.splice(one.which % (issuances.length || 1), 1)[0]?.abandon();
        else if (one.kind === "rotate" || one.kind === "release") {
          const jobId = [...jobs][one.which % (jobs.size || 1)];
          if (jobId === undefined) continue;
          if (one.kind === "release") {
            jobs.delete(jobId);
            process.credentials.release(jobId);
          } else {
            const id = process.credentials.liveFor(jobId)[0]?.id ?? "";
            keep(process.credentials.rotate(jobId, id));
          }
        } else if (one.kind === "crash" || one.kind === "restart") {
          if (one.kind === "restart") {
            for (const jobId of jobs) process.credentials.release(jobId);
            const closed = process.credentials.close();
            await turn();
            upstream.advance(5_000);
            await closed;
          }
          await process.crash();
          [issuances, jobs] = [[], new Set()];
          process = await start();
        } else if (one.kind === "late") upstream.doLate();
        else if (one.kind === "time") upstream.advance(one.ms);
        else if (one.kind === "turn") await turn();
        else upstream.become(one.moods);
      }
      upstream.become([]);
      upstream.doLate();
      await inTime(ledger.clock, () => asking.size === 0);
      for (const issuance of issuances) issuance.abandon();
      const isCalm = async (): Promise<boolean> =>
        process.credentials.outstanding().length === 0 &&
        (await process.store.outstandingCredentials()).length === jobs.size;
      await process.journal.flush();
      await inTime(ledger.clock, isCalm);
      // What lives is what jobs have; and a value was never two jobs'.
      const held = [...jobs].flatMap((jobId) => process.credentials.liveFor(jobId).map(({ value }) => value.reveal()));
      expect([...upstream.live.values()].sort()).toEqual(held.sort());
      expect(new Set(held).size).toBe(jobs.size);

      for (const jobId of jobs) process.credentials.release(jobId);
      await process.journal.flush();
      await inTime(ledger.clock, () => process.credentials.outstanding().length === 0);
      await process.journal.flush();
      expect([...upstream.live]).toEqual([]);
      expect((await rows(process)).filter(({ state }) => state !== "revoked")).toEqual([]);
      expect(ledger.clock.pending).toBe(0);
      const broken = ledger.logs.filter((line) => line["invariant"] === true && !isOfTheDead(line));
      expect(broken).toEqual([]);
    }),
    { numRuns: 60 },
  );
}, 120_000);
