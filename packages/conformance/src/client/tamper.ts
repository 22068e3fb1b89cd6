/** Makes a client that keeps the protocol one that does not: for the proof that every case can fail. */
import type { Frame } from "../frame.ts";
import type { StepAnswer, StepName } from "./driver.ts";
import type { JsonObject } from "./stage.ts";

/** In place of a frame: the connection ends there. */
export const CUT = Symbol("cut");

/** Stands between a client and the suite, in one case. */
export interface Tamper {
  /** What the suite hears in place of what the client said on its connection number `place`, from 1. */
  hears?(text: string, place: number): readonly (string | typeof CUT)[];
  /** What the client is told in place of what the suite says; {@link CUT} for nothing. */
  tells?(frame: Frame, place: number): Frame | typeof CUT;
  /** What the driver is told in place of what the suite asks for. */
  asks?(step: StepName, terms: JsonObject): JsonObject;
  /** What the suite is told in place of what the driver reports of a step. A promise that stays open is a client that hangs. */
  reports?(step: StepName, answer: StepAnswer): StepAnswer | Promise<StepAnswer>;
}
