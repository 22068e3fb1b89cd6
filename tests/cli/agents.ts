/** Agents as users write them: the text of modules that `arcp serve` loads. */

/** Returns its input. */
export const ECHO = `
export const version = "1.2.0";
export default async (input, ctx) => {
  await ctx.log("info", "echoing");
  return { echoed: input };
};
`;

/** Says what it takes. */
export const STRICT = `
export const options = {
  description: "Asks",
  inputSchema: { type: "object", properties: { question: { type: "string", minLength: 3 } }, required: ["question"] },
};
export default async (input) => input.question;
`;

/** Ends when it is cancelled. */
export const PATIENT = `
export default async (input, ctx) => {
  await ctx.log("info", "waiting");
  await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
  throw ctx.signal.reason;
};
`;

/** Counts to \`input.to\`, a step every few milliseconds. */
export const COUNTER = `
import { setTimeout as delay } from "node:timers/promises";
export default async (input, ctx) => {
  for (let step = 1; step <= input.to; step += 1) {
    await delay(5, undefined, { signal: ctx.signal });
    await ctx.progress(step, { total: input.to });
  }
  return input.to;
};
`;

/** Streams \`input\`, a list of texts. */
export const STREAMER = `
export default async (input, ctx) => {
  const stream = ctx.streamResult({});
  for (const text of input) await stream.write(text, { encoding: "utf8" });
  await stream.finalize(undefined, { summary: "streamed" });
};
`;

export const FAILING = `
export default async () => {
  throw new Error("no luck");
};
`;

/** Prints to standard output in every way that is left to it. */
export const CHATTY = `
import { stdout } from "node:process";
import process from "node:process";
console.log("loaded");
export default async (input, ctx) => {
  console.log("console.log");
  console.info("console.info");
  process.stdout.write("process.stdout\\n");
  stdout.write("named stdout\\n");
  await ctx.log("info", "line one\\nline two");
  return "done";
};
`;

/** Says things that would take a terminal over. */
export const HOSTILE = `
export default async (input, ctx) => {
  await ctx.log("info", "\\u001b]52;c;cm0gLXJmIC8=\\u0007 \\u009b31m pay 10\\u202e00 \\u200b\\r\\u001b[2K");
  await ctx.status("\\u001b[1A", "APPROVED");
  return "\\u001b[6n";
};
`;

/** Leaves a rejection, an exception in a timer and one in an abort listener behind, and goes on. */
export const CARELESS = `
import { setTimeout as delay } from "node:timers/promises";
export default async (input, ctx) => {
  ctx.signal.addEventListener("abort", () => { throw new Error("thrown in a listener"); });
  void Promise.reject(new Error("rejected for nobody"));
  setTimeout(() => { throw new Error("thrown in a timer"); }, 1);
  await delay(20);
  return "careless";
};
`;

/** Hands its input to \`echo\` with a part of its lease, and then more than it has. */
export const PARENT = `
export default async (input, ctx) => {
  const lease_request = { "fs.read": ["/data/in/*"] };
  const child = ctx.delegate({ agent: "echo", delegate_id: "d1", input, lease_request });
  const { result } = await child.done;
  const greedy = ctx.delegate({ agent: "echo", delegate_id: "d2", lease_request: { "fs.read": ["/etc/*"] } });
  await greedy.done.catch(() => {});
  return result;
};
`;

/** Asks for what \`input.ask\` says, and returns what it was told, or why it was not. */
export const ASKER = `
const QUESTIONS = {
  input: (ctx) => ctx.requestHumanInput({
    prompt: "Which branch?",
    responseSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
  }),
  choice: (ctx) => ctx.requestHumanChoice({
    prompt: "It failed. What now?",
    options: [{ id: "retry", label: "Try again" }, { id: "stop", label: "Leave it" }],
  }),
  permission: async (ctx) => {
    const { permission, resource, operation, expiresAt } = await ctx.requestPermission({
      permission: "email.send", resource: "alice@example.com", operation: "send", reason: "to tell her",
    });
    return { permission, resource, operation, expiresAt };
  },
  hostile: (ctx) => ctx.requestHumanInput({ prompt: "\\u001b[2J\\u202eyes\\nsecond line" }),
};
export default async (input, ctx) => {
  try {
    return await QUESTIONS[input.ask](ctx);
  } catch (error) {
    return { refused: error.code, details: error.details };
  }
};
`;

/** Streams more than anybody would keep in memory for a reader who is not there. */
export const LONG = `
export default async (input, ctx) => {
  const stream = ctx.streamResult({});
  for (let piece = 0; piece < 40; piece += 1) await stream.write("x".repeat(100_000), { encoding: "utf8" });
  await stream.finalize();
};
`;
