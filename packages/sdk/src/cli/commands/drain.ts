import { setTimeout as delay } from "node:timers/promises";
import type { NodeRecord, SharedStore } from "@arcp/runtime";
import type { Command } from "commander";
import { stateOf, withNodes } from "../cluster-nodes.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { interruptible } from "../interruptible.ts";

interface Options {
  readonly db?: string;
  readonly wait: boolean;
}

const POLL_MS = 250;

const EXAMPLES = `
Examples:
  arcp drain web-1 --db postgresql://arcp@db/arcp
  arcp drain node_01J… --no-wait
  for node in $(arcp nodes --json | jq -r .id); do arcp drain "$node" && start-one; done

The node takes nothing more, hands what it can over to the others, and ends with exit code 0, as after SIGTERM; its own --drain
says how long that may take. Exit codes: 0 it has gone, 1 there is no such node, or it has fallen silent, 64 more than one has
that name, 130 interrupted: it drains all the same.`;

export function addDrain(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("drain")
    .description("Ask a node to hand over what it has and to stop, and wait until it has gone")
    .argument("<node>", "its id, or its name if no other has that")
    .option("--db <url>", "postgresql://…; else ARCP_DB")
    .option("--no-wait", "ask, and do not wait")
    .addHelpText("after", EXAMPLES)
    .action((text: string, options: Options) =>
      run(() => interruptible((signal) => withNodes(options.db, (store) => drain(store, text, options.wait, signal)))),
    );
}

async function drain(store: SharedStore, text: string, waits: boolean, signal: AbortSignal): Promise<ExitCode> {
  const { id, name } = nodeOf(await store.nodes(), text);
  await store.askToDrain(id);
  const label = escapeLine(`${name} (${id})`);
  if (!waits) {
    process.stdout.write(`${label} was asked to stop\n`);
    return EXIT.success;
  }
  for (;;) {
    const node = (await store.nodes()).find((one) => one.id === id);
    const state = node === undefined ? "gone" : stateOf(node);
    if (state === "silent") throw new Error(`${label} was asked to stop, and has fallen silent: it may be dead`);
    if (state === "gone") break;
    await delay(POLL_MS, undefined, { signal });
  }
  process.stdout.write(`${label} has gone\n`);
  return EXIT.success;
}

/** Names need not be unique; ids are, and count first. */
function nodeOf(nodes: readonly NodeRecord[], text: string): NodeRecord {
  const up = nodes.filter(({ isUp }) => isUp);
  const [found, ...others] = up.some(({ id }) => id === text)
    ? up.filter(({ id }) => id === text)
    : up.filter(({ name }) => name === text);
  if (found === undefined) throw new Error(`no node ${text} is up: \`arcp nodes\` lists those that are`);
  if (others.length === 0) return found;
  const ids = [found, ...others].map(({ id }) => id).join(", ");
  throw new UsageError(`${others.length + 1} nodes are called ${text}; name one by its id: ${ids}`);
}
