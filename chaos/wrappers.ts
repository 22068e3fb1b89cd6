/** Puts fail-points, and hooks for seeded bugs, around the parts that a runtime is given. */
import type { Transport } from "@arcp/core";
import {
  type Batch,
  type BlobStore,
  type CredentialProvisioner,
  isShared,
  type SharedStore,
  type Store,
} from "@arcp/runtime";
import type Database from "better-sqlite3";
import type { FailMoment, FailPoint, FailPoints } from "./fail-points.ts";

/** `part` with some members in the place of its own. What is left out stays as it is. */
export function overlaid<Part extends object>(part: Part, members: Partial<Part>): Part {
  return new Proxy(part, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const before = (points: readonly FailPoint[]): FailMoment[] => points.map((point) => `${point}.before` as const);
const after = (points: readonly FailPoint[]): FailMoment[] => points.map((point) => `${point}.after` as const);

/** The same batch, whose parts can be looked at more than once. */
export function settled(batch: Batch): Batch {
  return overlaid(batch, { sessions: [...batch.sessions], records: [...batch.records] });
}

/** What a batch is about, as points. */
function pointsOf(batch: Batch): FailPoint[] {
  const points: FailPoint[] = ["commit"];
  if (batch.jobs.length > 0) points.push("commit.accept");
  if (batch.entries.size > 0) points.push("commit.entries");
  if ([...batch.jobChanges.values()].some(({ endedAt }) => endedAt !== null)) points.push("commit.terminal");
  if ([...batch.sessions].length > 0) points.push("commit.session");
  if (batch.credentials.length > 0) points.push("commit.credential");
  if ([...batch.records].length > 0) points.push("commit.record");
  return points;
}

/** The same batch, which passes points while it is read: a store reads its sessions first, and its records last. */
function withPointsInside(batch: Batch, points: FailPoints): Batch {
  // To be read again, like what it stands for: a commit may be tried twice.
  const passing = <Item>(items: Iterable<Item>, moment: FailMoment): Iterable<Item> => ({
    *[Symbol.iterator]() {
      yield* items;
      points.passNow(moment);
    },
  });
  return overlaid(batch, {
    sessions: passing(batch.sessions, "commit.inside.before"),
    records: passing(batch.records, "commit.inside.after"),
  });
}

/** Passes points around each step of the schema. Patches the library of the database: of this process alone. */
export function patchSchemaSteps(library: typeof Database, points: FailPoints): void {
  const { exec } = library.prototype;
  library.prototype.exec = function (this: Database.Database, source: string) {
    points.passNow("schema.before");
    const result = exec.call(this, source);
    points.passNow("schema.after");
    return result;
  };
}

export function storeWithFailPoints(whole: Store, points: FailPoints): Store {
  const through =
    <Args extends readonly unknown[], Result>(point: FailPoint, act: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      await points.pass(`${point}.before`);
      const result = await act(...args);
      await points.pass(`${point}.after`);
      return result;
    };
  const shared = (store: SharedStore): SharedStore =>
    overlaid(store, {
      join: through("join", (...args) => store.join(...args)),
      beat: through("beat", (facts) => store.beat(facts)),
      claimJobs: through("claim", (...args) => store.claimJobs(...args)),
      takeSession: through("take-session", (...args) => store.takeSession(...args)),
      bindKey: through("bind-key", (record) => store.bindKey(record)),
      releaseJobs: through("release", (ids) => store.releaseJobs(ids)),
      leave: through("leave", () => store.leave()),
      heads: through("heads", (ids) => store.heads(ids)),
    });
  const store = isShared(whole) ? shared(whole) : whole;
  return overlaid(store, {
    commit: async (open) => {
      const batch = settled(open);
      const about = pointsOf(batch);
      await points.pass(...before(about));
      await store.commit(withPointsInside(batch, points));
      await points.pass(...after(about));
    },
    takeOver: through("take-over", (now) => store.takeOver(now)),
    sweep: through("sweep", (bounds) => store.sweep(bounds)),
    findSession: through("read.session", (id) => store.findSession(id)),
    readFeed: through("read.feed", (...args) => store.readFeed(...args)),
    readJournal: through("read.journal", (...args) => store.readJournal(...args)),
    findIdempotency: through("read.key", (...args) => store.findIdempotency(...args)),
  });
}

/** What a frame of wire 1.1 is about. */
function pointsOfFrame(frame: string): FailPoint[] {
  const points: FailPoint[] = ["send"];
  const [, type] = /"type":"([a-z._]+)"/.exec(frame) ?? [];
  if (type === "session.welcome" || type === "session.accepted") points.push("send.welcome");
  if (type === "job.accepted") points.push("send.accepted");
  if (frame.includes('"event_seq":')) points.push("send.numbered");
  if (type === "job.result" || type === "job.error" || type === "tool.result") points.push("send.terminal");
  return points;
}

/** A `throw` on a connection is its end: {@link Transport.send} itself never fails. */
export function transportWithFailPoints(transport: Transport, points: FailPoints): Transport {
  const attempt = (moments: readonly FailMoment[]): boolean => {
    try {
      points.passNow(...moments);
      return true;
    } catch {
      // The peer and the runtime learn of it by the connection's end.
      transport.abort("fail-point");
      return false;
    }
  };
  return overlaid(transport, {
    send: (frame) => {
      const about = pointsOfFrame(frame);
      if (!attempt(before(about))) return;
      transport.send(frame);
      attempt(after(about));
    },
    onFrame: (handler) =>
      transport.onFrame((frame) => {
        if (!attempt(["receive.before"])) return;
        handler(frame);
        attempt(["receive.after"]);
      }),
  });
}

export function provisionerWithFailPoints(
  provisioner: CredentialProvisioner,
  points: FailPoints,
): CredentialProvisioner {
  return overlaid(provisioner, {
    issue: async (request, signal) => {
      await points.pass("mint.before");
      const issued = await provisioner.issue(request, signal);
      await points.pass("mint.after");
      return issued;
    },
    revoke: async (reference, signal) => {
      await points.pass("revoke.before");
      await provisioner.revoke(reference, signal);
      await points.pass("revoke.after");
    },
  });
}

export function blobsWithFailPoints(blobs: BlobStore, points: FailPoints): BlobStore {
  return overlaid(blobs, {
    create: async (name) => {
      await points.pass("blob.create.before");
      const writer = await blobs.create(name);
      await points.pass("blob.create.after");
      return overlaid(writer, {
        write: async (bytes) => {
          await points.pass("blob.write.before");
          await writer.write(bytes);
          await points.pass("blob.write.after");
        },
        finish: async (sha256) => {
          await points.pass("blob.finish.before");
          const stored = await writer.finish(sha256);
          await points.pass("blob.finish.after");
          return stored;
        },
      });
    },
    remove: async (id) => {
      await points.pass("blob.remove.before");
      await blobs.remove(id);
      await points.pass("blob.remove.after");
    },
  });
}
