/** The client suite, as one call. */
import { randomBytes } from "node:crypto";
import { countsOf, type Report, unseenOf } from "../report/report.ts";
import type { Wire } from "../requirements.ts";
import { type RunOptions, runCases } from "../run.ts";
import { type CarrierKind, Harbour } from "./carrier.ts";
import { clientCases } from "./cases.ts";
import { Driver } from "./driver.ts";
import { stageBench } from "./stage.ts";
import { UNSEEN } from "./unseen.ts";

/** Which client {@link runClientSuite} judges, and on which wire. */
export interface ClientSuiteOptions extends RunOptions {
  /** Starts the driver of the client: a program and its arguments. No shell reads it. */
  readonly command: readonly string[];
  /** Default: 1.1. */
  readonly wire?: Wire;
  /** How the client connects. Default: `websocket`. */
  readonly carrier?: CarrierKind;
  /** How long to wait for what has to come, in milliseconds. Default: 10,000. */
  readonly patienceMs?: number;
  /** How much later a client may do what it has to do in time, in milliseconds: for machines that are busy. Default: 900. */
  readonly slackMs?: number;
  /** Cases and requirements, by id or by the beginning of it. Default: all. */
  readonly only?: readonly string[];
}

const DEFAULT_PATIENCE_MS = 10_000;
const DEFAULT_SLACK_MS = 900;
/** What a case may take, of what it may wait for one thing. */
const PATIENCES = 6;

/**
 * Has a client do everything that a driver can tell it to, and reports what came of it. Rejects only when `signal` aborts,
 * with a RangeError when `only` names nothing or there is no command, and with an Error when the driver does not answer.
 */
export async function runClientSuite(options: ClientSuiteOptions): Promise<Report> {
  const { command, wire = "1.1", carrier = "websocket", only } = options;
  const { patienceMs = DEFAULT_PATIENCE_MS, slackMs = DEFAULT_SLACK_MS } = options;
  const [program, ...args] = command;
  if (program === undefined) throw new RangeError("there is no command to start the driver with");
  const cases = clientCases(wire).filter(
    ({ id, requirements }) =>
      only === undefined || only.some((wanted) => id.startsWith(wanted) || requirements.includes(wanted)),
  );
  if (cases.length === 0) throw new RangeError(`no case of wire ${wire} is called ${(only ?? []).join(" or ")}`);
  const startedAt = new Date();
  const started = performance.now();
  const token = `token-${randomBytes(16).toString("hex")}`;
  const harbour = await Harbour.open();
  try {
    await using driver = Driver.start(program, args);
    // Until it answers, it is being started.
    await driver.tell("nobody", "drop", {});
    const bench = stageBench({ driver, harbour, carrier, patienceMs, slackMs, token });
    const verdicts = await runCases(cases, bench, { deadlineMs: PATIENCES * patienceMs, ...options });
    return {
      role: "client",
      wire,
      target: `${command.join(" ")} (${carrier})`,
      startedAt: startedAt.toISOString(),
      ms: Math.round(performance.now() - started),
      counts: countsOf(verdicts),
      verdicts,
      unseen: unseenOf(wire, UNSEEN),
    };
  } finally {
    await harbour.close();
  }
}
