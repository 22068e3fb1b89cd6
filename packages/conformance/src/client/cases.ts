/** Every case of the client suite. */
import type { Wire } from "../requirements.ts";
import type { ClientCase } from "./stage.ts";
import { opening10 } from "./v1.0/opening.ts";
import { work10 } from "./v1.0/work.ts";
import { envelopes } from "./v1.1/envelopes.ts";
import { hostile } from "./v1.1/hostile.ts";
import { jobs } from "./v1.1/jobs.ts";
import { opening } from "./v1.1/opening.ts";
import { sessions } from "./v1.1/sessions.ts";

const CASES: readonly ClientCase[] = [
  ...envelopes,
  ...opening,
  ...sessions,
  ...jobs,
  ...hostile,
  ...opening10,
  ...work10,
];

/** The cases for clients of a wire, in the order of its specification. */
export function clientCases(wire: Wire): readonly ClientCase[] {
  return CASES.filter((aCase) => aCase.wire === wire);
}
