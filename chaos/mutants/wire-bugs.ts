/** Bugs between the engine and its connections, its clock, and the upstream of its credentials. */
import type { Transport } from "@arcp/core";
import { overlaid } from "../wrappers.ts";
import { later, type SeededBug } from "./mutant.ts";

interface Spoken {
  readonly type?: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly event_seq?: number;
  readonly payload?: {
    readonly auth?: { readonly token?: string };
    readonly resume?: { readonly session_id?: string; readonly last_event_seq?: number };
  };
}

const spoken = (frame: string): Spoken => {
  try {
    return (JSON.parse(frame) ?? {}) as Spoken;
  } catch {
    return {}; // A client may say anything.
  }
};

/** A transport that sends what `say` makes of each numbered frame after a resumption, by its place there. */
const afterResumption =
  (say: (frame: string, place: number) => readonly string[]) =>
  (transport: Transport): Transport => {
    let isResumed = false;
    let place = 0;
    return overlaid(transport, {
      onFrame: (handler) =>
        transport.onFrame((frame) => {
          if (frame.includes('"resume":{')) isResumed = true;
          handler(frame);
        }),
      send: (frame) => {
        if (!isResumed || !frame.includes('"event_seq":')) return transport.send(frame);
        place += 1;
        for (const text of say(frame, place)) transport.send(text);
      },
    });
  };

const CONNECTION_ENDS = [{ do: "cut all", way: "reset" }] as const;
/** A displaced connection that nobody ends is there for so long. */
const GHOST_MS = 10_000;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const POLL_MS = 20;

export const WIRE_BUGS: Readonly<Record<string, SeededBug>> = {
  "handover-gap": {
    is: "an event that comes between replay and live delivery is left out",
    caughtBy: ["I2"],
    faults: CONNECTION_ENDS,
    make: () => ({ transport: afterResumption((frame, place) => (place === 2 ? [] : [frame])) }),
  },
  "handover-overlap": {
    is: "the last event of the replay comes again live",
    caughtBy: ["I2"],
    faults: CONNECTION_ENDS,
    make: () => ({ transport: afterResumption((frame, place) => (place === 2 ? [frame, frame] : [frame])) }),
  },
  "epoch-missing": {
    is: "numbers that this history never had are taken for its head",
    caughtBy: ["I2"],
    faults: CONNECTION_ENDS,
    make: () => {
      const heads = new Map<string, number>();
      return {
        transport: (transport) =>
          overlaid(transport, {
            send: (frame) => {
              const { session_id, event_seq } = spoken(frame);
              if (session_id !== undefined && event_seq !== undefined) heads.set(session_id, event_seq);
              transport.send(frame);
            },
            onFrame: (handler) =>
              transport.onFrame((frame) => {
                const resume = spoken(frame).payload?.resume;
                const head = heads.get(resume?.session_id ?? "") ?? 0;
                const said = resume?.last_event_seq ?? 0;
                handler(
                  said > head && head > 0
                    ? frame.replace(`"last_event_seq":${said}`, `"last_event_seq":${head}`)
                    : frame,
                );
              }),
          }),
      };
    },
  },
  "token-is-enough": {
    is: "whoever holds a resume token has its session, whoever that is",
    caughtBy: ["I10", "I11"],
    make: () => {
      const owners = new Map<string, string>();
      return {
        transport: (transport) => {
          let bearer = "";
          return overlaid(transport, {
            send: (frame) => {
              const { type, session_id } = spoken(frame);
              if (type === "session.welcome" && session_id !== undefined) owners.set(session_id, bearer);
              transport.send(frame);
            },
            onFrame: (handler) =>
              transport.onFrame((frame) => {
                const { type, payload } = spoken(frame);
                if (type !== "session.hello") return handler(frame);
                const said = payload?.auth?.token ?? "";
                bearer = owners.get(payload?.resume?.session_id ?? "") ?? said;
                handler(frame.replace(`"token":"${said}"`, `"token":"${bearer}"`));
              }),
          });
        },
      };
    },
  },
  "two-places": {
    is: "a connection whose session has moved goes on",
    caughtBy: ["I10"],
    make: () => {
      const open = new Map<string, Transport[]>();
      return {
        transport: (transport) => {
          const made = overlaid(transport, {
            send: (frame) => {
              const { type, session_id = "", event_seq } = spoken(frame);
              const others = open.get(session_id) ?? [];
              if (type === "session.welcome")
                open.set(session_id, [...others.filter(({ isClosed }) => !isClosed), transport]);
              transport.send(frame);
              if (event_seq !== undefined) for (const other of others) if (other !== transport) other.send(frame);
            },
            close: (code, reason) => void later(GHOST_MS).then(() => transport.close(code, reason)),
            abort: (reason) => void later(GHOST_MS).then(() => transport.abort(reason)),
          });
          return made;
        },
      };
    },
  },
  "unbounded-queue": {
    is: "what does not leave a socket is written all the same",
    caughtBy: ["I12"],
    faults: [{ do: "flood", forMs: 3_000 }],
    make: () => ({
      transport: (transport) =>
        new Proxy(transport, {
          get(target, name) {
            if (name === "bufferedBytes") return 0;
            if (name === "drained") return async () => {};
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        }),
    }),
  },
  "existence-oracle": {
    is: "whoever asks about another's job is told that there is one",
    caughtBy: ["I11"],
    make: () => ({ options: { hideForeignJobs: false } }),
  },
  "secret-to-observers": {
    is: "whoever watches a job is sent the credential that it was given",
    caughtBy: ["I11"],
    make: () => {
      const values = new Map<string, string>();
      return {
        provisioner: (provisioner) =>
          overlaid(provisioner, {
            issue: async (request, signal) => {
              const issued = await provisioner.issue(request, signal);
              values.set(request.jobId, issued.value);
              return issued;
            },
          }),
        transport: (transport) =>
          overlaid(transport, {
            send: (frame) => {
              const { type, job_id = "" } = spoken(frame);
              const value = type === "job.event" ? values.get(job_id) : undefined;
              const isShown = value !== undefined && frame.includes('"body":{');
              transport.send(isShown ? frame.replace('"body":{', `"body":{"credential":"${value}",`) : frame);
            },
          }),
      };
    },
  },
  "secret-in-events": {
    is: "what a job says is not searched for its secrets",
    caughtBy: ["I11"],
    make: () => ({
      handler: (handler) => (input, context) =>
        handler(
          input,
          overlaid(context, {
            // In a spelling that nobody looks for on the way out, put right by the connection.
            credentials: context.credentials.map((credential) => ({
              ...credential,
              reveal: () => `plain ${[...credential.reveal()].join(" ")}`,
            })),
          }),
        ),
      transport: (transport) =>
        overlaid(transport, {
          send: (frame) =>
            transport.send(
              frame.replace(/plain ((?:[\w-] )+[\w-])/g, (_, spaced: string) => spaced.replaceAll(" ", "")),
            ),
        }),
    }),
  },
  "unknown-is-failure": {
    is: "an upstream that has no such credential is asked for its end again and again",
    caughtBy: ["I8"],
    faults: [{ do: "upstream", route: "generate", kinds: ["500", "500"] }],
    make: ({ upstream }) => ({
      provisioner: (provisioner) =>
        overlaid(provisioner, {
          revoke: async ({ alias }, signal) => {
            const { status } = await fetch(`${upstream.url}/key/delete`, {
              method: "POST",
              headers: { authorization: `Bearer ${upstream.masterKey}` },
              body: JSON.stringify({ key_aliases: [alias] }),
              signal,
            });
            if (status !== 200) throw Object.assign(new Error("did not delete the key"), { status });
          },
        }),
    }),
  },
  "revoke-gives-up": {
    is: "a revocation that has failed once is taken for done",
    caughtBy: ["I8"],
    faults: [{ do: "upstream", route: "delete", kinds: ["500", "hang", "500"] }],
    needsRevocation: true,
    make: () => ({
      provisioner: (provisioner) =>
        overlaid(provisioner, { revoke: (...args) => provisioner.revoke(...args).catch(() => {}) }),
    }),
  },
  "timer-overflow": {
    is: "a limit of 30 days is a timer that Node.js ends at once",
    caughtBy: ["I6"],
    make: () => ({
      clock: (clock) =>
        overlaid(clock, {
          setTimer: (task, delayMs) =>
            delayMs > MAX_TIMEOUT_MS ? clock.setTimer(task, 1) : clock.setTimer(task, delayMs),
        }),
    }),
  },
  "wall-clock-limits": {
    is: "limits of time are counted by the wall clock",
    caughtBy: ["I6"],
    faults: [
      { do: "set clock", byMs: 0 },
      { do: "set clock", byMs: 3_590_000 },
    ],
    make: () => ({
      clock: (clock) =>
        overlaid(clock, {
          setTimer: (task, delayMs) => {
            const dueAt = clock.now() + delayMs;
            const timer = setInterval(
              () => {
                if (clock.now() < dueAt) return;
                clearInterval(timer);
                task();
              },
              Math.min(Math.max(delayMs, 1), POLL_MS),
            );
            timer.unref();
            return () => clearInterval(timer);
          },
        }),
    }),
  },
  "blob-too-soon": {
    is: "what retention collects is collected before anybody has read it",
    caughtBy: ["I17"],
    make: () => ({
      blobs: (blobs) =>
        overlaid(blobs, {
          create: async (name) => {
            const writer = await blobs.create(name);
            return overlaid(writer, {
              finish: async (sha256) => {
                const stored = await writer.finish(sha256);
                void later(GHOST_MS / 10).then(() => blobs.remove(stored.id));
                return stored;
              },
            });
          },
        }),
    }),
  },
};
