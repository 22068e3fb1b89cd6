/** How runtimes of wire 1.1 are broken. */
import { answer, type Change, type Hand, type Message, type Mutant, mutant } from "../mutant.ts";

/** Breaks one requirement, which one case has to notice. */
export const m = (requirement: string, caseId: string, hand: Hand): Mutant =>
  mutant(`V11-${requirement}`, caseId, hand);

export const FEATURES = [
  "ack",
  "list_jobs",
  "subscribe",
  "lease_expires_at",
  "cost.budget",
  "model.use",
  "progress",
  "result_chunk",
  "agent_versions",
];

/** Changes the body of events of one kind. */
export const event =
  (kind: string, change: (body: Message, message: Message) => unknown): Change =>
  (message) => {
    if (message.payload.kind === kind) change(message.payload.body, message);
  };

/** Refuses what the client asks, without asking the runtime. */
export const refusing =
  (code: string): Change =>
  (message, { line }) => {
    line.toClient(answer(message, "session.error", { code, message: "broken", retryable: false }));
    return null;
  };

/** Changes one outcome in the result of the job that ends as the `job`th of its connection. */
export const outcome = (job: number, place: number, value: object): Hand => ({
  says: {
    "job.result": (message, memory) => {
      const { outcomes } = message.payload.result ?? {};
      if (memory.count !== job) return;
      outcomes[place < 0 ? outcomes.length + place : place] = value;
    },
  },
});
export const DONE = { performed: true, code: null };
export const ACCEPTED = { accepted: true, code: null };
export const left = (job: number, value: object): Hand => ({
  says: {
    "job.result": (message, memory) =>
      void (memory.count === job && Object.assign(message.payload.result, { left: value })),
  },
});
export const code =
  (from: string, to: string): Change =>
  (message) => {
    if (message.payload.code === from) message.payload.code = to;
  };
export const first =
  (change: Change): Change =>
  (message, memory) =>
    memory.count === 1 ? change(message, memory) : undefined;
/** The runtime's agents on a submission that is wrong in one way. */
export const mended =
  (isWrong: (payload: Message) => boolean, members: object): Change =>
  (message) => {
    if (isWrong(message.payload)) Object.assign(message.payload, members);
  };
