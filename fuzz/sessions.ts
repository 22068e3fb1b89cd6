/**
 * Target 2: a real server, hostile peers over memory transports, and one peer that behaves. Whatever the hostile ones
 * say, every reply is a valid envelope, numbers have no gap, nobody sees or stops what is not theirs, nothing breaks
 * inside, and the peer that behaves is served.
 */
import {
  createLogger,
  decodeFrame,
  decodeRuntimeMessage,
  type MemoryTransport,
  pairMemoryTransports,
  RUNTIME_FRAME_LIMITS,
  StaticBearerVerifier,
} from "@arcp/core";
import { ARCPServer, type JobContext } from "@arcp/runtime";
import { hello, OPENING_FRAMES, OTHER_FRAMES, PLACEHOLDERS, SESSION_FRAMES } from "./corpus.ts";
import { minimiseList } from "./minimise.ts";
import { mutate } from "./mutation.ts";
import { Random, seedOf } from "./random.ts";
import type { Failure, Figures } from "./report.ts";

/** One act of one hostile peer. A list of them is all that a part needs to be repeated. */
export type Step =
  | { readonly act: "open"; readonly peer: number; readonly text: string }
  | { readonly act: "say"; readonly peer: number; readonly text: string }
  | { readonly act: "cut"; readonly peer: number }
  | { readonly act: "stop reading"; readonly peer: number }
  | { readonly act: "read"; readonly peer: number }
  | { readonly act: "wait"; readonly turns: number };

/** The principals of the hostile peers. */
const PEERS = ["mallory", "mallory", "bob", "alice"];
const STEPS = 150;
const FRAMES = [...SESSION_FRAMES, ...OTHER_FRAMES];
const SECRET = "canary-secret";
const CANARY_EVENTS = 5;
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
  const openings = random.oneIn(2) ? OPENING_FRAMES : OPENING_FRAMES.filter((text) => !isTheft(text));
  const steps: Step[] = [];
  while (steps.length < STEPS) {
    const peer = random.below(PEERS.length);
    const roll = random.below(100);
    if (roll < 3) steps.push({ act: "cut", peer });
    else if (roll < 12) steps.push({ act: "open", peer, text: frameOf(random, openings, 4) });
    else if (roll < 14) steps.push({ act: "stop reading", peer });
    else if (roll < 18) steps.push({ act: "read", peer });
    else if (roll < 28) steps.push({ act: "wait", turns: 1 + random.below(12) });
    else steps.push({ act: "say", peer, text: frameOf(random, random.oneIn(12) ? openings : FRAMES, 2) });
  }
  // Some of what was to be said in order is not.
  for (let n = random.below(8); n > 0; n -= 1) {
    const from = random.below(steps.length);
    const [moved] = steps.splice(from, 1);
    steps.splice(random.below(steps.length), 0, moved as Step);
  }
  return steps;
}

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
  readonly #peers = PEERS.map((principal) => new Peer(principal, (problem) => this.report(problem)));
  readonly #canary = new Peer("oscar", (problem) => this.report(problem));
  #ids = 0;
  frames = 0;
  slowestMs = 0;
  /** The first that was found. */
  problem: string | undefined;

  constructor(isTokenStolen: boolean) {
    this.#server = new ARCPServer({
      // Otherwise who has the token has the session.
      requireAuthOnResume: isTokenStolen,
      runtime: { name: "fuzzed", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: new StaticBearerVerifier(new Map([...PEERS, "oscar"].map((name) => [name, { principal: name }]))),
      logger: createLogger((line) => this.report(`logged: ${line}`), "error"),
      caps: { maxConcurrentJobs: 12 },
      backPressureThreshold: 64,
      cancelGraceMs: 50,
    });
    this.#server.registerAgent("echo", (input) => input);
    this.#server.registerAgent("fail", (input) => {
      throw new Error(String(JSON.stringify(input)));
    });
    this.#server.registerAgent(
      "hold",
      (_input, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
    );
    this.#server.registerAgent("stream", streamAgent);
    this.#server.registerAgent("canary", async (_input, context) => {
      for (let n = 0; n < CANARY_EVENTS; n += 1) await context.log("info", SECRET);
      await this.#canaryGate.promise;
      for (let n = 0; n < CANARY_EVENTS; n += 1) await context.log("info", SECRET);
      return SECRET;
    });
  }

  report(problem: string): void {
    this.problem ??= problem;
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#open(this.#canary, hello("oscar"));
    this.#canary.say(
      JSON.stringify({ arcp: "1.1", id: "msg_c", type: "job.submit", payload: { agent: "canary", input: 0 } }),
    );
    await this.#until(() => this.#canary.seq === CANARY_EVENTS, "the canary's first events");
    for (const step of steps) {
      if (this.problem !== undefined) break;
      await this.#take(step);
    }
    for (const peer of this.#peers) peer.read();
    await this.#wait(20);
    this.#canaryGate.resolve();
    await this.#until(() => this.#canary.seq === 2 * CANARY_EVENTS + 1, "the end of the canary's job");
    this.#canary.assertWellServed();
    for (const peer of [...this.#peers, this.#canary]) peer.cut();
    await this.#server.close();
    if (this.#server.runningJobs !== 0) this.report(`left: ${this.#server.runningJobs} jobs run on after the end`);
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
      if (!peer.isOpen) await this.#open(peer, hello(peer.principal));
      this.frames += 1;
      peer.say(this.#filledIn(step.text, peer));
    }
  }

  async #open(peer: Peer, text: string): Promise<void> {
    const filledIn = this.#filledIn(text, peer);
    const [left, right] = pairMemoryTransports();
    await this.#server.accept(right);
    peer.connect(left);
    this.frames += 1;
    peer.say(filledIn);
    if (text === hello(peer.principal)) await this.#until(() => peer.isWelcomed, "a welcome");
    else await this.#wait(3);
  }

  /** `text` with what only this server knows. */
  #filledIn(text: string, peer: Peer): string {
    this.#ids += 1;
    const other = this.#canary;
    return text
      .replaceAll(PLACEHOLDERS.id, `msg_${this.#ids}`)
      .replaceAll(PLACEHOLDERS.foreignSession, other.sessionId)
      .replaceAll(PLACEHOLDERS.foreignJob, other.jobId)
      .replaceAll(PLACEHOLDERS.foreignToken, other.resumeToken)
      .replaceAll(PLACEHOLDERS.session, peer.sessionId)
      .replaceAll(PLACEHOLDERS.job, peer.jobId)
      .replaceAll(PLACEHOLDERS.token, peer.resumeToken)
      .replaceAll(`"${PLACEHOLDERS.seq}"`, String(peer.seq));
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

/** Emits what its input asks for, within reason. */
async function streamAgent(input: unknown, context: JobContext): Promise<unknown> {
  const { events, chunks } = (input ?? {}) as { readonly events?: unknown; readonly chunks?: unknown };
  for (let n = 0; n < countOf(events); n += 1) {
    if (n % 3 === 0) await context.progress(n, { total: countOf(events) });
    else await context.log("info", `event ${n}`);
  }
  if (countOf(chunks) === 0) return "streamed";
  const stream = context.streamResult();
  for (let n = 0; n < countOf(chunks); n += 1) await stream.write(`chunk ${n} `);
  await stream.finalize();
  return undefined;
}

const countOf = (value: unknown): number =>
  typeof value === "number" && value > 0 ? Math.min(Math.floor(value), 200) : 0;

/** A client that says what it is told to, and looks closely at what it is told back. */
class Peer {
  readonly principal: string;
  readonly #report: (problem: string) => void;
  #transport: MemoryTransport | undefined;
  #isOver = false;
  isWelcomed = false;
  sessionId = "sess_none";
  resumeToken = "rt_none";
  jobId = "job_none";
  /** The highest number of this connection. */
  seq = 0;
  #first: "fresh" | "resumed" | undefined;
  #errors = 0;
  #result: unknown;

  constructor(principal: string, report: (problem: string) => void) {
    this.principal = principal;
    this.#report = report;
  }

  get isOpen(): boolean {
    return this.#transport?.isClosed === false;
  }

  connect(transport: MemoryTransport): void {
    this.cut();
    this.#transport = transport;
    this.isWelcomed = false;
    this.#isOver = false;
    this.#first = undefined;
    transport.onFrame((text) => {
      if (this.#transport === transport) this.#take(text);
    });
  }

  say(text: string): void {
    this.#transport?.send(text);
  }

  cut(): void {
    this.#transport?.abort("cut");
  }

  stopReading(): void {
    this.#transport?.pause();
  }

  read(): void {
    this.#transport?.resume();
  }

  assertWellServed(): void {
    if (this.#errors > 0) this.#report(`canary: it was sent ${this.#errors} errors`);
    if (!this.isOpen) this.#report("canary: its connection was closed");
    if (this.#result !== SECRET) this.#report(`canary: its result is ${JSON.stringify(this.#result)}`);
  }

  #take(text: string): void {
    const problem = this.#problemWith(text);
    if (problem !== undefined) this.#report(`${problem}\n${text.slice(0, 2_000)}`);
  }

  #problemWith(text: string): string | undefined {
    if (this.#isOver) return "late: a frame after the session's end";
    let message: ReturnType<typeof decodeRuntimeMessage>;
    try {
      message = decodeRuntimeMessage(decodeFrame(text, RUNTIME_FRAME_LIMITS));
    } catch (error) {
      return `reply: not a valid envelope: ${String(error)}`;
    }
    if (this.principal !== "oscar" && text.includes(SECRET)) return "leak: of another principal's job";
    if (message.type === "session.welcome") {
      if (this.isWelcomed) return "welcome: a second one on one connection";
      const isResumed = message.session_id === this.sessionId;
      this.isWelcomed = true;
      this.#first = isResumed ? "resumed" : "fresh";
      this.sessionId = message.session_id ?? "";
      this.resumeToken = message.payload.resume_token ?? "";
      if (!isResumed) this.seq = 0;
      return undefined;
    }
    if (this.isWelcomed && message.session_id !== this.sessionId) return "session: the id of another session";
    if (!this.isWelcomed && message.type !== "session.error") return "early: something before the welcome";
    if (message.type === "session.closed" || message.type === "session.bye") this.#isOver = true;
    if (message.type === "job.accepted") this.jobId = message.payload.job_id ?? "";
    if (message.type === "session.error") {
      this.#errors += 1;
      if (message.payload.code === "INTERNAL_ERROR" && message.payload.details === undefined) {
        return "fault: an internal error";
      }
    }
    if (message.type === "job.result") this.#result = message.payload.result;
    return message.type === "job.event" || message.type === "job.result" || message.type === "job.error"
      ? this.#problemWithNumber(message.event_seq)
      : undefined;
  }

  #problemWithNumber(seq: number | undefined): string | undefined {
    if (seq === undefined) return "number: none";
    // After a resume the first number is the one after what was asked for.
    const isFirst = this.#first === "resumed";
    this.#first = undefined;
    if (!isFirst && seq !== this.seq + 1) return `number: ${seq} after ${this.seq}`;
    this.seq = seq;
    return undefined;
  }
}
