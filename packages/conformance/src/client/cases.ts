/** Every case of the client suite. */
import type { Wire } from "../requirements.ts";
import type { ClientCase } from "./stage.ts";
import { control10 } from "./v1.0/control.ts";
import { hostile10 } from "./v1.0/hostile.ts";
import { losses10 } from "./v1.0/losses.ts";
import { observing10 } from "./v1.0/observing.ts";
import { opening10 } from "./v1.0/opening.ts";
import { people10 } from "./v1.0/people.ts";
import { streams10 } from "./v1.0/streams.ts";
import { work10 } from "./v1.0/work.ts";
import { envelopes } from "./v1.1/envelopes.ts";
import { following } from "./v1.1/following.ts";
import { hostile } from "./v1.1/hostile.ts";
import { opening } from "./v1.1/opening.ts";
import { quirks } from "./v1.1/quirks.ts";
import { sessions } from "./v1.1/sessions.ts";
import { submission } from "./v1.1/submission.ts";

const CASES: readonly ClientCase[] = [
  ...envelopes,
  ...opening,
  ...sessions,
  ...submission,
  ...following,
  ...hostile,
  ...quirks,
  ...opening10,
  ...control10,
  ...work10,
  ...streams10,
  ...people10,
  ...observing10,
  ...losses10,
  ...hostile10,
];

/** The cases for clients of a wire, in the order of its specification. */
export function clientCases(wire: Wire): readonly ClientCase[] {
  return CASES.filter((aCase) => aCase.wire === wire);
}
