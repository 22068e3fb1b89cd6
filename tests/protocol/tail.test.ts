/** Clients that are a little behind are sent what is in memory, those that are further behind what is stored: the same. */
import { newJobId, newSessionId, newTraceId, silentLogger, systemClock } from "@arcp/core";
import { type Store, sqliteStore } from "@arcp/runtime";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Delivery } from "../../packages/runtime/src/engine/delivery.ts";
import { Feed, type FollowedJob, type LiveItem } from "../../packages/runtime/src/engine/feed.ts";
import { Journal } from "../../packages/runtime/src/engine/journal.ts";
import { noMetrics } from "../../packages/runtime/src/engine/metrics/runtime-metrics.ts";
import { MAX_TAIL_ITEMS, Tail, TailRoom } from "../../packages/runtime/src/engine/tail.ts";
import { ENTRY, type Entry } from "../../packages/runtime/src/store/store.ts";
import { jobRecord } from "../store/files.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Source extends FollowedJob {
  lastN: number;
}

const source = (): Source => ({ id: newJobId(), traceId: newTraceId(), origin: undefined, lastN: 0 });

/** One session that follows two jobs, and its connection. */
class Line {
  readonly store: Store = sqliteStore();
  /** Numbers that the store was asked for. */
  readonly reads: number[] = [];
  /** What was written to the connection, in order. */
  readonly sent: { readonly seq: number; readonly payload: string }[] = [];
  /** What stands at each number, in order. */
  readonly told: string[] = [];
  readonly room: TailRoom;
  readonly #journal: Journal;
  readonly #jobs = [source(), source()] as const;
  readonly #feed: Feed;
  #delivery: Delivery | undefined;
  #isCongested = false;
  #drained = Promise.withResolvers<void>();

  constructor(roomBytes?: number) {
    this.room = new TailRoom(roomBytes);
    const onFailure = (error: unknown): void => {
      throw error;
    };
    this.#journal = new Journal({ store: this.store, clock: systemClock, logger: silentLogger, onFailure });
    const sessionId = newSessionId();
    this.#feed = new Feed({
      ...{ sessionId, journal: this.#journal, lastRun: null, shows: () => true },
      onCommitted: (items) => this.#delivery?.onCommitted(items),
    });
    this.#journal.putSession({
      ...{ id: sessionId, principal: "alice", wire: "1.1", features: [], tokenHash: "t", previousTokenHash: null },
      ...{ mustAuthenticate: false, salt: "s", ackedSeq: 0, detachedAt: null, sentSeq: null, createdAt: 1 },
    });
    for (const { id } of this.#jobs) {
      this.#journal.addJob(jobRecord({ id, sessionId, status: "running", endedAt: null }));
    }
    this.connect();
  }

  /** The line is another one: it goes on after what was sent. */
  connect(): void {
    this.#delivery?.stop();
    const write = (items: readonly Pick<LiveItem, "seq" | "entry">[]): void => {
      for (const { seq, entry } of items) this.sent.push({ seq, payload: entry.payload });
    };
    const line = this;
    this.#delivery = new Delivery({
      ...{ feed: this.#feed, logger: silentLogger, clock: systemClock, metrics: noMetrics, tailRoom: this.room },
      store: new Proxy(this.store, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (name === "readFeed") {
            return (...asked: Parameters<Store["readFeed"]>) => {
              line.reads.push(asked[2]);
              return target.readFeed(...asked);
            };
          }
          return typeof value === "function" ? value.bind(target) : value;
        },
      }),
      sink: {
        writeLive: (items) => {
          // Something that is made of what is stored alone.
          if (items.some(({ entry }) => entry.code === ENTRY.error)) return false;
          write(items);
          return true;
        },
        writeStored: write,
        get isCongested() {
          return line.#isCongested;
        },
        drained: () => line.#drained.promise,
      },
      ...{ onProgress: () => {}, onUnreadable: () => {}, afterSeq: this.sent.at(-1)?.seq ?? 0 },
    });
  }

  write(which: 0 | 1, count: number, bytes: number, code: Entry["code"] = ENTRY.log): void {
    const job = this.#jobs[which];
    for (let index = 0; index < count; index += 1) {
      job.lastN += 1;
      const payload = `{"of":${which},"n":${job.lastN},"text":"${"x".repeat(bytes)}"}`;
      const entry: Entry = { n: job.lastN, ts: 1, code, payload };
      this.#journal.append(job.id, 1, entry);
      this.#feed.add(job, entry);
      this.told.push(payload);
    }
    const { id, lastN } = job;
    const state = { status: "running", budget: null, endedAt: null } as const;
    this.#journal.putJobChange({ id, epoch: 1, ...state, lastN, lastEventSeq: 0 });
  }

  /** Shows again what the first of the second job's entries were. */
  async history(): Promise<void> {
    await this.#journal.flush();
    const [, { id, lastN }] = this.#jobs;
    const shown = await this.store.readJournal(id, 1, Math.min(3, lastN));
    this.#feed.addHistory(id, 1, shown.length);
    this.told.push(...shown.map(({ payload }) => payload));
  }

  congest(): void {
    if (this.#isCongested) return;
    this.#isCongested = true;
    this.#drained = Promise.withResolvers<void>();
  }

  relieve(): void {
    this.#isCongested = false;
    this.#drained.resolve();
  }

  /** Everything that was written has been sent. */
  async settled(): Promise<void> {
    await this.#journal.flush();
    while (this.sent.length < this.told.length) await turn();
    for (let n = 0; n < 3; n += 1) await turn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#delivery?.stop();
    await this.store.close();
  }
}

test("whatever happens, each is sent once, in order, and what was kept for it is free again", async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("write" as const),
        which: fc.constantFrom<0 | 1>(0, 1),
        count: fc.nat(40),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("inlined", "history", "connect") }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("congest", "relieve") }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.constantFrom(0, 2_000, 20_000, undefined),
      async (steps, roomBytes) => {
        await using line = new Line(roomBytes);
        const { left } = line.room;
        for (const next of steps) {
          if (next.do === "write") line.write(next.which, next.count, 10);
          else if (next.do === "inlined") line.write(0, 1, 10, ENTRY.error);
          else if (next.do === "history") await line.history();
          else if (next.do === "connect") line.connect();
          else if (next.do === "congest") line.congest();
          else if (next.do === "relieve") line.relieve();
          else await turn();
        }
        line.relieve();
        await line.settled();
        expect(line.sent).toEqual(line.told.map((payload, index) => ({ seq: index + 1, payload })));
        expect(line.room.left).toBe(left);
        line.congest();
        for (let n = 0; n < 2; n += 1) {
          line.write(0, 5, 10);
          await turn();
          await turn();
        }
        line.connect();
        expect(line.room.left).toBe(left);
      },
    ),
    { numRuns: 40 },
  );
});

test("who is a little behind is sent what is in memory; who is far behind, what is stored", async () => {
  await using line = new Line();
  line.write(0, 10, 10);
  await line.settled();
  line.congest();
  // Goes out as it comes: that the line is congested is seen then.
  line.write(0, 100, 10);
  await turn();
  await turn();
  line.write(1, 500, 10);
  await turn();
  await turn();
  line.reads.length = 0;
  line.relieve();
  await line.settled();
  expect(line.reads).toEqual([]);
  line.congest();
  for (let written = 0; written <= MAX_TAIL_ITEMS + 500; written += 500) {
    line.write(0, 500, 10);
    await turn();
    await turn();
  }
  line.relieve();
  await line.settled();
  expect(line.reads.length).toBeGreaterThan(0);
  // It has caught up: what comes now goes out as it comes.
  line.reads.length = 0;
  line.write(0, 300, 10);
  await line.settled();
  expect(line.reads).toEqual([]);
  expect(line.sent.map(({ payload }) => payload)).toEqual(line.told);
});

test("one reader cannot take all the memory, nor all of them more than there is", async () => {
  await using line = new Line(100_000);
  await line.settled();
  line.congest();
  line.write(0, 1, 10);
  await turn();
  await turn();
  line.write(0, 10, 2_000);
  await turn();
  await turn();
  const { left } = line.room;
  expect(left).toBeGreaterThan(75_000);
  expect(left).toBeLessThan(80_000);
  line.write(0, 40, 2_000);
  await turn();
  await turn();
  expect(line.room.left).toBe(100_000);
  line.relieve();
  await line.settled();
  expect(line.sent.map(({ payload }) => payload)).toEqual(line.told);
});

test("what does not follow what is kept takes its place", () => {
  const room = new TailRoom();
  const { left } = room;
  const tail = new Tail(room);
  const items = (from: number, to: number): LiveItem[] =>
    Array.from({ length: to - from + 1 }, (_, index) => ({
      ...{ seq: from + index, job: source() },
      entry: { n: from + index, ts: 1, code: ENTRY.log, payload: "{}" },
    }));
  const numbers = (list: readonly LiveItem[]): number[] => list.map(({ seq }) => seq);
  tail.add(items(5, 7));
  tail.add(items(8, 9));
  expect(numbers(tail.from(6, 3))).toEqual([6, 7, 8]);
  expect(tail.from(4, 3)).toEqual([]);
  tail.add(items(11, 12));
  expect(tail.firstSeq).toBe(11);
  tail.dropUpTo(11);
  expect(numbers(tail.from(12, 3))).toEqual([12]);
  tail.dropUpTo(20);
  expect([tail.firstSeq, room.left]).toEqual([Number.POSITIVE_INFINITY, left]);
});
