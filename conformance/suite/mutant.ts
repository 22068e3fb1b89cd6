/** Runtimes that are broken in one way each: ours, with a hand on what is said. */
import type { TransportKind } from "@arcp/conformance";
import type { Line, Tampering } from "./memory-target.ts";

// biome-ignore lint/suspicious/noExplicitAny: a mutant breaks whatever it likes
export type Message = any;

/** What a mutant remembers: of one connection, and of all of them. */
export interface Memory {
  /** Which connection of the mutant this is, from 0. */
  readonly connection: number;
  /** Whether it goes on with a session. */
  isResumed: boolean;
  /** How many messages its hand was on, this one included. */
  count: number;
  held: Message[];
  readonly line: Line;
  /** Of all connections. */
  // biome-ignore lint/suspicious/noExplicitAny: a mutant keeps whatever it likes
  readonly shared: any;
}

/** Changes a message in place, or says what there is in its place: nothing, or others; text goes as it is. */
export type Change = (message: Message, memory: Memory) => undefined | null | undefined | readonly unknown[];

export interface Mutant {
  readonly requirement: string;
  /** The case that has to catch it. */
  readonly case: string;
  readonly kind?: TransportKind;
  /** Whether it listens at every path. */
  readonly isEverywhere?: boolean;
  /** Breaks one runtime: what comes of it is called for each connection. */
  start(): () => Tampering;
}

/** How the hand is laid on: on messages of these types; on all with `*`. */
export interface Hand {
  readonly says?: Readonly<Record<string, Change>>;
  readonly hears?: Readonly<Record<string, Change>>;
  /** Only on connections that go on with a session. */
  readonly onlyResumed?: boolean;
  /** Only from this connection on. */
  readonly from?: number;
  readonly hidesEnd?: boolean;
  /** What becomes of text that is no JSON, and of bytes. */
  readonly broken?: (text: string, line: Line) => void;
  readonly bytes?: (bytes: Uint8Array, line: Line) => void;
  readonly kind?: TransportKind;
  readonly isEverywhere?: boolean;
}

export function mutant(requirement: string, caseId: string, hand: Hand): Mutant {
  return {
    requirement,
    case: caseId,
    ...(hand.kind === undefined ? {} : { kind: hand.kind }),
    ...(hand.isEverywhere === undefined ? {} : { isEverywhere: hand.isEverywhere }),
    start: () => {
      let connections = 0;
      const shared = {};
      return () => {
        connections += 1;
        return tamperingOf(hand, connections - 1, shared);
      };
    },
  };
}

function tamperingOf(hand: Hand, connection: number, shared: object): Tampering {
  let memory: Memory | undefined;
  const remembering = (line: Line): Memory => {
    memory ??= { connection, isResumed: false, count: 0, held: [], line, shared };
    return memory;
  };
  const handle = (changes: Hand["says"], text: string, line: Line, pass: (text: string) => void): void => {
    const known = remembering(line);
    let message: Message;
    try {
      message = JSON.parse(text);
    } catch {
      if (hand.broken) hand.broken(text, line);
      else pass(text);
      return;
    }
    if (message?.type === "session.resume" || message?.payload?.resume !== undefined) known.isResumed = true;
    const change = changes?.[message?.type] ?? changes?.["*"];
    const applies = (!hand.onlyResumed || known.isResumed) && connection >= (hand.from ?? 0);
    if (change === undefined || !applies) {
      pass(text);
      return;
    }
    known.count += 1;
    const instead = change(message, known);
    const messages = instead === null ? [] : (instead ?? [message]);
    for (const one of messages) pass(typeof one === "string" ? one : JSON.stringify(one));
  };
  return {
    fromClient: (text, line) => handle(hand.hears, text, line, line.toRuntime),
    fromRuntime: (text, line) => handle(hand.says, text, line, line.toClient),
    ...(hand.bytes && { bytesFromClient: hand.bytes }),
    ...(hand.hidesEnd && { hidesEnd: true }),
  };
}

/** An answer of the runtime's to a message of the client's. */
export function answer(message: Message, type: string, payload: object): string {
  const { id, session_id, arcp } = message;
  const timestamp = new Date().toISOString();
  return JSON.stringify({
    arcp,
    id: `${id}-answer`,
    type,
    timestamp,
    session_id,
    correlation_id: id,
    payload: { ...payload, request_id: id },
  });
}

/** Something in place of `message`'s payload, member by member. */
export const having =
  (members: object): Change =>
  (message) => {
    Object.assign(message.payload, members);
  };

export const lacking =
  (name: string): Change =>
  (message) => {
    delete message.payload[name];
  };

export const nothing: Change = () => null;

export const twice: Change = (message) => [message, message];
