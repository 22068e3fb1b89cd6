/** Bugs between the engine and its database. */
import type { SessionId } from "@arcp/core";
import type { Batch, JobRecord, SessionRecord, Store } from "@arcp/runtime";
import { BUDGET_USD, COST_USD } from "../agents.ts";
import { PRINCIPALS } from "../runtime-settings.ts";
import { overlaid, settled } from "../wrappers.ts";
import { later, type SeededBug } from "./mutant.ts";

/** A store that makes something else of each batch. */
const rewriting =
  (rewrite: (batch: Batch, store: Store) => Batch | Promise<Batch>) =>
  (store: Store): Store =>
    overlaid(store, { commit: async (batch) => store.commit(await rewrite(settled(batch), store)) });

const ERROR_CODE = 21;
const NOTHING: Batch = {
  ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
  ...{ follows: [], audit: [], credentials: [], records: [] },
};

/** How much longer the disk takes than whoever does not wait for it. */
const DISK_MS = 40;

export const STORE_BUGS: Readonly<Record<string, SeededBug>> = {
  "send-before-commit": {
    is: "what a batch holds is sent, and acknowledged, while it is still on its way to the disk",
    caughtBy: ["I3", "I10"],
    make: () => {
      let last: Promise<void> = Promise.resolve();
      return {
        store: (store) =>
          overlaid(store, {
            commit: async (batch) => {
              const whole = structuredClone({
                ...settled(batch),
                callbacks: undefined,
                listeners: undefined,
                durable: undefined,
              });
              last = last.then(() => later(DISK_MS)).then(() => store.commit(whole));
            },
          }),
      };
    },
  },
  "numbers-apart": {
    is: "event_seq is stored in a transaction of its own, after the entries",
    caughtBy: ["I3", "I2"],
    faults: [{ do: "kill", failPoints: ["commit.entries.after:5:kill"] }],
    make: () => ({
      store: (store) =>
        overlaid(store, {
          commit: async (batch) => {
            const whole = settled(batch);
            await store.commit({ ...whole, runs: NOTHING.runs });
            if (whole.runs.size > 0) await store.commit({ ...NOTHING, runs: whole.runs });
          },
        }),
    }),
  },
  "token-after-welcome": {
    is: "a resume token is rotated before the row that knows it is stored",
    caughtBy: ["I10"],
    faults: [
      { do: "cut all", way: "reset" },
      { do: "kill", failPoints: ["send.welcome.after:3:kill"] },
    ],
    make: () => {
      const stored = new Map<SessionId, SessionRecord>();
      return {
        store: rewriting((batch) => ({
          ...batch,
          sessions: [...batch.sessions].map((session) => {
            const before = stored.get(session.id) ?? session;
            stored.set(session.id, session);
            const { tokenHash, previousTokenHash } = before;
            // With the next change of the session comes what this one has brought.
            return { ...session, tokenHash, previousTokenHash };
          }),
        })),
      };
    },
  },
  "forgets-previous-token": {
    is: "the token before the current one is not stored: who did not get the last welcome is locked out",
    caughtBy: ["I10"],
    faults: [
      { do: "cut all", way: "reset" },
      { do: "kill", failPoints: ["send.welcome.before:2:kill"] },
    ],
    make: () => ({
      store: rewriting((batch) => ({
        ...batch,
        sessions: [...batch.sessions].map((session) => ({ ...session, previousTokenHash: null })),
      })),
    }),
  },
  "swallows-failures": {
    is: "a failure of the disk is taken for success",
    caughtBy: ["I3", "I10"],
    faults: [{ do: "kill", failPoints: ["commit.entries.before:8:throw", "commit.accept.before:3:throw"] }],
    make: () => ({
      store: (store) =>
        overlaid(store, {
          commit: async (batch) => {
            await store.commit(batch).catch(() => {});
          },
        }),
    }),
  },
  "float-budget": {
    is: "budgets are counted in binary fractions",
    caughtBy: ["I7"],
    make: () => {
      const counted = <Holder extends Pick<JobRecord, "budget">>(holder: Holder): Holder => {
        const left = holder.budget?.["USD"];
        if (left === undefined) return holder;
        let exact = BUDGET_USD;
        for (let n = Math.round((BUDGET_USD - left) / COST_USD); n > 0; n -= 1) exact -= COST_USD;
        return Math.abs(exact - left) < COST_USD / 2 ? { ...holder, budget: { USD: exact } } : holder;
      };
      return {
        store: rewriting((batch) => ({
          ...batch,
          jobChanges: new Map([...batch.jobChanges].map(([id, change]) => [id, counted(change)])),
        })),
      };
    },
  },
  "mint-before-intent": {
    is: "a credential is asked for before there is a row that knows its alias",
    caughtBy: ["I8"],
    faults: [{ do: "kill", failPoints: ["mint.after:2:kill"] }],
    needsRevocation: true,
    make: () => ({
      store: rewriting((batch) => ({
        ...batch,
        credentials: batch.credentials.filter(({ state }) => state !== "intended"),
      })),
    }),
  },
  "outbox-too-soon": {
    is: "a revocation is taken off the list before the upstream has confirmed it",
    caughtBy: ["I8"],
    faults: [{ do: "kill", failPoints: ["revoke.before:1:kill"] }],
    needsRevocation: true,
    make: () => {
      const gone = new Set<string>();
      return {
        store: rewriting((batch) => ({
          ...batch,
          credentials: batch.credentials
            .filter(({ alias }) => !gone.has(alias))
            .map((credential) => {
              if (credential.state !== "revoking") return credential;
              gone.add(credential.alias);
              return { ...credential, state: "revoked", revokedAt: credential.revokingSince };
            }),
        })),
      };
    },
  },
  "numbers-as-text": {
    is: "numbers are compared as texts: 10 comes before 9",
    caughtBy: ["I2"],
    make: () => ({
      store: (store) =>
        overlaid(store, {
          readFeed: async (...args) => {
            const items = await store.readFeed(...args);
            return items.toSorted((a, b) => (String(a.seq) < String(b.seq) ? -1 : 1));
          },
        }),
    }),
  },
  "retention-too-short": {
    is: "events that were not acknowledged are deleted, and nobody is told",
    caughtBy: ["I2"],
    faults: [{ do: "cut all", way: "reset" }],
    make: () => ({
      store: (store) =>
        overlaid(store, {
          readFeed: async (id, after, limit, maxBytes) => {
            const items = await store.readFeed(id, after, limit, maxBytes);
            return items.length > 20 ? items.slice(5) : items;
          },
        }),
    }),
  },
  "second-terminal": {
    is: "a job that ends while it is cancelled ends twice",
    caughtBy: ["I1"],
    make: () => ({
      store: rewriting((batch) => {
        const entries = new Map(batch.entries);
        const jobChanges = new Map(batch.jobChanges);
        for (const [id, change] of batch.jobChanges) {
          const own = batch.entries.get(id);
          const last = own?.list.at(-1);
          if (change.status !== "cancelled" || own === undefined || last?.code !== ERROR_CODE) continue;
          entries.set(id, { ...own, list: [...own.list, { ...last, n: last.n + 1 }] });
          jobChanges.set(id, { ...change, lastN: change.lastN + 1 });
        }
        return { ...batch, entries, jobChanges };
      }),
    }),
  },
  "global-key": {
    is: "idempotency keys are one space for all principals",
    caughtBy: ["I4", "I11"],
    make: () => ({
      store: (store) =>
        overlaid(store, {
          findIdempotency: async (principal, key) => {
            for (const anybody of [principal, ...PRINCIPALS]) {
              const found = await store.findIdempotency(anybody, key);
              if (found !== undefined) return { ...found, principal };
            }
            return undefined;
          },
        }),
    }),
  },
  "key-forgotten": {
    is: "an idempotency key is looked up in memory alone",
    caughtBy: ["I4", "I13"],
    faults: [{ do: "kill", failPoints: ["send.accepted.before:2:kill"] }],
    make: () => ({ store: (store) => overlaid(store, { findIdempotency: async () => undefined }) }),
  },
  "jobs-left-behind": {
    is: "a runtime does not take over what the one before it has left unfinished",
    caughtBy: ["I13"],
    make: () => ({ store: (store) => overlaid(store, { takeOver: async () => [] }) }),
  },
  "steps-forgotten": {
    is: "steps of durable jobs are done again after a restart",
    caughtBy: ["I4"],
    make: () => ({
      store: (store) =>
        overlaid(store, {
          listRecords: async (query) => (query.kind === "step" ? [] : store.listRecords(query)),
        }),
    }),
  },
  "steps-lost": {
    is: "a step returns before what it returned is stored",
    caughtBy: ["I4"],
    make: () => ({
      store: (store) => {
        const { commit } = rewriting((batch) => ({
          ...batch,
          records: [...batch.records].filter(({ kind, data }) => kind !== "step" || data === null),
        }))(store);
        return overlaid(store, {
          commit: async (batch) => {
            const whole = settled(batch);
            const steps = [...whole.records].filter(({ kind, data }) => kind === "step" && data !== null);
            await commit(whole);
            // The disk is slow, and nobody waits for it.
            if (steps.length > 0)
              void later(DISK_MS)
                .then(() => store.commit({ ...NOTHING, records: steps }))
                .catch(() => {});
          },
        });
      },
    }),
  },
  "audit-gap": {
    is: "some of what is to be audited is left out",
    caughtBy: ["I16"],
    make: () => ({
      store: rewriting((batch) => ({ ...batch, audit: batch.audit.filter((_, index) => index % 3 !== 2) })),
    }),
  },
};
