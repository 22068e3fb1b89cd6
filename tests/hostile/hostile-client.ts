/** What a test of refusals does again and again: send something bad, and look at the answer and at what is left. */
import { expect } from "vitest";
import type { Frame, RawClient } from "../support/raw-client.ts";

/** Sends `text` and resolves with the INVALID_REQUEST that answers it. */
export async function refused(client: RawClient, text: string): Promise<Frame> {
  client.sendText(text);
  const answer = await client.next();
  expect(answer).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST", retryable: false } });
  expect(answer.payload.message).not.toBe("");
  return answer;
}

/** The session answers a ping and runs a job. */
export async function stillWorks(client: RawClient): Promise<void> {
  const ping = client.send("session.ping", { nonce: "still there", sent_at: "2026-01-01T00:00:00Z" });
  expect(await client.reply(ping)).toMatchObject({ type: "session.pong", payload: { ping_nonce: "still there" } });
  const accepted = await client.submit("echo", "still there");
  expect(accepted.type).toBe("job.accepted");
  const end = await client.ended(accepted.payload.job_id);
  expect(end).toMatchObject({ type: "job.result", payload: { result: "still there" } });
  const seqs = client.numbered.map((frame) => frame.event_seq);
  expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, index) => index + 1));
}

/** Resolves with how the connection ended. */
export const closeOf = async (client: RawClient): Promise<{ readonly code: number; readonly reason: string }> =>
  client.transport.closed;

/** Agents that hostile clients submit to. */
export const AGENTS = {
  echo: (input: unknown): unknown => input,
  hold: (_input: unknown, { signal }: { readonly signal: AbortSignal }): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
};
