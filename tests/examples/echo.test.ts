import { expect, it } from "vitest";
import echo from "../../examples/echo/agent.ts";
import { RecordingContext } from "./recording-context.ts";

it.each([undefined, null, "text", 5, [1, 2], { steps: "many" }])("returns %j as it is, in no steps", async (input) => {
  const recording = new RecordingContext();
  expect(await echo(input, recording.context)).toEqual({ echoed: input });
  expect(recording.of("log")).toHaveLength(2);
  expect(recording.of("progress")).toEqual([]);
});

it("takes as many steps as it is asked to", async () => {
  const recording = new RecordingContext();
  await echo({ steps: 3 }, recording.context);
  expect(recording.of("progress").map(({ current, total }) => [current, total])).toEqual([
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
});

it("ends with the reason of the cancellation, between steps and while it waits", async () => {
  const reason = new Error("enough");
  const atFirstStep = new RecordingContext(({ kind }, cancel) => kind === "progress" && cancel(reason));
  await expect(echo({ steps: 3 }, atFirstStep.context)).rejects.toBe(reason);
  expect(atFirstStep.of("progress")).toHaveLength(1);

  const whileWaiting = new RecordingContext((_event, cancel) => queueMicrotask(() => cancel(reason)));
  await expect(echo({ steps: 1, delayMs: 60_000 }, whileWaiting.context)).rejects.toBe(reason);
});
