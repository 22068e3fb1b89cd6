/**
 * Bugs in what several runtimes have between them. Whose something is, is decided by functions of the database, so that is where
 * fencing is switched off: in the schema of an episode, and nowhere else.
 */
import { isShared, type SharedStore, type Store } from "@arcp/runtime";
import type { Fault } from "../plan.ts";
import { NODE_TTL_MS } from "../runtime-settings.ts";
import { overlaid } from "../wrappers.ts";
import type { Rewriting, SeededBug } from "./mutant.ts";

/** Long enough for others to go on with what a runtime had, which knows nothing of that. */
const MISTAKEN_FOR_DEAD: readonly Fault[] = [
  { do: "freeze", forMs: NODE_TTL_MS * 1.75 },
  { do: "part from database", way: "silent", forMs: NODE_TTL_MS * 1.75 },
];
const MOVED: readonly Fault[] = [{ do: "cut all", way: "reset" }];

/** Who was declared dead commits all the same. */
const DEAD_MAY_COMMIT: Rewriting = {
  name: "commit_batch",
  said: "WHERE id = p_node AND is_up AND batch < p_batch",
  instead: "WHERE id = p_node AND batch < p_batch",
};
const DEAD_MAY_TAKE: Rewriting = {
  name: "assert_up",
  said: "WHERE id = p_node AND is_up",
  instead: "WHERE id = p_node",
};
/** It is not told that it was declared dead. */
const DEAD_ARE_NOT_TOLD: Rewriting = {
  name: "beat",
  said: "WHERE id = p_node AND is_up RETURNING",
  instead: "WHERE id = p_node RETURNING",
};
const ANY_EPOCH_OF_JOB: Rewriting = {
  name: "commit_batch",
  said: "WHERE j.id = w.id AND j.epoch = w.epoch",
  instead: "WHERE j.id = w.id AND w.epoch IS NOT NULL",
};
const NO_LATER_EPOCH_OF_JOB: Rewriting = { ...ANY_EPOCH_OF_JOB, instead: "WHERE j.id = w.id AND j.epoch >= w.epoch" };
/** What was written twice is kept once: nobody hears that there were two. */
const FIRST_ENTRY_COUNTS: Rewriting = {
  name: "commit_batch",
  said: "AS e(job, n, ts, code, payload);",
  instead: "AS e(job, n, ts, code, payload) ON CONFLICT DO NOTHING;",
};
const ANY_EPOCH_OF_SESSION: readonly Rewriting[] = [
  {
    name: "commit_batch",
    said: "WHERE s.epoch = w.epoch AND s.node = p_node FOR SHARE OF s",
    instead: "FOR SHARE OF s",
  },
  {
    name: "commit_batch",
    said: "WHERE s.epoch = excluded.epoch AND s.node = excluded.node",
    instead: "WHERE true",
  },
];

/** A store that several share, in another way. */
const sharing =
  (change: (store: SharedStore) => Partial<SharedStore>) =>
  (store: Store): Store =>
    isShared(store) ? overlaid(store, change(store)) : store;

export const CLUSTER_BUGS: Readonly<Record<string, SeededBug>> = {
  "fencing-off": {
    is: "nobody is refused or told that others have what it had: a runtime that was declared dead goes on",
    caughtBy: ["I5"],
    faults: MISTAKEN_FOR_DEAD,
    inDatabase: [
      ...[DEAD_MAY_COMMIT, DEAD_MAY_TAKE, DEAD_ARE_NOT_TOLD, ANY_EPOCH_OF_JOB, FIRST_ENTRY_COUNTS],
      ...ANY_EPOCH_OF_SESSION,
    ],
  },
  "drops-the-fence": {
    is: "commits are not compared with the epochs of their jobs, nor with who lives",
    caughtBy: ["I5"],
    faults: MISTAKEN_FOR_DEAD,
    inDatabase: [DEAD_MAY_COMMIT, DEAD_ARE_NOT_TOLD, ANY_EPOCH_OF_JOB, FIRST_ENTRY_COUNTS],
  },
  "fence-at-least": {
    is: "epochs are compared with >= instead of =",
    caughtBy: ["I5"],
    faults: MISTAKEN_FOR_DEAD,
    inDatabase: [DEAD_MAY_COMMIT, DEAD_ARE_NOT_TOLD, NO_LATER_EPOCH_OF_JOB, FIRST_ENTRY_COUNTS],
  },
  "epoch-stays": {
    is: "a job changes hands under the epoch that it had",
    caughtBy: ["I5"],
    faults: MISTAKEN_FOR_DEAD,
    inDatabase: [{ name: "claim_jobs", said: "epoch = j.epoch + 1", instead: "epoch = j.epoch" }],
  },
  "sessions-unfenced": {
    is: "who has lost a session to another runtime goes on numbering it",
    caughtBy: ["I5", "I2"],
    faults: MOVED,
    inDatabase: ANY_EPOCH_OF_SESSION,
  },
  "session-epoch-stays": {
    is: "a session changes hands under the epoch that it had, and without a word to who had it",
    caughtBy: ["I5", "I2"],
    faults: MOVED,
    inDatabase: [
      { name: "take_session", said: "SET node = p_node, epoch = epoch + 1", instead: "SET epoch = epoch" },
      ...ANY_EPOCH_OF_SESSION.slice(0, 1),
    ],
  },
  "key-bound-alone": {
    is: "an idempotency key is bound without asking the other runtimes",
    caughtBy: ["I4", "I13"],
    faults: MOVED,
    make: () => ({
      store: sharing(() => ({ bindKey: async (record) => record, findIdempotency: async () => undefined })),
    }),
  },
  "left-to-the-dead": {
    is: "what dead runtimes had is nobody's for ever",
    caughtBy: ["I13"],
    make: () => ({ store: sharing(() => ({ claimJobs: async () => [] })) }),
  },
  "notify-without-polling": {
    is: "a notification that is lost is the last",
    caughtBy: ["I13"],
    faults: MOVED,
    make: () => {
      let told = 0;
      return {
        store: sharing((store) => ({
          watch: (onWake) =>
            store.watch((wake) => {
              told += 1;
              if (wake.jobs !== undefined && told % 3 !== 0) onWake(wake);
            }),
          heads: async () => [],
          liveJobsOf: async () => [],
        })),
      };
    },
  },
};
