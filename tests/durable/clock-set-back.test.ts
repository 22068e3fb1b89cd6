/** The wall clock is set back while a durable job sleeps: no sleep is longer for it, before a restart or after one. */
import { expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { Lives, turns } from "./lives.ts";

const HOUR_MS = 3_600_000;

/** Time passes; the wall clock can be set. */
class SettableClock extends ManualClock {
  setBackMs = 0;

  override now(): number {
    return super.now() - this.setBackMs;
  }
}

function sleepers(clock: SettableClock) {
  const woken: string[] = [];
  const lives = new Lives(
    {
      main: {
        handler: async (_, context) => {
          await context.sleep(40);
          woken.push("woken");
        },
      },
    },
    { clock },
  );
  return { lives, woken };
}

test("a sleep of 40 ms is over after 40 ms, although the clock was set back by an hour meanwhile", async () => {
  const clock = new SettableClock();
  const { lives, woken } = sleepers(clock);
  await using _ = lives;
  await lives.begin();
  await lives.submit("main");
  clock.setBackMs = HOUR_MS;
  clock.advance(40);
  await turns();
  expect(woken).toEqual(["woken"]);
});

test("after a restart it takes no longer than it was to take from the beginning", async () => {
  const clock = new SettableClock();
  const { lives, woken } = sleepers(clock);
  await using _ = lives;
  await lives.begin();
  await lives.submit("main");
  await lives.end();
  clock.setBackMs = HOUR_MS;
  await lives.begin();
  expect(woken).toEqual([]);
  clock.advance(40);
  await turns();
  expect(woken).toEqual(["woken"]);
});
