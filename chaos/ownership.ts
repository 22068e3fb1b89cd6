/** What a node makes its own, and what it gets in, in its own words: written down as soon as the store has answered. */
import type { Batch, SharedStore } from "@arcp/runtime";
import { type Recorder, sharedNow, type Written } from "./history.ts";
import { overlaid, settled } from "./wrappers.ts";

export function onRecord(store: SharedStore, ledger: Recorder, life: number): SharedStore {
  return overlaid(store, {
    commit: async (open) => {
      const batch = settled(open);
      // Before it is sent: what is taken from the node meanwhile is stripped from it.
      const line = { jobs: writtenIn(batch), sessions: [...batch.runs.keys()], since: sharedNow() };
      await store.commit(batch);
      if (line.jobs.length + line.sessions.length > 0) ledger.write({ kind: "committed", life, ...line });
    },
    claimJobs: async (...args) => {
      const jobs = await store.claimJobs(...args);
      if (jobs.length > 0) ledger.write({ kind: "claimed", life, jobs: jobs.map(({ id, epoch }) => [id, epoch]) });
      return jobs;
    },
    takeSession: async (...args) => {
      const since = sharedNow();
      const taken = await store.takeSession(...args);
      if (taken !== undefined) ledger.write({ kind: "taken", life, since, session: taken.record.id });
      return taken;
    },
  });
}

function writtenIn({ jobs, entries, jobChanges }: Batch): readonly Written[] {
  const epochs = new Map([...jobChanges].map(([id, { epoch }]) => [id, epoch]));
  for (const [id, { epoch }] of entries) epochs.set(id, epoch);
  for (const { id, epoch, isForAnybody } of jobs) if (isForAnybody !== true) epochs.set(id, epoch);
  return [...epochs].map(([id, epoch]) => {
    const list = entries.get(id)?.list ?? [];
    return [id, epoch, list[0]?.n ?? 0, list.at(-1)?.n ?? -1];
  });
}
