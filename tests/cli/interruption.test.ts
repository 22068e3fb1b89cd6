import { describe, expect, it, onTestFinished } from "vitest";
import { type Choice, Interruption } from "../../packages/sdk/src/cli/interruption.ts";
import { Terminal } from "../../packages/sdk/src/cli/terminal.ts";
import { Screen } from "./screen.ts";

/** Ctrl-C as this process would have it, for the listeners that the test has added. */
function interrupt(before: readonly NodeJS.SignalsListener[]): void {
  for (const listener of process.listeners("SIGINT")) if (!before.includes(listener)) listener("SIGINT");
}

function start(options: { readonly canAsk: boolean }) {
  const before = process.listeners("SIGINT");
  const screen = new Screen();
  const terminal = new Terminal(screen, {});
  terminal.setLive(["live"]);
  const questions: ((choice: Choice) => void)[] = [];
  let cancelled = 0;
  const interruption = new Interruption({
    terminal: options.canAsk ? terminal : undefined,
    ask: (signal) =>
      new Promise((resolve) => {
        questions.push(resolve);
        signal.addEventListener("abort", () => resolve("continue"));
      }),
    onCancel: async () => {
      cancelled += 1;
    },
  });
  onTestFinished(() => interruption.stop());
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return {
    screen,
    interruption,
    questions,
    settled,
    press: () => interrupt(before),
    cancelled: () => cancelled,
    listeners: () => process.listeners("SIGINT").length - before.length,
  };
}

describe("Ctrl-C while a job is watched", () => {
  it("detaches at once where nobody can be asked", () => {
    const { interruption, press, questions } = start({ canAsk: false });
    press();
    expect(interruption.detached.aborted).toBe(true);
    expect(questions).toHaveLength(0);
  });

  it("asks on a terminal, which is free for the question, and goes on", async () => {
    const { interruption, press, questions, screen, settled } = start({ canAsk: true });
    press();
    expect(screen.lines).toEqual([]);
    questions[0]?.("continue");
    await settled();
    expect(screen.lines).toEqual(["live"]);
    expect(interruption.detached.aborted).toBe(false);
    press();
    expect(questions).toHaveLength(2);
  });

  it.each([
    ["detach", true, 0],
    ["cancel", false, 1],
  ] as const)("does what is chosen: %s", async (choice, isDetached, cancelledCount) => {
    const { interruption, press, questions, settled, cancelled } = start({ canAsk: true });
    press();
    questions[0]?.(choice);
    await settled();
    expect([interruption.detached.aborted, cancelled()]).toEqual([isDetached, cancelledCount]);
  });

  it("detaches when it is pressed again", () => {
    const { interruption, press, questions } = start({ canAsk: true });
    press();
    press();
    expect(questions).toHaveLength(1);
    expect(interruption.detached.aborted).toBe(true);
  });

  it("takes the question back when the job has ended, and leaves signals to others", async () => {
    const { interruption, press, screen, listeners } = start({ canAsk: true });
    press();
    await interruption.stop();
    expect(screen.lines).toEqual(["live"]);
    expect(interruption.detached.aborted).toBe(false);
    expect(listeners()).toBe(0);
  });
});
