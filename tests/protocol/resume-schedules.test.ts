/** Random schedules of emissions, acknowledgements, losses and resumes, over several jobs: the stream stays whole. */
import { ARCPClient, type JobEvent } from "@arcp/client";
import { type MemoryTransportOptions, silentLogger } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Carrier, type Harness, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet, type Run } from "../support/puppet.ts";
import { type Frame, RawClient } from "../support/raw-client.ts";

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** One thing that happens; numbers choose among what there is at that moment. */
type Step =
  | { readonly kind: "emit"; readonly job: number; readonly count: number; readonly isArrived: boolean }
  | { readonly kind: "ack"; readonly part: number }
  | { readonly kind: "resume"; readonly part: number; readonly isNoticed: boolean; readonly form: "hello" | "resume" }
  | { readonly kind: "submit" }
  | { readonly kind: "finish"; readonly job: number };

const part = fc.integer({ min: 0, max: 100 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("emit" as const),
      job: fc.nat(9),
      count: fc.integer({ min: 1, max: 20 }),
      isArrived: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("ack" as const), part }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("resume" as const),
      part,
      isNoticed: fc.boolean(),
      form: fc.constantFrom("hello" as const, "resume" as const),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "submit" }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("finish" as const), job: fc.nat(9) }) },
);

interface LiveJob {
  readonly jobId: string;
  readonly run: Run;
  emitted: number;
}

/** Follows one session by hand, over as many connections as it takes. */
class Follower {
  readonly #harness: Harness;
  readonly #puppet: Puppet;
  readonly #live: LiveJob[] = [];
  readonly #jobs: LiveJob[] = [];
  /** Each numbered message as it first came. */
  readonly #originals = new Map<number, Frame>();
  #client: RawClient;
  #checked = 0;
  /** The highest number up to which nothing is missing on this connection. */
  #last = 0;
  #acked = 0;
  #total = 0;

  private constructor(harness: Harness, puppet: Puppet, client: RawClient) {
    this.#harness = harness;
    this.#puppet = puppet;
    this.#client = client;
  }

  static async start(harness: Harness, puppet: Puppet): Promise<Follower> {
    const follower = new Follower(harness, puppet, await harness.rawSession());
    await follower.take({ kind: "submit" });
    return follower;
  }

  async take(next: Step): Promise<void> {
    const job = "job" in next ? this.#live[next.job % Math.max(this.#live.length, 1)] : undefined;
    if (next.kind === "submit") await this.#submit();
    else if (next.kind === "emit" && job) {
      await emitLogs(job.run, next.count, job.emitted + 1);
      job.emitted += next.count;
      this.#total += next.count;
      if (next.isArrived) await this.#arrived();
    } else if (next.kind === "finish" && job) this.#finish(job);
    else if (next.kind === "ack") {
      this.#read();
      this.#acked = Math.max(this.#acked, Math.floor((this.#last * next.part) / 100));
      this.#client.send("session.ack", { last_processed_seq: this.#acked });
      await this.#client.fence();
    } else if (next.kind === "resume") await this.#resume(next);
  }

  /** Ends every job, and checks the whole stream. */
  async expectWhole(): Promise<void> {
    for (const job of [...this.#live]) this.#finish(job);
    await this.#arrived();
    await this.#client.fence();
    this.#read();
    expect([...this.#originals.keys()].sort((a, b) => a - b)).toEqual(range(1, this.#total));
    const inOrder = range(1, this.#total).map((seq) => this.#originals.get(seq) as Frame);
    for (const { jobId, emitted } of this.#jobs) {
      const ofJob = inOrder.filter(({ job_id }) => job_id === jobId);
      expect(ofJob.slice(0, -1).map(({ payload }) => payload.body?.message)).toEqual(range(1, emitted).map(String));
      expect(ofJob.at(-1)?.type).toBe("job.result");
    }
  }

  async #submit(): Promise<void> {
    const id = this.#client.send("job.submit", { agent: "puppet", input: null });
    const accepted = await this.#client.sees(({ correlation_id }) => correlation_id === id);
    const job = { jobId: accepted.job_id as string, run: await this.#puppet.next(), emitted: 0 };
    this.#live.push(job);
    this.#jobs.push(job);
  }

  #finish(job: LiveJob): void {
    this.#live.splice(this.#live.indexOf(job), 1);
    job.run.finish();
    this.#total += 1;
  }

  /** From anywhere between what was acknowledged and what was received. */
  async #resume({ part: share, isNoticed, form }: Extract<Step, { kind: "resume" }>): Promise<void> {
    if (isNoticed) await this.#harness.disconnect(this.#client);
    else this.#client.cut();
    this.#read();
    const from = this.#acked + Math.floor(((this.#last - this.#acked) * share) / 100);
    const before = this.#client;
    this.#client = new RawClient(await this.#harness.transport());
    if (form === "hello") await this.#client.resume(before, from);
    else {
      this.#client.send("session.resume", { resume_token: before.resumeToken, last_event_seq: from });
      await this.#client.welcomed();
    }
    expect(this.#client.frames[0]?.type).toBe("session.welcome");
    expect(this.#client.sessionId).toBe(before.sessionId);
    this.#checked = 0;
    this.#last = from;
  }

  /** Waits until everything that was emitted has come. */
  async #arrived(): Promise<void> {
    const total = this.#total;
    if (this.#last < total) await this.#client.sees(({ event_seq }) => event_seq === total, `message ${total}`);
    this.#read();
  }

  /** Checks what has come on this connection: each number follows the one before, each repetition is the original. */
  #read(): void {
    const { numbered } = this.#client;
    for (const frame of numbered.slice(this.#checked)) {
      expect(frame.event_seq).toBe(this.#last + 1);
      this.#last += 1;
      const original = this.#originals.get(this.#last);
      if (original) expect(frame).toEqual(original);
      else this.#originals.set(this.#last, frame);
    }
    this.#checked = numbered.length;
  }
}

async function followSchedule(carrier: Carrier, steps: readonly Step[]): Promise<void> {
  const puppet = new Puppet();
  await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
  const follower = await Follower.start(harness, puppet);
  for (const each of steps) await follower.take(each);
  await follower.expectWhole();
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("every replayed message is the original, and none is missing, whatever happens when", async () => {
    covers("V11-6.3-07", "V11-6.3-08", "V11-6.3-09", "V11-6.3-10", "V11-6.5-07");
    const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) =>
      followSchedule(carrier, steps),
    );
    await fc.assert(property, { numRuns: carrier === "memory" ? 80 : 15, endOnFailure: true });
  });
});

interface Loss {
  readonly end: "left" | "right";
  readonly index: number;
  readonly fate: "cut" | "duplicate";
}

const loss = (firstIndex: number): fc.Arbitrary<Loss> =>
  fc
    .record({
      end: fc.constantFrom("left" as const, "right" as const),
      index: fc.integer({ min: firstIndex, max: 40 }),
      fate: fc.constantFrom("cut" as const, "cut" as const, "duplicate" as const),
    })
    // A second hello is a mistake that ends the handshake.
    .filter(({ end, index, fate }) => !(end === "left" && index === 0 && fate === "duplicate"));

/** What befalls each connection in turn. The first handshake succeeds. */
const losses = fc
  .tuple(fc.array(loss(1), { maxLength: 2 }), fc.array(fc.array(loss(0), { maxLength: 2 }), { maxLength: 5 }))
  .map(([first, others]) => [first, ...others]);

const jobs = fc.array(
  fc.record({ bursts: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 6 }), isWaiting: fc.boolean() }),
  { minLength: 1, maxLength: 4 },
);

function faultsOf(
  plan: readonly (readonly Loss[])[],
): () => { left: MemoryTransportOptions; right: MemoryTransportOptions } {
  let connections = 0;
  return () => {
    const mine = plan[connections] ?? [];
    connections += 1;
    const onSend = (end: Loss["end"]): MemoryTransportOptions => ({
      onSend: (_frame, index) => mine.find((each) => each.end === end && each.index === index)?.fate ?? "deliver",
    });
    return { left: onSend("left"), right: onSend("right") };
  };
}

describe("a client that reconnects by itself", () => {
  test("gives each event of each job once and in order, whatever is lost or doubled when", async () => {
    covers("V11-6.3-07", "V11-6.3-10");
    const property = fc.asyncProperty(jobs, losses, fc.nat(5), async (plans, plan, ackEvery) => {
      await using harness = startHarness({
        faults: faultsOf(plan),
        agents: {
          bursts: async (input, context) => {
            const { bursts, isWaiting } = plans[input as number] ?? { bursts: [], isWaiting: false };
            let n = 0;
            for (const burst of bursts) {
              for (let left = burst; left > 0; left -= 1) {
                n += 1;
                await context.log("info", String(n));
              }
              if (isWaiting) await context.flush();
            }
            return n;
          },
        },
      });
      const client = await ARCPClient.connect(async () => harness.transport(), {
        token: "alice",
        logger: silentLogger,
        autoAck: false,
        reconnect: { initialDelayMs: 0, maxDelayMs: 1 },
      });
      const all: JobEvent[] = [];
      client.on("event", (event) => {
        all.push(event);
        if (ackEvery > 0 && all.length % ackEvery === 0) client.ack(event.seq ?? 0);
      });
      const follow = async (index: number): Promise<void> => {
        const job = await client.submit({ agent: "bursts", input: index });
        const messages: string[] = [];
        for await (const event of job) if (event.kind === "log") messages.push(event.body.message);
        const total = plans[index]?.bursts.reduce((sum, burst) => sum + burst, 0) ?? 0;
        expect(messages).toEqual(range(1, total).map(String));
        expect((await job.done).result).toBe(total);
      };
      await Promise.all(plans.map(async (_, index) => follow(index)));
      const seqs = all.map(({ seq }) => seq as number);
      expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
      expect(client.resumeInfo?.lastEventSeq).toBeGreaterThanOrEqual(seqs.length + plans.length);
      await client.close();
    });
    await fc.assert(property, { numRuns: 150, endOnFailure: true });
  });
});
