import { newMessageId, newTraceId } from "@arcp/core";
import type { Command } from "commander";
import { Conversation, type Said } from "../../conversation.ts";
import { Answers, isSilent, type Verdict } from "../answers.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { FramePrinter } from "../frame-printer.ts";
import { parseSeconds } from "../instant.ts";
import { interruptible } from "../interruptible.ts";
import { parseJson, parseJsonObject } from "../json-text.ts";
import { credentialsFor, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";

interface Options extends RuntimeAddress {
  readonly type?: string;
  readonly payload?: string;
  readonly tool?: string;
  readonly args?: string;
  readonly envelope?: string;
  readonly timeout?: number;
  readonly raw?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp send ping
  arcp send ping '{"nonce":"x"}'
  arcp send --tool echo --args '"hi"'
  arcp send cancel '{"target":"job","target_id":"job_01J…"}'
  arcp send tool.invoke '{"tool":"echo"}' --envelope '{"idempotency_key":"k1","priority":"high"}'
  arcp send subscribe '{"filter":{"types":["log"]}}' --json | jq -r .payload.event.payload.message

Prints what answers the message, up to the last answer: pong, the end of a tool's job, a refusal.
Exit codes: 0 success, 1 no answer, 2 refused or failed, 64 wrong arguments, 130 Ctrl-C; a job goes on then.`;

export function addSend(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("send")
    .description("Send one message over wire 1.0, and print what answers it")
    .argument("[type]", "the message's type, e.g. ping")
    .argument("[payload]", "its payload, as JSON (default: {})")
    .option("--type <type>", "the same as an option")
    .option("--payload <json>", "the same as an option")
    .option("--tool <name>", "invoke a tool: short for the type tool.invoke")
    .option("--args <json>", "its arguments, as JSON (default: {})")
    .option("--envelope <json>", "further members of the envelope, e.g. correlation_id")
    .option("--timeout <seconds>", "how long to wait for the first answer (default: 30)", parseSeconds)
    .option("--raw", "the answers exactly as they came")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((type: string | undefined, payload: string | undefined, options: Options) =>
    run(() => send(messageOf(type, payload, options), options)),
  );
}

async function send(message: Said, options: Options): Promise<ExitCode> {
  return interruptible(async (signal) => {
    const timeout = options.timeout === undefined ? {} : { answerTimeoutMs: options.timeout * 1000 };
    await using conversation = await Conversation.open(options.url, {
      ...(await credentialsFor(options)),
      ...{ ...timeout, signal },
    });
    const verdict = await converse(conversation, message, new FramePrinter(options), signal);
    return verdict === "failed" ? EXIT.jobFailed : EXIT.success;
  });
}

async function converse(
  conversation: Conversation,
  message: Said,
  printer: FramePrinter,
  signal: AbortSignal,
): Promise<Verdict> {
  const answers = new Answers(message);
  conversation.say(message);
  // Commands are answered in order: what has no answer by then has none.
  const fence = { id: newMessageId(), type: "ping", payload: {} };
  const fenced = new Answers(fence);
  if (isSilent(message.type)) conversation.say(fence);
  try {
    for await (const received of conversation.messages(signal, () => !answers.hasAny)) {
      const verdict = answers.take(received);
      if (verdict !== undefined) await printer.print(received);
      if (verdict === "failed" || verdict === "succeeded") return verdict;
      if (fenced.take(received) !== undefined) return "succeeded";
    }
  } catch (thrown) {
    // The end is what was asked for.
    if (message.type !== "session.close") throw thrown;
  }
  return "succeeded";
}

function messageOf(type: string | undefined, payload: string | undefined, options: Options): Said {
  const envelope = options.envelope === undefined ? {} : parseJsonObject(options.envelope, "--envelope");
  return { id: newMessageId(), trace_id: newTraceId(), ...envelope, ...contentOf(type, payload, options) } as Said;
}

function contentOf(
  positional: string | undefined,
  positionalPayload: string | undefined,
  options: Options,
): Pick<Said, "type" | "payload"> {
  const type = positional ?? options.type;
  const payload = positionalPayload ?? options.payload;
  if ((positional && options.type) || (positionalPayload !== undefined && options.payload !== undefined)) {
    throw new UsageError("--type and --payload stand for the arguments: give one of them");
  }
  if (options.tool === undefined) {
    if (options.args !== undefined) throw new UsageError("--args is for --tool; for another type there is --payload");
    if (type === undefined) throw new UsageError("nothing to send: expected a type, e.g. arcp send ping, or --tool");
    return { type, payload: payload === undefined ? {} : parseJsonObject(payload, "--payload") };
  }
  if ((type !== undefined && type !== "tool.invoke") || payload !== undefined) {
    throw new UsageError("--tool and a message of one's own exclude each other");
  }
  const args = options.args === undefined ? {} : parseJson(options.args, "--args");
  return { type: "tool.invoke", payload: { tool: options.tool, arguments: args } };
}
