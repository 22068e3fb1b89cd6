/** Where a case is played: the suite is the runtime, and tells the client under test through its driver what to do. */
import type { Case, CaseRun } from "../case.ts";
import { NotHere, Violation } from "../judge.ts";
import { shown } from "../matcher.ts";
import type { Bench } from "../run.ts";
import { Caller } from "./caller.ts";
import { type Address, type Berth, type CarrierKind, Harbour } from "./carrier.ts";
import type { DriverPort, StepAnswer, StepName } from "./driver.ts";
import type { Tamper } from "./tamper.ts";

export interface JsonObject {
  readonly [member: string]: unknown;
}

/** A case of this suite. `needs` may name the carrier that it is about: `websocket` or `stdio`. */
export type ClientCase = Case<Stage>;

export interface StageOptions {
  readonly driver: DriverPort;
  readonly harbour: Harbour;
  readonly carrier: CarrierKind;
  /** How long to wait for what has to come, in milliseconds. */
  readonly patienceMs: number;
  /** How much later a client may do what it has to do in time, in milliseconds: for machines that are busy. */
  readonly slackMs: number;
  /** The token that the client is given. */
  readonly token: string;
  readonly tamper?: Tamper | undefined;
}

/** What a step that failed said of it. */
export interface StepError {
  readonly code?: string;
  readonly message?: string;
}

export class Stage implements AsyncDisposable {
  readonly run: CaseRun;
  readonly options: StageOptions;
  readonly #case: ClientCase;
  readonly #broken = Promise.withResolvers<never>();
  readonly #berths: Berth[] = [];
  readonly #harbours: Harbour[] = [];
  readonly #players: Client[] = [];

  constructor(run: CaseRun, aCase: ClientCase, options: StageOptions) {
    this.run = run;
    this.options = options;
    this.#case = aCase;
    this.#broken.promise.catch(() => {
      // Whoever waits for the client is told.
    });
    run.signal.addEventListener("abort", () => this.#broken.reject(run.signal.reason), { once: true });
  }

  get judge(): CaseRun["judge"] {
    return this.run.judge;
  }

  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  /** A client of the driver, with an address of its own to connect to. */
  client(carrier: CarrierKind = this.options.carrier, harbour: Harbour = this.options.harbour): Client {
    const name = `${this.#case.wire}/${this.#case.id}/${Math.random().toString(36).slice(2)}`;
    const client = new Client(name, this, this.#case);
    this.#players.push(client);
    const berth = harbour.berth(carrier, (taken) => client.take(taken));
    client.address = berth.address;
    this.#berths.push(berth);
    return client;
  }

  /** A listener on an address of this machine that is not loopback. */
  async harbourAt(host: string): Promise<Harbour> {
    const harbour = await Harbour.open(host);
    this.#harbours.push(harbour);
    return harbour;
  }

  /** Ends the case: something that had to succeed did not. */
  break(thrown: unknown): void {
    this.#broken.reject(thrown);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Clients that were not closed go on trying to connect.
    for (const client of this.#players) client.drop();
    for (const berth of this.#berths) berth.leave();
    await Promise.all(this.#harbours.map((harbour) => harbour.close()));
  }
}

/** One client of the driver. */
export class Client {
  readonly #name: string;
  readonly #stage: Stage;
  readonly #case: ClientCase;
  readonly #callers: Caller[] = [];
  readonly #wake = new Set<() => void>();
  #taken = 0;
  address!: Address;

  constructor(name: string, stage: Stage, aCase: ClientCase) {
    this.#name = name;
    this.#stage = stage;
    this.#case = aCase;
  }

  /** Every connection that it made. */
  get callers(): readonly Caller[] {
    return this.#callers;
  }

  /** What `connect` is told of where, as whom, and how. */
  get terms(): JsonObject {
    const { address } = this;
    const where = address.kind === "stdio" ? { command: address.command } : { url: address.url };
    return { ...where, wire: this.#case.wire, token: this.#stage.options.token };
  }

  /** A step, whatever comes of it. */
  tell(step: StepName, terms: JsonObject = {}): Promise<StepAnswer> {
    return inBackground(this.#tell(step, terms));
  }

  async #tell(step: StepName, terms: JsonObject): Promise<StepAnswer> {
    const { driver, tamper } = this.#stage.options;
    const { recording } = this.#stage.run;
    recording.add("noted", 0, `step ${step} ${JSON.stringify(terms)}`);
    let answer: StepAnswer;
    try {
      answer = await driver.tell(this.#name, step, tamper?.asks?.(step, terms) ?? terms);
    } catch (thrown) {
      const violation = new Violation(undefined, `the driver to do ${step}`, (thrown as Error).message);
      this.#stage.break(violation);
      throw violation;
    }
    recording.add("noted", 0, `${step}: ${JSON.stringify(answer)}`);
    if ("unsupported" in answer) {
      const skip = new NotHere(`the client cannot ${step}: ${answer.unsupported}`);
      this.#stage.break(skip);
      throw skip;
    }
    return (await tamper?.reports?.(step, answer)) ?? answer;
  }

  /** The suite is done with it. */
  drop(): void {
    this.#stage.options.driver.tell(this.#name, "drop", {}).catch(() => {
      // The driver is gone, and so is the client.
    });
  }

  /** A step that has to succeed. What it violates otherwise is `requirement`. */
  does(step: StepName, terms: JsonObject = {}, requirement?: string): Promise<JsonObject> {
    return inBackground(this.#does(step, terms, requirement));
  }

  async #does(step: StepName, terms: JsonObject, requirement: string | undefined): Promise<JsonObject> {
    const answer = await this.within(requirement, step, this.tell(step, terms));
    if ("ok" in answer) return answer.ok;
    const violation = new Violation(requirement, `${step} to succeed`, shown(answer));
    this.#stage.break(violation);
    throw violation;
  }

  /** The same, in the background: what fails ends the case. */
  starts(step: StepName, terms: JsonObject = {}, requirement?: string): Promise<JsonObject> {
    const doing = this.does(step, terms, requirement);
    void doing.catch((thrown: unknown) => this.#stage.break(thrown));
    return doing;
  }

  /** A step that has to fail. */
  fails(requirement: string | undefined, step: StepName, terms: JsonObject = {}): Promise<StepError> {
    return inBackground(this.#fails(requirement, step, terms));
  }

  async #fails(requirement: string | undefined, step: StepName, terms: JsonObject): Promise<StepError> {
    const answer = await this.within(requirement, step, this.tell(step, terms));
    this.#stage.judge.that(requirement, `${step} to fail`, "error" in answer, answer);
    return (answer as { readonly error: StepError }).error;
  }

  /** Waits for a step, no longer than the suite waits for anything. */
  async within<Result>(requirement: string | undefined, what: string, doing: Promise<Result>): Promise<Result> {
    const { patienceMs } = this.#stage.options;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Violation(requirement, `${what} to be over`, `nothing within ${patienceMs} ms`)),
      patienceMs,
    );
    try {
      return await Promise.race([doing, late.promise, this.#stage.broken]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The next connection that the client makes. */
  caller(requirement: string | undefined, what = "the client to connect"): Promise<Caller> {
    return inBackground(this.within(requirement, what, this.#nextCaller()));
  }

  async #nextCaller(): Promise<Caller> {
    while (this.#taken >= this.#callers.length) await new Promise<void>((resolve) => this.#wake.add(resolve));
    this.#taken += 1;
    return this.#callers[this.#taken - 1] as Caller;
  }

  /** A connection was made. */
  take(carrier: ConstructorParameters<typeof Caller>[0]): void {
    const { patienceMs, tamper } = this.#stage.options;
    const { broken, run } = this.#stage;
    const place = this.#callers.length + 1;
    this.#callers.push(new Caller(carrier, run, { wire: this.#case.wire, patienceMs, tamper, place, broken }));
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}

/** A case may be over before it looks at what it has begun. */
function inBackground<Result>(doing: Promise<Result>): Promise<Result> {
  doing.catch(() => {
    // Whoever waits for it is told.
  });
  return doing;
}

/** Plays cases with the client behind `driver`. */
export function stageBench(options: Omit<StageOptions, "tamper">, tamper?: Tamper): Bench<Stage> {
  return {
    lacks: ({ needs = [] }) =>
      needs.includes("websocket") && options.carrier !== "websocket"
        ? "it is about WebSockets"
        : needs.includes("stdio") && options.carrier !== "stdio"
          ? "it is about standard streams"
          : undefined,
    open: async (run, aCase) => new Stage(run, aCase as ClientCase, { ...options, tamper }),
  };
}
