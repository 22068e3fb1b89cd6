/** A runtime is killed while a client takes up its session again: whatever the client was sent, it can go on from there. */
import type { Store } from "@arcp/runtime";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { idle } from "./crash-images.ts";
import { Lives, turns } from "./lives.ts";

/** A process that dies with a commit under way: what is committed after {@link stop} never reaches the store. */
class StoppedCommits {
  readonly #killed = Promise.withResolvers<never>();
  #isStopped = false;
  #waiting = 0;

  constructor() {
    this.#killed.promise.catch(() => {});
  }

  readonly wrap = (store: Store): Store => {
    const commit = async (batch: Parameters<Store["commit"]>[0]): Promise<void> => {
      if (!this.#isStopped) return store.commit(batch);
      this.#waiting += 1;
      return this.#killed.promise;
    };
    return new Proxy(store, {
      get(target, name) {
        if (name === "commit") return commit;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };

  stop(): void {
    this.#isStopped = true;
  }

  /** Resolves when a commit waits, and what is sent in spite of it has been sent. */
  async waits(): Promise<void> {
    while (this.#waiting === 0) await turns();
    await turns();
  }

  async kill(lives: Lives): Promise<void> {
    this.#killed.reject(new Error("killed"));
    await lives.kill();
  }
}

/** A job that says one thing while its client is there, and the rest while it is away. */
function speaker() {
  const gate = Promise.withResolvers<void>();
  const handler = async (_input: unknown, context: { log(level: "info", message: string): Promise<void> }) => {
    await context.log("info", "first");
    await gate.promise;
    await context.log("info", "second");
  };
  return { handler, goOn: () => gate.resolve() };
}

test("over wire 1.0 nothing is sent of an old session before it is stored that it may have been", async () => {
  covers("V10-19-01", "V10-19-04");
  const { handler, goOn } = speaker();
  await using lives = new Lives({ speaker: { handler } });
  const commits = new StoppedCommits();
  await lives.begin(commits.wrap);
  const first = await lives.session10();
  const { sessionId } = first;
  const { job_id } = await first.invoke("speaker");
  const seen = await first.sees(({ payload }) => payload.message === "first");
  first.cut();
  await turns();
  goOn();
  await idle(lives.server);
  await turns();
  const second = await lives.session10();
  await turns();
  commits.stop();
  second.send("resume", { after_message_id: seen.id }, { session_id: sessionId });
  await commits.waits();
  const sent = second.frames.filter(({ session_id }) => session_id === sessionId);
  await commits.kill(lives);
  await lives.begin();
  const third = await lives.session10();
  const after_message_id = (sent.findLast((frame) => frame.job_id !== undefined) ?? seen).id;
  const answer = await third.ask("resume", { after_message_id }, { session_id: sessionId });
  if (answer.type === "nack") expect(answer.payload).toEqual("an acknowledgement");
  await third.ending(job_id);
  expect(sent).toEqual([]);
});

test("over wire 1.1, too", async () => {
  const { handler, goOn } = speaker();
  await using lives = new Lives({ speaker: { handler } });
  const commits = new StoppedCommits();
  await lives.begin(commits.wrap);
  const first = await lives.session();
  await first.submit("speaker");
  await first.next("job.event");
  first.cut();
  await turns();
  goOn();
  await idle(lives.server);
  await turns();
  const second = await lives.raw();
  commits.stop();
  void second.resume(first, first.numbered.at(-1)?.event_seq ?? 0, "alice").catch(() => {});
  await commits.waits();
  expect(second.frames).toEqual([]);
  await commits.kill(lives);
  await lives.begin();
  const third = await lives.resumed(first);
  await third.next("job.result");
});
