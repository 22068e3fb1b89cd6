/**
 * Target 2: a real server, hostile peers of both wires over memory transports, and one of each wire that behaves.
 * Whatever the hostile ones say, every reply is a valid envelope, numbers have no gap, nobody sees or stops what is not
 * theirs, nothing breaks inside, and the peers that behave are served.
 */
import { createLogger, pairMemoryTransports, StaticBearerVerifier } from "@arcp/core";
import { ARCPServer } from "@arcp/runtime";
import { registerAgents, registerCanary10, registerCanary11 } from "./agents.ts";
import { OPENING_FRAMES, OTHER_FRAMES, PLACEHOLDERS, SESSION_FRAMES } from "./corpus.ts";
import { OPENING_FRAMES_10, SESSION_FRAMES_10 } from "./corpus-10.ts";
import { minimiseList } from "./minimise.ts";
import { mutate } from "./mutation.ts";
import { CANARY, type Peer, SECRET, type Wire } from "./peer.ts";
import { Peer10 } from "./peer-10.ts";
import { Peer11 } from "./peer-11.ts";
import { Random, seedOf } from "./random.ts";
import type { Failure, Figures } from "./report.ts";

/** One act of one hostile peer. A list of them is all that a part needs to be repeated. */
export type Step =
  | { readonly act: "open"; readonly peer: number; readonly text: string }
  | { readonly act: "say"; readonly peer: number; readonly text: string }
  | { readonly act: "say binary"; readonly peer: number; readonly bytes: readonly number[] }
  | { readonly act: "cut"; readonly peer: number }
  | { readonly act: "stop reading"; readonly peer: number }
  | { readonly act: "read"; readonly peer: number }
  | { readonly act: "wait"; readonly turns: number };

/** The hostile peers. */
const PEERS = [
  { wire: "1.1", principal: "mallory" },
  { wire: "1.0", principal: "mallory" },
  { wire: "1.1", principal: "bob" },
  { wire: "1.0", principal: "bob" },
  { wire: "1.1", principal: "alice" },
] as const;
const STEPS = 180;
const CORPUS = {
  "1.1": { openings: OPENING_FRAMES, frames: [...SESSION_FRAMES, ...OTHER_FRAMES] },
  "1.0": { openings: OPENING_FRAMES_10, frames: SESSION_FRAMES_10 },
};
const CANARY_EVENTS = 5;
const TIMESTAMP = "2026-01-01T00:00:00Z";
/** A part that takes longer hangs. */
const PART_TIMEOUT_MS = 20_000;
/** A turn of the event loop that takes longer starves other sessions. */
const STALL_MS = 1_000;
/** How long anything that must come may take to. */
const PATIENCE_MS = 5_000;

/** Runs parts until `isOver`. The steps of a failed one are reduced to those that are needed. */
export async function fuzzSessions(seed: number, isOver: () => boolean): Promise<Figures> {
  const failures: Failure[] = [];
  let frames = 0;
  let slowestMs = 0;
  for (let part = 0; !isOver() && failures.length === 0; part += 1) {
    const partSeed = seedOf(seed, part);
    const steps = stepsOf(new Random(partSeed));
    const outcome = await play(steps);
    frames += outcome.frames;
    slowestMs = Math.max(slowestMs, outcome.slowestMs);
    if (outcome.problem === undefined) continue;
    const kind = kindOf(outcome.problem);
    const fewer = await minimiseList(steps, async (some) => kindOf((await play(some)).problem) === kind);
    failures.push({ target: "sessions", seed, partSeed, problem: outcome.problem, reproducer: fewer });
  }
  return { target: "sessions", frames, slowestMs, failures };
}

const kindOf = (problem: string | undefined): string | undefined => problem?.split(":", 1)[0];

/** What hostile peers do in one part. In half of the parts they have stolen a resume token. */
function stepsOf(random: Random): readonly Step[] {
  const isTokenStolen = random.oneIn(2);
  const steps: Step[] = [];
  while (steps.length < STEPS) {
    const peer = random.below(PEERS.length);
    const own = (PEERS[peer] as (typeof PEERS)[number]).wire;
    const { openings: all, frames } = CORPUS[random.oneIn(30) ? (own === "1.1" ? "1.0" : "1.1") : own];
    const openings = isTokenStolen ? all : all.filter((text) => !isTheft(text));
    const roll = random.below(100);
    if (roll < 3) steps.push({ act: "cut", peer });
    else if (roll < 12) steps.push({ act: "open", peer, text: frameOf(random, openings, 4) });
    else if (roll < 14) steps.push({ act: "stop reading", peer });
    else if (roll < 18) steps.push({ act: "read", peer });
    else if (roll < 28) steps.push({ act: "wait", turns: 1 + random.below(12) });
    else if (roll < 30) steps.push({ act: "say binary", peer, bytes: bytesOf(random) });
    else steps.push({ act: "say", peer, text: frameOf(random, random.oneIn(12) ? openings : frames, 2) });
  }
  // Some of what was to be said in order is not.
  for (let n = random.below(8); n > 0; n -= 1) {
    const from = random.below(steps.length);
    const [moved] = steps.splice(from, 1);
    steps.splice(random.below(steps.length), 0, moved as Step);
  }
  return steps;
}

const bytesOf = (random: Random): readonly number[] => Array.from({ length: random.below(6) }, () => random.below(256));

const isTheft = (text: string): boolean => text.includes(PLACEHOLDERS.foreignToken);

/** One of `frames`, mutated once in `rarity` times. */
function frameOf(random: Random, frames: readonly string[], rarity: number): string {
  let text = random.pick(frames);
  if (random.oneIn(rarity)) text = mutate(text, random, random.pick(frames)).text;
  // The same id again: a frame that arrives twice.
  return random.oneIn(6) ? text.replace(PLACEHOLDERS.id, "msg_again") : text;
}

/** How a part went. */
interface Outcome {
  readonly problem: string | undefined;
  readonly frames: number;
  readonly slowestMs: number;
}

/** Plays `steps` against a new server. */
export async function play(steps: readonly Step[]): Promise<Outcome> {
  const stage = new Stage(steps.some((step) => "text" in step && isTheft(step.text)));
  const hang = Promise.withResolvers<"hang">();
  const timer = setTimeout(() => hang.resolve("hang"), PART_TIMEOUT_MS);
  const onError = (error: unknown): void => stage.report(`uncaught: ${String(error)}`);
  process.on("uncaughtException", onError).on("unhandledRejection", onError);
  try {
    const ending = await Promise.race([stage.run(steps), hang.promise]);
    if (ending === "hang") stage.report(`hang: the part was not over after ${PART_TIMEOUT_MS} ms`);
  } catch (error) {
    stage.report(`broken: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    clearTimeout(timer);
    process.off("uncaughtException", onError).off("unhandledRejection", onError);
  }
  return { problem: stage.problem, frames: stage.frames, slowestMs: stage.slowestMs };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Stage {
  readonly #server: ARCPServer;
  readonly #canaryGate = Promise.withResolvers<void>();
  readonly #peers = PEERS.map(({ wire, principal }) => this.#newPeer(wire, principal));
  readonly #canary11 = new Peer11(CANARY, (problem) => this.report(problem));
  readonly #canary10 = new Peer10(CANARY, (problem) => this.report(problem));
  #ids = 0;
  frames = 0;
  slowestMs = 0;
  /** The first that was found. */
  problem: string | undefined;

  constructor(isTokenStolen: boolean) {
    const principals = [...PEERS.map(({ principal }) => principal), CANARY];
    this.#server = new ARCPServer({
      // Otherwise who has the token has the session.
      requireAuthOnResume: isTokenStolen,
      runtime: { name: "fuzzed", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: new StaticBearerVerifier(new Map(principals.map((name) => [name, { principal: name }]))),
      logger: createLogger((line) => this.report(`logged: ${line}`), "error"),
      caps: { maxConcurrentJobs: 12 },
      backPressureThreshold: 64,
      cancelGraceMs: 50,
    });
    registerAgents(this.#server);
    registerCanary11(this.#server, SECRET, CANARY_EVENTS, this.#canaryGate.promise);
    registerCanary10(this.#server, SECRET);
  }

  report(problem: string): void {
    this.problem ??= problem;
  }

  #newPeer(wire: Wire, principal: string): Peer {
    const report = (problem: string): void => this.report(problem);
    return wire === "1.0" ? new Peer10(principal, report) : new Peer11(principal, report);
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#startCanaries();
    for (const step of steps) {
      if (this.problem !== undefined) break;
      await this.#take(step);
    }
    for (const peer of this.#peers) peer.read();
    await this.#wait(20);
    this.#canaryGate.resolve();
    this.#canary10.answer();
    await this.#until(() => this.#canary11.seq === 2 * CANARY_EVENTS + 1, "the end of the canary's job");
    await this.#until(() => this.#canary10.isServed, "the result of the canary's job on wire 1.0");
    for (const canary of [this.#canary11, this.#canary10]) canary.assertWellServed();
    for (const peer of [...this.#peers, this.#canary11, this.#canary10]) peer.cut();
    await this.#server.close();
    if (this.#server.runningJobs !== 0) this.report(`left: ${this.#server.runningJobs} jobs run on after the end`);
  }

  async #startCanaries(): Promise<void> {
    const [eleven, ten] = [this.#canary11, this.#canary10];
    await this.#open(eleven, eleven.greeting);
    eleven.say(
      JSON.stringify({ arcp: "1.1", id: "msg_c", type: "job.submit", payload: { agent: "canary", input: 0 } }),
    );
    await this.#until(() => eleven.seq === CANARY_EVENTS, "the canary's first events");
    await this.#open(ten, ten.greeting);
    for (const [type, payload] of [
      ["subscribe", { filter: { types: "artifact.ref" } }],
      ["tool.invoke", { tool: "canary-10", arguments: {} }],
    ] as const) {
      const session_id = ten.known.get("session");
      ten.say(JSON.stringify({ arcp: "1.0", id: `msg_${type}`, type, timestamp: TIMESTAMP, session_id, payload }));
    }
    await this.#until(() => ten.known.has("stream") && ten.known.has("question"), "the canary's question");
    await this.#wait(5);
  }

  async #take(step: Step): Promise<void> {
    if (step.act === "wait") {
      await this.#wait(step.turns);
      return;
    }
    const peer = this.#peers[step.peer] as Peer;
    if (step.act === "cut") peer.cut();
    else if (step.act === "read") peer.read();
    else if (step.act === "stop reading") peer.stopReading();
    else if (step.act === "open") await this.#open(peer, step.text);
    else {
      if (!peer.isOpen) await this.#open(peer, peer.greeting);
      this.frames += 1;
      if (step.act === "say") peer.say(this.#filledIn(step.text, peer));
      else peer.sayBinary(new Uint8Array(step.bytes));
    }
  }

  async #open(peer: Peer, text: string): Promise<void> {
    const filledIn = this.#filledIn(text, peer);
    const [left, right] = pairMemoryTransports();
    await this.#server.accept(right);
    peer.connect(left);
    this.frames += 1;
    peer.say(filledIn);
    if (text === peer.greeting) await this.#until(() => peer.isAccepted, "a session");
    else await this.#wait(3);
  }

  /** `text` with what only this server knows. */
  #filledIn(text: string, peer: Peer): string {
    this.#ids += 1;
    const [other, another] = this.#ids % 2 === 0 ? [this.#canary11, this.#canary10] : [this.#canary10, this.#canary11];
    return text
      .replaceAll(PLACEHOLDERS.id, `msg_${this.#ids}`)
      .replaceAll(`"${PLACEHOLDERS.seq}"`, String(peer.seq))
      .replaceAll(/@(foreign-)?([a-z]+)@/g, (whole, isForeign: string | undefined, name: string) =>
        isForeign === undefined
          ? (peer.known.get(name) ?? `none_${name}`)
          : (other.known.get(name) ?? another.known.get(name) ?? whole),
      );
  }

  async #wait(turns: number): Promise<void> {
    for (let n = 0; n < turns; n += 1) {
      const startedAt = performance.now();
      await nextTurn();
      const elapsedMs = performance.now() - startedAt;
      this.slowestMs = Math.max(this.slowestMs, elapsedMs);
      if (elapsedMs > STALL_MS) this.report(`stall: a turn took ${Math.round(elapsedMs)} ms`);
    }
  }

  async #until(isTrue: () => boolean, what: string): Promise<void> {
    const endsAt = performance.now() + PATIENCE_MS;
    while (!isTrue() && this.problem === undefined) {
      if (performance.now() > endsAt) this.report(`missing: ${what} did not come in ${PATIENCE_MS} ms`);
      await this.#wait(1);
    }
  }
}
