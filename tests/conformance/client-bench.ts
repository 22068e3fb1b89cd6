/** The client suite as tests run it: with our own client, whose driver is in this process. */
import { createLogger } from "@arcp/core";
import type { CarrierKind } from "../../packages/conformance/src/client/carrier.ts";
import { Harbour } from "../../packages/conformance/src/client/carrier.ts";
import type { DriverPort, StepAnswer } from "../../packages/conformance/src/client/driver.ts";
import { type ClientCase, stageBench } from "../../packages/conformance/src/client/stage.ts";
import type { Tamper } from "../../packages/conformance/src/client/tamper.ts";
import { runCases } from "../../packages/conformance/src/run.ts";
import { ConformanceDriver } from "../../packages/sdk/src/cli/conformance-driver.ts";

/** Reasons of a skip that say nothing about the client. */
export const NOT_OURS: readonly string[] = [
  "it is about standard streams",
  "it is about WebSockets",
  "this machine has no address but loopback",
  "the suite itself was held up for an interval",
];

export interface Judging {
  readonly carrier?: CarrierKind;
  readonly tamper?: Tamper;
  /** Default: more than any machine needs. */
  readonly patienceMs?: number;
  readonly slackMs?: number;
  /** What the driver has logged. */
  readonly written?: string;
  readonly concurrency?: number;
}

/** One listener and one driver for all tests of a file. */
export class ClientBench implements AsyncDisposable {
  readonly #harbour: Harbour;
  readonly #log: string[] = [];
  readonly #driver = new ConformanceDriver(createLogger((line) => void this.#log.push(line), "debug"));

  private constructor(harbour: Harbour) {
    this.#harbour = harbour;
  }

  static async open(): Promise<ClientBench> {
    return new ClientBench(await Harbour.open());
  }

  judge(cases: readonly ClientCase[], judging: Judging = {}) {
    const { carrier = "websocket", tamper, patienceMs = 60_000, slackMs = 60_000, concurrency = 24 } = judging;
    const log = this.#log;
    const driver: DriverPort = {
      get written() {
        return judging.written ?? log.join("\n");
      },
      tell: (client, step, terms) => this.#driver.tell(client, step, terms) as Promise<StepAnswer>,
    };
    const options = { driver, harbour: this.#harbour, carrier, patienceMs, slackMs, token: "token-0123456789abcdef" };
    return runCases(cases, stageBench(options, tamper), { concurrency, deadlineMs: 2 * patienceMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#driver.close();
    await this.#harbour.close();
  }
}
