/** What the drivers of both wires have in common: where to connect, and jobs that are followed from their beginning. */
import type { ToolReconnectOptions, TransportFactory } from "@arcp/client";
import { type JsonObject, StdioTransport } from "@arcp/core";

// biome-ignore lint/suspicious/noExplicitAny: a line of input may say anything
export type Terms = any;

export type Steps = Readonly<Record<string, (terms: Terms) => Promise<JsonObject>>>;

/** One client, of either wire. */
export interface Driven {
  readonly steps: Steps;
  /** An error as its wire calls it. */
  readonly errorOf: (thrown: unknown) => JsonObject;
  abort(): void;
}

/** Quick enough for a suite that cuts connections all the time. */
export const QUICK: Pick<ToolReconnectOptions, "initialDelayMs" | "maxDelayMs"> = {
  initialDelayMs: 10,
  maxDelayMs: 50,
};

/** To a URL, or to the standard streams of a program. */
export const dialOf = ({ url, command }: Terms): string | TransportFactory =>
  url ?? ((signal) => StdioTransport.spawn(command[0], command.slice(1), { signal }));

/** An event of either wire. */
interface AnyEvent {
  readonly kind: string;
  /** What the runtime calls it, where it has no kind of the protocol. */
  readonly name?: string;
  readonly body: unknown;
}

/** A job whose events are collected from the beginning, so that they can be reported with its end. */
export interface Followed {
  readonly events: readonly AnyEvent[];
  readonly over: Promise<JsonObject>;
}

/** @param failed How the end is reported that `done` rejects with. */
export function followed(
  job: AsyncIterable<AnyEvent>,
  done: Promise<JsonObject>,
  failed: (thrown: unknown) => JsonObject,
): Followed {
  const events: AnyEvent[] = [];
  const read = (async () => {
    for await (const event of job) events.push(event);
  })();
  const over = (async () => {
    await read.catch(() => {
      // Why the events end is told by `done`.
    });
    return done.catch(failed);
  })();
  return { events, over };
}

/** How a job ended, with what it said before. Throws for a job that is not followed. */
export async function endOf(job: Followed | undefined): Promise<JsonObject> {
  if (job === undefined) throw new Error("the job is not known");
  const end = await job.over;
  const events = job.events.map(({ kind, name, body }) => ({ kind: kind === "vendor" ? name : kind, body }));
  return { ...end, events };
}

export const jsonOf = (value: unknown): unknown =>
  value instanceof Uint8Array ? { base64: Buffer.from(value).toString("base64") } : value;
