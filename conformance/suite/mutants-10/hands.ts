/** How runtimes of wire 1.0 are broken. */
import { answer, type Change, type Hand, type Message, type Mutant, mutant } from "../mutant.ts";

/** Breaks one requirement, which one case has to notice. */
export const m = (requirement: string, caseId: string, hand: Hand): Mutant =>
  mutant(`V10-${requirement}`, caseId, hand);

/** The same hand for requirements that say the same. */
export const same = (requirements: readonly string[], caseId: string, hand: Hand): readonly Mutant[] =>
  requirements.map((requirement) => m(requirement, caseId, hand));

/** Answers in the runtime's place. */
export const answering =
  (type: string, payload: object): Change =>
  (message, { line }) => {
    line.toClient(answer(message, type, payload));
    return null;
  };

export const refusing = (code: string): Change => answering("nack", { code, message: "broken" });
export const capability = (name: string, value: unknown): Hand => ({
  says: { "session.accepted": (frame) => void (frame.payload.capabilities[name] = value) },
});
/** Something else in place of what the job returned. */
export const returning =
  (pattern: RegExp, text: string): Change =>
  (frame) => [JSON.stringify(frame).replace(pattern, text)];
/** Heartbeats of one state tell of another. */
export const being =
  (state: string, other: string): Change =>
  ({ payload }) =>
    void (payload.state === state && Object.assign(payload, { state: other }));
/** Something else about one of several failures. */
export const coded =
  (place: number, members: object): Change =>
  ({ payload }, { count }) =>
    void (count === place && Object.assign(payload, members));
/** Something else about the metrics whose name ends like that. */
export const measured =
  (name: string, members: object): Change =>
  ({ payload }) =>
    void (payload.name.endsWith(name) && Object.assign(payload, members));
export const called =
  (type: string): Change =>
  (frame) =>
    void (frame.type = type);
export const open = (frame: Message): boolean => frame.type === "session.open";
