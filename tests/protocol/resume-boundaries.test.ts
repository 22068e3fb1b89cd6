/** One scenario, cut at every message boundary in either direction: nothing is missed, nothing comes twice. */
import { ARCPClient } from "@arcp/client";
import { type MemoryTransportOptions, silentLogger, TransportError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { cutAt } from "../support/faulty.ts";
import { CARRIERS, type Harness, type HarnessOptions, startHarness } from "../support/harness.ts";

const EVENTS = 30;
/** Welcome, acceptance, events, result. */
const FRAMES_DOWN = EVENTS + 3;
/** Hello, submit, and an acknowledgement per event. */
const FRAMES_UP = EVENTS + 2;
const MESSAGES = Array.from({ length: EVENTS }, (_, index) => String(index + 1));

class Counted {
  runs = 0;
  readonly agents: NonNullable<HarnessOptions["agents"]> = {
    counter: async (_input, context) => {
      this.runs += 1;
      for (const message of MESSAGES) {
        await context.log("info", message);
        // Some events leave alone, some together.
        if (Number(message) % 3 === 0) await context.flush();
      }
      return "done";
    },
  };
}

const boundaries = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Runs the scenario with a client that reconnects by itself, and checks all that it sees. */
async function expectWholeJob(harness: Harness, counted: Counted, connect: () => Promise<ARCPClient>): Promise<void> {
  const client = await connect();
  const session = client.session?.sessionId;
  const job = await client.submit({ agent: "counter" });
  const events: { readonly seq: number | undefined; readonly message: string }[] = [];
  for await (const event of job) {
    if (event.kind === "log") events.push({ seq: event.seq, message: event.body.message });
    client.ack(event.seq ?? 0);
  }
  expect(events).toEqual(MESSAGES.map((message) => ({ seq: Number(message), message })));
  expect((await job.done).result).toBe("done");
  expect(client.session?.sessionId).toBe(session);
  // A submission whose acceptance was lost is repeated; after the job's end that brings its end once more (§7.2).
  expect(client.resumeInfo?.lastEventSeq).toBeGreaterThanOrEqual(EVENTS + 1);
  expect(counted.runs).toBe(1);
  expect(harness.server.runningJobs).toBe(0);
  await client.close();
}

const connecting = (harness: Harness, factory = async () => harness.transport()): (() => Promise<ARCPClient>) => {
  const options = { token: "alice", logger: silentLogger, autoAck: false };
  return async () => ARCPClient.connect(factory, { ...options, reconnect: { initialDelayMs: 0, maxDelayMs: 1 } });
};

/** Loses frame `indexes[n]` of connection `n`, and everything after it. Says how many connections were lost. */
function losing(end: "left" | "right", indexes: readonly number[], fate: "cut" | "drop" = "cut") {
  const state = { connections: 0, losses: 0 };
  const faults = (): { readonly [End in "left" | "right"]?: MemoryTransportOptions } => {
    const lostIndex = indexes[state.connections];
    state.connections += 1;
    return {
      [end]: {
        onSend: (_frame: string, index: number) => {
          if (index !== lostIndex) return "deliver";
          state.losses += 1;
          return fate;
        },
      },
    };
  };
  return { state, faults };
}

describe("a client that reconnects by itself", () => {
  test.each(boundaries(1, FRAMES_DOWN - 1))("misses nothing when message %i of the runtime is lost", async (index) => {
    covers("V11-6.3-07", "V11-6.3-10", "V11-6.3-03");
    // The welcome of the first attempt to resume is lost as well, and so is what follows it in the second.
    for (const indexes of [[index], [index, 0], [index, 1, 0, 2]]) {
      const counted = new Counted();
      const { state, faults } = losing("right", indexes);
      await using harness = startHarness({ agents: counted.agents, faults });
      await expectWholeJob(harness, counted, connecting(harness));
      expect(state.losses).toBeGreaterThan(0);
      expect(state.connections).toBeGreaterThan(1);
    }
  });

  test.each(boundaries(1, FRAMES_UP - 1))("misses nothing when message %i of its own is lost", async (index) => {
    covers("V11-6.3-07", "V11-6.3-10", "V11-6.3-03");
    for (const indexes of [[index], [index, 0], [index, 1, 0, 2]]) {
      const counted = new Counted();
      const { state, faults } = losing("left", indexes);
      await using harness = startHarness({ agents: counted.agents, faults });
      await expectWholeJob(harness, counted, connecting(harness));
      expect(state.losses).toBeGreaterThan(0);
      expect(state.connections).toBeGreaterThan(1);
    }
  });

  test.each(boundaries(2, FRAMES_DOWN - 2))(
    "notices that message %i alone is missing, and has it replayed",
    async (index) => {
      const counted = new Counted();
      const { state, faults } = losing("right", [index], "drop");
      await using harness = startHarness({ agents: counted.agents, faults });
      await expectWholeJob(harness, counted, connecting(harness));
      expect(state.connections).toBe(2);
    },
  );

  test("takes every message once when each is delivered twice, in both directions", async () => {
    const counted = new Counted();
    const twice: MemoryTransportOptions = { onSend: () => "duplicate" };
    await using harness = startHarness({
      agents: counted.agents,
      faults: () => ({ left: { onSend: (_frame, index) => (index === 0 ? "deliver" : "duplicate") }, right: twice }),
    });
    await expectWholeJob(harness, counted, connecting(harness));
  });

  test("is told when the very first connection is lost, and can be made again", async () => {
    for (const end of ["left", "right"] as const) {
      const counted = new Counted();
      const { faults } = losing(end, [0]);
      await using harness = startHarness({ agents: counted.agents, faults });
      const connect = connecting(harness);
      await expect(connect()).rejects.toBeInstanceOf(TransportError);
      await expectWholeJob(harness, counted, connect);
    }
  });
});

describe.each(CARRIERS)("over %s, a client that reconnects by itself", (carrier) => {
  test("misses nothing when it is cut off after any message that it received", async () => {
    covers("V11-6.3-07", "V11-6.3-10");
    for (const received of boundaries(1, FRAMES_DOWN - 1)) {
      const counted = new Counted();
      await using harness = startHarness({ carrier, agents: counted.agents });
      let cuts = 0;
      let connections = 0;
      const factory = async () => {
        const transport = await harness.transport();
        connections += 1;
        // The second connection is cut right after its welcome.
        const plan = [received, 1][connections - 1];
        return plan === undefined ? transport : cutAt(transport, { received: plan, onCut: () => (cuts += 1) });
      };
      await expectWholeJob(harness, counted, connecting(harness, factory));
      expect([received, cuts, connections]).toEqual([received, 2, 3]);
    }
  });

  test("misses nothing when it is cut off after any message that it sent", async () => {
    covers("V11-6.3-07", "V11-6.3-10");
    for (const sent of boundaries(2, FRAMES_UP - 1)) {
      const counted = new Counted();
      await using harness = startHarness({ carrier, agents: counted.agents });
      let cuts = 0;
      let connections = 0;
      const factory = async () => {
        const transport = await harness.transport();
        connections += 1;
        // The second connection is cut right after its hello.
        const plan = [sent, 1][connections - 1];
        return plan === undefined ? transport : cutAt(transport, { sent: plan, onCut: () => (cuts += 1) });
      };
      await expectWholeJob(harness, counted, connecting(harness, factory));
      expect([sent, cuts]).toEqual([sent, 2]);
    }
  });
});
