/** A client that means harm: mutated frames, and the ids of others. */
import { pairMemoryTransports, type Transport } from "@arcp/core";
import { OPENING_FRAMES, OTHER_FRAMES, PLACEHOLDERS, SESSION_FRAMES } from "../fuzz/corpus.ts";
import { OPENING_FRAMES_10, SESSION_FRAMES_10 } from "../fuzz/corpus-10.ts";
import { mutate } from "../fuzz/mutation.ts";
import type { Random } from "../fuzz/random.ts";
import type { LineMaker } from "./lines.ts";
import { pause, type Visitor } from "./visitors.ts";

/** What it has found out about others. */
export interface Loot {
  readonly sessions: readonly string[];
  readonly jobs: readonly string[];
  /** Resume tokens, with the ids of their sessions. */
  readonly tokens: readonly (readonly [string, string])[];
  /** The last number that was heard in a session. */
  readonly heads: ReadonlyMap<string, number>;
}

/** So long it waits to see what a token is good for. */
const ANSWER_MS = 250;
/** Those of before are void by now. */
const FRESH_TOKENS = 6;

const CORPUS = {
  "1.1": { openings: OPENING_FRAMES, frames: [...SESSION_FRAMES, ...OTHER_FRAMES] },
  "1.0": { openings: OPENING_FRAMES_10, frames: SESSION_FRAMES_10 },
};

export class VisitorHostile implements Visitor {
  readonly name = "hostile";
  readonly missing: readonly string[] = [];
  readonly #lines: LineMaker;
  readonly #random: Random;
  readonly #loot: () => Loot;
  #transport: Transport = pairMemoryTransports()[0];
  #own: Readonly<Record<string, unknown>> = {};
  #ids = 0;

  constructor(lines: LineMaker, random: Random, loot: () => Loot) {
    this.#lines = lines;
    this.#random = random;
    this.#loot = loot;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const wire = this.#random.oneIn(3) ? "1.0" : "1.1";
      try {
        this.#transport = await this.#lines.connect({ client: this.name, principal: "mallory", wire }, signal);
        this.#transport.onFrame((text) => {
          this.#own = { ...this.#own, ...(JSON.parse(text) as object) };
        });
        const { openings, frames } = CORPUS[wire];
        const stolen = this.#loot().tokens.slice(-FRESH_TOKENS);
        if (wire === "1.1" && stolen.length > 0 && this.#random.oneIn(3)) {
          this.#resumeWith(this.#random.pick(stolen));
          await pause(ANSWER_MS, signal);
        } else this.#say(this.#random.oneIn(3) ? this.#any(openings) : (openings[0] as string));
        if (wire === "1.1" && this.#random.oneIn(2)) {
          await pause(ANSWER_MS, signal);
          this.#askAbout(PLACEHOLDERS.foreignJob);
        }
        for (let n = this.#random.below(60); n > 0 && !this.#transport.isClosed && !signal.aborted; n -= 1) {
          this.#say(this.#any(frames));
          await pause(this.#random.below(20), signal);
        }
      } catch {
        // Nobody is there at the moment.
      }
      this.#transport.abort("enough");
      await pause(this.#random.below(150), signal);
    }
  }

  async settle(): Promise<void> {
    // It waits for nothing.
  }

  async end(): Promise<void> {
    this.#transport.abort("enough");
  }

  /** Says who it is, and holds what is another's. */
  #resumeWith([session_id, resume_token]: readonly [string, string]): void {
    const payload = {
      client: { name: this.name, version: "1.0.0" },
      auth: { scheme: "bearer", token: "mallory" },
      capabilities: { encodings: ["json"], features: [] },
      resume: { session_id, resume_token, last_event_seq: this.#loot().heads.get(session_id) ?? 0 },
    };
    this.#say(JSON.stringify({ arcp: "1.1", id: PLACEHOLDERS.id, type: "session.hello", payload }));
  }

  /** As anybody would who may know of the job. */
  #askAbout(job_id: string): void {
    const envelope = { arcp: "1.1", id: PLACEHOLDERS.id, session_id: PLACEHOLDERS.session };
    for (const type of ["job.subscribe", "job.cancel"])
      this.#say(JSON.stringify({ ...envelope, type, payload: { job_id } }));
  }

  #any(frames: readonly string[]): string {
    const text = this.#random.pick(frames);
    return this.#random.oneIn(3) ? mutate(text, this.#random, this.#random.pick(frames)).text : text;
  }

  #say(text: string): void {
    this.#ids += 1;
    const { sessions, jobs } = this.#loot();
    const foreign = (ids: readonly string[]): string => (ids.length === 0 ? "none" : this.#random.pick(ids));
    const { session_id, job_id } = this.#own;
    this.#transport.send(
      text
        .replaceAll(PLACEHOLDERS.id, `msg_hostile-${this.#ids}`)
        .replaceAll(`"${PLACEHOLDERS.seq}"`, String(this.#random.below(30)))
        .replaceAll(PLACEHOLDERS.foreignSession, foreign(sessions))
        .replaceAll(PLACEHOLDERS.foreignJob, foreign(jobs))
        .replaceAll(PLACEHOLDERS.session, String(session_id ?? "none"))
        .replaceAll(PLACEHOLDERS.job, String(job_id ?? "none"))
        .replaceAll(/@(foreign-)?[a-z]+@/g, "none"),
    );
  }
}
