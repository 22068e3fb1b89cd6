/** What holds for every message of a client: judged by a conversation in which there is a bit of everything. */
import type { Frame } from "../frame.ts";
import type { Wire } from "../requirements.ts";
import type { ClientCase, Stage } from "./stage.ts";

/** What a client has said. */
export interface Conversation {
  readonly frames: readonly Frame[];
  /** What came and is no message. */
  readonly garbage: readonly string[];
  /** Messages that came after the session was there. */
  readonly later: readonly Frame[];
}

/** One thing that holds for all of it. */
export interface Rule<Said extends Conversation> {
  readonly id: string;
  readonly requirement: string;
  readonly title: string;
  readonly needs?: readonly string[];
  judge(stage: Stage, frames: readonly Frame[], said: Said): void;
}

/** A case for each rule, called `envelopes/…`. */
export function casesOf<Said extends Conversation>(
  wire: Wire,
  rules: readonly Rule<Said>[],
  converse: (stage: Stage) => Promise<Said>,
): readonly ClientCase[] {
  return rules.map(({ id, requirement, title, needs, judge }) => ({
    id: `envelopes/${id}`,
    wire,
    requirements: [requirement],
    title,
    ...(needs && { needs }),
    async run(stage) {
      const said = await converse(stage);
      stage.judge.looksAt(requirement);
      judge(stage, said.frames, said);
    },
  }));
}
